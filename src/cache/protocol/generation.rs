//! Sessions and generations of the shards: opens a session, begins a generation, and opens it for
//! fills.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::{Cmd, Value};
use uuid::Uuid;

use super::cache_io::{MgetBatcher, RedisConnection, boxed, send_all};
use super::call::{call, step};
use super::client::{CacheClient, Database};
#[cfg(feature = "cache-faults")]
use super::failpoint::failpoint;
use super::identity::{database, is_restored};
use super::shard::ShardSession;
use super::topology::{connection_to, connection_to_shard, named};
use super::unavailable::Unavailable;
use super::{Executor, repository};
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::keys::KeySpace;
use crate::cache::scripts::{self, ATTACH, AttachReply, BARRIER, OPEN, Reply};
use crate::cache::{count, events};
use crate::sql::Sql;
use crate::sql::cache::{EndedBefore, NextTransaction};

/// Returns the session of the shard. Opens one if there is none.
#[repository]
pub(crate) async fn session(
    client: &CacheClient,
    shard: u16,
) -> Result<Arc<ShardSession>, Unavailable> {
    if let Some(session) = client.shard(shard).current() {
        return Ok(session);
    }
    boxed(own_session(client, shard)).await
}

#[repository]
async fn own_session(client: &CacheClient, shard: u16) -> Result<Arc<ShardSession>, Unavailable> {
    session_by(client, shard, &client.db.executor()).await
}

/// Does the same as [`session`] for a caller that has a connection to the database, and must not
/// wait for another one.
#[repository]
pub(crate) async fn session_by(
    client: &CacheClient,
    shard: u16,
    own: &Executor<'_>,
) -> Result<Arc<ShardSession>, Unavailable> {
    let state = client.shard(shard);
    if let Some(session) = state.current() {
        return Ok(session);
    }
    let database = database(client, own).await?;
    let failures = AtomicU64::load(&state.failures, Ordering::Relaxed);
    // The limit for opening a connection and for two commands.
    let patience = client.settings.response_timeout.saturating_mul(2);
    let patience = patience.saturating_add(client.settings.connect_timeout);
    let _inside = state.gate.enter(patience).await;
    if let Some(session) = state.current() {
        return Ok(session);
    }
    if AtomicU64::load(&state.failures, Ordering::Relaxed) != failures {
        // The caller that held the gate has tried, and failed.
        return Err(Unavailable::NotResponding);
    }
    match open_session(client, shard, &database, NewGeneration::IfNone).await {
        Ok(session) => {
            keep_session(client, shard, &session, &database);
            Ok(session)
        }
        Err(error) => {
            state.failures.fetch_add(1, Ordering::Relaxed);
            client.failed(shard, None, &error);
            Err(error)
        }
    }
}

/// Stores the session of the shard, unless the database has become another one meanwhile.
fn keep_session(
    client: &CacheClient,
    shard: u16,
    session: &Arc<ShardSession>,
    database: &Database,
) {
    client.use_session(shard, session);
    // Compared after the session is stored, because the database is forgotten before the shards.
    let is_same = client
        .database()
        .is_some_and(|known| known.name == database.name && known.timeline == database.timeline);
    if !is_same {
        client.close_session(shard, session);
    }
}

/// Begins a new generation of the shard: everything that it holds is old.
#[repository]
pub(crate) async fn new_generation(
    client: &CacheClient,
    shard: u16,
    own: &Executor<'_>,
) -> Result<(), Unavailable> {
    let database = database(client, own).await?;
    let opened = match client.shard(shard).current() {
        Some(known) => {
            let (connection, run_id) = (Arc::clone(&known.connection), known.run_id.clone());
            let rule = NewGeneration::Always;
            let opened = open_session_on(client, shard, &database, rule, connection, run_id).await;
            opened.inspect_err(|error| client.failed(shard, Some(&known), error))
        }
        None => Err(Unavailable::NotResponding),
    };
    let opened = match opened {
        Ok(opened) => opened,
        // The server may be reachable by a new connection, or the slot may have moved.
        Err(error) if error.is_loss() || !error.ends_connection() || error.is_redirection() => {
            let opened = open_session(client, shard, &database, NewGeneration::Always).await;
            opened.inspect_err(|error| client.failed(shard, None, error))?
        }
        Err(error) => return Err(error),
    };
    keep_session(client, shard, &opened, &database);
    Ok(())
}

#[repository]
async fn open_session(
    client: &CacheClient,
    shard: u16,
    database: &Database,
    rule: NewGeneration,
) -> Result<Arc<ShardSession>, Unavailable> {
    let mut server = connection_to_shard(client, shard, database).await?;
    let run_id = match server.server_info().await {
        Ok(run_id) => run_id,
        // A connection that has ended unnoticed is no reason to fail.
        Err(error) => {
            client.discard_connection(&server);
            if !error.is_connection_dropped() {
                return Err(error.into());
            }
            server = connection_to_shard(client, shard, database).await?;
            server.server_info().await?
        }
    };
    let session = open_session_on(client, shard, database, rule, Arc::clone(&server), run_id).await;
    let Some((host, port)) = session.as_ref().err().and_then(Unavailable::moved_to) else {
        return session;
    };
    // The server that reported the slot's place does not have the new place yet.
    let server = connection_to(client, named(client, &server, host, port)).await?;
    let run_id = server.server_info().await?;
    open_session_on(client, shard, database, rule, server, run_id).await
}

#[repository]
async fn open_session_on(
    client: &CacheClient,
    shard: u16,
    database: &Database,
    mut rule: NewGeneration,
    connection: Arc<RedisConnection>,
    run_id: String,
) -> Result<Arc<ShardSession>, Unavailable> {
    loop {
        let request = SessionRequest::new(
            client,
            shard,
            database,
            rule,
            Arc::clone(&connection),
            run_id.clone(),
        );
        let key = request.key.as_str();
        let reply = call(
            &client.counters,
            &connection,
            &ATTACH,
            &[key],
            &request.arguments(client),
        )
        .await;
        let reply = reply.inspect_err(|error| {
            if error.is_connection_dropped() {
                client.discard_connection(&connection);
            }
        })?;
        let session = request.session(client, reply);
        match session {
            // The generation was replaced by another one, and was put back.
            Ok(session) if !client.shard(shard).may_use(&session.key_space.generation) => {
                if rule != NewGeneration::IfNone {
                    return Err(Unavailable::UnstableGeneration);
                }
                rule = NewGeneration::Always;
            }
            Err(Unavailable::EarlierTimeline { .. })
                if rule != NewGeneration::OnEarlierTimeline
                    && is_restored(client, database).await =>
            {
                rule = NewGeneration::OnEarlierTimeline;
            }
            session => return session,
        }
    }
}

/// The rule by which the script `attach` begins a generation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewGeneration {
    /// If there is none that may be used.
    IfNone,
    /// In any case.
    Always,
    /// In any case, although the cache has seen a later timeline of the database.
    OnEarlierTimeline,
}

/// Begins new generations of all shards: everything that they hold is old.
#[repository]
pub(crate) async fn forget_everything(client: &CacheClient) -> crate::Result<()> {
    let own = client.db.executor();
    client.forget_all_near();
    // The caller requested it, so an earlier timeline is accepted.
    client.forget_database();
    let outcome = database(client, &own).await;
    if let Ok(database) = &outcome {
        client.lineage.allow(&database.timeline);
    }
    let refused = |error| match error {
        Unavailable::Database(error) => error,
        error => crate::Error::Cache(error.to_string()),
    };
    outcome.map_err(refused)?;
    for shard in 0..client.settings.shards {
        new_generation(client, shard, &own).await.map_err(refused)?;
    }
    client.forget_all_near();
    Ok(())
}

/// Begins new generations of all shards concurrently. Returns the shards that were left out: they
/// have no session, or their server did not do it.
#[repository]
pub(crate) async fn new_generations(
    client: &CacheClient,
    own: &Executor<'_>,
) -> Result<Vec<u16>, Unavailable> {
    let database = database(client, own).await?;
    let (mut requests, mut left_out) = (Vec::new(), Vec::new());
    for shard in 0..client.settings.shards {
        match client.shard(shard).current() {
            Some(known) => {
                let (connection, run_id) = (Arc::clone(&known.connection), known.run_id.clone());
                let rule = NewGeneration::Always;
                requests.push(SessionRequest::new(
                    client, shard, &database, rule, connection, run_id,
                ));
            }
            None => left_out.push(shard),
        }
    }
    let commands: Vec<(&RedisConnection, Cmd)> = requests
        .iter()
        .map(|request| {
            let command = ATTACH.by_name(&[&request.key], &request.arguments(client));
            (&*request.connection, command)
        })
        .collect();
    let replies = send_all(&commands, &client.counters).await;
    for (request, reply) in requests.into_iter().zip(replies) {
        let shard = request.shard;
        match reply.map_err(Unavailable::from) {
            Ok(reply) => {
                let session = request.session(client, reply)?;
                client.shard(shard).may_use(&session.key_space.generation);
                keep_session(client, shard, &session, &database);
            }
            Err(_) => left_out.push(shard),
        }
    }
    Ok(left_out)
}

/// A call of the script `attach`, which returns the generation of a shard or begins one.
struct SessionRequest {
    shard: u16,
    connection: Arc<RedisConnection>,
    run_id: String,
    database: Database,
    rule: NewGeneration,
    /// The number of unfenced commits of the shard at the call.
    unfenced_commits: u64,
    key: String,
    epochs: String,
    proposal: String,
    schema: Arc<str>,
}

impl SessionRequest {
    fn new(
        client: &CacheClient,
        shard: u16,
        database: &Database,
        rule: NewGeneration,
        connection: Arc<RedisConnection>,
        run_id: String,
    ) -> Self {
        let (key, epochs) = KeySpace::of_shard(&client.settings.prefix, shard, &database.name);
        let unfenced_commits =
            AtomicU64::load(&client.shard(shard).unfenced_commits, Ordering::Relaxed);
        let rule = match rule {
            NewGeneration::IfNone if client.shard(shard).has_uncovered_commits() => {
                NewGeneration::Always
            }
            rule => rule,
        };
        Self {
            shard,
            connection,
            run_id,
            database: database.clone(),
            rule,
            unfenced_commits,
            key,
            epochs,
            proposal: Uuid::now_v7().simple().to_string(),
            schema: Arc::clone(&client.schema),
        }
    }

    fn arguments(&self, client: &CacheClient) -> [&[u8]; 6] {
        [
            if injects!(client, RestoredSnapshotAccepted) {
                b"any"
            } else {
                self.run_id.as_bytes()
            },
            self.proposal.as_bytes(),
            self.schema.as_bytes(),
            self.epochs.as_bytes(),
            match self.rule {
                NewGeneration::IfNone => b"0",
                NewGeneration::Always => b"1",
                NewGeneration::OnEarlierTimeline => b"2",
            },
            self.database.timeline.as_bytes(),
        ]
    }

    fn session(self, client: &CacheClient, reply: Value) -> Result<Arc<ShardSession>, Unavailable> {
        let generation = match scripts::attach_reply(reply).ok_or(Unavailable::UnexpectedReply)? {
            AttachReply::To(generation) => generation,
            AttachReply::Outdated(known) => {
                client.forget_database();
                client
                    .lineage
                    .record_earlier_timeline(&self.database.timeline);
                let keys = self.key.trim_end_matches("generation");
                return Err(Unavailable::EarlierTimeline {
                    own: self.database.timeline,
                    known,
                    keys: keys.replacen(&format!("{{{}}}", self.shard), "{*}", 1),
                });
            }
        };
        if self.rule == NewGeneration::OnEarlierTimeline {
            events::lower_timeline(&self.database.timeline);
        }
        if self.rule != NewGeneration::IfNone {
            let covered_commits = &client.shard(self.shard).covered_commits;
            covered_commits.fetch_max(self.unfenced_commits, Ordering::Relaxed);
        }
        if generation == self.proposal {
            count(&client.counters.generations);
            events::generation_begun(&generation);
        } else {
            events::session_opened(&generation);
        }
        let application = &client.settings.prefix;
        let schema = self.schema;
        let key_space = KeySpace::new(
            application,
            self.shard,
            &self.database.name,
            generation,
            schema,
        );
        let key_space = Arc::new(key_space);
        let counters = Arc::clone(&client.counters);
        let reads = MgetBatcher::new(
            Arc::clone(&self.connection),
            Arc::clone(&key_space),
            counters,
        );
        Ok(Arc::new(ShardSession {
            connection: self.connection,
            reads,
            run_id: self.run_id,
            key_space,
        }))
    }
}

/// Opens a generation for fills, if all transactions have ended that may have fenced their entries
/// in an earlier one. Returns `true` if it is open.
#[repository]
pub(crate) async fn open_generation(
    client: &CacheClient,
    shard: u16,
    session: &ShardSession,
    barrier: Option<String>,
) -> Result<bool, Unavailable> {
    if !client.shard(shard).may_try_to_open() {
        return Ok(false);
    }
    let barrier = match barrier {
        Some(barrier) => barrier,
        None => {
            // Read while the generation exists, so that no later transaction commits under an
            // earlier one.
            let next: String = client.db.executor().one(Sql(NextTransaction)).await?;
            #[cfg(feature = "cache-faults")]
            failpoint(client, Failpoint::BeforeBarrier).await;
            match step(&client.counters, session, &BARRIER, &[], &[next.as_bytes()]).await? {
                Reply::Barrier(barrier) => barrier,
                Reply::Lost => return Ok(false),
                _ => return Err(Unavailable::UnexpectedReply),
            }
        }
    };
    let has_ended: bool = client.db.executor().one(Sql(EndedBefore(&barrier))).await?;
    if has_ended || injects!(client, NoBarrier) {
        step(&client.counters, session, &OPEN, &[], &[barrier.as_bytes()]).await?;
        events::generation_opened(&session.key_space.generation);
        return Ok(true);
    }
    Ok(false)
}
