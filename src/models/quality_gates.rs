//! Quality gates: conditions that an analysis must satisfy.

use bigdecimal::BigDecimal;
use serde::{Deserialize, Serialize};

use crate::{Error, IssueSeverity, Result};

/// A list of conditions, all of which an analysis must satisfy.
///
/// [`save`](crate::QualityGateRepository::save) stores a gate as a setting. Its numbers, JSON
/// numbers or texts, are read exactly: 79.9 satisfies a bound of 79.9. Each may have up to 400
/// digits on either side of the point.
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
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct QualityGate {
    /// The conditions. Every analysis passes a gate without conditions.
    pub conditions: Vec<GateCondition>,
}

impl QualityGate {
    /// Creates a gate of these conditions.
    #[must_use]
    pub fn new(conditions: impl IntoIterator<Item = GateCondition>) -> Self {
        Self {
            conditions: conditions.into_iter().collect(),
        }
    }

    /// Checks whether every condition can be measured.
    ///
    /// # Errors
    /// - The error of the first condition that cannot
    pub(crate) fn check(&self) -> Result<()> {
        self.conditions.iter().try_for_each(GateCondition::check)
    }
}

/// A condition of a [`QualityGate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateCondition {
    /// The number of open issues that the base does not have, by the matching of
    /// [`track`](crate::AnalysisIssueRepository::track). Without a base all open issues are new.
    ///
    /// A paired issue also counts as new in two cases. It is worse than the issue of the base. Or
    /// the issue of the base is ignored or a false positive, and the verdict does not carry over.
    NewIssues {
        /// Only issues of exactly this severity; all if `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<IssueSeverity>,
        /// The greatest number allowed.
        #[serde(deserialize_with = "crate::types::decimal::read")]
        at_most: u64,
    },
    /// The number of open issues. An issue to which
    /// [`track`](crate::AnalysisIssueRepository::track) would carry a verdict over does not count,
    /// even before `track` is called.
    OpenIssues {
        /// Only issues of exactly this severity; all if `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<IssueSeverity>,
        /// The greatest number allowed.
        #[serde(deserialize_with = "crate::types::decimal::read")]
        at_most: u64,
    },
    /// The value of a metric, or the mean of its values if the analysis has several with the name.
    Metric {
        /// The metric's name.
        name: String,
        /// The bound on the value.
        bound: Bound,
        /// The outcome of the condition if the value is missing.
        #[serde(default)]
        missing: Missing,
    },
    /// The summary's `overallScore`.
    Score {
        /// The lowest score allowed.
        #[serde(deserialize_with = "crate::types::decimal::read")]
        #[cfg_attr(feature = "utoipa", schema(value_type = String))]
        at_least: BigDecimal,
        /// The outcome of the condition if the score is missing.
        #[serde(default)]
        missing: Missing,
    },
    /// The change of a metric in percent of its former absolute value, negative if it has
    /// decreased. The value is missing if the metric was 0 and no longer is.
    Drift {
        /// The metric's name.
        name: String,
        /// The value that the metric is compared with.
        since: Reference,
        /// The bound on the percentage.
        bound: Bound,
        /// The outcome of the condition if one of the values is missing.
        #[serde(default)]
        missing: Missing,
    },
}

/// A bound on a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The value must be greater or equal.
    AtLeast(#[serde(deserialize_with = "crate::types::decimal::read")] BigDecimal),
    /// The value must be less or equal.
    AtMost(#[serde(deserialize_with = "crate::types::decimal::read")] BigDecimal),
}

crate::types::openapi::schema!(
    Bound,
    crate::types::openapi::either(["at_least", "at_most"])
);

impl Bound {
    /// Returns the number of the bound.
    fn value(&self) -> &BigDecimal {
        match self {
            Self::AtLeast(value) | Self::AtMost(value) => value,
        }
    }

    /// Checks whether the value is within the bound.
    fn holds(&self, value: &BigDecimal) -> bool {
        match self {
            Self::AtLeast(floor) => value >= floor,
            Self::AtMost(ceiling) => value <= ceiling,
        }
    }
}

/// The value that a metric is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The base's value.
    Base,
    /// The mean of the values in the project's other analyses of a period. The period is so many
    /// times 24 hours and ends when this analysis was completed, or now if it is not completed.
    /// Must be at least 1.
    Days(#[serde(deserialize_with = "crate::types::decimal::read")] i32),
}

/// The outcome of a condition whose value is missing. A NaN counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The condition fails.
    #[default]
    Fails,
    /// The condition passes.
    Passes,
}

/// The verdict of a [`QualityGate`] on an analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct GateVerdict {
    /// True if every condition has passed.
    pub passed: bool,
    /// The verdict of each condition, in the gate's order.
    pub conditions: Vec<ConditionVerdict>,
}

/// The verdict of a [`GateCondition`] on an analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct ConditionVerdict {
    /// The condition.
    pub condition: GateCondition,
    /// The number of issues, the metric, the score or the percentage. It is `None` if it is
    /// missing.
    #[serde(default, deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub actual: Option<BigDecimal>,
    /// True if the condition is satisfied, or if its value is missing and [`Missing::Passes`]
    /// applies.
    pub passed: bool,
}

/// The values that a gate's conditions are checked against.
pub(crate) struct Measurements {
    /// The number of new issues by severity, worst first.
    pub(crate) new_issues: Vec<i64>,
    /// The number of open issues by severity, worst first.
    pub(crate) open_issues: Vec<i64>,
    pub(crate) score: Option<BigDecimal>,
    /// For each condition, the value of its metric in the analysis.
    pub(crate) values: Vec<Option<BigDecimal>>,
    /// For each condition, the value that its metric is compared with.
    pub(crate) references: Vec<Option<BigDecimal>>,
}

/// Returns the number of issues of this severity, or of all severities.
fn count(issues: &[i64], severity: Option<IssueSeverity>) -> BigDecimal {
    let counts = IssueSeverity::ALL.iter().zip(issues);
    let matching = counts.filter(|(of, _)| severity.is_none_or(|severity| severity == **of));
    matching.map(|(_, count)| *count).sum::<i64>().into()
}

/// Returns the change in percent, rounded to four decimals.
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
    /// Returns the verdict on the condition at `index`.
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

    /// Checks whether the condition can be measured.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a name, a number of days or a bound is out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::NewIssues { .. } | Self::OpenIssues { .. } => Ok(()),
            Self::Metric { name, bound, .. } => {
                crate::validation::check(name, "name", None)?;
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
                crate::validation::check(name, "name", None)?;
                check_bound(bound.value(), "bound")
            }
        }
    }
}

/// Checks whether a bound has at most 400 digits on either side of the point.
fn check_bound(number: &BigDecimal, field: &'static str) -> Result<()> {
    if crate::types::decimal::is_bounded(number) {
        return Ok(());
    }
    Err(Error::invalid(field, "has more than 400 digits"))
}
