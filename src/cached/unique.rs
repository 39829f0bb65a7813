//! Rows by a unique value: the cache holds the row's id under it, and the row itself, as it is now, says whether it
//! still has the value. So such an entry need not be fenced; that there is no such row is not remembered.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

use super::generations::attached;
use super::repository;
use super::servers::Unusable;
use super::store::{Store, admits, get};
use crate::cache::name::Name;

/// Which row has had the value, and in which form.
pub(super) type Seen<I> = Option<(I, String)>;

/// The row that the value was last seen in.
#[repository]
pub(super) async fn last_seen<I>(store: &Store, name: &Name) -> Seen<I>
where
    I: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    if !admits(store, name) {
        return None;
    }
    let seen = get::<Seen<I>>(store, name).await.ok().flatten();
    seen.and_then(|decoded| decoded.value)
}

/// Remembers which row has the value.
#[repository]
pub(super) async fn saw<I>(store: &Store, name: &Name, id: I, value: &str)
where
    I: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    if admits(store, name) {
        // Not remembered, it is asked again.
        let _ = remember(store, name, Some((id, value.to_owned()))).await;
    }
}

#[repository]
async fn remember<I>(store: &Store, name: &Name, seen: Seen<I>) -> Result<(), Unusable>
where
    I: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let shard = name.shard(store.settings.shards);
    let attached = attached(store, shard).await?;
    let (milliseconds, bytes) = store.encoded(
        &attached.names,
        name,
        &seen,
        store.moment(),
        Duration::ZERO,
        store.lifetime(name, &seen),
    );
    let mut command = redis::cmd("SET");
    command
        .arg(attached.names.value(name))
        .arg(bytes)
        .arg("PX")
        .arg(milliseconds);
    let stored = attached.link.send(&command, &store.counters).await;
    stored
        .map_err(Unusable::from)
        .inspect_err(|error| store.failed(shard, Some(&attached), error))?;
    Ok(())
}
