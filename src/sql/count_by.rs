//! Counts rows by a key.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::BigInt;

use super::{Identity, Sql, Statement};

/// `SELECT key, count(*) ... GROUP BY key` over a query that selects a key, most frequent key
/// first.
///
/// diesel cannot group a boxed query.
pub(crate) struct CountBy<Q> {
    keys: Q,
    limit: Option<i64>,
}

impl<Q> CountBy<Q> {
    /// Counts the rows of all keys.
    pub(crate) fn new(keys: Q) -> Sql<Self> {
        Sql(Self { keys, limit: None })
    }

    /// Counts the rows of the `limit` most frequent keys.
    pub(crate) fn most_frequent(keys: Q, limit: i64) -> Sql<Self> {
        Sql(Self {
            keys,
            limit: Some(limit),
        })
    }
}

impl<Q: QueryFragment<Pg> + Query> Statement for CountBy<Q> {
    type SqlType = (Q::SqlType, BigInt);
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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
