//! The lease to fill an entry, and the fill.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::sql_types::Text;
use uuid::Uuid;

use super::cache_io::pause;
use super::cache_io::single_flight::Leader;
#[cfg(feature = "cache-faults")]
use super::client::failpoint;
use super::client::{CacheClient, keep_near};
use super::generation::{attached, open};
use super::repository;
use super::servers::{ShardSession, Unusable, step};
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::entry::Entry;
use crate::cache::keys::EntryKey;
use crate::cache::scripts::{END, FILL, Fence, LEASE, RELEASE, Reply, SWEEP};
use crate::cache::{count, events};
use crate::sql::cache as question;
use crate::sql::prepared;
use crate::{Error, Result};

/// A pending fill: the caller reads the value from the database, and then calls [`settle`].
pub(crate) struct Fill<'s> {
    store: &'s CacheClient,
    name: EntryKey,
    lease: Option<Lease>,
    leading: Option<Leader>,
    began: Instant,
    /// The time of the read, with which an encrypted value is marked.
    moment: u64,
}

/// The lease of an entry. Without a nonce for kinds that may be out of date, which need no lease.
pub(crate) struct Lease {
    attached: Arc<ShardSession>,
    nonce: String,
}

/// The outcome of a request for a lease.
pub(crate) enum LeaseOutcome<T> {
    Found(T),
    Granted(Lease),
    Bypass,
}

/// Requests the lease of an entry. If another reader holds it, waits for that reader within a bound.
#[repository]
pub(crate) async fn lease<T: Entry>(
    store: &CacheClient,
    name: &EntryKey,
    anew: bool,
) -> Result<LeaseOutcome<T>, Unusable> {
    let shard = name.shard(store.settings.shards);
    let attached = attached(store, shard).await?;
    let outcome = lease_in::<T>(store, name, anew, &attached).await;
    outcome.inspect_err(|error| store.failed(shard, Some(&attached), error))
}

#[repository]
async fn lease_in<T: Entry>(
    store: &CacheClient,
    name: &EntryKey,
    mut anew: bool,
    attached: &Arc<ShardSession>,
) -> Result<LeaseOutcome<T>, Unusable> {
    if name.kind.is_aging() {
        let attached = Arc::clone(attached);
        let nonce = String::new();
        return Ok(LeaseOutcome::Granted(Lease { attached, nonce }));
    }
    let shard = name.shard(store.settings.shards);
    let nonce = Uuid::now_v7().simple().to_string();
    let milliseconds = store.settings.lease.as_millis().max(1).to_string();
    let names = &attached.names;
    let keys = [names.entry(name), names.value(name), names.lease(name)];
    let keys = keys.each_ref().map(String::as_str);
    let began = Instant::now();
    let mut wait = FIRST_WAIT;
    let mut has_opened = false;
    loop {
        let arguments: [&[u8]; 3] = [
            nonce.as_bytes(),
            milliseconds.as_bytes(),
            if anew { b"1" } else { b"0" },
        ];
        match step(store, attached, &LEASE, &keys, &arguments).await? {
            Reply::Granted => {
                let attached = Arc::clone(attached);
                return Ok(LeaseOutcome::Granted(Lease { attached, nonce }));
            }
            Reply::Value(bytes) => {
                match store.decoded(names, name, &bytes) {
                    Some(decoded) => return Ok(LeaseOutcome::Found(decoded.value)),
                    None if anew => return Ok(LeaseOutcome::Bypass),
                    // A value that cannot be decoded is replaced.
                    None => anew = true,
                }
            }
            Reply::Held if !anew && began.elapsed() + wait < store.settings.lease_wait => {
                pause(wait).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
            Reply::Held => return Ok(LeaseOutcome::Bypass),
            Reply::Closed(barrier) => {
                if has_opened || !open(store, shard, attached, barrier).await? {
                    return Ok(LeaseOutcome::Bypass);
                }
                has_opened = true;
            }
            Reply::Fenced(fences) => {
                clear(store, attached, keys[0], &fences).await?;
                return Ok(LeaseOutcome::Bypass);
            }
            Reply::Lost => {
                store.detach(shard, attached);
                return Ok(LeaseOutcome::Bypass);
            }
            _ => return Err(Unusable::Misunderstood),
        }
    }
}

/// The first and the longest wait before the next check whether another reader has filled the entry.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(32);

/// The age in seconds from which a fence may be abandoned. Few writers take this long.
const OLD: u64 = 2;

/// Removes the fences of writers whose transactions have ended.
#[repository]
async fn clear(
    store: &CacheClient,
    attached: &ShardSession,
    entry: &str,
    fences: &[Fence],
) -> Result<(), Unusable> {
    for fence in fences.iter().filter(|fence| fence.age >= OLD) {
        let has_ended = diesel::sql_query(question::HAS_ENDED).bind::<Text, _>(&fence.transaction);
        let has_ended: question::Answer = store.db.executor().one(prepared(has_ended)).await?;
        if has_ended.yes || injects!(store, FenceExpires) {
            let arguments = [fence.token.as_bytes(), b""];
            step(store, attached, &END, &[entry], &arguments).await?;
            count(&store.counters.fences_cleared);
            events::cleared(&fence.transaction);
        }
    }
    Ok(())
}

/// The number of writers of a shard that one sweep examines.
const SWEPT: &[u8] = b"256";

/// Removes the abandoned fences of all shards, including those of entries that no process reads.
#[repository]
pub(crate) async fn sweep(store: &CacheClient) {
    for shard in 0..store.settings.shards {
        if let Some(attached) = store.shard(shard).current() {
            // A later sweep repeats what fails now.
            let _ = sweep_shard(store, &attached).await;
        }
    }
}

#[repository]
async fn sweep_shard(store: &CacheClient, attached: &ShardSession) -> Result<(), Unusable> {
    let old = OLD.to_string();
    let arguments = [old.as_bytes(), SWEPT];
    let Reply::Left(writers) = step(store, attached, &SWEEP, &[], &arguments).await? else {
        return Ok(());
    };
    for writer in writers {
        let has_ended = diesel::sql_query(question::HAS_ENDED).bind::<Text, _>(&writer.transaction);
        let has_ended: question::Answer = store.db.executor().one(prepared(has_ended)).await?;
        if has_ended.yes {
            let entries: Vec<&str> = writer.entries.iter().map(String::as_str).collect();
            let arguments = [writer.token.as_bytes(), writer.number.as_bytes()];
            step(store, attached, &END, &entries, &arguments).await?;
            count(&store.counters.fences_cleared);
            events::cleared(&writer.transaction);
        }
    }
    Ok(())
}

impl<'s> Fill<'s> {
    pub(crate) fn new(
        store: &'s CacheClient,
        name: EntryKey,
        lease: Option<Lease>,
        leading: Option<Leader>,
    ) -> Self {
        Self {
            store,
            name,
            lease,
            leading,
            began: Instant::now(),
            moment: store.moment(),
        }
    }
}

/// Stores the value that was read, unless a write came between, and returns it.
#[repository]
pub(crate) async fn settle<T: Entry>(fill: Fill<'_>, outcome: Result<T>) -> Result<T> {
    let longest = Duration::MAX;
    settle_for(fill, outcome, longest).await
}

/// Does the same as [`settle`] for a value that lives for at most `longest`.
#[repository]
pub(crate) async fn settle_for<T: Entry>(
    mut fill: Fill<'_>,
    outcome: Result<T>,
    longest: Duration,
) -> Result<T> {
    let value = match outcome {
        Ok(value) => value,
        Err(error) => {
            give_up(fill, &error);
            return Err(error);
        }
    };
    let store = fill.store;
    store.distrust(&fill.name, fill.moment);
    let Some(lease) = fill.lease.take() else {
        return Ok(value);
    };
    let lifetime = store.lifetime(&fill.name, &value).min(longest);
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::AfterRead).await;
    // Later readers must not join this flight.
    if let Some(leading) = &mut fill.leading
        && !injects!(store, LateWaiter)
    {
        leading.close();
    }
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::BeforeFill).await;
    let stored = store_value(&fill, &lease, &value, lifetime)
        .await
        .unwrap_or(false);
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::AfterFill).await;
    let is_shared = stored || injects!(store, RefusedFillIsShared);
    if let Some(leading) = fill.leading.take().filter(|_| is_shared) {
        leading.share(Arc::new(value.clone()));
    }
    if stored {
        keep_near(store, &fill.name, &value);
    }
    Ok(value)
}

/// Stores the value, and returns whether the fill was accepted.
#[repository]
async fn store_value<T: Entry>(
    fill: &Fill<'_>,
    lease: &Lease,
    value: &T,
    lifetime: Duration,
) -> Result<bool, Unusable> {
    let store = fill.store;
    let names = &lease.attached.names;
    let cost = fill.began.elapsed();
    let (milliseconds, encoded) =
        store.encoded(names, &fill.name, value, fill.moment, cost, lifetime);
    let keys = [
        names.entry(&fill.name),
        names.value(&fill.name),
        names.lease(&fill.name),
    ];
    if lease.nonce.is_empty() || injects!(store, UnguardedFill) {
        if milliseconds == "0" {
            return Ok(true);
        }
        let mut command = redis::cmd("SET");
        command
            .arg(&keys[1])
            .arg(&encoded)
            .arg("PX")
            .arg(&milliseconds);
        lease.attached.link.send(&command, &store.counters).await?;
        count(&store.counters.fills);
        return Ok(true);
    }
    let keys = keys.each_ref().map(String::as_str);
    let arguments = [lease.nonce.as_bytes(), milliseconds.as_bytes(), &encoded];
    let reply = step(store, &lease.attached, &FILL, &keys, &arguments).await;
    let reply = reply.inspect_err(|error| {
        let shard = fill.name.shard(store.settings.shards);
        store.failed(shard, Some(&lease.attached), error);
    })?;
    match reply {
        Reply::Done(word) if word == "filled" => {
            count(&store.counters.fills);
            events::entry(fill.name.kind.word(), "filled");
            Ok(true)
        }
        _ => {
            count(&store.counters.fills_refused);
            events::entry(fill.name.kind.word(), "refused");
            Ok(false)
        }
    }
}

/// Ends a fill whose database read has failed. The drop of `fill` releases the lease.
pub(crate) fn give_up(fill: Fill<'_>, error: &Error) {
    fill.store.on_database_error(error);
}

/// Releases an unused lease, for example on cancellation. If the release is lost, the lease expires.
impl Drop for Fill<'_> {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take().filter(|lease| !lease.nonce.is_empty()) else {
            return;
        };
        let names = &lease.attached.names;
        let keys = [
            names.generation_key.clone(),
            names.epoch.clone(),
            names.entry(&self.name),
            names.value(&self.name),
            names.lease(&self.name),
        ];
        let keys = keys.each_ref().map(String::as_str);
        let arguments = [names.generation.as_bytes(), lease.nonce.as_bytes()];
        lease
            .attached
            .link
            .send_unheard(RELEASE.by_text(&keys, &arguments));
    }
}
