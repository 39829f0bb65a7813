//! Under which generation a shard is used: found out, begun anew, opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::sql_types::Text;
use redis::{Cmd, Value};
use uuid::Uuid;

use super::cache_io::{MgetBatcher, RedisConnection, boxed, send_all};
use super::call::{call, step};
use super::client::{CacheClient, Database};
#[cfg(feature = "cache-faults")]
use super::failpoint::failpoint;
use super::identity::{database, is_restored};
use super::shard::ShardSession;
use super::topology::{link, link_to, named};
use super::unavailable::Unusable;
use super::{Executor, repository};
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::keys::KeySpace;
use crate::cache::scripts::{self, ATTACH, Attach, BARRIER, OPEN, Reply};
use crate::cache::{count, events};
use crate::sql::cache as question;
use crate::sql::prepared;

/// Returns the shard's server and generation, found out if need be.
#[repository]
pub(crate) async fn attached(
    store: &CacheClient,
    shard: u16,
) -> Result<Arc<ShardSession>, Unusable> {
    if let Some(attached) = store.shard(shard).current() {
        return Ok(attached);
    }
    boxed(attach_own(store, shard)).await
}

#[repository]
async fn attach_own(store: &CacheClient, shard: u16) -> Result<Arc<ShardSession>, Unusable> {
    attached_by(store, shard, &store.db.executor()).await
}

/// As [`attached`], for a caller that has a connection to the database: it must not wait for another one.
#[repository]
pub(crate) async fn attached_by(
    store: &CacheClient,
    shard: u16,
    own: &Executor<'_>,
) -> Result<Arc<ShardSession>, Unusable> {
    let of_store = store.shard(shard);
    if let Some(attached) = of_store.current() {
        return Ok(attached);
    }
    let database = database(store, own).await?;
    let failures = AtomicU64::load(&of_store.failures, Ordering::Relaxed);
    // As long as opening a connection and two questions may take.
    let patience = store.settings.response_timeout.saturating_mul(2);
    let patience = patience.saturating_add(store.settings.connect_timeout);
    let _inside = of_store.gate.enter(patience).await;
    if let Some(attached) = of_store.current() {
        return Ok(attached);
    }
    if AtomicU64::load(&of_store.failures, Ordering::Relaxed) != failures {
        // The caller that was inside has tried, and failed.
        return Err(Unusable::Resting);
    }
    match attach(store, shard, &database, false).await {
        Ok(attached) => {
            keep(store, shard, &attached, &database);
            Ok(attached)
        }
        Err(error) => {
            of_store.failures.fetch_add(1, Ordering::Relaxed);
            store.failed(shard, None, &error);
            Err(error)
        }
    }
}

/// Stores the session of the shard, unless the database has become another one meanwhile.
fn keep(store: &CacheClient, shard: u16, attached: &Arc<ShardSession>, database: &Database) {
    store.attach(shard, attached);
    // In this order: the database is forgotten before the shards.
    let is_same = store
        .database()
        .is_some_and(|known| known.name == database.name && known.timeline == database.timeline);
    if !is_same {
        store.detach(shard, attached);
    }
}

/// Begins a new generation of the shard: everything that it holds is old.
#[repository]
pub(crate) async fn renew(
    store: &CacheClient,
    shard: u16,
    own: &Executor<'_>,
) -> Result<(), Unusable> {
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
    keep(store, shard, &renewed, &database);
    Ok(())
}

#[repository]
async fn attach(
    store: &CacheClient,
    shard: u16,
    database: &Database,
    anew: bool,
) -> Result<Arc<ShardSession>, Unusable> {
    let mut server = link_to(store, shard, database).await?;
    let run = match server.server_info().await {
        Ok(run) => run,
        // A connection that has ended unnoticed is no reason to fail.
        Err(error) => {
            store.unlink(&server);
            if !error.is_connection_dropped() {
                return Err(error.into());
            }
            server = link_to(store, shard, database).await?;
            server.server_info().await?
        }
    };
    let attached = attach_on(store, shard, database, anew, Arc::clone(&server), run).await;
    let Some((host, port)) = attached.as_ref().err().and_then(Unusable::moved_to) else {
        return attached;
    };
    // The server that was asked where the slot is has not heard yet that it has moved.
    let server = link(store, named(store, &server, host, port)).await?;
    let run = server.server_info().await?;
    attach_on(store, shard, database, anew, server, run).await
}

#[repository]
async fn attach_on(
    store: &CacheClient,
    shard: u16,
    database: &Database,
    anew: bool,
    link: Arc<RedisConnection>,
    run: String,
) -> Result<Arc<ShardSession>, Unusable> {
    let mut begins = if anew { Begins::Anew } else { Begins::IfNone };
    loop {
        let attaching = Attaching::new(
            store,
            shard,
            database,
            begins,
            Arc::clone(&link),
            run.clone(),
        );
        let key = attaching.key.as_str();
        let answer = call(
            &store.counters,
            &link,
            &ATTACH,
            &[key],
            &attaching.arguments(store),
        )
        .await;
        let answer = answer.inspect_err(|error| {
            if error.is_connection_dropped() {
                store.unlink(&link);
            }
        })?;
        let attached = attaching.attached(store, answer);
        match attached {
            // The generation was left for another one, and has been put back.
            Ok(attached) if !store.shard(shard).may_use(&attached.names.generation) => {
                if begins != Begins::IfNone {
                    return Err(Unusable::Restless);
                }
                begins = Begins::Anew;
            }
            Err(Unusable::Outdated { .. })
                if begins != Begins::OnLowerTimeline && is_restored(store, database).await =>
            {
                begins = Begins::OnLowerTimeline;
            }
            attached => return attached,
        }
    }
}

/// The rule by which a call of `attach` begins a generation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// If there is none that may be used.
    IfNone,
    Anew,
    /// Anew, although the cache has seen a later timeline of the database.
    OnLowerTimeline,
}

/// Begins new generations of all shards: everything that they hold is old.
#[repository]
pub(crate) async fn forget_everything(store: &CacheClient) -> crate::Result<()> {
    let own = store.db.executor();
    store.forget_all_near();
    // Asked for, and so no accident, if the timeline is a lower one.
    store.forget_database();
    let outcome = database(store, &own).await;
    if let Ok(database) = &outcome {
        store.lineage.allow(&database.timeline);
    }
    let refused = |error| match error {
        Unusable::Database(error) => error,
        error => crate::Error::Cache(error.to_string()),
    };
    outcome.map_err(refused)?;
    for shard in 0..store.settings.shards {
        renew(store, shard, &own).await.map_err(refused)?;
    }
    store.forget_all_near();
    Ok(())
}

/// As [`renew`] for all shards, without waiting for one before the other is asked. Tells which were left out: their
/// servers are not known yet, or have not done it.
#[repository]
pub(crate) async fn renew_at_once(
    store: &CacheClient,
    own: &Executor<'_>,
) -> Result<Vec<u16>, Unusable> {
    let database = database(store, own).await?;
    let (mut asked, mut left_out) = (Vec::new(), Vec::new());
    for shard in 0..store.settings.shards {
        match store.shard(shard).current() {
            Some(known) => {
                let (link, run) = (Arc::clone(&known.link), known.run.clone());
                let begins = Begins::Anew;
                asked.push(Attaching::new(store, shard, &database, begins, link, run));
            }
            None => left_out.push(shard),
        }
    }
    let commands: Vec<(&RedisConnection, Cmd)> = asked
        .iter()
        .map(|attaching| {
            let command = ATTACH.by_name(&[&attaching.key], &attaching.arguments(store));
            (&*attaching.link, command)
        })
        .collect();
    let answers = send_all(&commands, &store.counters).await;
    for (attaching, answer) in asked.into_iter().zip(answers) {
        let shard = attaching.shard;
        match answer.map_err(Unusable::from) {
            Ok(answer) => {
                let attached = attaching.attached(store, answer)?;
                store.shard(shard).may_use(&attached.names.generation);
                keep(store, shard, &attached, &database);
            }
            Err(_) => left_out.push(shard),
        }
    }
    Ok(left_out)
}

/// A call of the script that tells a shard's generation, or begins one.
struct Attaching {
    shard: u16,
    link: Arc<RedisConnection>,
    run: String,
    database: Database,
    begins: Begins,
    /// The number of unfenced commits of the shard at the call.
    unfenced_commits: u64,
    key: String,
    epochs: String,
    proposal: String,
    schema: Arc<str>,
}

impl Attaching {
    fn new(
        store: &CacheClient,
        shard: u16,
        database: &Database,
        begins: Begins,
        link: Arc<RedisConnection>,
        run: String,
    ) -> Self {
        let (key, epochs) = KeySpace::of_shard(&store.settings.prefix, shard, &database.name);
        let unfenced_commits =
            AtomicU64::load(&store.shard(shard).unfenced_commits, Ordering::Relaxed);
        let begins = match begins {
            Begins::IfNone if store.shard(shard).has_uncovered_commits() => Begins::Anew,
            begins => begins,
        };
        Self {
            shard,
            link,
            run,
            database: database.clone(),
            begins,
            unfenced_commits,
            key,
            epochs,
            proposal: Uuid::now_v7().simple().to_string(),
            schema: Arc::clone(&store.schema),
        }
    }

    fn arguments(&self, store: &CacheClient) -> [&[u8]; 6] {
        [
            if injects!(store, RestoredSnapshotAccepted) {
                b"any"
            } else {
                self.run.as_bytes()
            },
            self.proposal.as_bytes(),
            self.schema.as_bytes(),
            self.epochs.as_bytes(),
            match self.begins {
                Begins::IfNone => b"0",
                Begins::Anew => b"1",
                Begins::OnLowerTimeline => b"2",
            },
            self.database.timeline.as_bytes(),
        ]
    }

    fn attached(self, store: &CacheClient, answer: Value) -> Result<Arc<ShardSession>, Unusable> {
        let generation = match scripts::attached(answer).ok_or(Unusable::Misunderstood)? {
            Attach::To(generation) => generation,
            Attach::Outdated(known) => {
                store.forget_database();
                store.lineage.is_behind(&self.database.timeline);
                let keys = self.key.trim_end_matches("generation");
                return Err(Unusable::Outdated {
                    own: self.database.timeline,
                    known,
                    keys: keys.replacen(&format!("{{{}}}", self.shard), "{*}", 1),
                });
            }
        };
        if self.begins == Begins::OnLowerTimeline {
            events::lower_timeline(&self.database.timeline);
        }
        if self.begins != Begins::IfNone {
            let covered_commits = &store.shard(self.shard).covered_commits;
            covered_commits.fetch_max(self.unfenced_commits, Ordering::Relaxed);
        }
        if generation == self.proposal {
            count(&store.counters.generations);
            events::renewed(&generation);
        } else {
            events::attached(&generation);
        }
        let application = &store.settings.prefix;
        let schema = self.schema;
        let names = KeySpace::new(
            application,
            self.shard,
            &self.database.name,
            generation,
            schema,
        );
        let names = Arc::new(names);
        let counters = Arc::clone(&store.counters);
        let reads = MgetBatcher::new(Arc::clone(&self.link), Arc::clone(&names), counters);
        Ok(Arc::new(ShardSession {
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
pub(crate) async fn open(
    store: &CacheClient,
    shard: u16,
    attached: &ShardSession,
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
            let next: question::TransactionId = store.db.executor().one(next).await?;
            let next = next.id.unwrap_or_default();
            #[cfg(feature = "cache-faults")]
            failpoint(store, Failpoint::BeforeBarrier).await;
            match step(&store.counters, attached, &BARRIER, &[], &[next.as_bytes()]).await? {
                Reply::Barrier(barrier) => barrier,
                Reply::Lost => return Ok(false),
                _ => return Err(Unusable::Misunderstood),
            }
        }
    };
    let ended = prepared(diesel::sql_query(question::ENDED_BEFORE).bind::<Text, _>(&barrier));
    let ended: question::Answer = store.db.executor().one(ended).await?;
    if ended.yes || injects!(store, NoBarrier) {
        step(&store.counters, attached, &OPEN, &[], &[barrier.as_bytes()]).await?;
        events::opened(&attached.names.generation);
        return Ok(true);
    }
    Ok(false)
}
