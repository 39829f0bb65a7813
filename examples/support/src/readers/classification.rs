//! The severity and the type of a finding: the only place that maps the tools' values to the
//! design's `issue_severity` and `issue_type`.
//!
//! | tool's report | severity |
//! |---|---|
//! | a result that is not a failure (`kind` other than `fail`) | info |
//! | ruff, a rule of the [`RUFF`] table | the table's, since ruff reports everything as an error |
//! | a rule with `security-severity` | critical from 9, high from 7, medium from 4, else low |
//! | `error` | high |
//! | `warning` | medium |
//! | `note` | low |
//! | `none` | info |
//!
//! The type is determined by, in this order: the ruff table; security for a rule with
//! `security-severity` or a tag `security`; the first tag that is a type's name or a synonym;
//! otherwise code quality.

use serde::{Deserialize, Serialize};

use IssueType::{BestPractice, CodeQuality, Maintainability, Performance, Security};
use Severity::{Critical, High, Info, Low, Medium};

/// The design's `issue_severity`, ordered so that the greatest is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Information.
    Info,
    /// A matter of taste or style.
    Low,
    /// A possible fault.
    Medium,
    /// A likely fault.
    High,
    /// A fault that can be exploited.
    Critical,
}

impl Severity {
    /// All severities, the least first.
    pub const ALL: [Self; 5] = [Info, Low, Medium, High, Critical];

    /// Returns the design's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Info => "info",
            Low => "low",
            Medium => "medium",
            High => "high",
            Critical => "critical",
        }
    }
}

/// The design's `issue_type`, for the results of a linter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueType {
    /// Code that is likely wrong or hard to read.
    CodeQuality,
    /// A vulnerability.
    Security,
    /// Code that is slower than necessary.
    Performance,
    /// Code that is hard to change.
    Maintainability,
    /// An obstacle for users with disabilities.
    Accessibility,
    /// A deviation from common practice.
    BestPractice,
    /// Duplicated code.
    DuplicateCode,
    /// A dependency of the project.
    Dependency,
}

impl IssueType {
    /// Returns the design's name.
    pub fn as_str(self) -> &'static str {
        match self {
            CodeQuality => "code_quality",
            Security => "security",
            Performance => "performance",
            Maintainability => "maintainability",
            Self::Accessibility => "accessibility",
            BestPractice => "best_practice",
            Self::DuplicateCode => "duplicate_code",
            Self::Dependency => "dependency",
        }
    }

    fn from_tag(tag: &str) -> Option<Self> {
        let last = tag.rsplit('/').next().unwrap_or(tag).to_ascii_lowercase();
        Some(match last.replace('-', "_").as_str() {
            "security" | "vulnerability" => Security,
            "performance" | "efficiency" => Performance,
            "maintainability" | "complexity" | "readability" => Maintainability,
            "accessibility" | "a11y" => Self::Accessibility,
            "best_practice" | "best_practices" | "style" => BestPractice,
            "duplicate_code" | "duplication" => Self::DuplicateCode,
            "dependency" | "dependencies" => Self::Dependency,
            _ => return None,
        })
    }
}

/// SARIF's level of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    None,
    Note,
    Warning,
    Error,
}

/// The properties of a result and its rule that determine its class.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub tool: &'a str,
    pub rule_id: Option<&'a str>,
    pub is_failure: bool,
    pub level: Level,
    pub security_severity: Option<f64>,
    pub tags: &'a [String],
}

/// Returns the type and the severity of a result.
pub(super) fn classify(evidence: &Evidence) -> (IssueType, Severity) {
    let ruff = match evidence.rule_id {
        Some(rule_id) if evidence.tool.eq_ignore_ascii_case("ruff") => ruff(rule_id),
        _ => None,
    };
    let issue_type = match ruff {
        Some((issue_type, _)) => issue_type,
        None if evidence.security_severity.is_some() => Security,
        None => {
            let mut of_tags = evidence
                .tags
                .iter()
                .filter_map(|tag| IssueType::from_tag(tag));
            let first = of_tags.next().unwrap_or(CodeQuality);
            if of_tags.any(|other| other == Security) {
                Security
            } else {
                first
            }
        }
    };
    let severity = match (
        evidence.is_failure,
        ruff,
        evidence.security_severity,
        evidence.level,
    ) {
        (false, ..) => Info,
        (_, Some((_, severity)), ..) => severity,
        (_, _, Some(score), _) if score >= 9.0 => Critical,
        (_, _, Some(score), _) if score >= 7.0 => High,
        (_, _, Some(score), _) if score >= 4.0 => Medium,
        (_, _, Some(_), _) => Low,
        (.., Level::Error) => High,
        (.., Level::Warning) => Medium,
        (.., Level::Note) => Low,
        (.., Level::None) => Info,
    };
    (issue_type, severity)
}

/// ruff's rules by the beginning of their code.
///
/// The longest match applies. Its letters must be all the letters of the code, so that `S` matches
/// `S101` and not `SIM101`.
const RUFF: &[(&str, IssueType, Severity)] = &[
    // Broken code: it does not parse, or fails at run time.
    ("invalid-syntax", CodeQuality, High),
    ("E9", CodeQuality, High),
    ("F", CodeQuality, Medium),
    ("F4", CodeQuality, Low), // imports that are unused or hide names
    ("F7", CodeQuality, High),
    ("F82", CodeQuality, High), // undefined names
    ("F84", CodeQuality, Low),  // unused variables
    ("PLE", CodeQuality, High),
    // Security, with bandit's weight if that is low.
    ("S", Security, High),
    ("S1", Security, Medium),
    ("S101", Security, Low),
    ("S110", Security, Low),
    ("S112", Security, Low),
    ("S311", Security, Low),
    ("S603", Security, Low),
    ("S607", Security, Low),
    // Likely faults.
    ("ASYNC", Performance, Medium),
    ("B", CodeQuality, Medium),
    ("B9", CodeQuality, Low),
    ("BLE", CodeQuality, Medium),
    ("DJ", CodeQuality, Medium),
    ("DTZ", CodeQuality, Medium),
    ("E7", CodeQuality, Low),
    ("PLW", CodeQuality, Medium),
    ("W6", CodeQuality, Medium),
    // Hard to change.
    ("ARG", Maintainability, Low),
    ("C90", Maintainability, Medium),
    ("ERA", Maintainability, Info),
    ("FIX", Maintainability, Info),
    ("PLR", Maintainability, Low),
    ("PLR09", Maintainability, Medium),
    ("SLF", Maintainability, Low),
    ("TD", Maintainability, Info),
    // Slower than necessary.
    ("PERF", Performance, Low),
    ("SLOT", Performance, Low),
    // Habit and style.
    ("ANN", BestPractice, Low),
    ("COM", BestPractice, Info),
    ("CPY", BestPractice, Info),
    ("D", BestPractice, Info),
    ("D1", BestPractice, Low), // no docstring at all
    ("E", BestPractice, Info),
    ("EM", BestPractice, Info),
    ("FBT", BestPractice, Low),
    ("I", BestPractice, Info),
    ("ICN", BestPractice, Info),
    ("ISC", BestPractice, Info),
    ("N", BestPractice, Low),
    ("PTH", BestPractice, Info),
    ("Q", BestPractice, Info),
    ("TC", BestPractice, Info),
    ("TID", BestPractice, Info),
    ("UP", BestPractice, Info),
    ("W", BestPractice, Info),
    // All others: A, C4, FURB, G, PIE, PGH, PLC, PT, PYI, RET, RSE, RUF, SIM, TRY ...
    ("", CodeQuality, Low),
];

fn ruff(rule_id: &str) -> Option<(IssueType, Severity)> {
    let letters = |code: &str| {
        code.chars()
            .take_while(|letter| !letter.is_ascii_digit())
            .count()
    };
    RUFF.iter()
        .filter(|(start, ..)| {
            start.is_empty() || rule_id.starts_with(start) && letters(start) == letters(rule_id)
        })
        .max_by_key(|(start, ..)| start.len())
        .map(|(_, issue_type, severity)| (*issue_type, *severity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence<'a>() -> Evidence<'a> {
        let level = Level::Error;
        Evidence {
            tool: "x",
            rule_id: None,
            is_failure: true,
            level,
            security_severity: None,
            tags: &[],
        }
    }

    #[test]
    fn the_longest_start_of_a_ruff_code_decides() {
        for (code, expected) in [
            ("S608", (Security, High)),
            ("S105", (Security, Medium)),
            ("S101", (Security, Low)),
            ("SIM101", (CodeQuality, Low)),
            ("C901", (Maintainability, Medium)),
            ("C416", (CodeQuality, Low)),
            ("PLR0913", (Maintainability, Medium)),
            ("PLR2004", (Maintainability, Low)),
            ("PERF401", (Performance, Low)),
            ("D100", (BestPractice, Low)),
            ("D205", (BestPractice, Info)),
            ("DTZ001", (CodeQuality, Medium)),
            ("E501", (BestPractice, Info)),
            ("E902", (CodeQuality, High)),
            ("F821", (CodeQuality, High)),
            ("invalid-syntax", (CodeQuality, High)),
            ("NEW001", (CodeQuality, Low)),
        ] {
            let found = classify(&Evidence {
                tool: "Ruff",
                rule_id: Some(code),
                ..evidence()
            });
            assert_eq!(found, expected, "{code}");
        }
        assert_eq!(
            classify(&Evidence {
                rule_id: Some("D205"),
                ..evidence()
            }),
            (CodeQuality, High)
        );
    }

    #[test]
    fn level_and_security_severity_decide_for_other_tools() {
        let levels = [
            (Level::Error, High),
            (Level::Warning, Medium),
            (Level::Note, Low),
            (Level::None, Info),
        ];
        for (level, severity) in levels {
            assert_eq!(
                classify(&Evidence {
                    level,
                    ..evidence()
                })
                .1,
                severity
            );
        }
        for (score, severity) in [
            (9.8, Critical),
            (9.0, Critical),
            (7.0, High),
            (4.0, Medium),
            (3.9, Low),
        ] {
            let found = classify(&Evidence {
                security_severity: Some(score),
                ..evidence()
            });
            assert_eq!(found, (Security, severity));
        }
        assert_eq!(
            classify(&Evidence {
                is_failure: false,
                ..evidence()
            })
            .1,
            Info
        );
    }

    #[test]
    fn tags_decide_the_type() {
        let of = |tags: &[&str]| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            classify(&Evidence {
                tags: &tags,
                ..evidence()
            })
            .0
        };
        assert_eq!(of(&["correctness", "maintainability"]), Maintainability);
        assert_eq!(
            of(&["maintainability", "Security", "external/cwe/cwe-079"]),
            Security
        );
        assert_eq!(of(&["correctness"]), CodeQuality);
    }
}
