//! Reading through the cache: look up, or read the database and fill.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::Text;
use redis::Value;
use uuid::Uuid;

use super::flights::{Flights, Leading, Turn};
use super::link::{Link, pause};
use super::servers::{Attached, Shard, Unusable, attached, open, step};
use super::{Db, repository};
use crate::cache::breaker::Breaker;
use crate::cache::entry::{self, Decoded, Entry};
use crate::cache::events::{self, Told};
use crate::cache::name::Name;
use crate::cache::script::{self, END, FILL, Fence, LEASE, RELEASE, Reply};
use crate::cache::{CacheConfig, Counters, Mutant, Point, count, question};
use crate::statement::prepared;
use crate::{Error, Result};

/// The database, as it is told from others.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) name: Arc<str>,
    pub(super) timeline: Arc<str>,
}

/// The cache of one process.
pub(crate) struct Store {
    pub(super) settings: CacheConfig,
    /// The database, without a cache.
    pub(super) db: Db,
    pub(super) shards: Vec<Shard>,
    pub(super) links: Mutex<HashMap<String, Arc<Link>>>,
    pub(super) breaker: Breaker,
    pub(super) counters: Counters,
    pub(super) told: Told,
    flights: Flights,
    near: Option<moka::sync::Cache<Name, Arc<dyn Any + Send + Sync>>>,
    database: Mutex<Option<Database>>,
    /// By how many microseconds the database's clock is ahead of this machine's.
    clock: AtomicI64,
}

impl Store {
    pub(super) fn new(db: Db, settings: CacheConfig) -> Result<Self> {
        settings.check()?;
        let near = settings.near.map(|near| {
            moka::sync::Cache::builder()
                .max_capacity(near.entries)
                .time_to_live(near.staleness)
                .build()
        });
        Ok(Self {
            shards: (0..settings.shards).map(|_| Shard::default()).collect(),
            settings,
            db,
            links: Mutex::default(),
            breaker: Breaker::default(),
            counters: Counters::default(),
            told: Told::default(),
            flights: Flights::default(),
            near,
            database: Mutex::default(),
            clock: AtomicI64::new(0),
        })
    }

    pub(super) fn database(&self) -> Option<Database> {
        self.database
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_database(&self, database: Option<Database>) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = database;
    }

    pub(super) fn set_clock(&self, ahead: TimeDelta) {
        self.clock
            .store(ahead.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }

    /// The time by the database's clock, as well as it is known here.
    pub(super) fn now(&self) -> DateTime<Utc> {
        Utc::now() + TimeDelta::microseconds(AtomicI64::load(&self.clock, Ordering::Relaxed))
    }

    /// Takes an entry out of this process's own memory.
    pub(super) fn forget_near(&self, name: &Name) {
        if let Some(near) = &self.near {
            near.invalidate(name);
        }
    }

    pub(super) fn forget_all_near(&self) {
        if let Some(near) = &self.near {
            near.invalidate_all();
        }
    }

    /// After the database's connections were lost it may be another one that answers.
    pub(super) fn doubt(&self, error: &Error) {
        if matches!(error, Error::Connection { .. }) {
            self.forget_database();
        }
    }

    pub(super) fn forget_database(&self) {
        self.set_database(None);
        self.shards.iter().for_each(Shard::forget);
    }

    /// A server of the database is on this timeline. If it is another than was thought, a standby has taken over.
    pub(crate) fn is_on(&self, timeline: &str) {
        if self
            .database()
            .is_some_and(|known| *known.timeline != *timeline)
        {
            self.forget_database();
        }
    }

    /// For how long the value may live, less up to a tenth, so that entries do not end together.
    pub(super) fn lifetime<T: Entry>(&self, name: &Name, value: &T) -> Duration {
        let lifetime = self.settings.lifetime_of(name.kind).unwrap_or_default();
        let longest = if value.is_absence() {
            lifetime.min(self.settings.absence)
        } else {
            lifetime
        };
        longest.mul_f64(1.0 - crate::transaction::random_fraction() / 10.0)
    }

    /// The milliseconds and the bytes to store; 0 and none for a value that is not to be stored.
    pub(super) fn encoded<T: Entry>(
        &self,
        value: &T,
        cost: Duration,
        lifetime: Duration,
    ) -> (String, Vec<u8>) {
        let encoded = entry::encode(value, cost, lifetime).unwrap_or_default();
        let is_too_large = encoded.len() > self.settings.largest;
        if is_too_large {
            count(&self.counters.too_large);
        }
        if is_too_large || encoded.is_empty() || lifetime.is_zero() {
            return ("0".to_owned(), Vec::new());
        }
        (lifetime.as_millis().max(1).to_string(), encoded)
    }

    pub(super) fn decoded<T: Entry>(&self, name: &Name, bytes: &[u8]) -> Option<Decoded<T>> {
        match entry::decode(bytes) {
            Ok(decoded) => Some(decoded),
            Err(reason) => {
                count(&self.counters.undecodable);
                self.told.undecodable(name.kind.word(), &reason);
                None
            }
        }
    }
}

/// Lets a test come between two steps.
#[repository]
pub(super) async fn pass(store: &Store, point: Point) {
    if let Some(visitor) = store.settings.visitor {
        pause(visitor(point)).await;
    }
}

/// What the cache says.
pub(super) enum Lookup<'s, T> {
    Hit(T),
    /// To be read from the database, and [settled](settle) then.
    Miss(Fill<'s>),
}

/// A value that is to be read from the database, and stored if it may be.
pub(super) struct Fill<'s> {
    store: &'s Store,
    name: Name,
    lease: Option<Lease>,
    leading: Option<Leading>,
    began: Instant,
}

/// The right to fill an entry; without a nonce for one that may be out of date, which anybody may fill.
struct Lease {
    attached: Arc<Attached>,
    nonce: String,
}

/// What a round of looking up came to.
enum Round<T> {
    Found(T),
    Granted(Lease),
    Bypass,
}

/// Looks an entry up.
#[repository]
pub(super) async fn look_up<'s, T: Entry>(store: &'s Store, name: Name) -> Lookup<'s, T> {
    if let Some(value) = near(store, &name) {
        count(&store.counters.near_hits);
        return Lookup::Hit(value);
    }
    for _ in 0..2 {
        if !admits(store, &name) {
            break;
        }
        let due = match get::<T>(store, &name).await {
            Ok(Some(decoded)) if !(decoded.is_due && store.settings.early) => {
                return hit(store, &name, decoded.value);
            }
            Ok(Some(decoded)) => Some(decoded.value),
            Ok(None) => None,
            Err(_) => break,
        };
        match store.flights.join(&name) {
            // An entry that is due is filled by one; the others have its value.
            Turn::Follow(following) => match due {
                Some(value) => return hit(store, &name, value),
                None => {
                    let shared = following.wait().await;
                    let shared = shared.and_then(|value| value.downcast_ref::<T>().cloned());
                    if let Some(value) = shared {
                        count(&store.counters.shared);
                        return Lookup::Hit(value);
                    }
                }
            },
            Turn::Lead(turn) => {
                let round = lease(store, &name, due.is_some()).await;
                match (round, due) {
                    (Ok(Round::Found(value)), _) => return hit(store, &name, value),
                    (Ok(Round::Granted(lease)), due) => {
                        if due.is_some() {
                            count(&store.counters.early_refreshes);
                        }
                        count(&store.counters.misses);
                        return Lookup::Miss(Fill::new(store, name, Some(lease), Some(turn)));
                    }
                    (_, Some(value)) => return hit(store, &name, value),
                    // Who waits for a read that cannot be shared is not made to wait longer.
                    (Ok(Round::Bypass) | Err(_), None) => break,
                }
            }
        }
    }
    count(&store.counters.bypasses);
    Lookup::Miss(Fill::new(store, name, None, None))
}

pub(super) fn near<T: Entry>(store: &Store, name: &Name) -> Option<T> {
    store.near.as_ref()?.get(name)?.downcast_ref::<T>().cloned()
}

/// Whether the cache is to be asked at all.
pub(super) fn admits(store: &Store, name: &Name) -> bool {
    store.settings.lifetime_of(name.kind).is_some()
        && store.breaker.admits(store.settings.retry_after)
}

fn hit<'s, T: Entry>(store: &'s Store, name: &Name, value: T) -> Lookup<'s, T> {
    count(&store.counters.hits);
    keep_near(store, name, &value);
    Lookup::Hit(value)
}

pub(super) fn keep_near<T: Entry>(store: &Store, name: &Name, value: &T) {
    if let Some(near) = &store.near
        && T::MAY_BE_NEAR
    {
        near.insert(name.clone(), Arc::new(value.clone()));
    }
}

#[repository]
pub(super) async fn get<T: Entry>(
    store: &Store,
    name: &Name,
) -> Result<Option<Decoded<T>>, Unusable> {
    let shard = name.shard(store.settings.shards);
    let values = get_all(store, shard, &[name]).await?;
    let bytes = values.into_iter().next().flatten();
    Ok(bytes.and_then(|bytes| store.decoded(name, &bytes)))
}

/// The values of entries of one shard, with the generation that they belong to, by one command.
#[repository]
pub(super) async fn get_all(
    store: &Store,
    shard: u16,
    names: &[&Name],
) -> Result<Vec<Option<Vec<u8>>>, Unusable> {
    for _ in 0..3 {
        let attached = attached(store, shard).await?;
        let mut command = redis::cmd("MGET");
        command.arg(&attached.names.generation_key);
        for name in names {
            command.arg(attached.names.value(name));
        }
        let answer = attached.link.send(&command, &store.counters).await;
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
        let Value::Array(values) = answer else {
            return Err(Unusable::Misunderstood);
        };
        let mut values = values.into_iter();
        let generation = values.next().and_then(script::text);
        if generation.as_deref() == Some(attached.names.generation.as_str())
            || store.settings.mutant == Mutant::AnyGeneration
        {
            return Ok(values.map(script::bytes).collect());
        }
        let outdated = values.filter(|value| *value != Value::Nil).count();
        store
            .counters
            .stale_prevented
            .fetch_add(outdated as u64, Ordering::Relaxed);
        store.detach(shard, &attached);
    }
    Err(Unusable::Restless)
}

/// Asks for the right to fill the entry, and waits a little for another who has it.
#[repository]
async fn lease<T: Entry>(store: &Store, name: &Name, anew: bool) -> Result<Round<T>, Unusable> {
    let shard = name.shard(store.settings.shards);
    let attached = attached(store, shard).await?;
    let outcome = lease_in::<T>(store, name, anew, &attached).await;
    outcome.inspect_err(|error| store.failed(shard, Some(&attached), error))
}

#[repository]
async fn lease_in<T: Entry>(
    store: &Store,
    name: &Name,
    anew: bool,
    attached: &Arc<Attached>,
) -> Result<Round<T>, Unusable> {
    if name.kind.is_aging() {
        let attached = Arc::clone(attached);
        let nonce = String::new();
        return Ok(Round::Granted(Lease { attached, nonce }));
    }
    let shard = name.shard(store.settings.shards);
    let nonce = Uuid::now_v7().simple().to_string();
    let milliseconds = store.settings.lease.as_millis().max(1).to_string();
    let names = &attached.names;
    let keys = [names.entry(name), names.value(name), names.lease(name)];
    let keys = keys.each_ref().map(String::as_str);
    let arguments: [&[u8]; 3] = [
        nonce.as_bytes(),
        milliseconds.as_bytes(),
        if anew { b"1" } else { b"0" },
    ];
    let began = Instant::now();
    let mut wait = FIRST_WAIT;
    let mut has_opened = false;
    loop {
        match step(store, attached, &LEASE, &keys, &arguments).await? {
            Reply::Granted => {
                let attached = Arc::clone(attached);
                return Ok(Round::Granted(Lease { attached, nonce }));
            }
            Reply::Value(bytes) => {
                let decoded = store.decoded(name, &bytes);
                return Ok(decoded.map_or(Round::Bypass, |decoded| Round::Found(decoded.value)));
            }
            Reply::Held if !anew && began.elapsed() + wait < store.settings.lease_wait => {
                pause(wait).await;
                wait = wait.saturating_mul(2).min(LONGEST_WAIT);
            }
            Reply::Held => return Ok(Round::Bypass),
            Reply::Closed(barrier) => {
                if has_opened || !open(store, shard, attached, barrier).await? {
                    return Ok(Round::Bypass);
                }
                has_opened = true;
            }
            Reply::Fenced(fences) => {
                clear(store, attached, keys[0], &fences).await?;
                return Ok(Round::Bypass);
            }
            Reply::Lost => {
                store.detach(shard, attached);
                return Ok(Round::Bypass);
            }
            _ => return Err(Unusable::Misunderstood),
        }
    }
}

/// How long to wait before looking again whether another reader has filled the entry: at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(32);

/// From this age on a fence may have been left behind. Writers take that long seldom.
const OLD: u64 = 2;

/// Removes the fences of writers that have ended without doing so.
#[repository]
async fn clear(
    store: &Store,
    attached: &Attached,
    entry: &str,
    fences: &[Fence],
) -> Result<(), Unusable> {
    for fence in fences.iter().filter(|fence| fence.age >= OLD) {
        let has_ended = diesel::sql_query(question::HAS_ENDED).bind::<Text, _>(&fence.transaction);
        let has_ended: question::Answer = store.db.source().one(prepared(has_ended)).await?;
        if has_ended.yes || store.settings.mutant == Mutant::ExpiringFence {
            step(store, attached, &END, &[entry], &[fence.token.as_bytes()]).await?;
            count(&store.counters.fences_cleared);
            events::cleared(&fence.transaction);
        }
    }
    Ok(())
}

impl<'s> Fill<'s> {
    fn new(store: &'s Store, name: Name, lease: Option<Lease>, leading: Option<Leading>) -> Self {
        Self {
            store,
            name,
            lease,
            leading,
            began: Instant::now(),
        }
    }
}

/// Stores what was read, if nothing came between, and returns it.
#[repository]
pub(super) async fn settle<T: Entry>(fill: Fill<'_>, outcome: Result<T>) -> Result<T> {
    let longest = Duration::MAX;
    settle_for(fill, outcome, longest).await
}

/// [`settle`] for a value that ends at a time of its own.
#[repository]
pub(super) async fn settle_for<T: Entry>(
    mut fill: Fill<'_>,
    outcome: Result<T>,
    longest: Duration,
) -> Result<T> {
    let value = match outcome {
        Ok(value) => value,
        Err(error) => {
            give_up(fill, &error).await;
            return Err(error);
        }
    };
    let Some(lease) = fill.lease.take() else {
        return Ok(value);
    };
    let store = fill.store;
    let lifetime = store.lifetime(&fill.name, &value).min(longest);
    pass(store, Point::Read).await;
    // Who comes from now on must look for himself.
    if let Some(leading) = &mut fill.leading
        && store.settings.mutant != Mutant::LateClose
    {
        leading.close();
    }
    pass(store, Point::BeforeFill).await;
    let stored = store_value(&fill, &lease, &value, lifetime)
        .await
        .unwrap_or(false);
    pass(store, Point::AfterFill).await;
    let is_shared = stored || store.settings.mutant == Mutant::SharedFlight;
    if let Some(leading) = fill.leading.take().filter(|_| is_shared) {
        leading.share(Arc::new(value.clone()));
    }
    if stored {
        keep_near(store, &fill.name, &value);
    }
    Ok(value)
}

/// Tells whether the value was current when it was stored.
#[repository]
async fn store_value<T: Entry>(
    fill: &Fill<'_>,
    lease: &Lease,
    value: &T,
    lifetime: Duration,
) -> Result<bool, Unusable> {
    let store = fill.store;
    let names = &lease.attached.names;
    let (milliseconds, encoded) = store.encoded(value, fill.began.elapsed(), lifetime);
    let keys = [
        names.entry(&fill.name),
        names.value(&fill.name),
        names.lease(&fill.name),
    ];
    if lease.nonce.is_empty() || store.settings.mutant == Mutant::UnguardedFill {
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
            Ok(true)
        }
        _ => {
            count(&store.counters.fills_refused);
            Ok(false)
        }
    }
}

/// Gives the right to fill back: the database could not be read.
#[repository]
pub(super) async fn give_up(mut fill: Fill<'_>, error: &Error) {
    fill.store.doubt(error);
    let Some(lease) = fill.lease.take().filter(|lease| !lease.nonce.is_empty()) else {
        return;
    };
    let names = &lease.attached.names;
    let keys = [
        names.entry(&fill.name),
        names.value(&fill.name),
        names.lease(&fill.name),
    ];
    let keys = keys.each_ref().map(String::as_str);
    // Unheard, it ends by itself.
    let _ = step(
        fill.store,
        &lease.attached,
        &RELEASE,
        &keys,
        &[lease.nonce.as_bytes()],
    )
    .await;
}
