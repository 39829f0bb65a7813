//! Which server has a shard, and under which generation it is used.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, RedisError, RedisResult, Value};

use super::link::{Gate, Link, Reads, boxed, send_all};
use super::store::{Database, Store, pass};
use super::topology::{link, link_to};
use super::{Source, repository};
use crate::Result;
use crate::cache::name::Names;
use crate::cache::script::{self, ATTACH, BARRIER, OPEN, Reply, Step};
use crate::cache::{Mutant, Point, count, entry, events, question};
use crate::statement::prepared;
use diesel::sql_types::Text;
use uuid::Uuid;

/// A shard: where it is, once that was found out.
#[derive(Default)]
pub(super) struct Shard {
    attached: Mutex<Option<Arc<Attached>>>,
    gate: Gate,
    /// How often the server was not reached.
    failures: AtomicU64,
    /// How many commits went on without their fences, and how many of those had done so when the last generation was
    /// begun for it: as long as these differ, what is cached may be old. Two numbers, so that neither a future that is
    /// dropped nor a commit that comes between is forgotten.
    owed: AtomicU64,
    paid: AtomicU64,
    /// When it was last tried to open the generation.
    opening: Mutex<Option<Instant>>,
}

/// A connection to the run of a server, and the names of the generation that goes with it.
pub(super) struct Attached {
    pub(super) link: Arc<Link>,
    pub(super) reads: Arc<Reads>,
    run: String,
    pub(super) names: Arc<Names>,
}

/// Why the cache cannot be used at the moment.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("the database: {0}")]
    Database(#[from] crate::Error),
    #[error("it did not answer a moment ago")]
    Resting,
    #[error("it answers what this version does not understand")]
    Misunderstood,
    #[error("its generation changes faster than it can be used")]
    Restless,
    #[error("the database has been taken over by another server, which was not reached yet")]
    Outdated,
}

impl Unusable {
    /// Whether the shard's slot has moved to another server, or is about to.
    pub(super) fn is_redirection(&self) -> bool {
        matches!(self, Self::Redis(error) if matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN")))
    }

    /// The server that has the shard's slot.
    fn moved_to(&self) -> Option<(String, u16)> {
        let Self::Redis(error) = self else {
            return None;
        };
        if error.code() != Some("MOVED") {
            return None;
        }
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    }

    /// Whether the server has not seen the script's text yet.
    pub(super) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code() == Some("NOSCRIPT"))
    }

    /// Whether a connection was lost that was good before: the server may be reached by another.
    pub(super) fn is_loss(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_connection_dropped())
    }

    /// Whether the server cannot be used at all, or refuses this call alone.
    pub(super) fn ends_link(&self) -> bool {
        match self {
            Self::Redis(error) => {
                error.is_io_error()
                    || error.is_unrecoverable_error()
                    || matches!(
                        error.code(),
                        Some(
                            "MOVED"
                                | "ASK"
                                | "TRYAGAIN"
                                | "CLUSTERDOWN"
                                | "MASTERDOWN"
                                | "READONLY"
                                | "LOADING"
                                | "NOAUTH"
                                | "WRONGPASS"
                        )
                    )
            }
            Self::Misunderstood => true,
            Self::Database(_) | Self::Resting | Self::Restless | Self::Outdated => false,
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Attached>>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    pub(super) fn current(&self) -> Option<Arc<Attached>> {
        self.lock().clone()
    }

    /// What is cached may be old: a new generation is to be begun before it is used again.
    pub(super) fn owe(&self) {
        let mut current = self.lock();
        self.owed.fetch_add(1, Ordering::Relaxed);
        *current = None;
    }

    fn owes(&self) -> bool {
        AtomicU64::load(&self.owed, Ordering::Relaxed)
            != AtomicU64::load(&self.paid, Ordering::Relaxed)
    }

    /// Whether to try now to open the generation, which may take as long as the slowest transaction.
    fn may_try_to_open(&self) -> bool {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = opening.is_none_or(|last| last.elapsed() >= BETWEEN_TRIES);
        if is_time {
            *opening = Some(Instant::now());
        }
        is_time
    }
}

impl Store {
    pub(super) fn shard(&self, shard: u16) -> &Shard {
        &self.shards[usize::from(shard)]
    }

    /// Forgets what the shard was attached to, and tells whether it still was.
    pub(super) fn detach(&self, shard: u16, attached: &Arc<Attached>) -> bool {
        let mut current = self.shard(shard).lock();
        let is_current = current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, attached));
        if is_current {
            *current = None;
        }
        is_current
    }

    /// The shard is used like this from now on, unless a commit has gone on without its fences meanwhile.
    fn attach(&self, shard: u16, attached: &Arc<Attached>) {
        self.breaker.succeeded();
        self.told.forget();
        let shard = self.shard(shard);
        let mut current = shard.lock();
        if !shard.owes() {
            *current = Some(Arc::clone(attached));
        }
    }

    /// Does not use a connection again.
    fn unlink(&self, link: &Arc<Link>) {
        self.links().retain(|_, other| !Arc::ptr_eq(other, link));
    }

    /// A call has failed: reads leave the server alone for a while if it is to blame. Who was late to find out that a
    /// connection has ended says nothing about the one that is there in its place.
    pub(super) fn failed(&self, shard: u16, attached: Option<&Arc<Attached>>, error: &Unusable) {
        count(&self.counters.errors);
        if error.ends_link() {
            // Whether the server is gone with the connection is found out by who opens the next.
            let is_news = attached.is_none_or(|attached| {
                self.unlink(&attached.link);
                self.detach(shard, attached) && !error.is_loss() && !error.is_redirection()
            });
            if is_news && self.breaker.failed(self.settings.retry_after) {
                events::unreachable(error);
            }
        } else if !matches!(error, Unusable::Resting | Unusable::Database(_)) {
            self.told.refused(error);
        }
    }

    pub(super) fn links(&self) -> MutexGuard<'_, HashMap<String, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait before it is tried again to open a generation.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// The shard's server and generation, found out if need be.
#[repository]
pub(super) async fn attached(store: &Store, shard: u16) -> Result<Arc<Attached>, Unusable> {
    if let Some(attached) = store.shard(shard).current() {
        return Ok(attached);
    }
    boxed(attach_own(store, shard)).await
}

#[repository]
async fn attach_own(store: &Store, shard: u16) -> Result<Arc<Attached>, Unusable> {
    attached_by(store, shard, &store.db.source()).await
}

/// [`attached`] for who has a connection to the database already: it must not wait for another.
#[repository]
pub(super) async fn attached_by(
    store: &Store,
    shard: u16,
    own: &Source<'_>,
) -> Result<Arc<Attached>, Unusable> {
    let of_store = store.shard(shard);
    if let Some(attached) = of_store.current() {
        return Ok(attached);
    }
    let database = database(store, own).await?;
    let failures = AtomicU64::load(&of_store.failures, Ordering::Relaxed);
    let _guard = of_store.gate.enter().await;
    if let Some(attached) = of_store.current() {
        return Ok(attached);
    }
    if AtomicU64::load(&of_store.failures, Ordering::Relaxed) != failures {
        // The one who was waited for has tried.
        return Err(Unusable::Resting);
    }
    match attach(store, shard, &database, false).await {
        Ok(attached) => {
            store.attach(shard, &attached);
            Ok(attached)
        }
        Err(error) => {
            of_store.failures.fetch_add(1, Ordering::Relaxed);
            store.failed(shard, None, &error);
            Err(error)
        }
    }
}

/// Begins a new generation of the shard: everything that it holds is old.
#[repository]
pub(super) async fn renew(store: &Store, shard: u16, own: &Source<'_>) -> Result<(), Unusable> {
    let database = database(store, own).await?;
    let renewed = match store.shard(shard).current() {
        Some(known) => {
            let (link, run) = (Arc::clone(&known.link), known.run.clone());
            let renewed = attach_on(store, shard, &database, true, link, run).await;
            renewed.inspect_err(|error| store.failed(shard, Some(&known), error))
        }
        None => Err(Unusable::Resting),
    };
    let renewed = match renewed {
        Ok(renewed) => renewed,
        // It may be reached by a new connection, or lie elsewhere by now.
        Err(error) if error.is_loss() || !error.ends_link() || error.is_redirection() => {
            let renewed = attach(store, shard, &database, true).await;
            renewed.inspect_err(|error| store.failed(shard, None, error))?
        }
        Err(error) => return Err(error),
    };
    store.attach(shard, &renewed);
    Ok(())
}

#[repository]
async fn attach(
    store: &Store,
    shard: u16,
    database: &Database,
    anew: bool,
) -> Result<Arc<Attached>, Unusable> {
    let mut server = link_to(store, shard, database).await?;
    let run = match server.greet().await {
        Ok(run) => run,
        // A connection that has ended unnoticed is no reason to fail.
        Err(error) => {
            store.unlink(&server);
            if !error.is_connection_dropped() {
                return Err(error.into());
            }
            server = link_to(store, shard, database).await?;
            server.greet().await?
        }
    };
    let attached = attach_on(store, shard, database, anew, server, run).await;
    let Some((host, port)) = attached.as_ref().err().and_then(Unusable::moved_to) else {
        return attached;
    };
    // The server that was asked where the slot is has not heard yet that it has moved.
    let server = link(store, store.at(host, port)).await?;
    let run = server.greet().await?;
    attach_on(store, shard, database, anew, server, run).await
}

#[repository]
async fn attach_on(
    store: &Store,
    shard: u16,
    database: &Database,
    anew: bool,
    link: Arc<Link>,
    run: String,
) -> Result<Arc<Attached>, Unusable> {
    let attaching = Attaching::new(store, shard, database, anew, link, run);
    let (link, key) = (&attaching.link, attaching.key.as_str());
    let answer = call(store, link, &ATTACH, &[key], &attaching.arguments()).await;
    let answer = answer.inspect_err(|error| {
        if error.is_connection_dropped() {
            store.unlink(link);
        }
    })?;
    attaching.attached(store, answer)
}

/// As [`renew`] for all shards, without waiting for one before the other is asked. Tells which were left out: their
/// servers are not known yet, or have not done it.
#[repository]
pub(super) async fn renew_at_once(store: &Store, own: &Source<'_>) -> Result<Vec<u16>, Unusable> {
    let database = database(store, own).await?;
    let (mut asked, mut left_out) = (Vec::new(), Vec::new());
    for shard in 0..store.settings.shards {
        match store.shard(shard).current() {
            Some(known) => {
                let (link, run) = (Arc::clone(&known.link), known.run.clone());
                asked.push(Attaching::new(store, shard, &database, true, link, run));
            }
            None => left_out.push(shard),
        }
    }
    let commands: Vec<(&Link, Cmd)> = asked
        .iter()
        .map(|attaching| {
            let command = ATTACH.by_name(&[&attaching.key], &attaching.arguments());
            (&*attaching.link, command)
        })
        .collect();
    let answers = send_all(&commands, &store.counters).await;
    for (attaching, answer) in asked.into_iter().zip(answers) {
        let shard = attaching.shard;
        match answer.map_err(Unusable::from) {
            Ok(answer) => store.attach(shard, &attaching.attached(store, answer)?),
            Err(_) => left_out.push(shard),
        }
    }
    Ok(left_out)
}

/// A call of the script that tells a shard's generation, or begins one.
struct Attaching {
    shard: u16,
    link: Arc<Link>,
    run: String,
    database: Database,
    anew: bool,
    /// What the shard owed when it was called.
    owed: u64,
    key: String,
    epochs: String,
    proposal: String,
    takes_any_run: bool,
}

impl Attaching {
    fn new(
        store: &Store,
        shard: u16,
        database: &Database,
        anew: bool,
        link: Arc<Link>,
        run: String,
    ) -> Self {
        let (key, epochs) = Names::of_shard(&store.settings.prefix, shard, &database.name);
        let owed = AtomicU64::load(&store.shard(shard).owed, Ordering::Relaxed);
        Self {
            shard,
            link,
            run,
            database: database.clone(),
            anew: anew || store.shard(shard).owes(),
            owed,
            key,
            epochs,
            proposal: Uuid::now_v7().simple().to_string(),
            takes_any_run: store.settings.mutant == Mutant::AnyRun,
        }
    }

    fn arguments(&self) -> [&[u8]; 6] {
        [
            if self.takes_any_run {
                b"any"
            } else {
                self.run.as_bytes()
            },
            self.proposal.as_bytes(),
            entry::SCHEMA.as_bytes(),
            self.epochs.as_bytes(),
            if self.anew { b"1" } else { b"0" },
            self.database.timeline.as_bytes(),
        ]
    }

    fn attached(self, store: &Store, answer: Value) -> Result<Arc<Attached>, Unusable> {
        let generation = script::attached(answer).ok_or(Unusable::Misunderstood)?;
        let generation = generation.ok_or_else(|| {
            store.forget_database();
            Unusable::Outdated
        })?;
        if self.anew {
            let paid = &store.shard(self.shard).paid;
            paid.fetch_max(self.owed, Ordering::Relaxed);
        }
        if generation == self.proposal {
            count(&store.counters.generations);
            events::renewed(&generation);
        } else {
            events::attached(&generation);
        }
        let application = &store.settings.prefix;
        let names = Names::new(application, self.shard, &self.database.name, generation);
        let names = Arc::new(names);
        let counters = Arc::clone(&store.counters);
        let reads = Reads::new(Arc::clone(&self.link), Arc::clone(&names), counters);
        Ok(Arc::new(Attached {
            link: self.link,
            reads,
            run: self.run,
            names,
        }))
    }
}

/// Lets a generation be filled, if all transactions have ended that may have fenced their entries in an earlier one.
/// Tells whether it may be.
#[repository]
pub(super) async fn open(
    store: &Store,
    shard: u16,
    attached: &Attached,
    barrier: Option<String>,
) -> Result<bool, Unusable> {
    if !store.shard(shard).may_try_to_open() {
        return Ok(false);
    }
    let barrier = match barrier {
        Some(barrier) => barrier,
        None => {
            // Asked for when the generation is there: no transaction begins to commit under an earlier one any more.
            let next = prepared(diesel::sql_query(question::NEXT));
            let next: question::TransactionId = store.db.source().one(next).await?;
            let next = next.id.unwrap_or_default();
            pass(store, Point::BeforeBarrier).await;
            match step(store, attached, &BARRIER, &[], &[next.as_bytes()]).await? {
                Reply::Barrier(barrier) => barrier,
                Reply::Lost => return Ok(false),
                _ => return Err(Unusable::Misunderstood),
            }
        }
    };
    let ended = prepared(diesel::sql_query(question::ENDED_BEFORE).bind::<Text, _>(&barrier));
    let ended: question::Answer = store.db.source().one(ended).await?;
    if ended.yes || store.settings.mutant == Mutant::NoBarrier {
        step(store, attached, &OPEN, &[], &[barrier.as_bytes()]).await?;
        events::opened(&attached.names.generation);
        return Ok(true);
    }
    Ok(false)
}

/// Which database it is, asked once, and again after its connections were lost.
#[repository]
async fn database(store: &Store, own: &Source<'_>) -> Result<Database, Unusable> {
    if let Some(database) = store.database() {
        return Ok(database);
    }
    let before = chrono::Utc::now();
    let identity = prepared(diesel::sql_query(question::IDENTITY));
    let identity: question::Identity = own.one(identity).await?;
    let rest = chrono::Utc::now() - before;
    store.set_clock(identity.now - before - rest / 2);
    let cluster = if identity.tells_cluster {
        let cluster = prepared(diesel::sql_query(question::CLUSTER));
        let cluster: question::Cluster = own.one(cluster).await?;
        cluster.id
    } else {
        store.told.unnamed_cluster();
        String::new()
    };
    let database = Database {
        name: crate::cache::name::digest(&format!("{cluster}:{}", identity.database)).into(),
        timeline: identity.timeline.into(),
    };
    store.set_database(Some(database.clone()));
    Ok(database)
}

/// Takes one step of the protocol on the shard's keys, and on those given.
#[repository]
pub(super) async fn step(
    store: &Store,
    attached: &Attached,
    step: &Step,
    keys: &[&str],
    arguments: &[&[u8]],
) -> Result<Reply, Unusable> {
    let names = &attached.names;
    let keys = [&[names.generation_key.as_str(), names.epoch.as_str()], keys].concat();
    let arguments = [&[names.generation.as_bytes()], arguments].concat();
    let answer = call(store, &attached.link, step, &keys, &arguments).await?;
    Reply::read(answer).ok_or(Unusable::Misunderstood)
}

/// Takes a step on several shards at once, by the script's name alone.
#[repository]
pub(super) async fn step_all<'a>(
    store: &Store,
    step: &Step,
    shards: impl Iterator<Item = (&'a Attached, &'a [String])>,
    arguments: &[&[u8]],
) -> Vec<Result<Reply, Unusable>> {
    let commands: Vec<(&Link, Cmd)> = shards
        .map(|(attached, entries)| {
            let names = &attached.names;
            let mut keys = vec![names.generation_key.as_str(), names.epoch.as_str()];
            keys.extend(entries.iter().map(String::as_str));
            let arguments = [&[names.generation.as_bytes()], arguments].concat();
            (&*attached.link, step.by_name(&keys, &arguments))
        })
        .collect();
    let answers = send_all(&commands, &store.counters).await;
    let answers = answers.into_iter();
    let replies = answers.map(|answer| Reply::read(answer?).ok_or(Unusable::Misunderstood));
    replies.collect()
}

#[repository]
async fn call(
    store: &Store,
    link: &Link,
    step: &Step,
    keys: &[&str],
    arguments: &[&[u8]],
) -> RedisResult<Value> {
    let by_name = step.by_name(keys, arguments);
    match link.send(&by_name, &store.counters).await {
        Err(error) if error.code() == Some("NOSCRIPT") => {
            let by_text = step.by_text(keys, arguments);
            link.send(&by_text, &store.counters).await
        }
        answer => answer,
    }
}
