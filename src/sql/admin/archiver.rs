//! The statement of the WAL archiver's state.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};

use crate::models::admin::Archiver;
use crate::models::partitions::unsigned;

/// The query for the state of the archiver.
pub(crate) const ARCHIVER: &str = "\
    SELECT archived_count, last_archived_wal, last_archived_time, \
        failed_count, last_failed_wal, last_failed_time \
    FROM pg_catalog.pg_stat_archiver";

/// The row of [`ARCHIVER`].
#[derive(QueryableByName)]
pub(crate) struct ArchiverRow {
    #[diesel(sql_type = BigInt)]
    archived_count: i64,
    #[diesel(sql_type = Nullable<Text>)]
    last_archived_wal: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_archived_time: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    failed_count: i64,
    #[diesel(sql_type = Nullable<Text>)]
    last_failed_wal: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_failed_time: Option<DateTime<Utc>>,
}

impl From<ArchiverRow> for Archiver {
    fn from(row: ArchiverRow) -> Self {
        Self {
            archived: unsigned(row.archived_count),
            last_archived: row.last_archived_wal.zip(row.last_archived_time),
            failed: unsigned(row.failed_count),
            last_failed: row.last_failed_wal.zip(row.last_failed_time),
        }
    }
}
