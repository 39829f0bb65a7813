//! SARIF 2.1.0, from whatever tool: what is found, where, and how bad it is.

mod document;
mod location;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::classification::{Evidence, IssueType, Level, Severity, classify};
use super::{ReadError, source};
use document::{
    BaselineState, Fix, Log, PhysicalLocation, Run, RunResult, SuppressionStatus, VersionOnly,
};
use location::Locations;
use rules::Rules;

/// The version of the format that is read.
const VERSION: &str = "2.1.0";

/// What the design's columns hold, in characters.
const RULE_ID_CHARACTERS: usize = 255;
const TITLE_CHARACTERS: usize = 500;

/// A tool that wrote a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name, `unknown` if the log does not say.
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
    /// What it is about.
    pub issue_type: IssueType,
    /// How bad it is.
    pub severity: Severity,
    /// What the result is: most are failures.
    pub kind: Kind,
    /// The first line of the message, at most 500 characters, never empty.
    pub title: String,
    /// The whole message if the title is not all of it, else the rule's short description if it says more.
    pub description: Option<String>,
    /// The file, relative to the project's root; absolute if it lies outside; none for the project as a
    /// whole.
    pub file_path: Option<String>,
    /// First line, from 1.
    pub line: Option<i32>,
    /// First column, from 1.
    pub column: Option<i32>,
    /// Last line; the first if the log leaves it out.
    pub end_line: Option<i32>,
    /// The column after the last character.
    pub end_column: Option<i32>,
    /// The code in question, if the log quotes it.
    pub code_snippet: Option<String>,
    /// What the tool's first fix would do, in words, or the text it would put in.
    pub fix_suggestion: Option<String>,
    /// Whether it was suppressed, in the code or elsewhere, and nobody objects: the design's status
    /// `ignored`.
    pub ignored: bool,
    /// How much it matters, 0 to 100, if the tool says so.
    pub rank: Option<f64>,
    /// What stays the same when lines move, by kind of fingerprint; a full fingerprint hides a partial one.
    pub fingerprints: BTreeMap<String, String>,
}

/// SARIF's kind of a result.
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

/// Reads a log: its tools, one for each run, and the results that are still there (`baselineState` other than
/// `absent`), in order.
///
/// Results are kept as typed structs with text of at most 8 KiB; code and documentation that a log carries
/// along is skipped as it is read.
///
/// # Errors
/// [`ReadError::Version`] for another version of the format, [`ReadError::Json`] with line and column for a
/// type that the format does not allow, [`ReadError::Fault`] with the place (`runs[0].results[17]`) for a
/// result without a message or with a reference that leads nowhere, or what [`super::read`] gives for a
/// broken file.
pub fn read(path: &Path) -> Result<(Vec<Tool>, Vec<Finding>), ReadError> {
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
    let mut tools = Vec::with_capacity(log.runs.len());
    let mut findings = Vec::new();
    for (index, run) in log.runs.into_iter().enumerate() {
        let Run {
            tool: described,
            results,
            artifacts,
            original_uri_base_ids,
        } = run;
        let rules = Rules::new(&described);
        let tool = tool(&described);
        let locations = Locations::new(artifacts, original_uri_base_ids)
            .map_err(|reason| fault(format!("runs[{index}].originalUriBaseIds"), reason))?;
        findings.reserve(results.len());
        for (at, result) in results.into_iter().enumerate() {
            if result.baseline_state == Some(BaselineState::Absent) {
                continue;
            }
            let finding = finding(&tool, &rules, &locations, &result);
            findings.push(
                finding.map_err(|reason| fault(format!("runs[{index}].results[{at}]"), reason))?,
            );
        }
        tools.push(tool);
    }
    Ok((tools, findings))
}

/// For a file that could not be read as SARIF 2.1.0: the error that it is another version, if it says so.
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
        level: result.level.or(default_level).unwrap_or(Level::Warning),
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
        file_path: artifact
            .map(|artifact| locations.path(artifact))
            .transpose()?
            .flatten(),
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

/// A line or column that counts from 1 and fits the design's INTEGER; some tools write 0 or -1 for none.
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

/// The first characters of a text, with an ellipsis for the last if it has more.
fn cut(text: &str, characters: usize) -> String {
    if text.chars().nth(characters).is_none() {
        return text.to_owned();
    }
    text.chars().take(characters - 1).chain(['…']).collect()
}
