//! Puts the rows of one query in the order that the caller has asked for.

use std::collections::HashMap;
use std::hash::Hash;

/// Returns the rows in the order of `ids`, and `None` for an id without a row.
pub(super) fn in_order_of<I, R>(ids: &[I], rows: Vec<R>, id_of: impl Fn(&R) -> I) -> Vec<Option<R>>
where
    I: Eq + Hash,
    R: Clone,
{
    let rows: HashMap<I, R> = rows.into_iter().map(|row| (id_of(&row), row)).collect();
    ids.iter().map(|id| rows.get(id).cloned()).collect()
}
