//! The retention of analyses.

use std::time::Duration;

use serde::Serialize;

use crate::{Error, ProjectId, Result};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest time of a retention: 100 years.
const LONGEST: Duration = Duration::from_secs(36_525 * 24 * 60 * 60);

/// The analyses that are kept, and the bounds of a call that deletes the others.
///
/// An analysis is kept if one of these holds:
///
/// - It is one of the newest of its project and type: see [`newest`](Self::newest).
/// - It is young: see [`younger_than`](Self::younger_than).
/// - It is [pinned](crate::AnalysisRepository::pin), also as the
///   [base of a gate](crate::QualityGateRepository::set_base).
/// - It is pending or running. An exception is a run whose lease expired longer ago than
///   `younger_than`, and at least a day ago: its worker is gone.
///
/// The results, issues, metrics and duplicates of an analysis go with it. Its dependency graphs
/// stay, without their analysis: see `remove_orphaned_graphs`.
///
/// # Tracking
/// [`track`](crate::AnalysisIssueRepository::track) copies verdicts to the later analysis, and
/// needs nothing of a base any more when it has ended. The base of the next analysis is the newest
/// completed one, which is always kept. A new analysis does not push its predecessor out before
/// [`tracked_within`](Self::tracked_within), in which the application is to track it.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::admin::AnalysisRetention;
///
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// let policy = AnalysisRetention::new(20, month).within(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct AnalysisRetention {
    /// The number of analyses that are kept of each project and type: so many that were completed,
    /// and so many that failed or were cancelled. Must be at least 1.
    pub newest: u32,
    /// The age up to which every analysis is kept, since its end. Must be at most 100 years.
    pub younger_than: Duration,
    /// The time after its completion in which the application tracks an analysis. Younger ones do
    /// not count when the newest are chosen, and are kept. Default: one day. Must be at most 100
    /// years.
    pub tracked_within: Duration,
    /// The project whose analyses are deleted. Default: all projects.
    pub project_id: Option<ProjectId>,
    /// The number of issues and results that a transaction deletes, about. Default: 10,000. Must be
    /// between 1 and 1,000,000.
    pub batch: u32,
    /// The number of issues and results after which the call ends. Default: no limit.
    pub most_rows: Option<u64>,
    /// The time after which the call begins no further transaction. Default: no limit.
    pub within: Option<Duration>,
}

impl AnalysisRetention {
    /// Creates a retention that keeps the newest of each project and type, and all that are younger
    /// than this.
    pub fn new(newest: u32, younger_than: Duration) -> Self {
        Self {
            newest,
            younger_than,
            tracked_within: DAY,
            project_id: None,
            batch: 10_000,
            most_rows: None,
            within: None,
        }
    }

    /// Sets the time in which a new analysis is tracked.
    pub fn tracked_within(self, tracked_within: Duration) -> Self {
        Self {
            tracked_within,
            ..self
        }
    }

    /// Restricts the retention to one project.
    pub fn of_project(self, id: ProjectId) -> Self {
        Self {
            project_id: Some(id),
            ..self
        }
    }

    /// Sets the number of issues and results that a transaction deletes.
    pub fn batch(self, batch: u32) -> Self {
        Self { batch, ..self }
    }

    /// Sets the number of issues and results after which a call ends.
    pub fn most_rows(self, rows: u64) -> Self {
        Self {
            most_rows: Some(rows),
            ..self
        }
    }

    /// Sets the time after which a call begins no further transaction.
    pub fn within(self, time: Duration) -> Self {
        Self {
            within: Some(time),
            ..self
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if one of them is out of its bounds.
    pub(crate) fn check(&self) -> Result<()> {
        if self.newest == 0 {
            return Err(Error::invalid("newest", "is 0"));
        }
        if !(1..=1_000_000).contains(&self.batch) {
            let reason = format_args!("{} is not within 1 and 1,000,000", self.batch);
            return Err(Error::invalid("batch", reason));
        }
        for (field, time) in [
            ("younger_than", self.younger_than),
            ("tracked_within", self.tracked_within),
        ] {
            if time > LONGEST {
                return Err(Error::invalid(field, "is longer than 100 years"));
            }
        }
        Ok(())
    }
}

/// The result of a retention of analyses, or of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct RetainedAnalyses {
    /// The number of analyses that were deleted, or would be.
    pub analyses: u64,
    /// The number of their issues.
    pub issues: u64,
    /// The number of their results.
    pub results: u64,
    /// The number of analyses that only a pin keeps.
    pub pinned: u64,
    /// The number of analyses that are to be deleted, and were left to the next call, because
    /// another transaction has locked them or their issues.
    pub skipped: u64,
    /// True if all analyses were examined. False if a bound of the policy has ended the call
    /// before; the next call continues.
    pub is_complete: bool,
}
