//! Arranges the rows of one query in the order of the ids that the caller has passed.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use uuid::Uuid;

use super::*;
use crate::Result;
use crate::mapping::TableRow;
use crate::models::partitions::unsigned;
use crate::sql::find_by_ids;
use crate::types::ids::uuids;

/// Returns the rows with these keys, in the order of `ids`, and `None` for a key without a row.
#[repository]
pub(super) async fn rows_by_ids<R>(executor: &Executor<'_>, ids: &[R::Id]) -> Result<Vec<Option<R>>>
where
    R: TableRow<Id: Send + Sync> + Clone + Send,
{
    let rows = executor.load::<_, R>(find_by_ids::<R>(ids)).await?;
    Ok(in_order_of(ids, rows, R::id))
}

// Loops where iterators would do: each adapter would be compiled for each type of rows.

/// Returns the rows in the order of `ids`, and `None` for an id without a row.
pub(super) fn in_order_of<I, R>(ids: &[I], rows: Vec<R>, id_of: impl Fn(&R) -> I) -> Vec<Option<R>>
where
    I: Copy + Into<Uuid>,
    R: Clone,
{
    let mut ids_of_rows = Vec::with_capacity(rows.len());
    for row in &rows {
        ids_of_rows.push(id_of(row).into());
    }
    let places = in_places_of(&uuids(ids), ids_of_rows);
    let mut ordered = Vec::with_capacity(places.len());
    for place in places {
        let row = match place {
            Some(place) => rows.get(place),
            None => None,
        };
        ordered.push(row.cloned());
    }
    ordered
}

/// Returns the place of each id among the ids of the rows.
// Apart, and about ids of one type, so that it is compiled once.
fn in_places_of(ids: &[Uuid], ids_of_rows: Vec<Uuid>) -> Vec<Option<usize>> {
    let places = ids_of_rows.into_iter().enumerate();
    let places: HashMap<Uuid, usize> = places.map(|(place, id)| (id, place)).collect();
    ids.iter().map(|id| places.get(id).copied()).collect()
}

/// Returns the places of each parent's rows.
pub(super) fn places_by<K, R>(rows: &[R], parent_of: impl Fn(&R) -> K) -> HashMap<K, Vec<usize>>
where
    K: Eq + Hash,
{
    let mut parents = Vec::with_capacity(rows.len());
    for row in rows {
        parents.push(parent_of(row));
    }
    places_of_each(parents)
}

/// Returns the places of each of `parents`.
fn places_of_each<K: Eq + Hash>(parents: Vec<K>) -> HashMap<K, Vec<usize>> {
    let mut places = HashMap::<K, Vec<usize>>::new();
    for (place, parent) in parents.into_iter().enumerate() {
        places.entry(parent).or_default().push(place);
    }
    places
}

/// Returns copies of the rows in these places.
pub(super) fn rows_in<R: Clone>(places: Option<&Vec<usize>>, rows: &[R]) -> Vec<R> {
    let places = places.map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::with_capacity(places.len());
    for &place in places {
        if let Some(row) = rows.get(place) {
            found.push(row.clone());
        }
    }
    found
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
    let mut groups = Vec::with_capacity(parents.len());
    for &parent in parents {
        groups.push(rows_in(places.get(&parent.into()), &rows));
    }
    groups
}

/// Returns the count of each of `keys`, and 0 for a key that was not counted.
pub(super) fn count_of_each<K: Copy + Eq + Hash>(
    keys: &[K],
    counts: Vec<(K, i64)>,
) -> Vec<(K, u64)> {
    let counts: HashMap<K, i64> = counts.into_iter().collect();
    let count_of = |key| counts.get(&key).copied().map_or(0, unsigned);
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
