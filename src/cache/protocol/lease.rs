//! The lease to fill an entry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::abandoned_fences::clear;
use super::cache_io::pause;
use super::call::step;
use super::client::CacheClient;
use super::generation::{open_generation, session};
use super::repository;
use super::shard::ShardSession;
use super::unavailable::Unavailable;
use crate::Result;
use crate::cache::entry::Entry;
use crate::cache::keys::EntryKey;
use crate::cache::scripts::{LEASE, RELEASE, Reply};

/// The lease of an entry, from its request on. Without a nonce for kinds that may be out of date,
/// which need no lease.
pub(crate) struct Lease {
    pub(crate) session: Arc<ShardSession>,
    pub(crate) nonce: String,
    /// The key of the lease, until it is used or was not granted.
    pub(crate) unused: Option<String>,
}

/// Releases an unused lease, for example on cancellation while its request is in flight. If the
/// release is lost, the lease expires.
impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(key) = self.unused.take() {
            release(&self.session, &self.nonce, &[key]);
        }
    }
}

/// Releases unused leases without waiting for the response.
pub(crate) fn release(session: &ShardSession, nonce: &str, leases: &[String]) {
    let key_space = &session.key_space;
    let mut redis_keys = vec![key_space.generation_key.as_str(), key_space.epoch.as_str()];
    redis_keys.extend(leases.iter().map(String::as_str));
    let arguments = [key_space.generation.as_bytes(), nonce.as_bytes()];
    let command = RELEASE.by_text(&redis_keys, &arguments);
    session.connection.send_detached(command);
}

/// The outcome of a request for a lease.
pub(crate) enum LeaseOutcome<T> {
    Found(T),
    Granted(Lease),
    Bypass,
}

/// Requests the lease of an entry. If another reader holds it, waits for that reader within a
/// bound.
#[repository]
pub(crate) async fn lease<T: Entry>(
    client: &CacheClient,
    key: &EntryKey,
    overwrite: bool,
) -> Result<LeaseOutcome<T>, Unavailable> {
    let shard = key.shard(client.settings.shards);
    let session = session(client, shard).await?;
    let outcome = lease_in::<T>(client, key, overwrite, &session).await;
    outcome.inspect_err(|error| client.failed(shard, Some(&session), error))
}

#[repository]
async fn lease_in<T: Entry>(
    client: &CacheClient,
    key: &EntryKey,
    mut overwrite: bool,
    session: &Arc<ShardSession>,
) -> Result<LeaseOutcome<T>, Unavailable> {
    if key.kind.is_aging() {
        let session = Arc::clone(session);
        let (nonce, unused) = (String::new(), None);
        return Ok(LeaseOutcome::Granted(Lease {
            session,
            nonce,
            unused,
        }));
    }
    let shard = key.shard(client.settings.shards);
    let nonce = Uuid::now_v7().simple().to_string();
    let milliseconds = client.settings.lease.as_millis().max(1).to_string();
    let key_space = &session.key_space;
    let redis_keys = [
        key_space.entry(key),
        key_space.value(key),
        key_space.lease(key),
    ];
    let redis_keys = redis_keys.each_ref().map(String::as_str);
    let began = Instant::now();
    let mut wait = FIRST_WAIT;
    let mut has_opened = false;
    loop {
        let arguments: [&[u8]; 3] = [
            nonce.as_bytes(),
            milliseconds.as_bytes(),
            if overwrite { b"1" } else { b"0" },
        ];
        let mut requested = Lease {
            session: Arc::clone(session),
            nonce: nonce.clone(),
            unused: Some(redis_keys[2].to_owned()),
        };
        let reply = step(&client.counters, session, &LEASE, &redis_keys, &arguments).await;
        if !matches!(reply, Ok(Reply::Granted)) {
            requested.unused = None;
        }
        match reply? {
            Reply::Granted => return Ok(LeaseOutcome::Granted(requested)),
            Reply::Value(bytes) => {
                match client.decoded(key_space, key, &bytes) {
                    Some(decoded) => return Ok(LeaseOutcome::Found(decoded.value)),
                    None if overwrite => return Ok(LeaseOutcome::Bypass),
                    // A value that cannot be decoded is replaced.
                    None => overwrite = true,
                }
            }
            Reply::Held if !overwrite && began.elapsed() + wait < client.settings.lease_wait => {
                pause(wait).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
            Reply::Held => return Ok(LeaseOutcome::Bypass),
            Reply::Closed(barrier) => {
                if has_opened || !open_generation(client, shard, session, barrier).await? {
                    return Ok(LeaseOutcome::Bypass);
                }
                has_opened = true;
            }
            Reply::Fenced(fences) => {
                clear(client, session, redis_keys[0], &fences).await?;
                return Ok(LeaseOutcome::Bypass);
            }
            Reply::Lost => {
                client.close_session(shard, session);
                return Ok(LeaseOutcome::Bypass);
            }
            _ => return Err(Unavailable::UnexpectedReply),
        }
    }
}

/// The first and the longest wait before the next check whether another reader has filled the
/// entry.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(32);
