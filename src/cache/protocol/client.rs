//! The cache of one process: its settings, connections and state.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use redis::ConnectionInfo;

use super::Db;
use super::cache_io::RedisConnection;
use super::cache_io::single_flight::SingleFlight;
use super::lineage::Lineage;
use super::shard::{Shard, ShardSession};
use super::unavailable::Unavailable;
use crate::cache::circuit_breaker::CircuitBreaker;
use crate::cache::encryption::{Floor, Moment, Seal, Times};
use crate::cache::entry::{self, Decoded, Entry};
use crate::cache::events::{self, LogOnce};
use crate::cache::keys::{ENTRY_FORMAT, EntryKey, KeySpace};
use crate::cache::near::{NearCache, NearStart};
use crate::cache::{CacheConfig, Counters, Servers, count};
use crate::engine::connection_observer::ConnectionObserver;
use crate::{Error, Result};

/// The identity of the database.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) name: Arc<str>,
    pub(crate) timeline: Arc<str>,
}

/// The cache of one process.
pub(crate) struct CacheClient {
    pub(crate) settings: CacheConfig,
    /// The database without a cache.
    pub(crate) db: Db,
    pub(crate) shards: Vec<Shard>,
    pub(crate) connections: Mutex<HashMap<String, Arc<RedisConnection>>>,
    /// One for a single server. In a cluster one for each shard, because each may be on another
    /// server.
    breakers: Vec<CircuitBreaker>,
    /// The nodes of a cluster that other nodes have named, the last one that responded first.
    pub(crate) nodes: Mutex<Vec<ConnectionInfo>>,
    pub(crate) lineage: Arc<Lineage>,
    /// A reference to itself, for work in the background.
    pub(crate) me: Weak<Self>,
    /// The format of all values, a part of each key.
    pub(crate) schema: Arc<str>,
    seal: Option<Seal>,
    /// The values of each entry that may be used. Kept only with a key.
    floors: Option<moka::sync::Cache<EntryKey, Floor>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) log_once: LogOnce,
    pub(crate) single_flight: SingleFlight,
    pub(crate) near: Option<NearCache>,
    database: Mutex<Option<Database>>,
    clock: Clock,
}

/// The database's clock, in microseconds.
struct Clock {
    /// The difference to this machine's clock.
    ahead: AtomicI64,
    /// The server's time when this client was created, on the monotonic clock.
    at_start: AtomicI64,
    start: Instant,
    /// The time by which this clock may be ahead: that of the round trip in which it was set.
    uncertainty: AtomicI64,
}

impl Clock {
    fn new() -> Self {
        Self {
            ahead: AtomicI64::new(0),
            at_start: AtomicI64::new(i64::MIN),
            start: Instant::now(),
            uncertainty: AtomicI64::new(0),
        }
    }

    fn set(&self, now: DateTime<Utc>, uncertainty: TimeDelta) {
        let uncertainty = uncertainty.num_microseconds().unwrap_or(i64::MAX);
        self.uncertainty.store(uncertainty, Ordering::Relaxed);
        let ahead = (now - Utc::now()).num_microseconds().unwrap_or(0);
        self.ahead.store(ahead, Ordering::Relaxed);
        let at_start = now.timestamp_micros().saturating_sub(self.since_start());
        self.at_start.store(at_start, Ordering::Relaxed);
    }

    fn since_start(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Returns the later time of this machine's two clocks. The one may be set back, the other
    /// stands still while the machine sleeps; what has ended by either has ended.
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
            Some(seal) => format!("{}.{}", ENTRY_FORMAT, seal.mark).into(),
            None => ENTRY_FORMAT.into(),
        };
        let floors = seal.as_ref().map(|_| {
            moka::sync::Cache::builder()
                .max_capacity(FLOORS)
                .time_to_live(settings.longest_lifetime())
                .build()
        });
        let near = settings.near.map(NearCache::new);
        let lineage = Arc::new(Lineage::new());
        let observer: Arc<dyn ConnectionObserver> = lineage.clone();
        db.context().usage.observe(Arc::downgrade(&observer));
        Ok(Arc::new_cyclic(|me| Self {
            shards: (0..settings.shards).map(|_| Shard::default()).collect(),
            settings,
            db,
            connections: Mutex::default(),
            breakers: (0..breakers).map(|_| CircuitBreaker::default()).collect(),
            nodes: Mutex::default(),
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

    /// Records the present time of the database's clock, which may be earlier by `uncertainty`.
    pub(crate) fn set_clock(&self, now: DateTime<Utc>, uncertainty: TimeDelta) {
        self.clock.set(now, uncertainty);
    }

    /// Returns the time by the database's clock, as well as it is known here. A step of this
    /// machine's clock does not put it back.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.now().timestamp_millis()).unwrap_or(0)
    }

    /// Returns the present time, with which encrypted values are marked. Without a key it is 0.
    pub(crate) fn moment(&self) -> Moment {
        if self.seal.is_none() {
            return Moment::default();
        }
        let latest = self.milliseconds();
        let uncertainty = AtomicI64::load(&self.clock.uncertainty, Ordering::Relaxed);
        // Rounded up: the time is rounded down.
        let uncertainty = u64::try_from(uncertainty).map_or(0, |micros| micros.div_ceil(1_000));
        Moment {
            earliest: latest.saturating_sub(uncertainty),
            latest,
        }
    }

    /// Rejects values of the entry that may have been read from the database before this moment, at
    /// which this process has written it.
    pub(crate) fn reject_before(&self, key: &EntryKey, moment: Moment) {
        self.raise_floor(key, Floor::after_write(moment));
    }

    /// Rejects values of the entry that may have been read from the database before this moment, at
    /// which this process has read it.
    pub(crate) fn has_read(&self, key: &EntryKey, moment: Moment) {
        self.raise_floor(key, Floor::after_read(moment));
    }

    fn raise_floor(&self, key: &EntryKey, floor: Floor) {
        if let Some(floors) = &self.floors {
            // As one step: of two that meet, the higher one remains.
            let raised = |known: Option<moka::Entry<EntryKey, Floor>>| {
                let known = known.map(moka::Entry::into_value);
                let higher = known.filter(|known| known.least >= floor.least);
                higher.unwrap_or(floor)
            };
            floors.entry_by_ref(key).and_upsert_with(raised);
        }
    }

    /// Removes an entry from the near cache.
    pub(crate) fn forget_near(&self, key: &EntryKey) {
        if let Some(near) = &self.near {
            near.remove(key);
        }
    }

    pub(crate) fn forget_all_near(&self) {
        if let Some(near) = &self.near {
            near.remove_all();
        }
    }

    /// Makes the identity of the database be checked after its connections were lost.
    pub(crate) fn on_database_error(&self, error: &Error) {
        if matches!(error, Error::Connection { .. }) {
            self.forget_database();
            self.lineage.on_database_error();
        }
    }

    /// Forgets the identity of the database: it is read again before a cached value is used. A
    /// flight that began before shares its value with none of the readers that join after: their
    /// session has begun a generation into which it cannot fill.
    pub(crate) fn forget_database(&self) {
        self.set_database(None);
        self.shards.iter().for_each(Shard::forget);
        self.forget_all_near();
    }

    /// Returns the start of a read of the entry, if its value may be kept near.
    pub(crate) fn near_start(&self, key: &EntryKey) -> Option<NearStart> {
        self.near.as_ref().map(|near| near.start(key))
    }

    /// Records that a server of the database is on this timeline. If it is a new one, a standby was
    /// promoted.
    pub(crate) fn observe_timeline(&self, timeline: &str) {
        if self
            .database()
            .is_some_and(|known| *known.timeline != *timeline)
        {
            self.forget_database();
        }
    }

    /// Returns the lifetime of a value. It is shortened by up to a tenth at random, so that entries
    /// do not expire together.
    pub(crate) fn lifetime<T: Entry>(&self, key: &EntryKey, value: &T) -> Duration {
        let lifetime = self.settings.lifetime_of(key.kind).unwrap_or_default();
        let longest = if value.is_absence() {
            lifetime.min(self.settings.negative_ttl)
        } else {
            lifetime
        };
        longest.mul_f64(1.0 - crate::transaction::random_fraction() / 10.0)
    }

    /// Returns the lifetime in milliseconds and the bytes to store. They are 0 and empty for a
    /// value that is not to be stored.
    pub(crate) fn encoded<T: Entry>(
        &self,
        key_space: &KeySpace,
        key: &EntryKey,
        value: &T,
        read: Moment,
        cost: Duration,
        lifetime: Duration,
    ) -> (String, Vec<u8>) {
        let lives = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let end = self.milliseconds().saturating_add(lives.max(1));
        let mut encoded = entry::encode(key, value, cost, end).unwrap_or_default();
        if let Some(seal) = &self.seal
            && !encoded.is_empty()
        {
            let times = Times { read, end };
            let sealed = seal.seal(&key_space.value(key), times, &encoded);
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
        key_space: &KeySpace,
        key: &EntryKey,
        bytes: &[u8],
    ) -> Option<Decoded<T>> {
        let now = self.milliseconds();
        let decoded = self.decrypted(key_space, key, bytes, now);
        match decoded.and_then(|bytes| entry::decode(key, &bytes, now)) {
            Ok(decoded) => Some(decoded),
            Err(entry::Unusable::Expired) => None,
            Err(entry::Unusable::Outdated) => {
                count(&self.counters.stale_prevented);
                None
            }
            Err(entry::Unusable::Foreign(reason)) => {
                count(&self.counters.undecodable);
                self.log_once.undecodable(key.kind.word(), &reason);
                None
            }
        }
    }

    /// Returns the bytes of a value. An encrypted value is decrypted, and rejected if it is too
    /// old.
    fn decrypted<'b>(
        &self,
        key_space: &KeySpace,
        key: &EntryKey,
        bytes: &'b [u8],
        now: u64,
    ) -> Result<Cow<'b, [u8]>, entry::Unusable> {
        let (Some(seal), Some(floors)) = (&self.seal, &self.floors) else {
            return Ok(Cow::Borrowed(bytes));
        };
        let opened = seal.open(&key_space.value(key), bytes);
        let (times, value) = opened.ok_or("it was not sealed for this entry with this key")?;
        if times.end <= now {
            return Err(entry::Unusable::Expired);
        }
        let floor = floors.get(key);
        if floor.is_some_and(|floor| !floor.admits(times.read)) {
            return Err(entry::Unusable::Outdated);
        }
        // No later than now: a process whose clock was ahead must not rule out what others read
        // after it.
        let latest = times.read.latest.min(now);
        let raised = Floor::after_read(Moment {
            latest,
            ..times.read
        });
        if floor.is_none_or(|floor| floor.least < raised.least) {
            self.raise_floor(key, raised);
        }
        Ok(Cow::Owned(value))
    }
}

impl CacheClient {
    /// Returns the state of a shard.
    pub(crate) fn shard(&self, shard: u16) -> &Shard {
        &self.shards[usize::from(shard)]
    }

    /// Ends a session of the shard, and returns whether it was the current one.
    pub(crate) fn close_session(&self, shard: u16, session: &Arc<ShardSession>) -> bool {
        self.shard(shard).close(session)
    }

    /// Makes a session the current one of the shard, unless a commit went on without its fences
    /// meanwhile.
    pub(crate) fn use_session(&self, shard: u16, session: &Arc<ShardSession>) {
        self.breaker(shard).succeeded();
        self.log_once.forget();
        self.shard(shard).use_session(session);
    }

    /// Removes a connection, so that it is not used again.
    pub(crate) fn discard_connection(&self, connection: &Arc<RedisConnection>) {
        self.connections()
            .retain(|_, other| !Arc::ptr_eq(other, connection));
    }

    /// Records a failed call. If the server is the cause, reads avoid it for a time. An error on a
    /// connection that was already replaced does not count against its replacement.
    pub(crate) fn failed(
        &self,
        shard: u16,
        session: Option<&Arc<ShardSession>>,
        error: &Unavailable,
    ) {
        count(&self.counters.errors);
        if error.ends_connection() {
            // The next attempt to connect shows whether the server is gone, too.
            let is_news = match session {
                Some(session) => {
                    self.discard_connection(&session.connection);
                    self.close_session(shard, session)
                        && !error.is_loss()
                        && !error.is_redirection()
                }
                // A server from which one slot is being moved still serves its other slots.
                None => !error.is_redirection(),
            };
            if is_news && self.breaker(shard).failed(self.settings.retry_after) {
                events::unreachable(error);
            }
        } else if !matches!(error, Unavailable::NotResponding | Unavailable::Database(_)) {
            self.log_once.refused(error);
        }
    }

    pub(crate) fn connections(&self) -> MutexGuard<'_, HashMap<String, Arc<RedisConnection>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of entries whose last time is remembered, to detect older values that were put back.
const FLOORS: u64 = 100_000;

/// Checks whether the cache may be read for the entry.
pub(crate) fn admits(client: &CacheClient, key: &EntryKey) -> bool {
    client.settings.lifetime_of(key.kind).is_some()
        && client
            .breaker(key.shard(client.settings.shards))
            .admits(client.settings.retry_after)
}

/// Keeps a value near whose read began at `start`.
pub(crate) fn keep_near<T: Entry>(
    client: &CacheClient,
    key: &EntryKey,
    value: &T,
    start: Option<NearStart>,
) {
    if let (Some(near), Some(start), true) = (&client.near, start, T::MAY_BE_NEAR) {
        near.keep(key, Arc::new(value.clone()), start);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use chrono::{TimeDelta, Utc};

    use super::Clock;

    #[test]
    fn a_clock_that_is_set_back_does_not_lengthen_a_session() {
        let clock = Clock::new();
        clock.set(Utc::now() + TimeDelta::minutes(5), TimeDelta::zero());
        // A second, since the two clocks are not read at the same moment.
        let end = clock.now() - TimeDelta::seconds(1);
        let hour = TimeDelta::hours(1).num_microseconds().unwrap();
        // As if this machine's clock was an hour behind from now on: the session has ended all the
        // same.
        clock.ahead.fetch_sub(hour, Ordering::Relaxed);
        assert!(clock.now() > end);
        // And as if it was ahead, as after a sleep in which the other clock stood still: it has
        // ended, too.
        clock.ahead.fetch_add(2 * hour, Ordering::Relaxed);
        assert!(clock.now() > end + TimeDelta::minutes(59));
    }
}
