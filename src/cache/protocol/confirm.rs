//! Checks that the database is still the same while cached values are read.

use std::sync::Arc;

use super::abandoned_fences::sweep;
use super::cache_io::{RedisConnection, boxed, in_background};
use super::client::CacheClient;
use super::identity::read_identity;
use super::repository;
use super::unavailable::Unavailable;

/// Checks from time to time that the database is still the same, so that a process that only reads
/// cached values notices that a standby has taken over. The check runs in the background. One
/// reader waits for it, within a bound.
#[repository]
#[allow(
    clippy::unit_arg,
    reason = "only the async engine has something to box"
)]
pub(crate) async fn confirm(client: &CacheClient) {
    forget_after_losses(client);
    if client.lineage.is_due() {
        boxed(confirm_now(client)).await;
    }
}

/// Forgets the identity of the database after a connection was lost. No cached value is used before
/// the identity is read again: a standby may have taken over that lacks the cached writes.
pub(crate) fn forget_after_losses(client: &CacheClient) {
    if client.lineage.has_lost() {
        client.forget_database();
    }
}

#[repository]
async fn confirm_now(client: &CacheClient) {
    if !client.lineage.claim() {
        return;
    }
    let Some(me) = client.me.upgrade() else {
        return;
    };
    if client.database().is_none() {
        // The next use of a shard reads it.
        return;
    }
    let before = client.lineage.ends.seen();
    in_background(me, check_identity);
    let patience = client.settings.connect_timeout;
    client.lineage.ends.wait(before, patience).await;
}

/// Checks that the database is still the same, and removes abandoned fences.
#[repository]
pub(crate) async fn check_identity(client: Arc<CacheClient>) {
    let known = client.database();
    match (known, read_identity(&client, &client.db.executor()).await) {
        (Some(known), Ok(found)) => {
            if known.name != found.name || known.timeline != found.timeline {
                client.forget_database();
            }
            client.lineage.record_timeline(&found.timeline);
        }
        // Until the next check, what is cached is as good as before.
        _ => client.lineage.has_failed(),
    }
    client.lineage.ends.end();
    check_servers(&client).await;
    sweep(&client).await;
}

/// Ends the sessions on servers that are no longer the primary that they were. A server that was a
/// replica for a while keeps its clients' connections, unless Sentinel or the cluster has demoted
/// it.
#[repository]
async fn check_servers(client: &CacheClient) {
    let mut checked: Vec<(Arc<RedisConnection>, Option<String>)> = Vec::new();
    for shard in 0..client.settings.shards {
        let Some(session) = client.shard(shard).current() else {
            continue;
        };
        let known = checked
            .iter()
            .find(|(connection, _)| Arc::ptr_eq(connection, &session.connection));
        let run = match known {
            Some((_, run)) => run.clone(),
            None => {
                let run = session.connection.server_info().await;
                let run = run.inspect_err(|error| {
                    client.failed(shard, Some(&session), &Unavailable::from(error.clone()));
                });
                let run = run.ok();
                checked.push((Arc::clone(&session.connection), run.clone()));
                run
            }
        };
        if run.as_ref() != Some(&session.run_id) {
            client.discard_connection(&session.connection);
            client.close_session(shard, &session);
        }
    }
}
