//! Reading through the cache: look up, or read the database and fill.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::cache_io::single_flight::{Flight, SingleFlight};
use super::cache_io::{RedisConnection, boxed, send_all};
use super::generation::attached;
use super::lease::{Fill, LeaseOutcome, lease};
use super::lineage::{Lineage, confirm, heed_losses};
use super::servers::{Shard, ShardSession, Unusable};
use super::topology::Nodes;
use super::{Db, repository};
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::circuit_breaker::CircuitBreaker;
use crate::cache::encryption::{Seal, Times};
use crate::cache::entry::{self, Decoded, Entry};
use crate::cache::events::{self, LogOnce};
use crate::cache::keys::{EntryKey, KeySpace};
use crate::cache::mget::{self, Answer};
use crate::cache::{CacheConfig, Counters, Servers, count};
use crate::{Error, Result};
use chrono::{DateTime, TimeDelta, Utc};

/// The database, as it is told from others.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) name: Arc<str>,
    pub(crate) timeline: Arc<str>,
}

/// The cache of one process.
pub(crate) struct CacheClient {
    pub(crate) settings: CacheConfig,
    /// The database, without a cache.
    pub(crate) db: Db,
    pub(crate) shards: Vec<Shard>,
    pub(crate) links: Mutex<HashMap<String, Arc<RedisConnection>>>,
    /// One for the server, and where there are several one for each shard: each may lie elsewhere.
    breakers: Vec<CircuitBreaker>,
    pub(crate) nodes: Nodes,
    pub(crate) lineage: Lineage,
    /// This store, for what goes on beside its callers.
    pub(crate) me: Weak<Self>,
    /// The form of all values, a part of each key.
    pub(crate) schema: Arc<str>,
    seal: Option<Seal>,
    /// By entry: what was read from the database before this moment is not to be believed. Kept only with a key.
    floors: Option<moka::sync::Cache<EntryKey, u64>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) log_once: LogOnce,
    single_flight: SingleFlight,
    near: Option<moka::sync::Cache<EntryKey, Arc<dyn Any + Send + Sync>>>,
    database: Mutex<Option<Database>>,
    clock: Clock,
}

/// The database's clock, in microseconds.
struct Clock {
    /// By how much it is ahead of this machine's.
    ahead: AtomicI64,
    /// The server's time when this client was created, on the monotonic clock.
    at_start: AtomicI64,
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        Self {
            ahead: AtomicI64::new(0),
            at_start: AtomicI64::new(i64::MIN),
            start: Instant::now(),
        }
    }

    fn set(&self, now: DateTime<Utc>) {
        let ahead = (now - Utc::now()).num_microseconds().unwrap_or(0);
        self.ahead.store(ahead, Ordering::Relaxed);
        let at_start = now.timestamp_micros().saturating_sub(self.since_start());
        self.at_start.store(at_start, Ordering::Relaxed);
    }

    fn since_start(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Returns the later time of this machine's two clocks. The one may be set back, the other stands still while the
    /// machine sleeps; what has ended by either has ended.
    fn now(&self) -> DateTime<Utc> {
        let ahead = TimeDelta::microseconds(AtomicI64::load(&self.ahead, Ordering::Relaxed));
        let by_wall = Utc::now().checked_add_signed(ahead).unwrap_or_default();
        let at_start = AtomicI64::load(&self.at_start, Ordering::Relaxed);
        let steady = at_start.saturating_add(self.since_start());
        match DateTime::from_timestamp_micros(steady) {
            Some(steady) if at_start != i64::MIN => steady.max(by_wall),
            _ => by_wall,
        }
    }
}

impl CacheClient {
    pub(crate) fn new(db: Db, settings: CacheConfig) -> Result<Arc<Self>> {
        settings.check()?;
        let breakers = match settings.servers {
            Servers::Cluster(_) => settings.shards,
            _ => 1,
        };
        let seal = settings.key.as_ref().map(Seal::new);
        let schema = match &seal {
            Some(seal) => format!("{}.{}", entry::SCHEMA, seal.mark).into(),
            None => entry::SCHEMA.into(),
        };
        let floors = seal.as_ref().map(|_| {
            moka::sync::Cache::builder()
                .max_capacity(FLOORS)
                .time_to_live(settings.longest_lifetime())
                .build()
        });
        let near = settings.near.map(|near| {
            moka::sync::Cache::builder()
                .max_capacity(near.entries)
                .time_to_live(near.staleness)
                .build()
        });
        let lineage = Lineage::new(Arc::clone(db.usage()));
        Ok(Arc::new_cyclic(|me| Self {
            shards: (0..settings.shards).map(|_| Shard::default()).collect(),
            settings,
            db,
            links: Mutex::default(),
            breakers: (0..breakers).map(|_| CircuitBreaker::default()).collect(),
            nodes: Nodes::default(),
            lineage,
            me: Weak::clone(me),
            schema,
            seal,
            floors,
            counters: Arc::default(),
            log_once: LogOnce::default(),
            single_flight: SingleFlight::default(),
            near,
            database: Mutex::default(),
            clock: Clock::new(),
        }))
    }

    /// Returns the state of the server that holds the shard.
    pub(crate) fn breaker(&self, shard: u16) -> &CircuitBreaker {
        &self.breakers[usize::from(shard) % self.breakers.len()]
    }

    pub(crate) fn database(&self) -> Option<Database> {
        self.database
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_database(&self, database: Option<Database>) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = database;
    }

    /// Takes down what the database's clock says now.
    pub(crate) fn set_clock(&self, now: DateTime<Utc>) {
        self.clock.set(now);
    }

    /// Returns the time by the database's clock, as well as it is known here. A step of this machine's clock does not put it
    /// back.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.now().timestamp_millis()).unwrap_or(0)
    }

    /// This moment, as values are marked with that are read from now on. Values are marked only with a key.
    pub(crate) fn moment(&self) -> u64 {
        match self.seal {
            Some(_) => self.milliseconds(),
            None => 0,
        }
    }

    /// Rejects values of the entry that were read from the database before this moment.
    pub(crate) fn distrust(&self, name: &EntryKey, moment: u64) {
        if let Some(floors) = &self.floors {
            let known = floors.get(name).unwrap_or(0);
            floors.insert(name.clone(), moment.max(known));
        }
    }

    /// Takes an entry out of this process's own memory.
    pub(crate) fn forget_near(&self, name: &EntryKey) {
        if let Some(near) = &self.near {
            near.invalidate(name);
        }
    }

    pub(crate) fn forget_all_near(&self) {
        if let Some(near) = &self.near {
            near.invalidate_all();
        }
    }

    /// Makes the identity of the database be checked after its connections were lost.
    pub(crate) fn on_database_error(&self, error: &Error) {
        if matches!(error, Error::Connection { .. }) {
            self.forget_database();
            self.lineage.on_database_error();
        }
    }

    pub(crate) fn forget_database(&self) {
        self.set_database(None);
        self.shards.iter().for_each(Shard::forget);
        self.forget_all_near();
    }

    /// Records that a server of the database is on this timeline. If it is a new one, a standby was promoted.
    pub(crate) fn is_on(&self, timeline: &str) {
        if self
            .database()
            .is_some_and(|known| *known.timeline != *timeline)
        {
            self.forget_database();
        }
    }

    /// For how long the value may live, less up to a tenth, so that entries do not end together.
    pub(crate) fn lifetime<T: Entry>(&self, name: &EntryKey, value: &T) -> Duration {
        let lifetime = self.settings.lifetime_of(name.kind).unwrap_or_default();
        let longest = if value.is_absence() {
            lifetime.min(self.settings.negative_ttl)
        } else {
            lifetime
        };
        longest.mul_f64(1.0 - crate::transaction::random_fraction() / 10.0)
    }

    /// The milliseconds and the bytes to store; 0 and none for a value that is not to be stored.
    pub(crate) fn encoded<T: Entry>(
        &self,
        names: &KeySpace,
        name: &EntryKey,
        value: &T,
        read: u64,
        cost: Duration,
        lifetime: Duration,
    ) -> (String, Vec<u8>) {
        let mut encoded = entry::encode(name, value, cost, lifetime).unwrap_or_default();
        if let Some(seal) = &self.seal
            && !encoded.is_empty()
        {
            let lives = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
            let end = self.milliseconds().saturating_add(lives);
            let times = Times { read, end };
            let sealed = seal.seal(&names.value(name), times, &encoded);
            encoded = sealed.unwrap_or_default();
        }
        let is_too_large = encoded.len() > self.settings.max_value_bytes;
        if is_too_large {
            count(&self.counters.too_large);
        }
        if is_too_large || encoded.is_empty() || lifetime.is_zero() {
            return ("0".to_owned(), Vec::new());
        }
        (lifetime.as_millis().max(1).to_string(), encoded)
    }

    pub(crate) fn decoded<T: Entry>(
        &self,
        names: &KeySpace,
        name: &EntryKey,
        bytes: &[u8],
    ) -> Option<Decoded<T>> {
        let decoded = self.opened(names, name, bytes);
        match decoded.and_then(|bytes| entry::decode(name, &bytes)) {
            Ok(decoded) => Some(decoded),
            Err(reason) => {
                count(&self.counters.undecodable);
                self.log_once.undecodable(name.kind.word(), &reason);
                None
            }
        }
    }

    /// Returns the value's bytes, where they are sealed only if it may be used.
    fn opened<'b>(
        &self,
        names: &KeySpace,
        name: &EntryKey,
        bytes: &'b [u8],
    ) -> Result<Cow<'b, [u8]>, String> {
        let (Some(seal), Some(floors)) = (&self.seal, &self.floors) else {
            return Ok(Cow::Borrowed(bytes));
        };
        let opened = seal.open(&names.value(name), bytes);
        let (times, value) = opened.ok_or("it was not sealed for this entry with this key")?;
        if times.end <= self.milliseconds() {
            return Err("it has ended, and is there all the same".to_owned());
        }
        let floor = floors.get(name);
        if floor.is_some_and(|floor| times.read < floor) {
            return Err("it is older than what this process knows of the entry".to_owned());
        }
        if floor.is_none_or(|floor| floor < times.read) {
            floors.insert(name.clone(), times.read);
        }
        Ok(Cow::Owned(value))
    }
}

/// The number of entries whose last time is remembered, to detect older values that were put back.
const FLOORS: u64 = 100_000;

/// Lets a test delay the process between two steps.
#[cfg(feature = "cache-faults")]
#[repository]
pub(crate) async fn failpoint(store: &CacheClient, failpoint: Failpoint) {
    if let Some(hook) = store.settings.failpoint_hook {
        super::cache_io::pause(hook(failpoint)).await;
    }
}

/// The outcome of a read of the cache.
pub(crate) enum Lookup<'s, T> {
    Hit(T),
    /// To be read from the database, and [settled](super::lease::settle) then.
    Miss(Fill<'s>),
}

/// Looks an entry up.
#[repository]
pub(crate) async fn look_up<'s, T: Entry>(store: &'s CacheClient, name: EntryKey) -> Lookup<'s, T> {
    if let Some(value) = near(store, &name) {
        count(&store.counters.near_hits);
        events::entry(name.kind.word(), "near hit");
        return Lookup::Hit(value);
    }
    if !admits(store, &name) {
        return bypass(store, name);
    }
    confirm(store).await;
    match get(store, &name).await {
        Ok(Some(decoded)) if !(decoded.is_due && store.settings.early_refresh) => {
            hit(store, &name, decoded.value)
        }
        Ok(found) => boxed(take_turns(store, name, found)).await,
        Err(_) => bypass(store, name),
    }
}

/// Continues a look-up whose entry is absent or due: one reader fills it, and the others use its value.
#[repository]
async fn take_turns<'s, T: Entry>(
    store: &'s CacheClient,
    name: EntryKey,
    mut found: Option<Decoded<T>>,
) -> Lookup<'s, T> {
    for is_last in [false, true] {
        let due = match found.take() {
            Some(decoded) if !(decoded.is_due && store.settings.early_refresh) => {
                return hit(store, &name, decoded.value);
            }
            found => found.map(|decoded| decoded.value),
        };
        match store.single_flight.join(&name) {
            // An entry that is due is filled by one; the others have its value.
            Flight::Follower(following) => match due {
                Some(value) => return hit(store, &name, value),
                None => {
                    let settings = &store.settings;
                    let patience = settings.lease_wait.max(settings.response_timeout);
                    let shared = following.wait(patience).await;
                    let shared = shared.and_then(|value| value.downcast_ref::<T>().cloned());
                    if let Some(value) = shared {
                        count(&store.counters.shared);
                        events::entry(name.kind.word(), "shared");
                        return Lookup::Hit(value);
                    }
                }
            },
            Flight::Leader(turn) => {
                let round = lease(store, &name, due.is_some()).await;
                match (round, due) {
                    (Ok(LeaseOutcome::Found(value)), _) => return hit(store, &name, value),
                    (Ok(LeaseOutcome::Granted(lease)), due) => {
                        if due.is_some() {
                            count(&store.counters.early_refreshes);
                        }
                        count(&store.counters.misses);
                        events::entry(name.kind.word(), "miss");
                        return Lookup::Miss(Fill::new(store, name, Some(lease), Some(turn)));
                    }
                    (_, Some(value)) => return hit(store, &name, value),
                    // The read cannot be shared: its followers do not wait any longer.
                    (Ok(LeaseOutcome::Bypass) | Err(_), None) => break,
                }
            }
        }
        if is_last || !admits(store, &name) {
            break;
        }
        match get(store, &name).await {
            Ok(again) => found = again,
            Err(_) => break,
        }
    }
    bypass(store, name)
}

fn bypass<T>(store: &CacheClient, name: EntryKey) -> Lookup<'_, T> {
    count(&store.counters.bypasses);
    events::entry(name.kind.word(), "bypass");
    Lookup::Miss(Fill::new(store, name, None, None))
}

pub(crate) fn near<T: Entry>(store: &CacheClient, name: &EntryKey) -> Option<T> {
    let near = store.near.as_ref()?;
    heed_losses(store);
    near.get(name)?.downcast_ref::<T>().cloned()
}

/// Checks whether the cache may be read for the entry.
pub(crate) fn admits(store: &CacheClient, name: &EntryKey) -> bool {
    store.settings.lifetime_of(name.kind).is_some()
        && store
            .breaker(name.shard(store.settings.shards))
            .admits(store.settings.retry_after)
}

fn hit<'s, T: Entry>(store: &'s CacheClient, name: &EntryKey, value: T) -> Lookup<'s, T> {
    count(&store.counters.hits);
    events::entry(name.kind.word(), "hit");
    keep_near(store, name, &value);
    Lookup::Hit(value)
}

pub(crate) fn keep_near<T: Entry>(store: &CacheClient, name: &EntryKey, value: &T) {
    if let Some(near) = &store.near
        && T::MAY_BE_NEAR
    {
        near.insert(name.clone(), Arc::new(value.clone()));
    }
}

#[repository]
pub(crate) async fn get<T: Entry>(
    store: &CacheClient,
    name: &EntryKey,
) -> Result<Option<Decoded<T>>, Unusable> {
    let shard = name.shard(store.settings.shards);
    let found = get_all(store, shard, &[name]).await?;
    let bytes = found.values.into_iter().next().flatten();
    Ok(bytes.and_then(|bytes| store.decoded(&found.attached.names, name, &bytes)))
}

/// The values of entries of one shard, and the generation that they are of.
pub(crate) struct Found {
    pub(crate) attached: Arc<ShardSession>,
    pub(crate) values: Vec<Option<Vec<u8>>>,
}

/// [`get_all`] for several shards, without waiting for one before the other is asked. There is nothing for those whose
/// server cannot be used, nor for those behind them that would have to be waited for.
#[repository]
pub(crate) async fn get_each(
    store: &CacheClient,
    wanted: &[(u16, Vec<&EntryKey>)],
) -> Vec<Option<Found>> {
    let mut found = match wanted {
        [_] => vec![None],
        _ => get_at_once(store, wanted).await,
    };
    for ((shard, names), found) in wanted.iter().zip(&mut found) {
        if found.is_none() {
            match get_all(store, *shard, names).await {
                Ok(values) => *found = Some(values),
                Err(_) => break,
            }
        }
    }
    found
}

#[repository]
async fn get_at_once(store: &CacheClient, wanted: &[(u16, Vec<&EntryKey>)]) -> Vec<Option<Found>> {
    let attached = wanted
        .iter()
        .map(|(shard, _)| store.shard(*shard).current());
    let attached: Vec<Option<Arc<ShardSession>>> = attached.collect();
    let mut commands = Vec::new();
    for ((_, names), attached) in wanted.iter().zip(&attached) {
        if let Some(attached) = attached {
            let command = mget::command(&attached.names, names.iter().copied());
            commands.push((&*attached.link, command));
        }
    }
    let mut answers = send_all(&commands, &store.counters).await.into_iter();
    let found = attached.iter().map(|attached| {
        let attached = Arc::clone(attached.as_ref()?);
        let answer = Answer::of(&attached.names, answers.next()?.ok()?).ok()?;
        let counts = answer.is_current || injects!(store, HitIgnoresGeneration);
        let values = answer.values;
        counts.then_some(Found { attached, values })
    });
    found.collect()
}

/// Returns the values of entries of one shard, with the generation that they belong to, by one command.
#[repository]
pub(crate) async fn get_all(
    store: &CacheClient,
    shard: u16,
    names: &[&EntryKey],
) -> Result<Found, Unusable> {
    for _ in 0..3 {
        let attached = attached(store, shard).await?;
        let answer = attached.reads.read(names).await;
        let answer = match answer.map_err(Unusable::from) {
            Ok(answer) => answer,
            Err(error) => {
                store.failed(shard, Some(&attached), &error);
                if error.is_loss() || error.is_redirection() {
                    continue;
                }
                return Err(error);
            }
        };
        if answer.is_current || injects!(store, HitIgnoresGeneration) {
            let values = answer.values;
            return Ok(Found { attached, values });
        }
        let outdated = answer.values.iter().flatten().count();
        store
            .counters
            .stale_prevented
            .fetch_add(outdated as u64, Ordering::Relaxed);
        store.detach(shard, &attached);
    }
    Err(Unusable::Restless)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use chrono::{TimeDelta, Utc};

    use super::Clock;

    #[test]
    fn a_clock_that_is_set_back_does_not_lengthen_a_session() {
        let clock = Clock::new();
        clock.set(Utc::now() + TimeDelta::minutes(5));
        // A second, since the two clocks are not read at the same moment.
        let end = clock.now() - TimeDelta::seconds(1);
        let hour = TimeDelta::hours(1).num_microseconds().unwrap();
        // As if this machine's clock was an hour behind from now on: the session has ended all the same.
        clock.ahead.fetch_sub(hour, Ordering::Relaxed);
        assert!(clock.now() > end);
        // And as if it was ahead, as after a sleep in which the other clock stood still: it has ended, too.
        clock.ahead.fetch_add(2 * hour, Ordering::Relaxed);
        assert!(clock.now() > end + TimeDelta::minutes(59));
    }
}
