//! Whether an analysis is good enough.

use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};

use crate::{Error, IssueSeverity, Result};

/// What an analysis must fulfil: all of the conditions.
///
/// A gate is JSON, for a row of `configurations`. Its numbers are exactly what was written, as JSON numbers or as text:
/// 79.9 is met by 79.9. Each may have up to 400 digits on either side of the point.
///
/// ```
/// # use wundr_db::{Bound, GateCondition, IssueSeverity, Missing, QualityGate, Reference};
/// let gate: QualityGate = serde_json::from_value(serde_json::json!({"conditions": [
///     {"kind": "new_issues", "severity": "critical", "at_most": 0},
///     {"kind": "open_issues", "at_most": 500},
///     {"kind": "metric", "name": "coverage", "bound": {"at_least": 80}},
///     {"kind": "score", "at_least": 7.5, "missing": "passes"},
///     {"kind": "drift", "name": "coverage", "since": "base", "bound": {"at_least": -2}},
///     {"kind": "drift", "name": "complexity", "since": {"days": 30}, "bound": {"at_most": 10}},
/// ]}))?;
/// assert_eq!(
///     gate.conditions[0],
///     GateCondition::NewIssues { severity: Some(IssueSeverity::Critical), at_most: 0 }
/// );
/// assert_eq!(
///     gate.conditions[5],
///     GateCondition::Drift {
///         name: "complexity".to_owned(),
///         since: Reference::Days(30),
///         bound: Bound::AtMost(10.into()),
///         missing: Missing::Fails,
///     }
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QualityGate {
    /// What must be so. A gate without conditions is passed by every analysis.
    pub conditions: Vec<GateCondition>,
}

impl QualityGate {
    /// A gate of these conditions.
    #[must_use]
    pub fn new(conditions: impl IntoIterator<Item = GateCondition>) -> Self {
        Self {
            conditions: conditions.into_iter().collect(),
        }
    }
}

/// A condition of a [`QualityGate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateCondition {
    /// How many open issues the base does not have, by [`track`](crate::AnalysisIssueRepository::track)'s matching.
    /// Without a base all of them are new.
    ///
    /// An issue counts as new, too, if it is worse than the one of the base that it is paired with, or if that one is
    /// ignored or a false positive and the verdict does not carry over.
    NewIssues {
        /// Those that are as bad as this, no more and no less; all, if none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<IssueSeverity>,
        /// How many there may be.
        #[serde(deserialize_with = "crate::decimal::read")]
        at_most: u64,
    },
    /// How many issues are open. One to which [`track`](crate::AnalysisIssueRepository::track) carries a verdict over
    /// is not, whether it has been called yet or not.
    OpenIssues {
        /// As for new issues.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<IssueSeverity>,
        /// How many there may be.
        #[serde(deserialize_with = "crate::decimal::read")]
        at_most: u64,
    },
    /// The value of a metric, or the mean of its values if the analysis has several of the name.
    Metric {
        /// The metric's name.
        name: String,
        /// What the value must keep to.
        bound: Bound,
        /// What becomes of the condition without a value.
        #[serde(default)]
        missing: Missing,
    },
    /// The summary's `overallScore`.
    Score {
        /// The lowest score that will do.
        #[serde(deserialize_with = "crate::decimal::read")]
        at_least: BigDecimal,
        /// What becomes of the condition without a score.
        #[serde(default)]
        missing: Missing,
    },
    /// By how many percent of its former absolute value a metric has grown; negative if it has shrunk. There is no
    /// such number if the metric was 0 and is not any more.
    Drift {
        /// The metric's name.
        name: String,
        /// What it is compared with.
        since: Reference,
        /// What the percentage must keep to.
        bound: Bound,
        /// What becomes of the condition if one of the values is missing.
        #[serde(default)]
        missing: Missing,
    },
}

/// What a value must keep to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// This or more.
    AtLeast(#[serde(deserialize_with = "crate::decimal::read")] BigDecimal),
    /// This or less.
    AtMost(#[serde(deserialize_with = "crate::decimal::read")] BigDecimal),
}

impl Bound {
    fn value(&self) -> &BigDecimal {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
        }
    }

    fn holds(&self, value: &BigDecimal) -> bool {
        match self {
            Self::AtLeast(floor) => value >= floor,
            Self::AtMost(ceiling) => value <= ceiling,
        }
    }
}

/// What a metric is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The base's value.
    Base,
    /// The mean of the values in the project's other analyses that were completed in so many times 24 hours before
    /// this one was, or before now if it is not completed: at least 1.
    Days(#[serde(deserialize_with = "crate::decimal::read")] i32),
}

/// What becomes of a condition whose value is missing. A NaN counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It is not fulfilled.
    #[default]
    Fails,
    /// It is left out.
    Passes,
}

/// How an analysis did at a [`QualityGate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateVerdict {
    /// Whether every condition has passed.
    pub passed: bool,
    /// Each condition's verdict, in the gate's order.
    pub conditions: Vec<ConditionVerdict>,
}

/// How an analysis did at a [`GateCondition`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConditionVerdict {
    /// The condition.
    pub condition: GateCondition,
    /// The number of issues, the metric, the score or the percentage; `None` if it is missing.
    #[serde(default, deserialize_with = "crate::decimal::read")]
    pub actual: Option<BigDecimal>,
    /// Whether the condition is fulfilled, or left out because its value is missing.
    pub passed: bool,
}

/// What a gate's conditions look at.
pub(crate) struct Measurements {
    /// By severity, the worst first.
    pub(crate) new_issues: Vec<i64>,
    pub(crate) open_issues: Vec<i64>,
    pub(crate) score: Option<BigDecimal>,
    /// For each condition, its metric now.
    pub(crate) values: Vec<Option<BigDecimal>>,
    /// For each condition, what its metric is compared with.
    pub(crate) references: Vec<Option<BigDecimal>>,
}

fn count(issues: &[i64], severity: Option<IssueSeverity>) -> BigDecimal {
    let counts = IssueSeverity::ALL.iter().zip(issues);
    let meant = counts.filter(|(of, _)| severity.is_none_or(|severity| severity == **of));
    meant.map(|(_, count)| *count).sum::<i64>().into()
}

/// In percent, to four decimals.
fn drift(from: &BigDecimal, to: &BigDecimal) -> Option<BigDecimal> {
    let zero = BigDecimal::from(0);
    match (from == &zero, to == &zero) {
        (true, true) => Some(zero),
        (true, false) => None,
        (false, _) => {
            let percent = (to - from) * BigDecimal::from(100) / from.abs();
            Some(percent.with_scale_round(4, bigdecimal::RoundingMode::HalfUp))
        }
    }
}

impl GateCondition {
    pub(crate) fn judge(&self, index: usize, found: &Measurements) -> ConditionVerdict {
        let value = || found.values.get(index).cloned().flatten();
        let reference = || found.references.get(index).cloned().flatten();
        let (actual, bound, missing) = match self {
            Self::NewIssues { severity, at_most } => (
                Some(count(&found.new_issues, *severity)),
                &Bound::AtMost((*at_most).into()),
                Missing::Fails,
            ),
            Self::OpenIssues { severity, at_most } => (
                Some(count(&found.open_issues, *severity)),
                &Bound::AtMost((*at_most).into()),
                Missing::Fails,
            ),
            Self::Metric { bound, missing, .. } => (value(), bound, *missing),
            Self::Score { at_least, missing } => (
                found.score.clone(),
                &Bound::AtLeast(at_least.clone()),
                *missing,
            ),
            Self::Drift { bound, missing, .. } => {
                let percent = reference()
                    .zip(value())
                    .and_then(|(from, to)| drift(&from, &to));
                (percent, bound, *missing)
            }
        };
        ConditionVerdict {
            condition: self.clone(),
            passed: actual
                .as_ref()
                .map_or(missing == Missing::Passes, |value| bound.holds(value)),
            actual,
        }
    }

    /// Refuses what could never be measured.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::NewIssues { .. } | Self::OpenIssues { .. } => Ok(()),
            Self::Metric { name, bound, .. } => {
                crate::checks::check(name, "name", None)?;
                check_bound(bound.value(), "bound")
            }
            Self::Score { at_least, .. } => check_bound(at_least, "at_least"),
            Self::Drift {
                name, since, bound, ..
            } => {
                if let Reference::Days(days @ ..1) = since {
                    let reason = format_args!("{days} is less than 1");
                    return Err(Error::invalid("days", reason));
                }
                crate::checks::check(name, "name", None)?;
                check_bound(bound.value(), "bound")
            }
        }
    }
}

fn check_bound(number: &BigDecimal, field: &'static str) -> Result<()> {
    if crate::decimal::is_bounded(number) {
        return Ok(());
    }
    Err(Error::invalid(field, "has more than 400 digits"))
}
