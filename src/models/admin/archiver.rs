//! The state of the WAL archiver.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::monitoring::{PG_MONITOR, Thresholds, Warning};

/// The state of the WAL archiver, as `pg_stat_archiver` has it, and the files that wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// The number of finished files that are not archived yet. `None` if the role may not see it.
    pub waiting: Option<u64>,
}

impl Archiver {
    /// Checks whether the last try failed: no file was archived after it.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        let time = |try_: &Option<(String, DateTime<Utc>)>| try_.as_ref().map(|&(_, at)| at);
        time(&self.last_failed) > time(&self.last_archived)
    }

    /// Returns the role that is needed to see the waiting files. `None` if they are visible.
    #[must_use]
    pub fn needs(&self) -> Option<&'static str> {
        self.waiting.is_none().then_some(PG_MONITOR)
    }

    /// Returns what exceeds the thresholds: `archiver_failing` and `unarchived`.
    #[must_use]
    pub fn warnings(&self, thresholds: &Thresholds) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if let Some((file, _)) = self.last_failed.as_ref().filter(|_| self.is_failing()) {
            warnings.push(Warning::new(
                "archiver_failing",
                file,
                format!("{} failed tries", self.failed),
                "read the server's log for the output of archive_command",
            ));
        }
        if let Some(waiting) = self
            .waiting
            .filter(|waiting| *waiting > thresholds.unarchived)
        {
            warnings.push(Warning::new(
                "unarchived",
                "write-ahead log",
                format!("{waiting} files wait"),
                "make archive_command faster: the server keeps each file until it is archived",
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_before_the_last_success_is_over() {
        let at = |second| DateTime::from_timestamp(second, 0);
        let mut archiver = Archiver {
            archived: 1,
            last_archived: at(20).map(|at| ("B".to_owned(), at)),
            failed: 3,
            last_failed: at(10).map(|at| ("A".to_owned(), at)),
            waiting: Some(0),
        };
        let thresholds = Thresholds::default();
        assert!(archiver.warnings(&thresholds).is_empty());
        archiver.last_failed = at(30).map(|at| ("C".to_owned(), at));
        archiver.waiting = Some(11);
        let kinds: Vec<_> = archiver
            .warnings(&thresholds)
            .into_iter()
            .map(|warning| warning.kind)
            .collect();
        assert_eq!(kinds, ["archiver_failing", "unarchived"]);
    }
}
