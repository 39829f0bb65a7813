//! The state of the WAL archiver.

use chrono::{DateTime, Utc};

/// The state of the WAL archiver, as `pg_stat_archiver` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Archiver {
    /// The number of files that were archived since the statistics were reset.
    pub archived: u64,
    /// The name and the time of the newest file that was archived.
    pub last_archived: Option<(String, DateTime<Utc>)>,
    /// The number of failed tries since the statistics were reset. It counts on while a file fails.
    pub failed: u64,
    /// The name of the file and the time of the last failed try.
    pub last_failed: Option<(String, DateTime<Utc>)>,
}

impl Archiver {
    /// Checks whether the last try failed: no file was archived after it.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let time = |try_: &Option<(String, DateTime<Utc>)>| try_.as_ref().map(|&(_, at)| at);
        time(&self.last_failed) > time(&self.last_archived)
    }
}
