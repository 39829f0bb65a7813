//! Pages: the rows of a query from a cursor on, and their total.

use std::collections::HashMap;
use std::hash::Hash;

use uuid::Uuid;

use super::*;
use crate::models::partitions::unsigned;
use crate::pagination::Order;
use crate::sql::{
    AtMost, PagePerParent, PageWithTotal, PagesWithTotals, Rows, Sql, at_most, page_per_parent,
};
use crate::{Page, Paged, Result};

/// Returns the page of `rows` that begins at the page's cursor. If the page requests the total, the
/// same statement counts it by `total`.
///
/// # Errors
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the limit is not within 1 and 100, or
///   the cursor is of another list
#[repository]
pub(super) async fn page_of<'q, O, T>(
    executor: &Executor<'_>,
    page: &Page<O>,
    rows: O::Query<'q>,
    total: T,
) -> Result<Paged<O::Row>>
where
    O: Order,
    O::Query<'q>: Loads<O::Row>,
    Sql<PageWithTotal<O::Query<'q>, T>>: Loads<(Rows<O::Row>, i64)>,
{
    read_page(executor, page, O::start(page, rows)?, total).await
}

/// As [`page_of`]. If the plan for any values `is_right`, the limit is a part of the text, so that
/// the server reuses that plan.
#[repository]
pub(super) async fn page_by_reusable_plan<'q, O, T>(
    executor: &Executor<'_>,
    page: &Page<O>,
    is_right: bool,
    rows: O::Query<'q>,
    total: T,
) -> Result<Paged<O::Row>>
where
    O: Order,
    O::Query<'q>: Loads<O::Row>,
    Sql<PageWithTotal<O::Query<'q>, T>>: Loads<(Rows<O::Row>, i64)>,
    Sql<AtMost<O::Query<'q>>>: Loads<O::Row>,
    Sql<PageWithTotal<Sql<AtMost<O::Query<'q>>>, T>>: Loads<(Rows<O::Row>, i64)>,
{
    if is_right {
        let rows = at_most(page.rows_to_fetch()?, O::sort(page, rows)?);
        read_page(executor, page, rows, total).await
    } else {
        page_of(executor, page, rows, total).await
    }
}

/// Reads the page from a query that returns its rows and one more.
#[repository]
pub(super) async fn read_page<O, Q, T>(
    executor: &Executor<'_>,
    page: &Page<O>,
    rows: Q,
    total: T,
) -> Result<Paged<O::Row>>
where
    O: Order,
    Q: Loads<O::Row>,
    Sql<PageWithTotal<Q, T>>: Loads<(Rows<O::Row>, i64)>,
{
    let (rows, total) = if page.wants_total() {
        let statement = PageWithTotal::new(rows, total);
        let (Rows(rows), total) = statement.load_one(executor).await?;
        (rows, Some(unsigned(total)))
    } else {
        (rows.load_all(executor).await?, None)
    };
    Ok(page.answer(rows, total, |row| page.sort().cursor(row)))
}

/// Returns a page for each of `parents`, in their order, with one statement. It also counts the
/// totals if the page requests them.
///
/// `rows` compares its parent with [`parent_id`](crate::sql::parent_id). `children` returns the
/// parent of each row of these parents.
///
/// # Errors
/// The same as [`page_of`].
#[repository]
pub(super) async fn pages_of_each<'q, O, I, K, C>(
    executor: &Executor<'_>,
    parents: &[I],
    page: &Page<O>,
    rows: O::Query<'q>,
    children: C,
    parent_of: fn(&O::Row) -> K,
) -> Result<Vec<Paged<O::Row>>>
where
    O: Order<Row: Clone>,
    I: Copy + Into<Uuid> + Into<K>,
    K: Eq + Hash,
    Sql<PagePerParent<O::Query<'q>>>: Loads<O::Row>,
    Sql<PagesWithTotals<O::Query<'q>, C>>: Loads<(Rows<O::Row>, Rows<(K, i64)>)>,
{
    let rows = page_per_parent(parents, O::start(page, rows)?);
    let (rows, totals) = if page.wants_total() {
        let statement = PagesWithTotals::new(rows, children);
        let (Rows(rows), Rows(totals)) = statement.load_one(executor).await?;
        (rows, Some(totals))
    } else {
        (rows.load_all(executor).await?, None)
    };
    let places = places_by(&rows, parent_of);
    let totals: Option<HashMap<K, i64>> = totals.map(|totals| totals.into_iter().collect());
    let mut pages = Vec::with_capacity(parents.len());
    for &parent in parents {
        let parent = parent.into();
        let rows = rows_in(places.get(&parent), &rows);
        let total_of = |totals: &HashMap<K, i64>| totals.get(&parent).copied().map_or(0, unsigned);
        let total = totals.as_ref().map(total_of);
        pages.push(page.answer(rows, total, |row| page.sort().cursor(row)));
    }
    Ok(pages)
}
