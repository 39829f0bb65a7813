//! `LIMIT` as a part of a statement's text.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment};

use super::{Identity, Sql, Statement};

/// The first rows of a query, whose number is in its text. With a number that is bound, PostgreSQL
/// reckons with a tenth of all rows when it makes a plan for any values, finds that one dear, and
/// plans the statement again at each call: for a partitioned table that takes several times as long
/// as a page.
///
/// A connection prepares one statement for each number. A plan for any values does not see that few
/// rows have one of them: not for filters of which that may be.
pub struct AtMost<Q> {
    query: Q,
    rows: i64,
}

pub(crate) const fn at_most<Q>(rows: i64, query: Q) -> Sql<AtMost<Q>> {
    Sql(AtMost { query, rows })
}

impl<Q: QueryFragment<Pg> + Query> Statement for AtMost<Q> {
    type SqlType = Q::SqlType;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_sql(&self.rows.to_string());
        Ok(())
    }
}
