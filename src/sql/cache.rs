//! What the cache asks PostgreSQL.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Nullable, Text, Timestamptz};

/// Which timeline the server is on: the standby that takes over for a primary begins a new one.
///
/// A WAL file's name begins with it. `pg_control_checkpoint` would tell it later.
macro_rules! timeline {
    () => {
        "pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)"
    };
}

/// Which database it is among those of its cluster, so that nothing of another one is taken for it.
pub(crate) const IDENTITY: &str = concat!(
    "SELECT oid::text || ':' || datname AS database, ",
    timeline!(),
    " AS timeline, pg_catalog.clock_timestamp() AS now, \
     pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS tells_cluster \
     FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
);

/// Which cluster it is; not everybody may ask.
pub(crate) const CLUSTER: &str =
    "SELECT system_identifier::text AS id FROM pg_catalog.pg_control_system()";

#[derive(QueryableByName)]
pub(crate) struct Identity {
    #[diesel(sql_type = Text)]
    pub(crate) database: String,
    #[diesel(sql_type = Text)]
    pub(crate) timeline: String,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) now: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub(crate) tells_cluster: bool,
}

#[derive(QueryableByName)]
pub(crate) struct Cluster {
    #[diesel(sql_type = Text)]
    pub(crate) id: String,
}

/// A transaction id that is greater than all that were given before. `pg_snapshot_xmax` would not do: it is one more than
/// the greatest that has *ended*.
pub(crate) const NEXT: &str = "SELECT pg_catalog.pg_current_xact_id()::text AS id";

/// The timeline of the server, NULL if it is a standby.
pub(crate) const TIMELINE: &str = concat!(
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE ",
    timeline!(),
    " END AS timeline"
);

#[cfg(feature = "blocking")]
#[derive(QueryableByName)]
pub(crate) struct Timeline {
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) timeline: Option<String>,
}

/// The id of this transaction, NULL if it has written nothing, and the timeline that it is on.
pub(crate) const OWN: &str = concat!(
    "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS id, \
     CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE ",
    timeline!(),
    " END AS timeline"
);

#[derive(QueryableByName)]
pub(crate) struct Own {
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) id: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) timeline: Option<String>,
}

#[derive(QueryableByName)]
pub(crate) struct TransactionId {
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) id: Option<String>,
}

/// Whether all transactions before this one have ended.
pub(crate) const ENDED_BEFORE: &str = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= \
     $1::pg_catalog.text::pg_catalog.xid8 AS yes";

/// Checks whether the transaction has ended, so that later reads see its writes. `pg_xact_status` may report the end a
/// moment too early.
pub(crate) const HAS_ENDED: &str = "SELECT pg_catalog.pg_visible_in_snapshot($1::pg_catalog.text::pg_catalog.xid8, \
     pg_catalog.pg_current_snapshot()) AS yes";

#[derive(QueryableByName)]
pub(crate) struct Answer {
    #[diesel(sql_type = Bool)]
    pub(crate) yes: bool,
}
