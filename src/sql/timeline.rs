//! The timeline that a server is on.

/// The SQL of the timeline that the server is on: the standby that takes over for a primary begins
/// a new one.
///
/// The name of a WAL file begins with it. `pg_control_checkpoint` would return it later.
macro_rules! timeline {
    () => {
        "pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8)"
    };
}
pub(crate) use timeline;

/// The query for the timeline of the server, NULL if it is a standby. It is a text, because the
/// engines run it once on a new connection and do not prepare it.
pub(crate) const TIMELINE: &str = concat!(
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE ",
    timeline!(),
    " END AS timeline"
);

/// The row of [`TIMELINE`].
#[cfg(feature = "blocking")]
#[derive(diesel::QueryableByName)]
pub(crate) struct TimelineRow {
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    pub(crate) timeline: Option<String>,
}
