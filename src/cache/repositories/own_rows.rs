//! Rows of the application's tables.

use std::time::Duration;

use super::cache_io::boxed;
use super::protocol::fill::{Fill, settle_for};
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::keys::EntryKey;
use crate::cache::own_rows::Own;
use crate::cache::{CachedRow, OwnKey};

/// A row that was found in the cache, or is to be loaded.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once, where a box would cost each miss an allocation"
)]
pub(crate) enum OwnRow<'s, T> {
    Found(Option<T>),
    /// Loaded, it is passed to [`keep_own`].
    Missing(Fill<'s>),
}

#[repository]
impl Cached {
    /// Looks a row of the application up.
    #[unboxed]
    pub(crate) async fn find_own<T: CachedRow>(&self, key: OwnKey<T>) -> OwnRow<'_, T> {
        let key = EntryKey::from(&key.key());
        match look_up::<Own<T>>(&self.0.client, key).await {
            Lookup::Hit(row) => OwnRow::Found(row.0),
            Lookup::Miss(fill) => OwnRow::Missing(fill),
        }
    }
}

/// Stores a row of the application that was loaded, and returns it.
#[repository]
pub(crate) async fn keep_own<T: CachedRow>(
    fill: Fill<'_>,
    loaded: Result<Option<T>>,
) -> Result<Option<T>> {
    let longest = T::LIFETIME.unwrap_or(Duration::MAX);
    let kept = boxed(settle_for(fill, loaded.map(Own), longest)).await;
    kept.map(|row| row.0)
}
