//! What the cache asks PostgreSQL.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Nullable, Text, Timestamptz};

/// Which database it is, so that nothing of another one is taken for it; and on which timeline, since after a failover
/// what was cached before may have been lost.
///
/// A WAL file's name begins with the timeline, which `pg_control_checkpoint` would tell later.
pub(crate) const IDENTITY: &str = "SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) || ' ' || \
     (SELECT oid::text FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AS database, \
     pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) AS timeline, \
     pg_catalog.clock_timestamp() AS now";

#[derive(QueryableByName)]
pub(crate) struct Identity {
    #[diesel(sql_type = Text)]
    pub(crate) database: String,
    #[diesel(sql_type = Text)]
    pub(crate) timeline: String,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) now: DateTime<Utc>,
}

/// A transaction id that is greater than all that were given before. `pg_snapshot_xmax` would not do: it is one more than
/// the greatest that has *ended*.
pub(crate) const NEXT: &str = "SELECT pg_catalog.pg_current_xact_id()::text AS id";

/// The id of this transaction; NULL if it has written nothing.
pub(crate) const OWN: &str = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS id";

#[derive(QueryableByName)]
pub(crate) struct TransactionId {
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) id: Option<String>,
}

/// Whether all transactions before this one have ended.
pub(crate) const ENDED_BEFORE: &str = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= \
     $1::pg_catalog.text::pg_catalog.xid8 AS yes";

/// Whether the transaction has ended, so that whoever reads from now on sees what it has done. `pg_xact_status` may say
/// so a moment earlier.
pub(crate) const HAS_ENDED: &str = "SELECT pg_catalog.pg_visible_in_snapshot($1::pg_catalog.text::pg_catalog.xid8, \
     pg_catalog.pg_current_snapshot()) AS yes";

#[derive(QueryableByName)]
pub(crate) struct Answer {
    #[diesel(sql_type = Bool)]
    pub(crate) yes: bool,
}
