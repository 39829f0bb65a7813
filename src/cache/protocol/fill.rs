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
use crate::cache::encryption::Moment;
use crate::cache::entry::Entry;
use crate::cache::keys::EntryKey;
use crate::cache::near::NearStart;
use crate::cache::scripts::{FILL, Reply};
use crate::cache::{count, events};
use crate::{Error, Result};

/// A pending fill: the caller reads the value from the database, and then calls [`settle`].
pub(crate) struct Fill<'s> {
    client: &'s CacheClient,
    key: EntryKey,
    lease: Option<Lease>,
    leader: Option<Leader>,
    began: Instant,
    near_start: Option<NearStart>,
    /// The time of the read, with which an encrypted value is marked.
    moment: Moment,
}

impl<'s> Fill<'s> {
    pub(crate) fn new(
        client: &'s CacheClient,
        key: EntryKey,
        lease: Option<Lease>,
        leader: Option<Leader>,
    ) -> Self {
        Self {
            near_start: client.near_start(&key),
            client,
            key,
            lease,
            leader,
            began: Instant::now(),
            moment: client.moment(),
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
    let client = fill.client;
    client.has_read(&fill.key, fill.moment);
    let Some(mut lease) = fill.lease.take() else {
        return Ok(value);
    };
    let lifetime = client.lifetime(&fill.key, &value).min(longest);
    #[cfg(feature = "cache-faults")]
    failpoint(client, Failpoint::AfterRead).await;
    // Later readers must not join this flight.
    if let Some(leader) = &mut fill.leader
        && !injects!(client, LateWaiter)
    {
        leader.close();
    }
    #[cfg(feature = "cache-faults")]
    failpoint(client, Failpoint::BeforeFill).await;
    let stored = store_value(&fill, &lease, &value, lifetime).await;
    if stored.is_ok() {
        lease.unused = None;
    }
    let stored = stored.unwrap_or(false);
    #[cfg(feature = "cache-faults")]
    failpoint(client, Failpoint::AfterFill).await;
    let is_shared = stored || injects!(client, RefusedFillIsShared);
    if let Some(leader) = fill.leader.take().filter(|_| is_shared) {
        leader.share(Arc::new(value.clone()));
    }
    if stored {
        keep_near(client, &fill.key, &value, fill.near_start);
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
    let client = fill.client;
    let key_space = &lease.session.key_space;
    let cost = fill.began.elapsed();
    let (milliseconds, encoded) =
        client.encoded(key_space, &fill.key, value, fill.moment, cost, lifetime);
    let redis_keys = [
        key_space.entry(&fill.key),
        key_space.value(&fill.key),
        key_space.lease(&fill.key),
    ];
    if lease.nonce.is_empty() || injects!(client, UnguardedFill) {
        if milliseconds == "0" {
            return Ok(true);
        }
        let mut command = redis::cmd("SET");
        command
            .arg(&redis_keys[1])
            .arg(&encoded)
            .arg("PX")
            .arg(&milliseconds);
        lease
            .session
            .connection
            .send(&command, &client.counters)
            .await?;
        count(&client.counters.fills);
        return Ok(true);
    }
    let redis_keys = redis_keys.each_ref().map(String::as_str);
    let arguments = [lease.nonce.as_bytes(), milliseconds.as_bytes(), &encoded];
    let reply = step(
        &client.counters,
        &lease.session,
        &FILL,
        &redis_keys,
        &arguments,
    )
    .await;
    let reply = reply.inspect_err(|error| {
        let shard = fill.key.shard(client.settings.shards);
        client.failed(shard, Some(&lease.session), error);
    })?;
    match reply {
        Reply::Done(word) if word == "filled" => {
            count(&client.counters.fills);
            events::entry(fill.key.kind.word(), "filled");
            Ok(true)
        }
        _ => {
            count(&client.counters.fills_refused);
            events::entry(fill.key.kind.word(), "refused");
            Ok(false)
        }
    }
}

/// Ends a fill whose database read has failed. The drop of its lease releases it.
pub(crate) fn give_up(fill: Fill<'_>, error: &Error) {
    fill.client.on_database_error(error);
}
