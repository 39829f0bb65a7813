//! Looking entries up: from the near cache, from Redis, or from the database with a fill.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cache_io::single_flight::Flight;
use super::cache_io::{boxed, send_all};
use super::client::{CacheClient, admits, keep_near};
use super::confirm::{confirm, forget_after_losses};
use super::fill::Fill;
use super::generation::session;
use super::lease::{LeaseOutcome, lease};
use super::repository;
use super::shard::ShardSession;
use super::unavailable::Unavailable;
use crate::Result;
use crate::cache::entry::{Decoded, Entry};
use crate::cache::keys::EntryKey;
use crate::cache::mget::{self, MgetReply};
use crate::cache::near::NearStart;
use crate::cache::{count, events};

/// The outcome of a read of the cache.
#[allow(
    clippy::large_enum_variant,
    reason = "moved once, where a box would cost each miss an allocation"
)]
pub(crate) enum Lookup<'s, T> {
    Hit(T),
    /// To be read from the database, and passed to [`settle`](super::fill::settle).
    Miss(Fill<'s>),
}

/// Looks an entry up.
#[repository]
pub(crate) async fn look_up<'s, T: Entry>(client: &'s CacheClient, key: EntryKey) -> Lookup<'s, T> {
    if let Some(value) = near(client, &key) {
        count(&client.counters.near_hits);
        events::entry(key.kind.word(), "near hit");
        return Lookup::Hit(value);
    }
    if !admits(client, &key) {
        return bypass(client, key);
    }
    confirm(client).await;
    let start = client.near_start(&key);
    match get(client, &key).await {
        Ok(Some(decoded)) if !(decoded.is_due && client.settings.early_refresh) => {
            hit(client, &key, decoded.value, start)
        }
        Ok(found) => boxed(join_flight(client, key, found, start)).await,
        Err(_) => bypass(client, key),
    }
}

/// The result of the first step of a look-up.
#[cfg(feature = "crypto")]
pub(crate) enum FirstRead<T> {
    /// Redis was read.
    Read(Option<Decoded<T>>, Option<NearStart>),
    /// Redis cannot be used.
    Unavailable,
}

/// Reads two entries together, with one command if they are of one shard. [`look_up_after`]
/// completes each look-up.
///
/// The near cache is not used, so that neither value is older than an acknowledged write.
#[cfg(feature = "crypto")]
#[repository]
pub(crate) async fn read_two<A: Entry, B: Entry>(
    client: &CacheClient,
    one: &EntryKey,
    other: &EntryKey,
) -> (FirstRead<A>, FirstRead<B>) {
    if !(admits(client, one) && admits(client, other)) {
        return (FirstRead::Unavailable, FirstRead::Unavailable);
    }
    confirm(client).await;
    let starts = (client.near_start(one), client.near_start(other));
    let [of_one, of_other] = [one, other].map(|key| key.shard(client.settings.shards));
    let wanted = if of_one == of_other {
        vec![(of_one, vec![one, other])]
    } else {
        vec![(of_one, vec![one]), (of_other, vec![other])]
    };
    let found = get_each(client, &wanted).await;
    let (first, second) = match &found[..] {
        [both] => (both, (both, 1)),
        [first, second, ..] => (first, (second, 0)),
        [] => return (FirstRead::Unavailable, FirstRead::Unavailable),
    };
    (
        first_read(client, one, (first, 0), starts.0),
        first_read(client, other, second, starts.1),
    )
}

/// Decodes the value at an index of what was found.
#[cfg(feature = "crypto")]
fn first_read<T: Entry>(
    client: &CacheClient,
    key: &EntryKey,
    (found, index): (&Option<Found>, usize),
    start: Option<NearStart>,
) -> FirstRead<T> {
    let Some(found) = found else {
        return FirstRead::Unavailable;
    };
    let bytes = found.values.get(index).and_then(Option::as_deref);
    let decoded = bytes.and_then(|bytes| client.decoded(&found.session.key_space, key, bytes));
    FirstRead::Read(decoded, start)
}

/// Completes a look-up that [`read_two`] has begun.
#[cfg(feature = "crypto")]
#[repository]
pub(crate) async fn look_up_after<'s, T: Entry>(
    client: &'s CacheClient,
    key: EntryKey,
    first: FirstRead<T>,
) -> Lookup<'s, T> {
    match first {
        FirstRead::Read(Some(decoded), start)
            if !(decoded.is_due && client.settings.early_refresh) =>
        {
            hit(client, &key, decoded.value, start)
        }
        FirstRead::Read(found, start) => boxed(join_flight(client, key, found, start)).await,
        FirstRead::Unavailable => bypass(client, key),
    }
}

/// Continues a look-up whose entry is absent or due: one reader fills it, and the others use its
/// value.
#[repository]
async fn join_flight<'s, T: Entry>(
    client: &'s CacheClient,
    key: EntryKey,
    mut found: Option<Decoded<T>>,
    start: Option<NearStart>,
) -> Lookup<'s, T> {
    for is_last in [false, true] {
        let due = match found.take() {
            Some(decoded) if !(decoded.is_due && client.settings.early_refresh) => {
                return hit(client, &key, decoded.value, start);
            }
            found => found.map(|decoded| decoded.value),
        };
        match client.single_flight.join(&key) {
            // One reader refills an entry that is due. The others use its present value.
            Flight::Follower(follower) => match due {
                Some(value) => return hit(client, &key, value, start),
                None => {
                    let settings = &client.settings;
                    let patience = settings.lease_wait.max(settings.response_timeout);
                    let shared = follower.wait(patience).await;
                    let shared = shared.and_then(|value| value.downcast_ref::<T>().cloned());
                    if let Some(value) = shared {
                        count(&client.counters.shared);
                        events::entry(key.kind.word(), "shared");
                        return Lookup::Hit(value);
                    }
                }
            },
            Flight::Leader(leader) => {
                let outcome = lease(client, &key, due.is_some()).await;
                match (outcome, due) {
                    (Ok(LeaseOutcome::Found(value)), _) => {
                        return hit(client, &key, value, start);
                    }
                    (Ok(LeaseOutcome::Granted(lease)), due) => {
                        if due.is_some() {
                            count(&client.counters.early_refreshes);
                        }
                        count(&client.counters.misses);
                        events::entry(key.kind.word(), "miss");
                        return Lookup::Miss(Fill::new(client, key, Some(lease), Some(leader)));
                    }
                    (_, Some(value)) => return hit(client, &key, value, start),
                    // The read cannot be shared, so its followers stop waiting.
                    (Ok(LeaseOutcome::Bypass) | Err(_), None) => break,
                }
            }
        }
        if is_last || !admits(client, &key) {
            break;
        }
        match get(client, &key).await {
            Ok(again) => found = again,
            Err(_) => break,
        }
    }
    bypass(client, key)
}

fn bypass<T>(client: &CacheClient, key: EntryKey) -> Lookup<'_, T> {
    count(&client.counters.bypasses);
    events::entry(key.kind.word(), "bypass");
    Lookup::Miss(Fill::new(client, key, None, None))
}

pub(crate) fn near<T: Entry>(client: &CacheClient, key: &EntryKey) -> Option<T> {
    let near = client.near.as_ref()?;
    forget_after_losses(client);
    near.get(key)?.downcast_ref::<T>().cloned()
}

fn hit<'s, T: Entry>(
    client: &'s CacheClient,
    key: &EntryKey,
    value: T,
    start: Option<NearStart>,
) -> Lookup<'s, T> {
    count(&client.counters.hits);
    events::entry(key.kind.word(), "hit");
    keep_near(client, key, &value, start);
    Lookup::Hit(value)
}

#[repository]
pub(crate) async fn get<T: Entry>(
    client: &CacheClient,
    key: &EntryKey,
) -> Result<Option<Decoded<T>>, Unavailable> {
    let shard = key.shard(client.settings.shards);
    let found = get_all(client, shard, &[key]).await?;
    let bytes = found.values.into_iter().next().flatten();
    Ok(bytes.and_then(|bytes| client.decoded(&found.session.key_space, key, &bytes)))
}

/// The values of entries of one shard, and the generation that they are of.
pub(crate) struct Found {
    pub(crate) session: Arc<ShardSession>,
    pub(crate) values: Vec<Option<Vec<u8>>>,
}

/// Does the same as [`get_all`] for several shards, concurrently. The result is `None` for a shard
/// whose server cannot be used, and for the shards after it that have no session.
#[repository]
pub(crate) async fn get_each(
    client: &CacheClient,
    wanted: &[(u16, Vec<&EntryKey>)],
) -> Vec<Option<Found>> {
    let mut found = match wanted {
        [_] => vec![None],
        _ => get_concurrently(client, wanted).await,
    };
    for ((shard, keys), found) in wanted.iter().zip(&mut found) {
        if found.is_none() {
            match get_all(client, *shard, keys).await {
                Ok(values) => *found = Some(values),
                Err(_) => break,
            }
        }
    }
    found
}

#[repository]
async fn get_concurrently(
    client: &CacheClient,
    wanted: &[(u16, Vec<&EntryKey>)],
) -> Vec<Option<Found>> {
    let sessions = wanted
        .iter()
        .map(|(shard, _)| client.shard(*shard).current());
    let sessions: Vec<Option<Arc<ShardSession>>> = sessions.collect();
    let mut commands = Vec::new();
    for ((_, keys), session) in wanted.iter().zip(&sessions) {
        if let Some(session) = session {
            let command = mget::command(&session.key_space, keys.iter().copied());
            commands.push((&*session.connection, command));
        }
    }
    let mut replies = send_all(&commands, &client.counters).await.into_iter();
    let found = sessions.iter().map(|session| {
        let session = Arc::clone(session.as_ref()?);
        let reply = MgetReply::of(&session.key_space, replies.next()?.ok()?).ok()?;
        let counts = reply.is_current || injects!(client, HitIgnoresGeneration);
        let values = reply.values;
        counts.then_some(Found { session, values })
    });
    found.collect()
}

/// Returns the values of entries of one shard, with the generation that they belong to, by one
/// command.
#[repository]
pub(crate) async fn get_all(
    client: &CacheClient,
    shard: u16,
    keys: &[&EntryKey],
) -> Result<Found, Unavailable> {
    for _ in 0..3 {
        let session = session(client, shard).await?;
        let reply = session.reads.read(keys).await;
        let reply = match reply.map_err(Unavailable::from) {
            Ok(reply) => reply,
            Err(error) => {
                client.failed(shard, Some(&session), &error);
                if error.is_loss() || error.is_redirection() {
                    continue;
                }
                return Err(error);
            }
        };
        if reply.is_current || injects!(client, HitIgnoresGeneration) {
            let values = reply.values;
            return Ok(Found { session, values });
        }
        let outdated = reply.values.iter().flatten().count();
        client
            .counters
            .stale_prevented
            .fetch_add(outdated as u64, Ordering::Relaxed);
        client.close_session(shard, &session);
    }
    Err(Unavailable::UnstableGeneration)
}
