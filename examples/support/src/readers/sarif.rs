//! SARIF 2.1.0 logs of any tool: the findings, their locations and their severities.

mod document;
mod location;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::classification::{Evidence, IssueType, Level, Severity, classify};
use super::{ReadError, source};
use document::{
    BaselineState, Fix, Invocation, Log, PhysicalLocation, Run, RunResult, SuppressionStatus,
    VersionOnly,
};
use location::Locations;
use rules::Rules;

/// The version of the format that is read.
const VERSION: &str = "2.1.0";

/// The lengths of the design's columns, in characters.
const RULE_ID_CHARACTERS: usize = 255;
const TITLE_CHARACTERS: usize = 500;

/// The greatest length of a path, in bytes. PostgreSQL cannot index much longer ones.
const PATH_BYTES: usize = 2_048;

/// A tool that wrote a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// The tool's name, or `unknown` if the log does not contain it.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

/// One result of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Name of the tool.
    pub tool: String,
    /// The tool's id of the rule, at most 255 characters.
    pub rule_id: Option<String>,
    /// The type of the finding.
    pub issue_type: IssueType,
    /// The severity.
    pub severity: Severity,
    /// The kind of the result. Most are failures.
    pub kind: Kind,
    /// The first line of the message, at most 500 characters, never empty.
    pub title: String,
    /// The whole message if the title is not all of it, else the rule's short description if it
    /// says more.
    pub description: Option<String>,
    /// The file, relative to the project's root, or absolute if it is outside of it. `None` for the
    /// project as a whole.
    pub file_path: Option<String>,
    /// First line, from 1.
    pub line: Option<i32>,
    /// First column, from 1.
    pub column: Option<i32>,
    /// The last line, or the first if the log does not contain it.
    pub end_line: Option<i32>,
    /// The column after the last character.
    pub end_column: Option<i32>,
    /// The code in question, if the log quotes it.
    pub code_snippet: Option<String>,
    /// The description of the tool's first fix, or the text that it would insert.
    pub fix_suggestion: Option<String>,
    /// True if the result is suppressed, in the code or elsewhere, and no suppression is rejected:
    /// the design's status `ignored`.
    pub ignored: bool,
    /// The tool's rank of the result, from 0 to 100, if there is one.
    pub rank: Option<f64>,
    /// The fingerprints, which do not change when lines move, by kind. A full fingerprint replaces
    /// a partial one.
    pub fingerprints: BTreeMap<String, String>,
}

/// The kind of a result in SARIF.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A problem.
    #[default]
    Fail,
    /// The rule was met.
    Pass,
    /// The rule does not apply here.
    NotApplicable,
    /// For information only.
    Informational,
    /// The tool could not decide.
    Open,
    /// A person must decide.
    Review,
}

/// The content of a log.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    /// The tools, one for each run.
    pub tools: Vec<Tool>,
    /// The results that still exist (`baselineState` other than `absent`), in order.
    pub findings: Vec<Finding>,
    /// The results that cannot be read.
    pub skipped: Vec<Notice>,
    /// The runs without results because the tool crashed or because none of their results can be
    /// read.
    pub failures: Vec<Notice>,
    /// Other parts that were skipped, and tools' reports of failure in runs that have results.
    pub warnings: Vec<Notice>,
}

/// A message about a file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The file.
    pub path: PathBuf,
    /// The position, such as `runs[0].results[17]`.
    pub place: String,
    /// The reason.
    pub reason: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            place,
            reason,
        } = self;
        write!(formatter, "{}: {place}: {reason}", path.display())
    }
}

/// Reads a log.
///
/// A result that cannot be read is skipped and reported. A run without results is a failure if its
/// tool reports that it failed, since its findings are unknown. If such a run has results, they are
/// used.
///
/// Results are stored as typed structs with texts of at most 8 KiB. Code and documentation in a log
/// are skipped while reading.
///
/// # Errors
/// - [`ReadError::Version`] for another version of the format
/// - [`ReadError::Json`] with line and column if the file is not JSON, or has no `runs`, or other
///   things than lists of runs and of results
/// - [`ReadError::Fault`] if the bases form a cycle
/// - the errors of [`super::read`] for a malformed file
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let log: Log = source::json(path).map_err(|error| other_version(path).unwrap_or(error))?;
    if log.version.as_deref() != Some(VERSION) {
        return Err(ReadError::Version {
            path: path.to_owned(),
            found: log.version,
        });
    }
    let fault = |place: String, reason: String| ReadError::Fault {
        path: path.to_owned(),
        place,
        reason,
    };
    let notice = |place: String, reason: String| Notice {
        path: path.to_owned(),
        place,
        reason,
    };
    let mut report = Report::default();
    if !log.inline_external_properties.is_empty() {
        let reason = "inline external properties are not read".to_owned();
        let place = "inlineExternalProperties".to_owned();
        report.warnings.push(notice(place, reason));
    }
    if log.runs.is_none() {
        let reason = "the list of runs is null".to_owned();
        report.failures.push(notice("runs".to_owned(), reason));
    }
    for (index, run) in log.runs.into_iter().flatten().enumerate() {
        let Some(run) = run else {
            let reason = "the run is null".to_owned();
            report
                .failures
                .push(notice(format!("runs[{index}]"), reason));
            continue;
        };
        let failure = failure(&run);
        let Run {
            tool: described,
            results,
            artifacts,
            original_uri_base_ids,
            invocations,
            external_property_file_references: external,
        } = run;
        let rules = Rules::new(&described);
        let tool = tool(&described);
        let locations = Locations::new(artifacts, original_uri_base_ids)
            .map_err(|reason| fault(format!("runs[{index}].originalUriBaseIds"), reason))?;
        if !external.is_empty() {
            let names: Vec<_> = external.keys().map(String::as_str).collect();
            let reason = format!(
                "these are in other files, which are not read: {}",
                names.join(", ")
            );
            let place = format!("runs[{index}].externalPropertyFileReferences");
            report.warnings.push(notice(place, reason));
        }
        let (mut read, skipped_before) = (0_usize, report.skipped.len());
        for (at, result) in results.flatten().unwrap_or_default().iter().enumerate() {
            let finding = serde_json::from_str::<RunResult>(result.get())
                .map_err(|error| without_place(&error))
                .and_then(|result| {
                    let is_absent = result.baseline_state == Some(BaselineState::Absent);
                    let finding = || finding(&tool, &rules, &invocations, &locations, &result);
                    (!is_absent).then(finding).transpose()
                });
            match finding {
                Ok(finding) => {
                    read += 1;
                    report.findings.extend(finding);
                }
                Err(reason) => {
                    let place = format!("runs[{index}].results[{at}]");
                    report.skipped.push(notice(place, reason));
                }
            }
        }
        let place = || format!("runs[{index}] of {}", tool.name);
        let skipped = report.skipped.len() - skipped_before;
        match failure {
            Some(reason) if read == 0 => report.failures.push(notice(place(), reason)),
            Some(reason) => report.warnings.push(notice(place(), reason)),
            None if read == 0 && skipped > 0 => {
                let reason = format!("none of its {skipped} results can be read");
                report.failures.push(notice(place(), reason));
            }
            None => {}
        }
        report.tools.push(tool);
    }
    Ok(report)
}

/// Returns the message of an error without line and column, which would count from the beginning of
/// the result.
fn without_place(error: &serde_json::Error) -> String {
    let reason = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    reason.strip_suffix(&place).unwrap_or(&reason).to_owned()
}

/// Returns the reason of a run's failure, if the tool reports one.
fn failure(run: &Run) -> Option<String> {
    let text = |message: &Option<document::Message>| {
        let message = message.as_ref()?;
        message.text.as_ref().or(message.markdown.as_ref()).cloned()
    };
    let notifications = run.invocations.iter().flat_map(|invocation| {
        let configuration = &invocation.tool_configuration_notifications;
        invocation
            .tool_execution_notifications
            .iter()
            .chain(configuration)
    });
    let mut errors = notifications.filter(|notification| notification.level == Some(Level::Error));
    let error = errors.next().map(|error| text(&error.message));
    let not_started = run
        .invocations
        .iter()
        .find_map(|invocation| invocation.process_start_failure_message.clone());
    let is_unsuccessful = run
        .invocations
        .iter()
        .any(|invocation| invocation.execution_successful == Some(false));
    let reason = match (not_started, error) {
        (Some(reason), _) => format!("the tool could not be started: {}", &*reason),
        (None, Some(Some(reason))) => format!("the tool reports: {}", &*reason),
        (None, Some(None)) => "the tool reports an error".to_owned(),
        (None, None) if is_unsuccessful => "the tool reports that it was not successful".to_owned(),
        (None, None) if matches!(run.results, Some(None)) => "its results are null".to_owned(),
        // The standard has a list of results, perhaps an empty one, in every run that describes a
        // scan.
        (None, None) if run.results.is_none() => {
            match run
                .external_property_file_references
                .contains_key("results")
            {
                true => "its results are in other files, which are not read".to_owned(),
                false => "it has no list of results".to_owned(),
            }
        }
        (None, None) => return None,
    };
    Some(cut(&reason, TITLE_CHARACTERS))
}

/// Returns the error of another version, if a file that could not be read as SARIF 2.1.0 has one.
fn other_version(path: &Path) -> Option<ReadError> {
    let VersionOnly { version: found } = source::json(path).ok()?;
    (found.as_deref() != Some(VERSION)).then(|| ReadError::Version {
        path: path.to_owned(),
        found,
    })
}

fn tool(tool: &document::Tool) -> Tool {
    let driver = &tool.driver;
    let version = driver.version.as_ref().or(driver.semantic_version.as_ref());
    let name = driver
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or("unknown");
    Tool {
        name: name.to_owned(),
        version: version.map(|version| version.0.clone()),
    }
}

fn finding(
    tool: &Tool,
    rules: &Rules,
    invocations: &[Invocation],
    locations: &Locations,
    result: &RunResult,
) -> Result<Finding, String> {
    let referred = rules.of(result)?;
    let rule = referred.rule;
    let rule_id = rules::rule_id(result).or_else(|| rule?.id.as_deref());
    let kind = result.kind.unwrap_or_default();
    let default_level = rule.and_then(|rule| rule.default_configuration.as_ref()?.level);
    let (issue_type, severity) = classify(&Evidence {
        tool: &tool.name,
        rule_id,
        is_failure: kind == Kind::Fail,
        level: result
            .level
            .or_else(|| overriding(rules, invocations, rule, rule_id, result))
            .or(default_level)
            .unwrap_or(Level::Warning),
        security_severity: rule
            .and_then(|rule| rule.properties.security_severity.as_ref()?.value()),
        tags: rule.map_or(&[], |rule| &rule.properties.tags),
    });

    let message = referred.text(result.message.as_ref())?;
    let about_rule = rule.and_then(|rule| rule.short_description.as_ref()?.text.as_deref());
    let title = [
        message.as_str(),
        about_rule.unwrap_or_default(),
        rule_id.unwrap_or_default(),
    ]
    .iter()
    .find_map(|text| text.lines().map(str::trim).find(|line| !line.is_empty()))
    .map(|line| cut(line, TITLE_CHARACTERS))
    .ok_or("its message is empty")?;
    let description = if message.trim() == title {
        about_rule
    } else {
        Some(message.as_str())
    };
    let description = description
        .filter(|text| !text.trim().is_empty() && *text != title)
        .map(str::to_owned);

    let place = result
        .locations
        .iter()
        .find_map(|location| location.physical_location.as_ref());
    let artifact = place.and_then(|place| place.artifact_location.as_ref());
    let region = place.and_then(|place| place.region.as_ref());
    let file_path = match artifact {
        Some(artifact) => locations.path(artifact)?,
        None => None,
    };
    if file_path
        .as_ref()
        .is_some_and(|path| path.len() > PATH_BYTES)
    {
        return Err(format!("its path has more than {PATH_BYTES} bytes"));
    }
    let line = region.and_then(|region| from_one(region.start_line));
    let fingerprints = [&result.partial_fingerprints, &result.fingerprints]
        .into_iter()
        .flatten();
    Ok(Finding {
        tool: tool.name.clone(),
        rule_id: rule_id.map(|id| cut(id, RULE_ID_CHARACTERS)),
        issue_type,
        severity,
        kind,
        title,
        description,
        file_path,
        line,
        column: region.and_then(|region| from_one(region.start_column)),
        end_line: region.and_then(|region| from_one(region.end_line)).or(line),
        end_column: region.and_then(|region| from_one(region.end_column)),
        code_snippet: place.and_then(snippet),
        fix_suggestion: result.fixes.first().and_then(fix_suggestion),
        ignored: !result.suppressions.is_empty()
            && result.suppressions.iter().all(|suppression| {
                matches!(suppression.status, None | Some(SuppressionStatus::Accepted))
            }),
        rank: result.rank.filter(|rank| (0.0..=100.0).contains(rank)),
        fingerprints: fingerprints
            .map(|(kind, value)| (kind.0.clone(), value.0.clone()))
            .collect(),
    })
}

/// Returns the level of the rule that was configured for the run.
fn overriding(
    rules: &Rules,
    invocations: &[Invocation],
    rule: Option<&document::Rule>,
    rule_id: Option<&str>,
    result: &RunResult,
) -> Option<Level> {
    let index = result
        .provenance
        .invocation_index
        .filter(|index| *index >= 0);
    let invocation = match (index, invocations) {
        (Some(index), _) => invocations.get(usize::try_from(index).ok()?)?,
        (None, [only]) => only,
        (None, _) => return None,
    };
    let overrides = invocation.rule_configuration_overrides.iter();
    let mut levels = overrides.filter_map(|change| {
        let (descriptor, configuration) =
            (change.descriptor.as_ref()?, change.configuration.as_ref()?);
        let is_meant = rules.refers(descriptor, rule, rule_id);
        configuration.level.filter(|_| is_meant)
    });
    levels.next()
}

/// Returns a line or column that is at least 1 and fits the design's INTEGER. Some tools write 0 or
/// -1 for none.
fn from_one(number: Option<i64>) -> Option<i32> {
    number
        .and_then(|number| i32::try_from(number).ok())
        .filter(|number| *number >= 1)
}

fn snippet(place: &PhysicalLocation) -> Option<String> {
    let regions = [place.region.as_ref(), place.context_region.as_ref()];
    regions
        .into_iter()
        .flatten()
        .find_map(|region| Some(region.snippet.as_ref()?.text.as_ref()?.0.clone()))
}

fn fix_suggestion(fix: &Fix) -> Option<String> {
    let described = fix
        .description
        .as_ref()
        .and_then(|message| message.text.as_ref());
    let inserted = || {
        let mut replacements = fix
            .artifact_changes
            .iter()
            .flat_map(|change| &change.replacements);
        replacements.find_map(|replacement| replacement.inserted_content.as_ref()?.text.as_ref())
    };
    described
        .filter(|text| !text.trim().is_empty())
        .or_else(inserted)
        .map(|text| text.0.clone())
}

/// Returns the first characters of a text. If it is longer, the last of them is an ellipsis.
fn cut(text: &str, characters: usize) -> String {
    if text.chars().nth(characters).is_none() {
        return text.to_owned();
    }
    text.chars().take(characters - 1).chain(['…']).collect()
}
