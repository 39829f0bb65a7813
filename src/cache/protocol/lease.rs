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
    let names = &session.names;
    let mut keys = vec![names.generation_key.as_str(), names.epoch.as_str()];
    keys.extend(leases.iter().map(String::as_str));
    let arguments = [names.generation.as_bytes(), nonce.as_bytes()];
    let command = RELEASE.by_text(&keys, &arguments);
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
    store: &CacheClient,
    name: &EntryKey,
    overwrite: bool,
) -> Result<LeaseOutcome<T>, Unavailable> {
    let shard = name.shard(store.settings.shards);
    let session = session(store, shard).await?;
    let outcome = lease_in::<T>(store, name, overwrite, &session).await;
    outcome.inspect_err(|error| store.failed(shard, Some(&session), error))
}

#[repository]
async fn lease_in<T: Entry>(
    store: &CacheClient,
    name: &EntryKey,
    mut overwrite: bool,
    session: &Arc<ShardSession>,
) -> Result<LeaseOutcome<T>, Unavailable> {
    if name.kind.is_aging() {
        let session = Arc::clone(session);
        let (nonce, unused) = (String::new(), None);
        return Ok(LeaseOutcome::Granted(Lease {
            session,
            nonce,
            unused,
        }));
    }
    let shard = name.shard(store.settings.shards);
    let nonce = Uuid::now_v7().simple().to_string();
    let milliseconds = store.settings.lease.as_millis().max(1).to_string();
    let names = &session.names;
    let keys = [names.entry(name), names.value(name), names.lease(name)];
    let keys = keys.each_ref().map(String::as_str);
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
            unused: Some(keys[2].to_owned()),
        };
        let reply = step(&store.counters, session, &LEASE, &keys, &arguments).await;
        if !matches!(reply, Ok(Reply::Granted)) {
            requested.unused = None;
        }
        match reply? {
            Reply::Granted => return Ok(LeaseOutcome::Granted(requested)),
            Reply::Value(bytes) => {
                match store.decoded(names, name, &bytes) {
                    Some(decoded) => return Ok(LeaseOutcome::Found(decoded.value)),
                    None if overwrite => return Ok(LeaseOutcome::Bypass),
                    // A value that cannot be decoded is replaced.
                    None => overwrite = true,
                }
            }
            Reply::Held if !overwrite && began.elapsed() + wait < store.settings.lease_wait => {
                pause(wait).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
            Reply::Held => return Ok(LeaseOutcome::Bypass),
            Reply::Closed(barrier) => {
                if has_opened || !open_generation(store, shard, session, barrier).await? {
                    return Ok(LeaseOutcome::Bypass);
                }
                has_opened = true;
            }
            Reply::Fenced(fences) => {
                clear(store, session, keys[0], &fences).await?;
                return Ok(LeaseOutcome::Bypass);
            }
            Reply::Lost => {
                store.close_session(shard, session);
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
