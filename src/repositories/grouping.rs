//! Arranges the rows of one query in the order of the ids that the caller has passed.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use uuid::Uuid;

/// Returns the rows in the order of `ids`, and `None` for an id without a row.
pub(super) fn in_order_of<I, R>(ids: &[I], rows: Vec<R>, id_of: impl Fn(&R) -> I) -> Vec<Option<R>>
where
    I: Copy + Into<Uuid>,
    R: Clone,
{
    let places = places_of(rows.iter().map(|row| id_of(row).into()).collect());
    ids.iter()
        .map(|&id| rows.get(*places.get(&id.into())?).cloned())
        .collect()
}

/// Returns the place of each id.
// Apart, and about ids of one type, so that it is compiled once.
fn places_of(ids: Vec<Uuid>) -> HashMap<Uuid, usize> {
    let places = ids.into_iter().enumerate();
    places.map(|(place, id)| (id, place)).collect()
}

/// Returns the places of each parent's rows.
pub(super) fn places_by<K, R>(rows: &[R], parent_of: impl Fn(&R) -> K) -> HashMap<K, Vec<usize>>
where
    K: Eq + Hash,
{
    let mut places = HashMap::<K, Vec<usize>>::new();
    for (place, row) in rows.iter().enumerate() {
        places.entry(parent_of(row)).or_default().push(place);
    }
    places
}

/// Returns copies of the rows in these places.
pub(super) fn rows_in<R: Clone>(places: Option<&Vec<usize>>, rows: &[R]) -> Vec<R> {
    let places = places.map(Vec::as_slice).unwrap_or_default();
    let rows = places.iter().filter_map(|&place| rows.get(place));
    rows.cloned().collect()
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
    let places = places_by(&rows, parent_of);
    parents
        .iter()
        .map(|&parent| rows_in(places.get(&parent.into()), &rows))
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
