//! Statements that diesel would prepare anew at each call.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};

/// A statement that a connection prepares once and finds again by its text.
///
/// diesel expects the text of every `update(..).set(..)` and of every `sql_query` to be another at the next call, and
/// does not keep what it has prepared for it. Here it is one text for each place in the source, or a few.
pub struct Prepared<S>(S);

/// Keeps the prepared statement.
pub fn prepared<S>(statement: S) -> Prepared<S> {
    Prepared(statement)
}

impl<S: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<S> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Known by its text.
impl<S> QueryId for Prepared<S> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<S: Query> Query for Prepared<S> {
    type SqlType = S::SqlType;
}

#[cfg(feature = "blocking")]
impl<S, C> diesel::RunQueryDsl<C> for Prepared<S> {}
