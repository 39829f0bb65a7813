//! A page of the rows of each of many parents.

use std::collections::HashMap;
use std::hash::Hash;

use diesel::expression::{Expression, SqlLiteral};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{self, Array, SqlType};
use diesel::{QueryResult, dsl};
use uuid::Uuid;

use crate::pagination::Order;
use crate::{Page, Paged};

/// `SELECT ... FROM parents CROSS JOIN LATERAL (a page of the parent's rows)`: no more is read for any parent than its
/// page. With a limit inside, this can only be a nested loop, which keeps the order of each parent's rows.
pub struct PageOfEach<Q> {
    parents: Vec<Uuid>,
    rows: Q,
}

/// Returns a page for each parent, from a query that compares its parent with [`parent_id`].
pub fn page_of_each<I: Copy + Into<Uuid>, Q>(ids: &[I], rows: Q) -> PageOfEach<Q> {
    let mut parents: Vec<Uuid> = ids.iter().map(|&id| id.into()).collect();
    // One that is asked for twice would get its rows twice.
    parents.sort_unstable();
    parents.dedup();
    PageOfEach { parents, rows }
}

/// Inside [`page_of_each`], the parent whose rows are looked for, as a value for the column.
pub fn parent_id<C: Expression<SqlType: SqlType>>(_: C) -> SqlLiteral<C::SqlType> {
    dsl::sql("parent.id")
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for PageOfEach<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT child.* FROM pg_catalog.unnest(");
        out.push_bind_param::<Array<sql_types::Uuid>, _>(&self.parents)?;
        out.push_sql(") AS parent (id) CROSS JOIN LATERAL (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS child");
        Ok(())
    }

    /// [`parent_id`] is the same text each time, which diesel does not expect of what it is given as SQL.
    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Known by its text.
impl<Q> QueryId for PageOfEach<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for PageOfEach<Q> {
    type SqlType = Q::SqlType;
}

#[cfg(feature = "blocking")]
impl<Q, C> diesel::RunQueryDsl<C> for PageOfEach<Q> {}

/// Makes the pages from the rows and the totals of all parents: one for each id, in their order.
pub(crate) fn pages_of_each<I, K, R, O>(
    ids: &[I],
    page: &Page<O>,
    rows: Vec<R>,
    parent_of: impl Fn(&R) -> K,
    totals: Option<Vec<(K, i64)>>,
) -> Vec<Paged<R>>
where
    I: Copy + Into<K>,
    K: Eq + Hash,
    R: Clone,
    O: Order<Row = R>,
{
    let mut groups = HashMap::<K, Vec<R>>::new();
    for row in rows {
        groups.entry(parent_of(&row)).or_default().push(row);
    }
    let totals: Option<HashMap<K, i64>> = totals.map(|totals| totals.into_iter().collect());
    let page_of = |parent: K| {
        let rows = groups.get(&parent).cloned().unwrap_or_default();
        let total = totals
            .as_ref()
            .map(|totals| totals.get(&parent).copied().unwrap_or_default());
        page.answer(rows, total, |row| page.sort().cursor(row))
    };
    ids.iter().map(|&id| page_of(id.into())).collect()
}
