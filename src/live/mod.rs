//! Live progress: what becomes of analyses, told as it happens.
//!
//! A notification is only a hint: it names an analysis that has changed, and the listener then reads the row, if it is
//! one of those that are followed. A notification that somebody has made up shows nothing else. So what is told is never older than what was told before, many changes of one analysis become one event where the reader is
//! slow, and after a lost connection the same reading brings the reader's view up to date.

mod inbox;
mod statements;
mod todo;

pub(crate) use inbox::{Inbox, Unheard};
pub(crate) use statements::{FollowedIds, Now, StatesOf, Timeline};
pub(crate) use todo::Todo;

use std::time::Duration;

use diesel::prelude::Queryable;
use serde::{Deserialize, Serialize};

use crate::config::Session;
use crate::{AnalysisId, AnalysisStatus, AnalysisType, Config, Error, ProjectId, Result};

/// Subscribes to the channel that the triggers write to.
pub(crate) const LISTEN: &str = "LISTEN wundr_analyses";

/// How often the findings of analyses that run are counted although nothing was heard of them; and how many times as
/// long as that took it is not done again, so that it takes a twentieth of one of the server's cores at most.
pub(crate) const GLANCE: Duration = Duration::from_secs(1);
pub(crate) const REST: u32 = 20;

/// How long a listener that has work waits for a reader that is slow, before it looks again.
pub(crate) const TURN: Duration = Duration::from_millis(25);

/// How long a listener waits before it connects again: at first, at most while a failover may be under way, and at most
/// after that.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(100);
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(1);
pub(crate) const FAILOVER: Duration = Duration::from_secs(30);
pub(crate) const LONGEST_WAIT_LATER: Duration = Duration::from_secs(5);

/// How long ago a server that has another history may have lost what it once said.
pub(crate) const LATELY: Duration = Duration::from_secs(3600);

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
    /// have become one event. None is older than one that was told before, except after a failover that has lost
    /// writes: then what is left is told after [`Missed`](Self::Missed).
    Changed(LiveAnalysis),
    /// An analysis that was told before was deleted, or is not of the followed project any more.
    ///
    /// The listener remembers all analyses that are pending or running, and the 50,000 others that were told last.
    Deleted {
        /// Its key.
        id: AnalysisId,
        /// The project that it was of when it was told.
        project_id: ProjectId,
    },
    /// Something may have happened that was not told: the connection was lost, or more has changed than could be kept
    /// for a slow reader. What is followed is then read again, after a reconnect if need be.
    Missed {
        /// Why.
        reason: String,
    },
    /// The view is right again: since [`Missed`](Self::Missed), or since the beginning, everything was told that is
    /// pending or running, what has become of all that was told as such before, and what was created meanwhile. If the
    /// server has another timeline than before, as after a failover, also what has become of all that was told within
    /// the last hour.
    Resumed,
}

pub(crate) fn no_answer(limit: Duration) -> Error {
    Error::broken_connection(&format!("the server has not answered within {limit:?}"))
}

/// An answer that a server may keep from a role.
pub(crate) fn known<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error @ Error::Connection { .. }) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The settings of a listener's connection. LISTEN has to stay with the connection, and a standby refuses it.
pub(crate) fn direct(config: &Config) -> Result<Config> {
    if config.behind_pgbouncer {
        return Err(Error::invalid(
            "behind_pgbouncer",
            "live progress needs a direct connection: what a PgBouncer listens to is heard by nobody",
        ));
    }
    let mut config = config.clone();
    let target = &mut config.target;
    let leads_elsewhere = match target.session {
        Session::ReadWrite | Session::Primary => false,
        Session::Any => target.hosts.len() > 1,
        Session::ReadOnly | Session::Standby | Session::PreferStandby => true,
    };
    if leads_elsewhere {
        target.session = Session::Primary;
    }
    Ok(config)
}
