//! Reads of a log by the keys of its rows.
//!
//! A log has a partition for each month. A key carries a time, so that the months around that time
//! are searched first, and the others only for rows that are in none of them.

use std::hash::Hash;

use super::*;
use crate::Result;
use crate::mapping::TableRow;

/// Returns the row with a key. `in_months` searches the months of the key; the number identifies
/// its text. `in_all` searches the whole log.
#[repository]
pub(super) async fn find_in_log<R, M, A>(
    executor: &Executor<'_>,
    in_months: Option<(M, u64)>,
    in_all: A,
) -> Result<Option<R>>
where
    R: Send,
    M: Loads<R> + Send + 'static,
    A: Loads<R> + Send,
{
    if let Some((query, shape)) = in_months
        && let Some(row) = query.load_first_shaped(executor, shape).await?
    {
        return Ok(Some(row));
    }
    in_all.load_first(executor).await
}

/// Returns the rows with these keys, in the order of `ids`, and `None` for a key without a row.
/// `in_window` searches the months of all keys, `in_all` the whole log for the keys that it takes.
#[repository]
pub(super) async fn find_many_in_log<R, W, A>(
    executor: &Executor<'_>,
    ids: &[R::Id],
    in_window: Option<W>,
    in_all: impl Fn(Vec<R::Id>) -> A + Send,
) -> Result<Vec<Option<R>>>
where
    R: TableRow<Id: Eq + Hash + Send + Sync> + Clone + Send,
    W: Loads<R> + Send,
    A: Loads<R> + Send,
{
    let mut rows = match in_window {
        Some(query) => query.load_all(executor).await?,
        None => Vec::new(),
    };
    let missing = missing_from(ids, &rows, R::id);
    if !missing.is_empty() {
        rows.extend(in_all(missing).load_all(executor).await?);
    }
    Ok(in_order_of(ids, rows, R::id))
}

/// Checks whether there is a row with a key, by the same queries as [`find_in_log`].
#[repository]
pub(super) async fn exists_in_log<M, A>(
    executor: &Executor<'_>,
    in_months: Option<M>,
    in_all: A,
) -> Result<bool>
where
    M: Loads<bool> + Send,
    A: Loads<bool> + Send,
{
    if let Some(query) = in_months
        && query.load_one(executor).await?
    {
        return Ok(true);
    }
    in_all.load_one(executor).await
}
