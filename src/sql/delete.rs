//! `DELETE` of what a filter matches.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::{QueryResult, QuerySource};

/// `DELETE` of the rows whose ids a query gives, which are locked first: a row that changes meanwhile is looked at
/// again, and stays if the query does not match it any more.
pub struct DeleteMatching<F, Q> {
    table: F,
    ids: Q,
}

impl<F, Q> QueryId for DeleteMatching<F, Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// Deletes the rows of `table` whose ids the query gives.
pub fn delete_matching<T: QuerySource, Q>(table: T, ids: Q) -> DeleteMatching<T::FromClause, Q> {
    DeleteMatching {
        table: table.from_clause(),
        ids,
    }
}

impl<F: QueryFragment<Pg>, Q: QueryFragment<Pg>> QueryFragment<Pg> for DeleteMatching<F, Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("DELETE FROM ");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE \"id\" IN (");
        self.ids.walk_ast(out.reborrow())?;
        out.push_sql(" FOR UPDATE)");
        Ok(())
    }
}

/// [`DeleteMatching`] that tells something of each row that it has deleted.
pub struct DeleteReturning<F, Q, R> {
    delete: DeleteMatching<F, Q>,
    returning: R,
}

impl<F, Q> DeleteMatching<F, Q> {
    /// Tells these columns of each row that is deleted.
    pub fn returning<R>(self, returning: R) -> DeleteReturning<F, Q, R> {
        DeleteReturning {
            delete: self,
            returning,
        }
    }
}

impl<F, Q, R> QueryId for DeleteReturning<F, Q, R> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<F, Q, R> QueryFragment<Pg> for DeleteReturning<F, Q, R>
where
    F: QueryFragment<Pg>,
    Q: QueryFragment<Pg>,
    R: QueryFragment<Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.delete.walk_ast(out.reborrow())?;
        out.push_sql(" RETURNING ");
        self.returning.walk_ast(out)
    }
}

impl<F, Q, R: diesel::Expression> Query for DeleteReturning<F, Q, R> {
    type SqlType = R::SqlType;
}

#[cfg(feature = "blocking")]
impl<F, Q, R, C> diesel::RunQueryDsl<C> for DeleteReturning<F, Q, R> {}
