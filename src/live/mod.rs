//! Live progress: a stream of the changes of analyses.
//!
//! A notification is a hint: it names an analysis that has changed. The listener then reads the
//! row, if it is followed. Therefore a forged notification reveals nothing, no event is older than
//! the one before, the changes of an analysis coalesce while the reader is slow, and the same read
//! brings the view up to date after a lost connection.

mod backlog;
mod entries;
mod event_queue;
mod follower;
mod hub;

pub(crate) use crate::sql::live::{FollowedIds, Now, PAGE, StatesOf, Timeline};
pub(crate) use backlog::Backlog;
pub(crate) use event_queue::{EventQueue, Undelivered};
pub(crate) use follower::Follower;
pub(crate) use hub::Hub;

#[cfg(feature = "blocking")]
use std::sync::Condvar;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
#[cfg(feature = "blocking")]
use std::time::Instant;

use diesel::prelude::Queryable;
use serde::{Deserialize, Serialize};

use crate::config::Session;
use crate::{AnalysisId, AnalysisStatus, AnalysisType, Config, Error, ProjectId, Result};

/// Subscribes to the channel of the triggers.
pub(crate) const LISTEN: &str = "LISTEN wundr_analyses";

/// The interval at which the findings of running analyses are counted, and the factor by which the
/// duration of a count delays the next one: counting uses a twentieth of a core of the server at
/// most.
pub(crate) const FINDINGS_POLL: Duration = Duration::from_secs(1);
pub(crate) const POLL_BACKOFF_FACTOR: u32 = 20;

/// The interval at which a listener with work checks whether a slow reader has made room.
pub(crate) const SLOW_READER_RECHECK: Duration = Duration::from_millis(25);

/// The delay before a listener connects again: the first, the longest while a failover may be in
/// progress, the time that a failover may take, and the longest after that.
pub(crate) const FIRST_RECONNECT_DELAY: Duration = Duration::from_millis(100);
pub(crate) const MAX_RECONNECT_DELAY_IN_FAILOVER: Duration = Duration::from_secs(1);
pub(crate) const FAILOVER_WINDOW: Duration = Duration::from_secs(30);
pub(crate) const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(5);

/// The age up to which analyses are read again if the server has another history.
pub(crate) const RECENT: Duration = Duration::from_secs(3600);

/// The analyses to follow.
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
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct LiveAnalysis {
    /// Key.
    pub id: AnalysisId,
    /// The analyzed project.
    pub project_id: ProjectId,
    /// The kind of analysis.
    pub r#type: AnalysisType,
    /// The state of the run.
    pub status: AnalysisStatus,
    /// Progress in percent, 0 to 100.
    pub progress: i32,
    /// The number of findings so far. It is counted when the status or the progress changes, and
    /// every second while the analysis runs, less often if counting takes long.
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

/// A change of followed analyses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LiveEvent {
    /// An analysis was created, its status or progress has changed, or there are more findings.
    /// Carries the present state. Several changes may become one event. No state is older than one
    /// before it, except after a failover that lost writes: what is left then follows
    /// [`Missed`](Self::Missed).
    Changed(LiveAnalysis),
    /// An analysis that was delivered before was deleted, or has left the followed project.
    ///
    /// The listener remembers the analyses that are pending or running, and the last 50,000 that
    /// have ended.
    Deleted {
        /// Its key.
        id: AnalysisId,
        /// The project that it belonged to when it was delivered.
        project_id: ProjectId,
    },
    /// Changes may have been missed: the connection was lost, or more has changed than the queue
    /// holds for a slow reader. The followed analyses are read again, after a reconnect if need be.
    ///
    /// A follower of a hub receives the analyses that are pending or running, and then
    /// [`Resumed`](Self::Resumed). If events were discarded, an analysis that it had as such and
    /// that is not among them has ended or was deleted.
    Missed {
        /// The cause.
        reason: String,
        /// The number of events that were discarded because the reader was too slow. Several
        /// changes of an analysis count as one. Without a hub it is 0: what was discarded is read
        /// again.
        discarded: u64,
    },
    /// The view is complete. Since [`Missed`](Self::Missed), or since the beginning, events have
    /// been delivered for all analyses that are pending or running, all that were delivered as such
    /// before, and all that were created meanwhile. If the server has another timeline than before,
    /// as after a failover, also for all that were delivered within the last hour.
    Resumed,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for an arrival in a queue; the caller checks whether there was one. Returns `None` once
/// the deadline has passed, without a deadline never.
#[cfg(feature = "blocking")]
fn wait_for<'q, T>(
    arrived: &Condvar,
    queue: MutexGuard<'q, T>,
    deadline: Option<Instant>,
) -> Option<MutexGuard<'q, T>> {
    let remaining = match deadline {
        Some(deadline) => deadline.saturating_duration_since(Instant::now()),
        None => Duration::from_secs(3600),
    };
    if remaining.is_zero() {
        return None;
    }
    let waited = arrived.wait_timeout(queue, remaining);
    Some(waited.unwrap_or_else(PoisonError::into_inner).0)
}

pub(crate) fn no_response(limit: Duration) -> Error {
    Error::broken_connection(&format!("the server has not answered within {limit:?}"))
}

/// Turns the error of a server that denies the value to this role into `None`.
pub(crate) fn unless_denied<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error @ Error::Connection { .. }) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Returns the settings of a listener's connection. LISTEN has to stay with the connection, and a
/// standby refuses it.
pub(crate) fn direct_config(config: &Config) -> Result<Config> {
    if config.behind_pgbouncer {
        return Err(Error::invalid(
            "behind_pgbouncer",
            "live progress needs a direct connection: PgBouncer does not deliver notifications",
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
