//! The query for the state of the queue.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{BigInt, Nullable};

use super::Statement;

/// The query for the numbers of pending, running and abandoned analyses, and the time in
/// microseconds for which the oldest pending one has waited.
///
/// It reads open analyses alone, by the index on the status.
pub(crate) struct StateOfQueue;

impl Statement for StateOfQueue {
    type SqlType = (BigInt, BigInt, BigInt, Nullable<BigInt>);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT pg_catalog.count(*) FILTER (WHERE a.status = 'pending') AS pending, \
             pg_catalog.count(*) FILTER (WHERE a.status = 'running') AS running, \
             pg_catalog.count(*) FILTER (WHERE a.status = 'running' \
             AND l.expires_at <= pg_catalog.statement_timestamp()) AS abandoned, \
             pg_catalog.trunc(1000000 * EXTRACT(EPOCH FROM pg_catalog.statement_timestamp() \
             - pg_catalog.min(a.created_at) FILTER (WHERE a.status = 'pending')))::pg_catalog.int8 \
             AS longest_wait FROM analysis.analyses AS a \
             LEFT JOIN analysis.analysis_leases AS l ON l.analysis_id = a.id \
             WHERE a.status IN ('pending', 'running')",
        );
        Ok(())
    }
}
