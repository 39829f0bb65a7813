//! The fill of an entry with a value that was read from the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache_io::single_flight::Leader;
use super::call::step;
use super::client::{CacheClient, keep_near};
#[cfg(feature = "cache-faults")]
use super::failpoint::failpoint;
use super::lease::Lease;
use super::repository;
use super::unavailable::Unavailable;
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::entry::Entry;
use crate::cache::keys::EntryKey;
use crate::cache::near::NearStart;
use crate::cache::scripts::{FILL, Reply};
use crate::cache::{count, events};
use crate::{Error, Result};

/// A pending fill: the caller reads the value from the database, and then calls [`settle`].
pub(crate) struct Fill<'s> {
    store: &'s CacheClient,
    name: EntryKey,
    lease: Option<Lease>,
    leader: Option<Leader>,
    began: Instant,
    near_start: Option<NearStart>,
    /// The time of the read, with which an encrypted value is marked.
    moment: u64,
}

impl<'s> Fill<'s> {
    pub(crate) fn new(
        store: &'s CacheClient,
        name: EntryKey,
        lease: Option<Lease>,
        leader: Option<Leader>,
    ) -> Self {
        Self {
            near_start: store.near_start(&name),
            store,
            name,
            lease,
            leader,
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
    store.reject_before(&fill.name, fill.moment);
    let Some(mut lease) = fill.lease.take() else {
        return Ok(value);
    };
    let lifetime = store.lifetime(&fill.name, &value).min(longest);
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::AfterRead).await;
    // Later readers must not join this flight.
    if let Some(leader) = &mut fill.leader
        && !injects!(store, LateWaiter)
    {
        leader.close();
    }
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::BeforeFill).await;
    let stored = store_value(&fill, &lease, &value, lifetime).await;
    if stored.is_ok() {
        lease.unused = None;
    }
    let stored = stored.unwrap_or(false);
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::AfterFill).await;
    let is_shared = stored || injects!(store, RefusedFillIsShared);
    if let Some(leader) = fill.leader.take().filter(|_| is_shared) {
        leader.share(Arc::new(value.clone()));
    }
    if stored {
        keep_near(store, &fill.name, &value, fill.near_start);
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
) -> Result<bool, Unavailable> {
    let store = fill.store;
    let names = &lease.session.names;
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
        lease
            .session
            .connection
            .send(&command, &store.counters)
            .await?;
        count(&store.counters.fills);
        return Ok(true);
    }
    let keys = keys.each_ref().map(String::as_str);
    let arguments = [lease.nonce.as_bytes(), milliseconds.as_bytes(), &encoded];
    let reply = step(&store.counters, &lease.session, &FILL, &keys, &arguments).await;
    let reply = reply.inspect_err(|error| {
        let shard = fill.name.shard(store.settings.shards);
        store.failed(shard, Some(&lease.session), error);
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

/// Ends a fill whose database read has failed. The drop of its lease releases it.
pub(crate) fn give_up(fill: Fill<'_>, error: &Error) {
    fill.store.on_database_error(error);
}
