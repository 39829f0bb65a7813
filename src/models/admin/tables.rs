//! The tables of a database: sizes, dead rows and the age of transaction ids.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::monitoring::{Thresholds, Warning};

/// The tables of the database, the largest first, without those of the system.
///
/// A partitioned table has no rows of its own; its partitions are listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tables {
    /// The tables.
    pub tables: Vec<TableState>,
    /// The age of the database's oldest transaction id.
    pub xid_age: u64,
    /// The age of the database's oldest multixact id.
    pub mxid_age: u64,
    /// The age of a transaction id at which autovacuum freezes a table.
    pub freeze_max_age: u64,
    /// The age of a multixact id at which autovacuum freezes a table.
    pub multixact_freeze_max_age: u64,
}

/// A table and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableState {
    /// The schema and the table.
    pub name: String,
    /// The size in bytes, with indexes and out-of-line values.
    pub bytes: u64,
    /// The size of the indexes in bytes.
    pub index_bytes: u64,
    /// The estimated number of rows.
    pub live_rows: u64,
    /// The estimated number of rows that VACUUM has still to remove.
    pub dead_rows: u64,
    /// The number of dead rows at which autovacuum begins.
    pub vacuum_threshold: f64,
    /// The rows that were changed since the planner's statistics were made.
    pub changed_since_analyze: u64,
    /// The updates, and those of them that changed no index (HOT).
    pub updates: u64,
    /// The updates that changed no index.
    pub hot_updates: u64,
    /// The number of sequential scans.
    pub sequential_scans: u64,
    /// The number of scans of its indexes.
    pub index_scans: u64,
    /// The time of the last VACUUM, by hand or by autovacuum.
    pub last_vacuum: Option<DateTime<Utc>>,
    /// The time of the last ANALYZE, by hand or by autovacuum.
    pub last_analyze: Option<DateTime<Utc>>,
    /// The age of its oldest transaction id.
    pub xid_age: u64,
    /// The age of its oldest multixact id.
    pub mxid_age: u64,
}

impl Tables {
    /// Returns what exceeds the thresholds: `dead_rows` and `wraparound`.
    #[must_use]
    pub fn warnings(&self, thresholds: &Thresholds) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for table in &self.tables {
            // The numbers are far below 2^52.
            let multiple = table.dead_rows as f64 / table.vacuum_threshold.max(1.0);
            if multiple > thresholds.dead_rows {
                warnings.push(Warning::new(
                    "dead_rows",
                    &table.name,
                    format!("{} of {} rows", table.dead_rows, table.live_rows),
                    "look for what keeps VACUUM from removing rows in Activity::horizons, then run VACUUM",
                ));
            }
        }
        let ages = [
            ("transaction ids", self.xid_age, self.freeze_max_age),
            (
                "multixact ids",
                self.mxid_age,
                self.multixact_freeze_max_age,
            ),
        ];
        for (ids, age, freezes_at) in ages {
            if age as f64 > thresholds.wraparound * freezes_at as f64 {
                warnings.push(Warning::new(
                    "wraparound",
                    format!("oldest of the {ids}"),
                    format!("{age}; autovacuum freezes at {freezes_at}"),
                    "run VACUUM (FREEZE) on the tables with the greatest xid_age or mxid_age",
                ));
            }
        }
        warnings
    }
}
