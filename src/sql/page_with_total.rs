//! A page and its total in one statement, so that both are of one snapshot.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::{Array, BigInt, Record};

use super::{ArraySubquery, CountBy, Identity, PagePerParent, ScalarSubquery, Sql, Statement};

/// `SELECT ARRAY(rows), (total)`: the rows of a page, and the number of all rows.
pub(crate) struct PageWithTotal<Q, T> {
    rows: ArraySubquery<Q>,
    total: ScalarSubquery<T>,
}

impl<Q, T> PageWithTotal<Q, T> {
    /// Creates the statement from the query of the rows and one that counts.
    pub(crate) const fn new(rows: Q, total: T) -> Sql<Self> {
        Sql(Self {
            rows: ArraySubquery(rows),
            total: ScalarSubquery(total),
        })
    }
}

impl<Q: QueryFragment<Pg> + Query<SqlType: 'static>, T: QueryFragment<Pg>> Statement
    for PageWithTotal<Q, T>
{
    type SqlType = (Array<Record<Q::SqlType>>, BigInt);
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        self.total.walk_ast(out)
    }
}

/// `SELECT ARRAY(rows), ARRAY(totals)`: a page for each of several parents, and the number of each
/// parent's rows.
pub(crate) struct PagesWithTotals<Q, K> {
    rows: ArraySubquery<Sql<PagePerParent<Q>>>,
    totals: ArraySubquery<Sql<CountBy<K>>>,
}

impl<Q, K> PagesWithTotals<Q, K> {
    /// Creates the statement from the query of the pages and one for the parent of each row.
    pub(crate) fn new(rows: Sql<PagePerParent<Q>>, parents: K) -> Sql<Self> {
        Sql(Self {
            rows: ArraySubquery(rows),
            totals: ArraySubquery(CountBy::new(parents)),
        })
    }
}

impl<Q, K> Statement for PagesWithTotals<Q, K>
where
    Q: QueryFragment<Pg> + Query<SqlType: 'static>,
    K: QueryFragment<Pg> + Query<SqlType: 'static>,
{
    type SqlType = (
        Array<Record<Q::SqlType>>,
        Array<Record<(K::SqlType, BigInt)>>,
    );
    type Id = ();
    const IDENTITY: Identity = Identity::Text;
    // As that of `PagePerParent`.
    const IS_CACHEABLE: bool = true;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        self.totals.walk_ast(out)
    }
}
