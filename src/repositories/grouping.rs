//! Arranges the rows of one query in the order of the ids that the caller has passed.

use std::collections::{HashMap, HashSet};
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

/// Returns the rows of each parent, in the order of `parents`. Rows of one parent stay in their
/// order.
pub(super) fn grouped_by<I, K, R>(
    parents: &[I],
    rows: Vec<R>,
    parent_of: impl Fn(&R) -> K,
) -> Vec<Vec<R>>
where
    I: Copy + Into<K>,
    K: Eq + Hash,
    R: Clone,
{
    let mut groups = HashMap::<K, Vec<R>>::new();
    for row in rows {
        groups.entry(parent_of(&row)).or_default().push(row);
    }
    let rows_of = |parent: K| groups.get(&parent).cloned().unwrap_or_default();
    parents
        .iter()
        .map(|&parent| rows_of(parent.into()))
        .collect()
}

/// Returns the count of each of `keys`, and 0 for a key that was not counted.
pub(super) fn count_of_each<K: Copy + Eq + Hash>(
    keys: &[K],
    counts: Vec<(K, i64)>,
) -> Vec<(K, i64)> {
    let counts: HashMap<K, i64> = counts.into_iter().collect();
    let count_of = |key| counts.get(&key).copied().unwrap_or_default();
    keys.iter().map(|&key| (key, count_of(key))).collect()
}

/// Returns those of `ids` that no row has.
pub(super) fn missing_from<I, R>(ids: &[I], rows: &[R], id_of: impl Fn(&R) -> I) -> Vec<I>
where
    I: Copy + Eq + Hash,
{
    let found: HashSet<I> = rows.iter().map(id_of).collect();
    ids.iter()
        .filter(|id| !found.contains(id))
        .copied()
        .collect()
}
