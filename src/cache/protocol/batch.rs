//! Reads of several entries: one command for the cached ones, one query and two scripts for the
//! others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use uuid::Uuid;

use super::call::step;
use super::client::{CacheClient, admits, keep_near};
use super::confirm::confirm;
#[cfg(feature = "cache-faults")]
use super::failpoint::failpoint;
use super::generation::{open_generation, session};
use super::lease::release;
use super::lookup::{Found, get_each, near};
use super::repository;
use super::shard::ShardSession;
use super::unavailable::Unavailable;
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::encryption::Moment;
use crate::cache::entry::Entry;
use crate::cache::keys::EntryKey;
use crate::cache::scripts::{FILL_ALL, LEASE_ALL, Reply};

/// The entries to read from the database.
pub(crate) struct Missing {
    /// The indices of the entries that were not found, each entry once.
    pub(crate) indices: Vec<usize>,
    keys: Vec<EntryKey>,
    /// For each index, the first index with the same entry, which is the one that is read.
    same: Vec<usize>,
    leases: Vec<Leases>,
    began: Instant,
    /// The time of the read, with which encrypted values are marked.
    moment: Moment,
}

/// The leases of entries of one shard.
struct Leases {
    shard: u16,
    session: Arc<ShardSession>,
    nonce: String,
    indices: Vec<usize>,
    /// The keys of the leases, until they are used or were not granted.
    unused: Vec<String>,
}

/// Releases unused leases, for example on cancellation while their request is in flight. If the
/// release is lost, they expire.
impl Drop for Leases {
    fn drop(&mut self) {
        if !self.unused.is_empty() {
            release(&self.session, &self.nonce, &self.unused);
        }
    }
}

/// Looks several entries up.
#[repository]
pub(crate) async fn look_up_all<T: Entry>(
    client: &CacheClient,
    keys: &[EntryKey],
) -> (Vec<Option<T>>, Missing) {
    let mut found: Vec<Option<T>> = keys.iter().map(|key| near(client, key)).collect();
    let mut first_place: HashMap<&EntryKey, usize> = HashMap::new();
    let same: Vec<usize> = keys
        .iter()
        .enumerate()
        .map(|(index, key)| *first_place.entry(key).or_insert(index))
        .collect();
    let near_hits = found.iter().filter(|value| value.is_some()).count();
    let mut by_shard: HashMap<u16, Vec<usize>> = HashMap::new();
    for (index, key) in keys.iter().enumerate() {
        if found[index].is_none() && same[index] == index && admits(client, key) {
            by_shard
                .entry(key.shard(client.settings.shards))
                .or_default()
                .push(index);
        }
    }
    let mut leases = Vec::new();
    let wanted: Vec<(u16, Vec<&EntryKey>)> = by_shard
        .iter()
        .map(|(&shard, indices)| (shard, indices.iter().map(|&index| &keys[index]).collect()))
        .collect();
    if !wanted.is_empty() {
        confirm(client).await;
    }
    let starts: Vec<_> = keys.iter().map(|key| client.near_start(key)).collect();
    let values = get_each(client, &wanted).await;
    for ((shard, indices), values) in by_shard.into_iter().zip(values) {
        let Some(Found { session, values }) = values else {
            continue;
        };
        for (&index, value) in indices.iter().zip(values) {
            let decoded = value
                .and_then(|bytes| client.decoded::<T>(&session.key_space, &keys[index], &bytes));
            found[index] = decoded.map(|decoded| {
                keep_near(client, &keys[index], &decoded.value, starts[index]);
                decoded.value
            });
        }
        let missing: Vec<usize> = indices
            .into_iter()
            .filter(|&index| found[index].is_none())
            .collect();
        if !missing.is_empty() {
            leases.extend(lease_all(client, shard, keys, missing).await.ok().flatten());
        }
    }
    for index in 0..keys.len() {
        if found[index].is_none() {
            found[index] = found[same[index]].clone();
        }
    }
    let indices: Vec<usize> = (0..keys.len())
        .filter(|&index| found[index].is_none() && same[index] == index)
        .collect();
    let hits = found.iter().filter(|value| value.is_some()).count() - near_hits;
    let counters = &client.counters;
    counters
        .near_hits
        .fetch_add(near_hits as u64, Ordering::Relaxed);
    counters.hits.fetch_add(hits as u64, Ordering::Relaxed);
    counters
        .misses
        .fetch_add(indices.len() as u64, Ordering::Relaxed);
    let missing = Missing {
        indices,
        keys: keys.to_vec(),
        same,
        leases,
        began: Instant::now(),
        moment: client.moment(),
    };
    (found, missing)
}

#[repository]
async fn lease_all(
    client: &CacheClient,
    shard: u16,
    keys: &[EntryKey],
    indices: Vec<usize>,
) -> Result<Option<Leases>, Unavailable> {
    let session = session(client, shard).await?;
    let nonce = Uuid::now_v7().simple().to_string();
    let milliseconds = client.settings.lease.as_millis().max(1).to_string();
    let entries: Vec<String> = indices
        .iter()
        .map(|&index| session.key_space.entry(&keys[index]))
        .collect();
    let redis_keys: Vec<&str> = entries.iter().map(String::as_str).collect();
    let schema = &session.key_space.schema;
    let arguments = [nonce.as_bytes(), milliseconds.as_bytes(), schema.as_bytes()];
    let unused = indices.iter().map(|&index| &keys[index]);
    let mut leases = Leases {
        shard,
        session: Arc::clone(&session),
        nonce: nonce.clone(),
        indices: Vec::new(),
        unused: unused.map(|key| session.key_space.lease(key)).collect(),
    };
    let reply = step(
        &client.counters,
        &session,
        &LEASE_ALL,
        &redis_keys,
        &arguments,
    )
    .await;
    if !matches!(reply, Ok(Reply::Each(_))) {
        leases.unused.clear();
    }
    match reply.inspect_err(|error| client.failed(shard, Some(&session), error))? {
        Reply::Each(granted) => {
            let requested = std::mem::take(&mut leases.unused).into_iter();
            let granted = indices.into_iter().zip(requested).zip(granted);
            let granted = granted.filter_map(|(lease, is_granted)| is_granted.then_some(lease));
            (leases.indices, leases.unused) = granted.unzip();
            Ok(Some(leases))
        }
        Reply::Closed(barrier) => {
            // The next reader fills the entries.
            open_generation(client, shard, &session, barrier).await?;
            Ok(None)
        }
        _ => {
            client.close_session(shard, &session);
            Ok(None)
        }
    }
}

/// Stores the values that were read for the missing entries, unless a write came between, and
/// completes `found`.
#[repository]
pub(crate) async fn settle_all<T: Entry>(
    client: &CacheClient,
    mut missing: Missing,
    values: Vec<T>,
    found: &mut [Option<T>],
) {
    for (&index, value) in missing.indices.iter().zip(values) {
        found[index] = Some(value);
        client.has_read(&missing.keys[index], missing.moment);
    }
    #[cfg(feature = "cache-faults")]
    failpoint(client, Failpoint::BeforeFill).await;
    for mut leases in std::mem::take(&mut missing.leases) {
        // A failure to store a value does not affect the read.
        if fill_all(client, &leases, &missing, found).await.is_ok() {
            leases.unused.clear();
        }
    }
    for index in 0..found.len() {
        if found[index].is_none() {
            found[index] = found[missing.same[index]].clone();
        }
    }
}

#[repository]
async fn fill_all<T: Entry>(
    client: &CacheClient,
    leases: &Leases,
    missing: &Missing,
    found: &[Option<T>],
) -> Result<(), Unavailable> {
    let session = &leases.session;
    let mut entries = Vec::new();
    let mut values = Vec::new();
    let cost = missing.began.elapsed();
    for &index in &leases.indices {
        if let Some(value) = &found[index] {
            let key = &missing.keys[index];
            entries.push(session.key_space.entry(key));
            let lifetime = client.lifetime(key, value);
            values.push(client.encoded(
                &session.key_space,
                key,
                value,
                missing.moment,
                cost,
                lifetime,
            ));
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    let redis_keys: Vec<&str> = entries.iter().map(String::as_str).collect();
    let mut arguments = vec![leases.nonce.as_bytes(), session.key_space.schema.as_bytes()];
    for (milliseconds, value) in &values {
        arguments.extend([milliseconds.as_bytes(), &value[..]]);
    }
    let reply = step(
        &client.counters,
        session,
        &FILL_ALL,
        &redis_keys,
        &arguments,
    )
    .await;
    let reply = reply.inspect_err(|error| client.failed(leases.shard, Some(session), error))?;
    if let Reply::Each(filled) = reply {
        let stored = filled.iter().filter(|filled| **filled).count() as u64;
        client.counters.fills.fetch_add(stored, Ordering::Relaxed);
        let refused = filled.len() as u64 - stored;
        client
            .counters
            .fills_refused
            .fetch_add(refused, Ordering::Relaxed);
    }
    Ok(())
}

/// The bytes of a cached value.
pub(crate) struct Stored {
    session: Arc<ShardSession>,
    bytes: Vec<u8>,
}

impl Stored {
    pub(crate) fn decoded<T: Entry>(&self, client: &CacheClient, key: &EntryKey) -> Option<T> {
        let decoded = client.decoded(&self.session.key_space, key, &self.bytes);
        decoded.map(|decoded| decoded.value)
    }
}

/// Returns the values of all these entries as they were at one moment. `None` if one is missing, or
/// has changed meanwhile. The near cache is not used, because its values are of different moments.
///
/// # Errors
/// The cache is unavailable for one of them.
#[repository]
pub(crate) async fn all_at_one_moment(
    client: &CacheClient,
    keys: &[EntryKey],
) -> Result<Option<Vec<Stored>>, Unavailable> {
    if !keys.iter().all(|key| admits(client, key)) {
        return Err(Unavailable::NotResponding);
    }
    confirm(client).await;
    let mut by_shard: Vec<(u16, Vec<&EntryKey>)> = Vec::new();
    for key in keys {
        let shard = key.shard(client.settings.shards);
        match by_shard.iter_mut().find(|(other, _)| *other == shard) {
            Some((_, keys)) => keys.push(key),
            None => by_shard.push((shard, vec![key])),
        }
    }
    let Some(found) = each(client, keys, &by_shard).await? else {
        return Ok(None);
    };
    if by_shard.len() > 1 {
        // Several commands. A value that is the same in both reads was there between them.
        let again = each(client, keys, &by_shard).await?;
        let is_same = again.is_some_and(|again| {
            let mut both = found.iter().zip(&again);
            both.all(|(first, second)| first.bytes == second.bytes)
        });
        if !is_same {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Returns the values in the order of the keys. `None` if one is missing.
#[repository]
async fn each(
    client: &CacheClient,
    keys: &[EntryKey],
    by_shard: &[(u16, Vec<&EntryKey>)],
) -> Result<Option<Vec<Stored>>, Unavailable> {
    let mut stored: HashMap<&EntryKey, Stored> = HashMap::new();
    let found = get_each(client, by_shard).await;
    for ((_, keys), found) in by_shard.iter().zip(found) {
        let Some(Found { session, values }) = found else {
            return Err(Unavailable::NotResponding);
        };
        for (&key, bytes) in keys.iter().zip(values) {
            if let Some(bytes) = bytes {
                let session = Arc::clone(&session);
                stored.insert(key, Stored { session, bytes });
            }
        }
    }
    Ok(keys.iter().map(|key| stored.remove(key)).collect())
}
