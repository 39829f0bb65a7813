//! Statements that diesel would prepare again at each call.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment};

use super::{Identity, Sql, Statement};

/// A statement that a connection prepares once and finds again by its text.
///
/// diesel expects the text of every `update(..).set(..)` and of every `sql_query` to be another at
/// the next call, and does not keep what it has prepared for it. Here it is one text for each place
/// in the source, or a few.
pub struct Prepared<S>(S);

/// Returns the statement as one that is kept prepared.
pub fn cacheable<S>(statement: S) -> Sql<Prepared<S>> {
    Sql(Prepared(statement))
}

impl<S: QueryFragment<Pg> + Query> Statement for Prepared<S> {
    type SqlType = S::SqlType;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;
    const IS_CACHEABLE: bool = true;

    fn push<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}
