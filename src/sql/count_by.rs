//! How many rows there are of each kind.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;

/// `SELECT key, count(*) ... GROUP BY key` over a query that selects a key: what diesel cannot say of a boxed query.
/// The most frequent come first.
pub(crate) struct CountBy<Q> {
    keys: Q,
    limit: Option<i64>,
}

impl<Q> CountBy<Q> {
    pub(crate) fn new(keys: Q) -> Self {
        Self { keys, limit: None }
    }

    pub(crate) fn most_frequent(keys: Q, limit: i64) -> Self {
        Self {
            keys,
            limit: Some(limit),
        }
    }
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for CountBy<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT counted.key, pg_catalog.count(*) FROM (");
        self.keys.walk_ast(out.reborrow())?;
        out.push_sql(") AS counted (key) GROUP BY counted.key ORDER BY 2 DESC, 1");
        if let Some(limit) = &self.limit {
            out.push_sql(" LIMIT ");
            out.push_bind_param::<BigInt, _>(limit)?;
        }
        Ok(())
    }
}

/// Known by its text.
impl<Q> QueryId for CountBy<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for CountBy<Q> {
    type SqlType = (Q::SqlType, BigInt);
}

#[cfg(feature = "blocking")]
impl<Q, C> diesel::RunQueryDsl<C> for CountBy<Q> {}
