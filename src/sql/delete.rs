//! `DELETE` of what a filter matches.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::{Expression, QueryResult, QuerySource};

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

/// [`DeleteMatching`] that returns columns of each row that it has deleted.
pub struct DeleteReturning<F, Q, R> {
    delete: DeleteMatching<F, Q>,
    returning: R,
}

impl<F, Q> Sql<DeleteMatching<F, Q>> {
    /// Tells these columns of each row that is deleted.
    pub fn returning<R>(self, returning: R) -> Sql<DeleteReturning<F, Q, R>> {
        Sql(DeleteReturning {
            delete: self.0,
            returning,
        })
    }
}

impl<F, Q, R> Statement for DeleteReturning<F, Q, R>
where
    F: QueryFragment<Pg>,
    Q: QueryFragment<Pg>,
    R: QueryFragment<Pg> + Expression,
{
    type SqlType = R::SqlType;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.delete.push(out.reborrow())?;
        out.push_sql(" RETURNING ");
        self.returning.walk_ast(out)
    }
}
