//! The writers' side of the protocol: fences around the entries that a transaction changes.
//!
//! **Idea.** Before its commit a transaction *fences* each entry that it changes: one script
//! deletes the value and the lease, and adds the fence. After the commit another script removes the
//! fence. While an entry is fenced, no lease is granted and no value is stored, so readers go to
//! the database.
//!
//! **Invariant.** A value in the cache was read from the database when no fence of its entry was
//! set, and no fence was set between that read and the fill. Therefore it contains every write that
//! was acknowledged before.
//!
//! **Races.**
//!
//! - A reader read the old row before the fence was set, and fills after it: the fence has deleted
//!   the reader's lease, and the fill is refused.
//! - A reader reads the old row between the fence and the commit: it has no lease, and stores
//!   nothing.
//! - The writer dies, is cancelled, or does not know the outcome of its commit: the fence stays. A
//!   reader removes it only when PostgreSQL reports that the transaction has ended.
//! - Redis loses the fence: it loses the epoch, and with it the generation. A new generation is
//!   opened for fills only when all transactions that may have had a fence in an earlier one have
//!   ended.
//!
//! **Source.** The leases are those of Nishtala et al., *Scaling Memcache at Facebook* (NSDI 2013),
//! section 3.2.1. The protocol is checked as a model in `tests/cache_model`, and on real servers in
//! `tests/cache_history`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::call::{step, step_all};
use super::client::CacheClient;
#[cfg(feature = "cache-faults")]
use super::failpoint::failpoint;
#[cfg(feature = "cache-faults")]
use super::generation::session;
use super::generation::{new_generation, new_generations, session_by};
use super::shard::ShardSession;
use super::unavailable::Unavailable;
use super::{CommitGuard, CommitHook, Executor, Tx, repository};
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::keys::EntryKey;
use crate::cache::scripts::{BEGIN, END, Reply};
use crate::cache::{Unfenced, count, events};
use crate::sql::Sql;
use crate::sql::cache::{OwnTransaction, OwnWrites};
use crate::write_set::{CACHED_TABLES, WriteSet};
use crate::{Error, Result};

/// The fences of one transaction. If the writer dies, a reader removes them once PostgreSQL reports
/// the transaction as ended.
struct Fences {
    token: String,
    entries: Vec<(u16, Arc<ShardSession>, Vec<String>)>,
    keys: Vec<EntryKey>,
    everything: bool,
}

/// Removes the entries that the transaction has changed from the cache, and keeps them out until
/// [`end`]. Kinds that this process does not cache are fenced too, because other processes may
/// cache them. `own` is the transaction.
///
/// # Errors
/// The transaction must not be committed after an error:
///
/// - [`Error::Cache`] if an entry cannot be fenced and the settings forbid an unfenced commit.
/// - The error of a query to the database, which has aborted the transaction.
#[repository]
async fn fence(
    client: &CacheClient,
    write_set: &WriteSet,
    transaction: &str,
    own: &Executor<'_>,
) -> Result<Fences> {
    let keys: Vec<EntryKey> = write_set.keys().map(EntryKey::from).collect();
    let mut fences = Fences {
        token: Uuid::now_v7().simple().to_string(),
        entries: Vec::new(),
        keys,
        everything: write_set.is_everything(),
    };
    forget_near(client, &fences);
    #[cfg(feature = "cache-faults")]
    failpoint(client, Failpoint::BeforeFence).await;
    #[cfg(feature = "cache-faults")]
    if injects!(client, DeleteAfterCommitOnly) {
        return Ok(fences);
    }
    let outcome = if fences.everything {
        fence_everything(client, own).await
    } else {
        fence_keys(client, &mut fences, transaction, own).await
    };
    if let Err(error) = outcome {
        end(client, fences).await;
        return Err(error);
    }
    count(&client.counters.fences);
    #[cfg(feature = "cache-faults")]
    failpoint(client, Failpoint::BeforeCommit).await;
    Ok(fences)
}

/// Fences the entries of a transaction.
#[repository]
async fn fence_keys(
    client: &CacheClient,
    fences: &mut Fences,
    transaction: &str,
    own: &Executor<'_>,
) -> Result<()> {
    let mut by_shard: HashMap<u16, Vec<&EntryKey>> = HashMap::new();
    let Fences {
        token,
        entries,
        keys,
        ..
    } = fences;
    for key in keys.iter() {
        let shard = key.shard(client.settings.shards);
        by_shard.entry(shard).or_default().push(key);
    }
    let mut begun = begin_concurrently(client, &by_shard, token, transaction).await;
    let mut patience = Patience::new(client);
    for (shard, keys) in by_shard {
        let outcome = if patience.is_over() {
            Err(Unavailable::NotResponding)
        } else {
            let first = begun.remove(&shard);
            begin(client, shard, &keys, token, transaction, own, first).await
        };
        let outcome = outcome.map(|fenced| entries.push(fenced));
        patience.record(&outcome);
        proceed_unfenced(client, shard, outcome)?;
    }
    Ok(())
}

/// Begins new generations of all shards, for a transaction that may have written anything.
#[repository]
async fn fence_everything(client: &CacheClient, own: &Executor<'_>) -> Result<()> {
    let shards = 0..client.settings.shards;
    // A shard that failed is tried once more below, for the reason.
    let left_out: Vec<u16> = match shards.len() {
        1 => shards.collect(),
        _ => new_generations(client, own)
            .await
            .unwrap_or_else(|_| shards.collect()),
    };
    let mut patience = Patience::new(client);
    for shard in left_out {
        let outcome = if patience.is_over() {
            Err(Unavailable::NotResponding)
        } else {
            new_generation(client, shard, own).await
        };
        patience.record(&outcome);
        proceed_unfenced(client, shard, outcome)?;
    }
    Ok(())
}

/// Limits the total wait: many shards that do not respond take no longer than one.
struct Patience {
    began: Instant,
    limit: Duration,
    has_failed: bool,
}

impl Patience {
    fn new(client: &CacheClient) -> Self {
        Self {
            began: Instant::now(),
            limit: client.settings.connect_timeout + client.settings.response_timeout,
            has_failed: false,
        }
    }

    fn record(&mut self, outcome: &Result<(), Unavailable>) {
        self.has_failed |= outcome.is_err();
    }

    fn is_over(&self) -> bool {
        self.has_failed && self.began.elapsed() > self.limit
    }
}

/// Accepts a shard that could not be fenced, if the settings allow it.
///
/// # Errors
/// - [`Error::Cache`] if they do not.
/// - The error of a query to the database, which has aborted the transaction.
fn proceed_unfenced(
    client: &CacheClient,
    shard: u16,
    outcome: Result<(), Unavailable>,
) -> Result<()> {
    match (outcome, client.settings.unfenced) {
        (Ok(()), _) => Ok(()),
        (Err(Unavailable::Database(error)), _) => Err(error),
        (Err(error), Unfenced::FailBeforeCommit) => Err(Error::Cache(error.to_string())),
        (Err(error), Unfenced::Proceed) => {
            count(&client.counters.unfenced);
            events::unfenced(&error);
            client.shard(shard).record_unfenced_commit();
            Ok(())
        }
    }
}

/// What is known of a transaction with statements of the caller.
struct Inspected {
    transaction: (Option<String>, Option<String>),
    /// The write set in place of the recorded one, if that is not complete.
    replacement: Option<WriteSet>,
}

/// Finds the cached tables that a transaction with statements of the caller has written. If the
/// recorded write set does not cover them, everything is to be invalidated.
#[repository]
async fn inspect(own: &Executor<'_>, write_set: &WriteSet) -> Result<Inspected> {
    type Found = (Option<String>, Option<String>, bool, Vec<String>);
    let (id, timeline, is_known, written): Found = own.one(Sql(OwnWrites)).await?;
    let table_of = |name: &String| {
        CACHED_TABLES
            .iter()
            .copied()
            .find(|table| table.as_str() == name)
    };
    let is_covered = is_known && write_set.covers(written.iter().filter_map(table_of));
    if is_covered {
        return Ok(Inspected {
            transaction: (id, timeline),
            replacement: None,
        });
    }
    // Without the mark, the caller may have committed another transaction, and this one may have
    // written nothing. Its id is not used.
    let id = if is_known {
        id
    } else {
        id.or(Some(String::new()))
    };
    Ok(Inspected {
        transaction: (id, timeline),
        replacement: Some(WriteSet::of_everything()),
    })
}

/// The cache as the hook of the engine's commits.
pub(crate) struct FenceHook(pub(crate) Arc<CacheClient>);

#[repository]
impl CommitHook for FenceHook {
    async fn before_commit(
        &self,
        write_set: &WriteSet,
        tx: &Tx,
    ) -> Result<Option<Box<dyn CommitGuard>>> {
        let client = &self.0;
        let own = tx.executor();
        let inspected;
        let (transaction, write_set) = if write_set.has_own_statements() {
            inspected = inspect(&own, write_set).await?;
            (
                inspected.transaction,
                inspected.replacement.as_ref().unwrap_or(write_set),
            )
        } else {
            (own.one(Sql(OwnTransaction)).await?, write_set)
        };
        // A transaction without an id has written nothing.
        let (Some(id), Some(timeline)) = transaction else {
            return Ok(None);
        };
        client.observe_timeline(&timeline);
        if write_set.is_empty() {
            return Ok(None);
        }
        let fences = fence(client, write_set, &id, &own).await?;
        let guard: Box<dyn CommitGuard> = Box::new(FenceGuard {
            client: Arc::clone(client),
            fences: Some(fences),
        });
        Ok(Some(guard))
    }
}

/// The fences of a transaction that is about to end. If they are not ended, a reader removes them.
struct FenceGuard {
    client: Arc<CacheClient>,
    fences: Option<Fences>,
}

#[repository]
impl CommitGuard for FenceGuard {
    async fn after_commit(&mut self) {
        if let Some(fences) = self.fences.take() {
            end(&self.client, fences).await;
        }
    }
}

/// The outcome of the script `begin` in one shard.
struct Begun {
    session: Arc<ShardSession>,
    entries: Vec<String>,
    reply: Result<Reply, Unavailable>,
}

/// Fences the entries of several shards concurrently. Leaves out shards without a session.
#[repository]
async fn begin_concurrently(
    client: &CacheClient,
    by_shard: &HashMap<u16, Vec<&EntryKey>>,
    token: &str,
    transaction: &str,
) -> HashMap<u16, Begun> {
    if by_shard.len() < 2 {
        return HashMap::new();
    }
    let mut asked = Vec::new();
    for (&shard, keys) in by_shard {
        if let Some(session) = client.shard(shard).current() {
            asked.push((shard, entries(&session, keys), session));
        }
    }
    let arguments = [token.as_bytes(), transaction.as_bytes()];
    let calls = asked
        .iter()
        .map(|(_, entries, session)| (&**session, &entries[..]));
    let replies = step_all(&client.counters, &BEGIN, calls, &arguments).await;
    let asked = asked.into_iter().zip(replies);
    asked
        .map(|((shard, entries, session), reply)| {
            let begun = Begun {
                session,
                entries,
                reply,
            };
            (shard, begun)
        })
        .collect()
}

/// Returns the names under which entries are fenced.
fn entries(session: &ShardSession, keys: &[&EntryKey]) -> Vec<String> {
    let entries = keys.iter().map(|key| session.key_space.entry(key));
    entries.collect()
}

#[repository]
async fn begin(
    client: &CacheClient,
    shard: u16,
    keys: &[&EntryKey],
    token: &str,
    transaction: &str,
    own: &Executor<'_>,
    mut first: Option<Begun>,
) -> Result<(u16, Arc<ShardSession>, Vec<String>), Unavailable> {
    // After a restart of the server the first call reports that the connection is closed.
    for attempt in 0..ATTEMPTS {
        let begun = match first.take() {
            Some(begun) => begun,
            None => {
                let session = session_by(client, shard, own).await?;
                let entries = entries(&session, keys);
                let redis_keys: Vec<&str> = entries.iter().map(String::as_str).collect();
                let arguments = [token.as_bytes(), transaction.as_bytes()];
                let reply = step(&client.counters, &session, &BEGIN, &redis_keys, &arguments).await;
                Begun {
                    session,
                    entries,
                    reply,
                }
            }
        };
        match begun.reply {
            Ok(Reply::Lost) => {
                client.close_session(shard, &begun.session);
            }
            Ok(Reply::Done(_)) => return Ok((shard, begun.session, begun.entries)),
            Ok(_) => return Err(Unavailable::UnexpectedReply),
            // The next attempt sends the script's text.
            Err(error) if error.is_unknown_script() => {}
            Err(error) => {
                client.failed(shard, Some(&begun.session), &error);
                let is_elsewhere = error.is_loss() || error.is_redirection();
                if attempt + 1 == ATTEMPTS || !is_elsewhere {
                    return Err(error);
                }
            }
        }
    }
    Err(Unavailable::UnstableGeneration)
}

const ATTEMPTS: u32 = 3;

/// Removes the fences of a transaction that has ended. A failure does not affect the transaction: a
/// reader removes the fences later.
#[repository]
async fn end(client: &CacheClient, fences: Fences) {
    #[cfg(feature = "cache-faults")]
    failpoint(client, Failpoint::BeforeEnd).await;
    forget_near(client, &fences);
    #[cfg(feature = "cache-faults")]
    if injects!(client, DeleteAfterCommitOnly) {
        return delete(client, &fences).await;
    }
    let arguments = [fences.token.as_bytes(), b"own"];
    let calls = fences.entries.iter();
    let calls = calls.map(|(_, session, entries)| (&**session, &entries[..]));
    let ended = step_all(&client.counters, &END, calls, &arguments).await;
    for ((shard, session, entries), ended) in fences.entries.iter().zip(ended) {
        let ended = match ended {
            Err(error) if error.is_unknown_script() => {
                let redis_keys: Vec<&str> = entries.iter().map(String::as_str).collect();
                step(&client.counters, session, &END, &redis_keys, &arguments).await
            }
            ended => ended,
        };
        if let Err(error) = ended {
            client.failed(*shard, Some(session), &error);
        }
    }
}

/// Removes the entries from the near cache, and rejects older values of them.
fn forget_near(client: &CacheClient, fences: &Fences) {
    if fences.everything {
        client.forget_all_near();
    }
    let now = client.moment();
    for key in &fences.keys {
        client.forget_near(key);
        client.reject_before(key, now);
    }
}

/// Deletes after the commit, without fences. Deliberately incorrect: the tests have to detect it.
#[cfg(feature = "cache-faults")]
#[repository]
async fn delete(client: &CacheClient, fences: &Fences) {
    for key in &fences.keys {
        if let Ok(session) = session(client, key.shard(client.settings.shards)).await {
            let mut command = redis::cmd("DEL");
            command.arg(session.key_space.value(key));
            let _ = session.connection.send(&command, &client.counters).await;
        }
    }
}
