//! The statement of the WAL archiver's state.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};

use crate::models::admin::Archiver;
use crate::models::partitions::unsigned;

/// The query for the state of the archiver.
pub(crate) const ARCHIVER: &str = "\
    SELECT archived_count, last_archived_wal, last_archived_time, \
        failed_count, last_failed_wal, last_failed_time \
    FROM pg_catalog.pg_stat_archiver";

/// The query that asks whether the role may list the files that wait.
pub(crate) const MAY_LIST: &str = "\
    SELECT pg_catalog.has_function_privilege('pg_catalog.pg_ls_archive_statusdir()', 'EXECUTE') AS yes";

/// The query for the number of files that wait. It fails without the right to list them, even
/// within a CASE that is false.
pub(crate) const WAITING: &str = "\
    SELECT pg_catalog.count(*) AS number FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'";

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

/// The row of [`MAY_LIST`].
#[derive(QueryableByName)]
pub(crate) struct MayList {
    #[diesel(sql_type = Bool)]
    pub(crate) yes: bool,
}

/// The row of [`WAITING`].
#[derive(QueryableByName)]
pub(crate) struct Waiting {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

impl ArchiverRow {
    pub(crate) fn with(self, waiting: Option<Waiting>) -> Archiver {
        Archiver {
            archived: unsigned(self.archived_count),
            last_archived: self.last_archived_wal.zip(self.last_archived_time),
            failed: unsigned(self.failed_count),
            last_failed: self.last_failed_wal.zip(self.last_failed_time),
            waiting: waiting.map(|waiting| unsigned(waiting.number)),
        }
    }
}
