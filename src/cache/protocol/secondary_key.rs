//! Secondary keys: the cache maps a unique value to the id of its row. The reader checks that the
//! row still has the value, so such an entry needs no fence. A missing row is not recorded.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

use super::client::{CacheClient, admits};
use super::generation::session;
use super::lookup::get;
use super::repository;
use super::unavailable::Unavailable;
use crate::cache::keys::EntryKey;

/// The id of the row that had the value, and the value as it was stored.
pub(crate) type SecondaryKey<I> = Option<(I, String)>;

/// Returns the recorded row of a value.
#[repository]
pub(crate) async fn lookup<I>(client: &CacheClient, key: &EntryKey) -> SecondaryKey<I>
where
    I: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    if !admits(client, key) {
        return None;
    }
    let seen = get::<SecondaryKey<I>>(client, key).await.ok().flatten();
    seen.and_then(|decoded| decoded.value)
}

/// Records the row of a value.
#[repository]
pub(crate) async fn remember<I>(client: &CacheClient, key: &EntryKey, id: I, value: &str)
where
    I: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    if admits(client, key) {
        // Without the record, the next reader queries the database again.
        let _ = store_id(client, key, Some((id, value.to_owned()))).await;
    }
}

#[repository]
async fn store_id<I>(
    client: &CacheClient,
    key: &EntryKey,
    seen: SecondaryKey<I>,
) -> Result<(), Unavailable>
where
    I: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    let shard = key.shard(client.settings.shards);
    let session = session(client, shard).await?;
    let (milliseconds, bytes) = client.encoded(
        &session.key_space,
        key,
        &seen,
        client.moment(),
        Duration::ZERO,
        client.lifetime(key, &seen),
    );
    let mut command = redis::cmd("SET");
    command
        .arg(session.key_space.value(key))
        .arg(bytes)
        .arg("PX")
        .arg(milliseconds);
    let stored = session.connection.send(&command, &client.counters).await;
    stored
        .map_err(Unavailable::from)
        .inspect_err(|error| client.failed(shard, Some(&session), error))?;
    Ok(())
}
