//! The identity of a session of the server.

/// Selects what identifies the session of a connection. The time is a number: its text would depend
/// on the time zone of the session that asks.
pub(crate) const SESSION: &str = "SELECT pg_catalog.concat_ws(' ', pid, pg_catalog.date_part('epoch', backend_start)) AS session \
     FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()";

/// Returns the query that has a row if the server has the session.
pub(crate) fn has_session(session: &str) -> String {
    format!(
        "SELECT 1 AS one FROM pg_catalog.pg_stat_activity \
         WHERE pg_catalog.concat_ws(' ', pid, pg_catalog.date_part('epoch', backend_start)) OPERATOR(pg_catalog.=) '{session}'"
    )
}
