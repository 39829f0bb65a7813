//! Checks that the database is still the same while cached values are read.

use std::sync::Arc;

use super::abandoned_fences::sweep;
use super::cache_io::{RedisConnection, apart, boxed};
use super::client::CacheClient;
use super::identity::ask;
use super::repository;
use super::unavailable::Unusable;

/// Has the database asked now and then whether it is still the same, so that a process that only reads what is cached
/// notices that a standby has taken over. It is asked beside the readers; one of them waits for the answer, within a bound.
#[repository]
#[allow(
    clippy::unit_arg,
    reason = "only the async engine has something to box"
)]
pub(crate) async fn confirm(store: &CacheClient) {
    heed_losses(store);
    if store.lineage.is_due() {
        boxed(confirm_now(store)).await;
    }
}

/// After a connection was lost, nothing that is cached is believed before the database has said which one it is: a standby
/// may have taken over that lacks it.
pub(crate) fn heed_losses(store: &CacheClient) {
    if store.lineage.is_unsettled() {
        store.forget_database();
    }
}

#[repository]
async fn confirm_now(store: &CacheClient) {
    if !store.lineage.claim() {
        return;
    }
    let Some(me) = store.me.upgrade() else {
        return;
    };
    if store.database().is_none() {
        // It is asked for anyway.
        return;
    }
    let before = store.lineage.ends.seen();
    apart(me, look_again);
    let patience = store.settings.connect_timeout;
    store.lineage.ends.wait(before, patience).await;
}

/// Asks the database whether it is still the same, and removes the fences that writers have left.
#[repository]
pub(crate) async fn look_again(store: Arc<CacheClient>) {
    let known = store.database();
    match (known, ask(&store, &store.db.executor()).await) {
        (Some(known), Ok(found)) => {
            if known.name != found.name || known.timeline != found.timeline {
                store.forget_database();
            }
            store.lineage.is_known(&found.timeline);
        }
        // Until the next check, what is cached is as good as before.
        _ => store.lineage.has_failed(),
    }
    store.lineage.ends.end();
    check_servers(&store).await;
    sweep(&store).await;
}

/// Ends the sessions on servers that are no longer the primary that they were. A server that was a replica for a while keeps
/// its clients' connections, unless Sentinel or the cluster has demoted it.
#[repository]
async fn check_servers(store: &CacheClient) {
    let mut checked: Vec<(Arc<RedisConnection>, Option<String>)> = Vec::new();
    for shard in 0..store.settings.shards {
        let Some(attached) = store.shard(shard).current() else {
            continue;
        };
        let known = checked
            .iter()
            .find(|(link, _)| Arc::ptr_eq(link, &attached.link));
        let run = match known {
            Some((_, run)) => run.clone(),
            None => {
                let run = attached.link.server_info().await;
                let run = run.inspect_err(|error| {
                    store.failed(shard, Some(&attached), &Unusable::from(error.clone()));
                });
                let run = run.ok();
                checked.push((Arc::clone(&attached.link), run.clone()));
                run
            }
        };
        if run.as_ref() != Some(&attached.run) {
            store.unlink(&attached.link);
            store.detach(shard, &attached);
        }
    }
}
