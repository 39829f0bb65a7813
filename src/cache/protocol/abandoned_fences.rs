//! Removes the fences of writers that did not remove them, once PostgreSQL reports the end of their
//! transactions.

use super::call::step;
use super::client::CacheClient;
use super::repository;
use super::shard::ShardSession;
use super::unavailable::Unavailable;
use crate::Result;
use crate::cache::scripts::{END, Fence, Reply, SWEEP};
use crate::cache::{count, events};
use crate::sql::Sql;
use crate::sql::cache::HasEnded;

/// The age in seconds from which a fence may be abandoned. Few writers take this long.
const OLD: u64 = 2;

/// Removes the fences of writers whose transactions have ended.
#[repository]
pub(crate) async fn clear(
    client: &CacheClient,
    session: &ShardSession,
    entry: &str,
    fences: &[Fence],
) -> Result<(), Unavailable> {
    for fence in fences.iter().filter(|fence| fence.age >= OLD) {
        let has_ended = Sql(HasEnded(&fence.transaction));
        let has_ended: bool = client.db.executor().one(has_ended).await?;
        if has_ended || injects!(client, FenceExpires) {
            let arguments = [fence.token.as_bytes(), b""];
            step(&client.counters, session, &END, &[entry], &arguments).await?;
            count(&client.counters.fences_cleared);
            events::fence_removed(&fence.transaction);
        }
    }
    Ok(())
}

/// The number of writers of a shard that one sweep examines.
const SWEPT: &[u8] = b"256";

/// Removes the abandoned fences of all shards, including those of entries that no process reads.
#[repository]
pub(crate) async fn sweep(client: &CacheClient) {
    for shard in 0..client.settings.shards {
        if let Some(session) = client.shard(shard).current() {
            // A later sweep repeats what fails now.
            let _ = sweep_shard(client, &session).await;
        }
    }
}

#[repository]
async fn sweep_shard(client: &CacheClient, session: &ShardSession) -> Result<(), Unavailable> {
    let old = OLD.to_string();
    let arguments = [old.as_bytes(), SWEPT];
    let Reply::Left(writers) = step(&client.counters, session, &SWEEP, &[], &arguments).await?
    else {
        return Ok(());
    };
    for writer in writers {
        let has_ended = Sql(HasEnded(&writer.transaction));
        let has_ended: bool = client.db.executor().one(has_ended).await?;
        if has_ended {
            let entries: Vec<&str> = writer.entries.iter().map(String::as_str).collect();
            let arguments = [writer.token.as_bytes(), writer.number.as_bytes()];
            step(&client.counters, session, &END, &entries, &arguments).await?;
            count(&client.counters.fences_cleared);
            events::fence_removed(&writer.transaction);
        }
    }
    Ok(())
}
