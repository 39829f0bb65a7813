//! The statements that cost most, after `pg_stat_statements`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::monitoring::{PG_MONITOR, Warning};
use crate::models::statement_names::statement_name;

/// The statements of a database that took most time, after `pg_stat_statements`.
///
/// The type is the same for the extension's versions 1.9 to 1.12, which PostgreSQL 15 to 18 have. A
/// value that the installed version does not have is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Statements {
    /// The statements, the greatest total time first.
    pub statements: Vec<StatementState>,
    /// The extension's version. After an upgrade of the server it is the old one until `ALTER
    /// EXTENSION pg_stat_statements UPDATE`.
    pub version: String,
    /// The number of times that the least used entries were removed, because
    /// `pg_stat_statements.max` was reached.
    pub deallocations: u64,
    /// The time of the last reset of all statistics.
    pub reset_at: Option<DateTime<Utc>>,
    /// The number of statements in the result whose text is hidden.
    pub hidden: u64,
}

impl Statements {
    /// Returns a table of the names of this crate's statements and of their query ids, one line for
    /// each, by name: the number of `pg_stat_statements`, two spaces, the name.
    ///
    /// The names are those of spans and metrics. A statement of several roles has one line. Query
    /// ids differ between servers and change with their major version.
    #[must_use]
    pub fn name_table(&self) -> String {
        let named = self.statements.iter();
        let named = named.filter_map(|state| Some((state.name?, state.query_id?)));
        let mut lines: Vec<(&str, i64)> = named.collect();
        lines.sort_unstable();
        lines.dedup();
        lines.iter().fold(String::new(), |table, (name, id)| {
            format!("{table}{id:>20}  {name}\n")
        })
    }
}

/// A statement, as one role executed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatementState {
    /// The name of the statement, if it is one of this crate's: `users.find_by_email`. If several
    /// methods send the same text, the one that sends nothing else.
    #[serde(skip_deserializing)]
    pub name: Option<&'static str>,
    /// The text with a parameter in place of each constant. `None` if it is hidden.
    pub query: Option<String>,
    /// The number that identifies the statement on this server; `None` if it is hidden.
    #[serde(rename = "queryid")]
    pub query_id: Option<i64>,
    /// The role that executed it.
    pub role: Option<String>,
    /// True if a client sent it; false if a function executed it.
    #[serde(rename = "toplevel", default = "yes")]
    pub is_top_level: bool,
    /// The number of executions.
    pub calls: u64,
    /// The number of rows that were returned or written.
    pub rows: u64,
    /// The time of all executions in milliseconds.
    #[serde(rename = "total_exec_time")]
    pub total_ms: f64,
    /// The mean time in milliseconds.
    #[serde(rename = "mean_exec_time")]
    pub mean_ms: f64,
    /// The shortest time in milliseconds.
    #[serde(rename = "min_exec_time")]
    pub min_ms: f64,
    /// The longest time in milliseconds.
    #[serde(rename = "max_exec_time")]
    pub max_ms: f64,
    /// The standard deviation of the time in milliseconds.
    #[serde(rename = "stddev_exec_time")]
    pub deviation_ms: f64,
    /// The time of planning in milliseconds; 0 unless `pg_stat_statements.track_planning` is on.
    #[serde(rename = "total_plan_time")]
    pub planning_ms: f64,
    /// The blocks of tables and indexes that were in memory.
    #[serde(rename = "shared_blks_hit")]
    pub blocks_hit: u64,
    /// The blocks of tables and indexes that were read.
    #[serde(rename = "shared_blks_read")]
    pub blocks_read: u64,
    /// The blocks of tables and indexes that were changed.
    #[serde(rename = "shared_blks_dirtied")]
    pub blocks_dirtied: u64,
    /// The blocks of tables and indexes that the statement itself had to write.
    #[serde(rename = "shared_blks_written")]
    pub blocks_written: u64,
    /// The time of reading blocks in milliseconds; 0 unless `track_io_timing` is on.
    #[serde(rename = "shared_blk_read_time", alias = "blk_read_time")]
    pub read_ms: f64,
    /// The time of writing blocks in milliseconds; 0 unless `track_io_timing` is on.
    #[serde(rename = "shared_blk_write_time", alias = "blk_write_time")]
    pub write_ms: f64,
    /// The blocks that were read from temporary files.
    #[serde(rename = "temp_blks_read")]
    pub temporary_blocks_read: u64,
    /// The blocks that were written to temporary files.
    #[serde(rename = "temp_blks_written")]
    pub temporary_blocks_written: u64,
    /// The time of reading temporary files in milliseconds. From version 1.10.
    #[serde(rename = "temp_blk_read_time")]
    pub temporary_read_ms: Option<f64>,
    /// The time of writing temporary files in milliseconds. From version 1.10.
    #[serde(rename = "temp_blk_write_time")]
    pub temporary_write_ms: Option<f64>,
    /// The bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// The whole pages in the write-ahead log.
    #[serde(rename = "wal_fpi")]
    pub wal_full_pages: u64,
    /// The times that the buffers of the write-ahead log were full. From version 1.12.
    pub wal_buffers_full: Option<u64>,
    /// The functions that were compiled. From version 1.10.
    pub jit_functions: Option<u64>,
    /// The time of generating code in milliseconds. From version 1.10.
    #[serde(rename = "jit_generation_time")]
    pub jit_generation_ms: Option<f64>,
    /// The parallel workers that the plans asked for. From version 1.12.
    pub parallel_workers_to_launch: Option<u64>,
    /// The parallel workers that were started. From version 1.12.
    pub parallel_workers_launched: Option<u64>,
    /// The time since which the statement is counted. From version 1.11.
    #[serde(rename = "stats_since")]
    pub counted_since: Option<DateTime<Utc>>,
}

fn yes() -> bool {
    true
}

/// The statements as the server reports them.
#[derive(Debug, Deserialize)]
pub(crate) struct Unnamed {
    statements: Vec<StatementState>,
    deallocations: u64,
    reset_at: Option<DateTime<Utc>>,
}

impl Statements {
    pub(crate) fn new(unnamed: Unnamed, version: String) -> Self {
        let mut statements = unnamed.statements;
        for statement in &mut statements {
            statement.name = statement.query.as_deref().and_then(statement_name);
        }
        let hidden = statements
            .iter()
            .filter(|statement| statement.query.is_none())
            .count();
        Self {
            statements,
            version,
            deallocations: unnamed.deallocations,
            reset_at: unnamed.reset_at,
            // A count of a `Vec` fits.
            hidden: hidden as u64,
        }
    }

    /// Returns the role that is needed to see the hidden texts. `None` if none is hidden.
    #[must_use]
    pub fn needs(&self) -> Option<&'static str> {
        (self.hidden > 0).then_some(PG_MONITOR)
    }

    /// Returns `statements_displaced` if entries were removed, because `pg_stat_statements.max` was
    /// reached.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        if self.deallocations == 0 {
            return Vec::new();
        }
        vec![Warning::new(
            "statements_displaced",
            "pg_stat_statements",
            format!("{} times", self.deallocations),
            "raise pg_stat_statements.max: statistics of rare statements are lost",
        )]
    }
}

impl StatementState {
    /// Returns the part of the blocks that were in memory, from 0 to 1. `None` without a block.
    #[must_use]
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.blocks_hit.saturating_add(self.blocks_read);
        // Numbers of blocks below 2^52 are exact.
        (all > 0).then(|| self.blocks_hit as f64 / all as f64)
    }
}
