//! `DELETE` of what a filter matches.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::{QueryResult, QuerySource};

use super::{Identity, Sql, Statement};

/// `DELETE` of the rows whose ids a query returns. The rows are locked first. The server evaluates
/// the query again for a row that has changed meanwhile, and keeps it if the query no longer
/// matches.
pub struct DeleteMatching<F, Q> {
    table: F,
    ids: Q,
}

/// Deletes the rows of `table` whose ids the query gives.
pub fn delete_matching<T: QuerySource, Q>(
    table: T,
    ids: Q,
) -> Sql<DeleteMatching<T::FromClause, Q>> {
    Sql(DeleteMatching {
        table: table.from_clause(),
        ids,
    })
}

impl<F: QueryFragment<Pg>, Q: QueryFragment<Pg>> Statement for DeleteMatching<F, Q> {
    type SqlType = ();
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("DELETE FROM ");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE \"id\" IN (");
        self.ids.walk_ast(out.reborrow())?;
        out.push_sql(" FOR UPDATE)");
        Ok(())
    }
}
