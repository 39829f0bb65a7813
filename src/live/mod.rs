//! Live progress: what becomes of analyses, told as it happens.
//!
//! A notification is only a hint: it names an analysis that has changed, and the listener then reads the row. So what
//! is told is never older than what was told before, many changes of one analysis become one event where the reader is
//! slow, and after a lost connection the same reading brings the reader's view up to date.

mod inbox;
mod statements;
mod todo;

pub(crate) use inbox::Inbox;
pub(crate) use statements::{FollowedIds, StatesOf};
pub(crate) use todo::Todo;

use std::time::Duration;

use diesel::prelude::Queryable;
use serde::{Deserialize, Serialize};

use crate::{AnalysisId, AnalysisStatus, AnalysisType, Config, Error, ProjectId, Result};

/// Subscribes to the channel that the triggers write to.
pub(crate) const LISTEN: &str = "LISTEN wundr_analyses";

/// How often a listener asks the server for a sign of life.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often the findings of analyses that run are counted although nothing was heard of them; and how many times as
/// long as that took it is not done again, so that it takes a twentieth of one of the server's cores at most.
pub(crate) const GLANCE: Duration = Duration::from_secs(1);
pub(crate) const REST: u32 = 20;

/// How long a listener that has work waits for a reader that is slow, before it looks again.
pub(crate) const TURN: Duration = Duration::from_millis(25);

/// How long a listener waits before it connects again, at first and at most.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(100);
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How many analyses are read at a time.
pub(crate) const PAGE: usize = 500;

/// Which analyses are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Follow {
    /// All of them.
    All,
    /// Those of a project.
    Project(ProjectId),
    /// One.
    Analysis(AnalysisId),
}

/// An analysis as it is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Queryable)]
#[non_exhaustive]
pub struct LiveAnalysis {
    /// Key.
    pub id: AnalysisId,
    /// The project that is looked at.
    pub project_id: ProjectId,
    /// What is looked at.
    pub r#type: AnalysisType,
    /// How far the run is.
    pub status: AnalysisStatus,
    /// Percent that are done, 0 to 100.
    pub progress: i32,
    /// How many findings it has so far: counted when its status or progress changes, and every second while it runs, or
    /// less often where counting takes long.
    pub findings: i64,
}

impl LiveAnalysis {
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            self.status,
            AnalysisStatus::Pending | AnalysisStatus::Running
        )
    }
}

/// What happened to the analyses that are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveEvent {
    /// An analysis was created, its status or progress has changed, or more was found: this is what it is now. Several changes may
    /// have become one event; none is older than one that was told before.
    Changed(LiveAnalysis),
    /// An analysis was deleted.
    Deleted(AnalysisId),
    /// Something may have happened that was not told: the connection was lost, or more has changed than could be kept
    /// for a slow reader. What is followed is then read again, after a reconnect if need be.
    Missed {
        /// Why.
        reason: String,
    },
    /// The view is right again: since [`Missed`](Self::Missed), or since the beginning, everything was told that is
    /// pending or running, what has become of all that was told as such before, and what was created meanwhile.
    Resumed,
}

/// LISTEN has to stay with the connection.
pub(crate) fn check_direct(config: &Config) -> Result<()> {
    if config.behind_pgbouncer {
        return Err(Error::invalid(
            "behind_pgbouncer",
            "live progress needs a direct connection: what a PgBouncer listens to is heard by nobody",
        ));
    }
    Ok(())
}
