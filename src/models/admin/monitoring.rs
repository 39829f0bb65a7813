//! The thresholds of the reports, and the warnings about what exceeds them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The role that a report needs in order to see everything.
pub(crate) const PG_MONITOR: &str = "pg_monitor";

/// The role that a report about the columns of tables needs in order to see everything.
pub(crate) const PG_READ_ALL_DATA: &str = "pg_read_all_data";

const MEBIBYTE: u64 = 1 << 20;

/// The limits beyond which a report warns.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::admin::Thresholds;
///
/// let mut thresholds = Thresholds::default();
/// thresholds.transaction = Duration::from_secs(3_600);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Thresholds {
    /// The age of a transaction. Default: 5 min.
    pub transaction: Duration,
    /// The time for which a session is idle in its transaction. Default: 1 min.
    pub idle_in_transaction: Duration,
    /// The used part of the connections, from 0 to 1. Default: 0.8.
    pub connections: f64,
    /// The number of transactions for which a session, a prepared transaction or a replication slot
    /// keeps VACUUM from removing rows. Default: 1,000,000.
    pub horizon: u64,
    /// The time for which a session waits for a lock. Default: 10 s.
    pub lock_wait: Duration,
    /// The dead rows of a table, as a multiple of the number at which autovacuum begins.
    /// Default: 2.
    pub dead_rows: f64,
    /// The age of the oldest transaction id, as a multiple of `autovacuum_freeze_max_age`. At 1 the
    /// server begins to freeze; it stops accepting writes at some 2,100,000,000. Default: 1.5.
    pub wraparound: f64,
    /// The size of an index above which the report warns if the index is not used, repeats another,
    /// or is bloated. Default: 64 MiB.
    pub index_bytes: u64,
    /// The part of an index that is bloat, from 0 to 1. Default: 0.6.
    pub index_bloat: f64,
    /// The bytes of the write-ahead log that a standby has not replayed. Default: 64 MiB.
    pub replication_bytes: u64,
    /// The time by which a standby is behind. Default: 30 s.
    pub replication_delay: Duration,
    /// The bytes of the write-ahead log that a replication slot retains. Default: 1 GiB.
    pub slot_bytes: u64,
    /// The number of finished files of the write-ahead log that are not archived yet. Default: 10.
    pub unarchived: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            transaction: Duration::from_secs(300),
            idle_in_transaction: Duration::from_secs(60),
            connections: 0.8,
            horizon: 1_000_000,
            lock_wait: Duration::from_secs(10),
            dead_rows: 2.0,
            wraparound: 1.5,
            index_bytes: 64 * MEBIBYTE,
            index_bloat: 0.6,
            replication_bytes: 64 * MEBIBYTE,
            replication_delay: Duration::from_secs(30),
            slot_bytes: 1_024 * MEBIBYTE,
            unarchived: 10,
        }
    }
}

/// A value beyond its threshold.
///
/// `Display` writes all of it in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// The kind of the warning, for example `idle_in_transaction`. Stable, for rules of an alarm.
    pub kind: &'static str,
    /// The session, table, index or slot.
    pub subject: String,
    /// The value.
    pub value: String,
    /// What to do.
    pub advice: &'static str,
}

impl Warning {
    pub(crate) fn new(
        kind: &'static str,
        subject: impl Into<String>,
        value: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self {
            kind,
            subject: subject.into(),
            value: value.into(),
            advice,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            subject,
            value,
            advice,
        } = self;
        write!(formatter, "{kind}: {subject}: {value}; {advice}")
    }
}

/// Formats a number of bytes with the largest unit of which there is at least one.
pub(crate) fn bytes(number: u64) -> String {
    let (mut value, mut unit) = (number, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1_024 {
            break;
        }
        (value, unit) = (value / 1_024, larger);
    }
    format!("{value} {unit}")
}

/// Formats a number of seconds.
pub(crate) fn seconds(number: f64) -> String {
    format!("{number:.1} s")
}

/// Checks whether a number of seconds exceeds a duration.
pub(crate) fn exceeds(seconds: Option<f64>, limit: Duration) -> Option<f64> {
    seconds.filter(|seconds| *seconds > limit.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_largest_unit_of_which_there_is_one() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(64 * MEBIBYTE), "64 MiB");
        assert_eq!(bytes(u64::MAX), "16777215 TiB");
    }
}
