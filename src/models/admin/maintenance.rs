//! The policy of the maintenance, its plan and its report.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::AnalysisRetention;
use crate::models::partitions::MOST_MONTHS_AHEAD;
use crate::{Error, LogTable, Result};

/// What becomes of a month of a log that is older than those to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OldMonths {
    /// It is detached: a table of its own, which the log does not have any more.
    Detach,
    /// It is archived and then dropped.
    Archive,
    /// It is dropped.
    Drop,
}

/// The settings of the maintenance.
///
/// Default: partitions 3 months ahead, the default partitions are emptied, expired sessions are
/// deleted, runs that their workers left are queued again (and fail after 3 workers). Months of the
/// logs, analyses and dependency graphs are kept.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wundr_db::LogTable;
/// use wundr_db::admin::{OldMonths, Policy};
///
/// let policy = Policy::new()
///     .months_ahead(6)
///     .keep_months(LogTable::AuditLogs, 24, OldMonths::Archive)
///     .keep_months(LogTable::SystemLogs, 3, OldMonths::Drop)
///     .step_time(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Policy {
    pub(crate) months_ahead: u32,
    pub(crate) audit_logs: Option<(u32, OldMonths)>,
    pub(crate) system_logs: Option<(u32, OldMonths)>,
    pub(crate) attempts: Option<u32>,
    pub(crate) analyses: Option<AnalysisRetention>,
    pub(crate) orphaned_graphs: bool,
    pub(crate) rows: u32,
    pub(crate) step_time: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            months_ahead: 3,
            audit_logs: None,
            system_logs: None,
            attempts: Some(3),
            analyses: None,
            orphaned_graphs: false,
            rows: 5_000,
            step_time: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// Creates a policy with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of months after this one that have a partition.
    ///
    /// Default: 3. Must not be greater than 120.
    pub fn months_ahead(self, months: u32) -> Self {
        Self {
            months_ahead: months,
            ..self
        }
    }

    /// Sets the number of months before this one that a log keeps, and what becomes of older ones.
    ///
    /// Default: all are kept. Must be between 1 and 1,200.
    pub fn keep_months(mut self, log: LogTable, months: u32, older: OldMonths) -> Self {
        match log {
            LogTable::AuditLogs => self.audit_logs = Some((months, older)),
            LogTable::SystemLogs => self.system_logs = Some((months, older)),
        }
        self
    }

    /// Sets the number of workers that may leave an analysis before it fails, or leaves abandoned
    /// runs alone.
    ///
    /// Default: 3. Must not be 0.
    pub fn attempts(self, attempts: impl Into<Option<u32>>) -> Self {
        Self {
            attempts: attempts.into(),
            ..self
        }
    }

    /// Sets which analyses are kept.
    ///
    /// Default: all of them.
    pub fn analyses(self, retention: AnalysisRetention) -> Self {
        Self {
            analyses: Some(retention),
            ..self
        }
    }

    /// Deletes dependency graphs whose analysis was deleted. An application that stores graphs
    /// without an analysis must not set it.
    ///
    /// Default: they are kept.
    pub fn without_orphaned_graphs(self) -> Self {
        Self {
            orphaned_graphs: true,
            ..self
        }
    }

    /// Sets the number of rows that a transaction deletes at most.
    ///
    /// Default: 5,000. Must be between 1 and 10,000.
    pub fn rows(self, rows: u32) -> Self {
        Self { rows, ..self }
    }

    /// Sets the time after which a step begins no other transaction. The next call continues.
    ///
    /// Default: 30 s.
    pub fn step_time(self, time: Duration) -> Self {
        Self {
            step_time: time,
            ..self
        }
    }

    /// Returns what becomes of the old months of a log.
    pub(crate) fn old_months(&self, log: LogTable) -> Option<(u32, OldMonths)> {
        match log {
            LogTable::AuditLogs => self.audit_logs,
            LogTable::SystemLogs => self.system_logs,
        }
    }

    /// Returns the retention of analyses, bounded by the time of a step.
    pub(crate) fn bounded_retention(&self) -> Option<AnalysisRetention> {
        let retention = self.analyses.clone()?;
        let within = retention.within.unwrap_or(self.step_time);
        Some(retention.within(within.min(self.step_time)))
    }

    /// Checks the bounds.
    pub(crate) fn check(&self) -> Result<()> {
        let is_within = |name: &'static str, value: u32, least: u32, most: u32| match value {
            value if (least..=most).contains(&value) => Ok(()),
            value => Err(Error::invalid(
                name,
                format_args!("{value} is not within {least} and {most}"),
            )),
        };
        let most_ahead = u32::try_from(MOST_MONTHS_AHEAD).unwrap_or(0);
        is_within("months_ahead", self.months_ahead, 0, most_ahead)?;
        is_within("rows", self.rows, 1, 10_000)?;
        for (months, _) in [self.audit_logs, self.system_logs].into_iter().flatten() {
            is_within("keep_months", months, 1, 1_200)?;
        }
        match self.attempts {
            Some(0) => Err(Error::invalid("attempts", "must not be 0")),
            _ => Ok(()),
        }
    }

    /// Returns the steps, in their order.
    pub(crate) fn steps(&self) -> Vec<MaintenanceStep> {
        use MaintenanceStep::*;
        let mut steps = Vec::new();
        for log in [LogTable::AuditLogs, LogTable::SystemLogs] {
            steps.extend([PartitionsAhead(log), DefaultPartition(log)]);
            if self.old_months(log).is_some() {
                steps.push(OldMonthsOf(log));
            }
        }
        steps.push(ExpiredSessions);
        steps.push(ExchangedTokens);
        if self.attempts.is_some() {
            steps.push(AbandonedRuns);
        }
        if self.analyses.is_some() {
            steps.push(OldAnalyses);
        }
        if self.orphaned_graphs {
            steps.push(OrphanedGraphs);
        }
        steps
    }
}

/// A step of the maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MaintenanceStep {
    /// The partitions of this month and of those ahead.
    PartitionsAhead(LogTable),
    /// The rows of the default partition.
    DefaultPartition(LogTable),
    /// The months that are older than those to be kept.
    OldMonthsOf(LogTable),
    /// Sessions that have expired.
    ExpiredSessions,
    /// Hashes of exchanged refresh tokens that have expired.
    ExchangedTokens,
    /// Running analyses whose lease has expired.
    AbandonedRuns,
    /// Analyses that the policy does not keep.
    OldAnalyses,
    /// Dependency graphs without an analysis.
    OrphanedGraphs,
}

impl MaintenanceStep {
    /// Returns the name of the step, for example `partitions ahead of audit.audit_logs`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PartitionsAhead(LogTable::AuditLogs) => "partitions ahead of audit.audit_logs",
            Self::PartitionsAhead(LogTable::SystemLogs) => "partitions ahead of audit.system_logs",
            Self::DefaultPartition(LogTable::AuditLogs) => "default partition of audit.audit_logs",
            Self::DefaultPartition(LogTable::SystemLogs) => {
                "default partition of audit.system_logs"
            }
            Self::OldMonthsOf(LogTable::AuditLogs) => "old months of audit.audit_logs",
            Self::OldMonthsOf(LogTable::SystemLogs) => "old months of audit.system_logs",
            Self::ExpiredSessions => "expired sessions",
            Self::ExchangedTokens => "exchanged tokens",
            Self::AbandonedRuns => "abandoned runs",
            Self::OldAnalyses => "old analyses",
            Self::OrphanedGraphs => "graphs without an analysis",
        }
    }

    /// Returns the unit of what is counted.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::PartitionsAhead(_) | Self::OldMonthsOf(_) => "months",
            Self::DefaultPartition(_) => "partitions",
            Self::ExpiredSessions => "sessions",
            Self::ExchangedTokens => "tokens",
            Self::AbandonedRuns | Self::OldAnalyses => "analyses",
            Self::OrphanedGraphs => "graphs",
        }
    }
}

impl fmt::Display for MaintenanceStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl Serialize for MaintenanceStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a step would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The step.
    pub step: MaintenanceStep,
    /// The number of rows, months or analyses, as far as it is counted. `None` if the step counts
    /// only by doing.
    pub amount: Option<u64>,
    /// True if `amount` is exact. Otherwise there are at least as many.
    pub is_exact: bool,
    /// The partitions that the step is about.
    pub partitions: Vec<String>,
}

/// The outcome of a step.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub enum StepOutcome {
    /// Nothing is left to do.
    Complete,
    /// Something is left for the next call: the time of the step is over, or rows are locked.
    Unfinished,
    /// Another process does it.
    Busy,
    /// It failed. What was done before is kept, and the other steps were run.
    Failed(#[serde(serialize_with = "as_text")] Error),
}

fn as_text<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(error)
}

/// What a step has done.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct StepReport {
    /// The step.
    pub step: MaintenanceStep,
    /// The outcome.
    pub outcome: StepOutcome,
    /// The number of rows, months, partitions or analyses.
    pub done: u64,
    /// The partitions that were created, adopted, archived, detached or dropped.
    pub partitions: Vec<String>,
    /// What is left for the next call, as [`PlannedStep`] counts it. `None` if the outcome is not
    /// [`StepOutcome::Unfinished`], or if the count failed.
    pub left: Option<PlannedStep>,
    /// The time that it took.
    pub took: Duration,
}

/// What the maintenance has done.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// The steps, in their order.
    pub steps: Vec<StepReport>,
}

impl MaintenanceReport {
    /// Checks whether a step has something left for the next call.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        let is_unfinished = |step: &StepReport| matches!(step.outcome, StepOutcome::Unfinished);
        self.steps.iter().any(is_unfinished)
    }

    /// Returns the errors of the steps that failed.
    pub fn errors(&self) -> impl Iterator<Item = (MaintenanceStep, &Error)> {
        self.steps.iter().filter_map(|step| match &step.outcome {
            StepOutcome::Failed(error) => Some((step.step, error)),
            _ => None,
        })
    }
}

/// What a step has done so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) done: u64,
    pub(crate) partitions: Vec<String>,
    pub(crate) is_busy: bool,
    pub(crate) is_unfinished: bool,
    pub(crate) left: Option<PlannedStep>,
}

impl Progress {
    pub(crate) fn report(
        self,
        step: MaintenanceStep,
        outcome: Result<()>,
        took: Duration,
    ) -> StepReport {
        StepReport {
            step,
            outcome: match outcome {
                Err(error) => StepOutcome::Failed(error),
                Ok(()) if self.is_busy => StepOutcome::Busy,
                Ok(()) if self.is_unfinished => StepOutcome::Unfinished,
                Ok(()) => StepOutcome::Complete,
            },
            done: self.done,
            partitions: self.partitions,
            left: self.left,
            took,
        }
    }
}
