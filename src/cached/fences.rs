//! The writers' side: what a transaction has touched is fenced before it is committed, and freed after.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

#[cfg(feature = "cache-faults")]
use super::generations::attached;
use super::generations::{attached_by, renew, renew_at_once};
use super::servers::{Attached, Unusable, step, step_all};
use super::store::Store;
#[cfg(feature = "cache-faults")]
use super::store::failpoint;
use super::{Source, repository};
#[cfg(feature = "cache-faults")]
use crate::cache::Failpoint;
use crate::cache::name::Name;
use crate::cache::script::{BEGIN, END, Reply};
use crate::cache::{Unfenced, count, events};
use crate::touched::Touched;
use crate::{Error, Result};

/// What stands in the cache between the begin of a commit and its end. Left there, it is removed by a reader who finds
/// that the transaction has ended.
pub(crate) struct Fences {
    token: String,
    entries: Vec<(u16, Arc<Attached>, Vec<String>)>,
    names: Vec<Name>,
    everything: bool,
}

/// Takes what the transaction has touched out of the cache, and keeps it out until [`end`]. Kinds that this process does
/// not cache are fenced too: others may. `own` is the transaction.
///
/// # Errors
/// [`Error::Cache`] if that cannot be done and the settings forbid to go on, or what a question to the database has come
/// to, which has ended the transaction: then it must not be committed.
#[repository]
pub(crate) async fn fence(
    store: &Store,
    touched: &Touched,
    transaction: &str,
    own: &Source<'_>,
) -> Result<Fences> {
    let names: Vec<Name> = touched.keys().map(Name::from).collect();
    let mut fences = Fences {
        token: Uuid::now_v7().simple().to_string(),
        entries: Vec::new(),
        names,
        everything: touched.is_everything(),
    };
    forget_near(store, &fences);
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::BeforeFence).await;
    #[cfg(feature = "cache-faults")]
    if injects!(store, DeleteAfterCommitOnly) {
        return Ok(fences);
    }
    let mut by_shard: HashMap<u16, Vec<&Name>> = HashMap::new();
    if fences.everything {
        let shards = 0..store.settings.shards;
        // What has failed is tried again, and then it is known why.
        let left_out = match shards.len() {
            1 => shards.collect(),
            _ => renew_at_once(store, own)
                .await
                .unwrap_or_else(|_| shards.collect()),
        };
        by_shard.extend(left_out.into_iter().map(|shard| (shard, Vec::new())));
    } else {
        for name in &fences.names {
            let shard = name.shard(store.settings.shards);
            by_shard.entry(shard).or_default().push(name);
        }
    }
    let mut answers = if fences.everything {
        HashMap::new()
    } else {
        begin_at_once(store, &by_shard, &fences.token, transaction).await
    };
    let began = Instant::now();
    let patience = store.settings.connect_timeout + store.settings.response_timeout;
    let mut has_failed = false;
    for (shard, names) in by_shard {
        let outcome = if has_failed && began.elapsed() > patience {
            // Many shards that do not answer take no longer than one.
            Err(Unusable::Resting)
        } else if fences.everything {
            renew(store, shard, own).await
        } else {
            let first = answers.remove(&shard);
            let begun = begin(store, shard, &names, &fences.token, transaction, own, first).await;
            begun.map(|entries| fences.entries.push(entries))
        };
        has_failed |= outcome.is_err();
        if let Err(error) = outcome {
            if let Unusable::Database(error) = error {
                // The transaction has failed with its question.
                end(store, fences).await;
                return Err(error);
            }
            match store.settings.unfenced {
                Unfenced::FailBeforeCommit => {
                    end(store, fences).await;
                    return Err(Error::Cache(error.to_string()));
                }
                Unfenced::Proceed => {
                    count(&store.counters.unfenced);
                    events::unfenced(&error);
                    store.shard(shard).owe();
                }
            }
        }
    }
    count(&store.counters.fences);
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::BeforeCommit).await;
    Ok(fences)
}

/// A shard's connection, the entries that are fenced in it, and what it has answered.
struct Begun {
    attached: Arc<Attached>,
    entries: Vec<String>,
    reply: Result<Reply, Unusable>,
}

/// Fences the entries of several shards, without waiting for one before the other is asked. Shards whose server is not
/// known yet are left out.
#[repository]
async fn begin_at_once(
    store: &Store,
    by_shard: &HashMap<u16, Vec<&Name>>,
    token: &str,
    transaction: &str,
) -> HashMap<u16, Begun> {
    if by_shard.len() < 2 {
        return HashMap::new();
    }
    let mut asked = Vec::new();
    for (&shard, names) in by_shard {
        if let Some(attached) = store.shard(shard).current() {
            asked.push((shard, entries(&attached, names), attached));
        }
    }
    let arguments = [token.as_bytes(), transaction.as_bytes()];
    let calls = asked
        .iter()
        .map(|(_, entries, attached)| (&**attached, &entries[..]));
    let replies = step_all(store, &BEGIN, calls, &arguments).await;
    let asked = asked.into_iter().zip(replies);
    asked
        .map(|((shard, entries, attached), reply)| {
            let begun = Begun {
                attached,
                entries,
                reply,
            };
            (shard, begun)
        })
        .collect()
}

fn entries(attached: &Attached, names: &[&Name]) -> Vec<String> {
    let entries = names.iter().map(|name| attached.names.entry(name));
    entries.collect()
}

#[repository]
async fn begin(
    store: &Store,
    shard: u16,
    names: &[&Name],
    token: &str,
    transaction: &str,
    own: &Source<'_>,
    mut first: Option<Begun>,
) -> Result<(u16, Arc<Attached>, Vec<String>), Unusable> {
    // A server that was started anew has closed the connection, which is found out by the first call only.
    for attempt in 0..ATTEMPTS {
        let begun = match first.take() {
            Some(begun) => begun,
            None => {
                let attached = attached_by(store, shard, own).await?;
                let entries = entries(&attached, names);
                let keys: Vec<&str> = entries.iter().map(String::as_str).collect();
                let arguments = [token.as_bytes(), transaction.as_bytes()];
                let reply = step(store, &attached, &BEGIN, &keys, &arguments).await;
                Begun {
                    attached,
                    entries,
                    reply,
                }
            }
        };
        match begun.reply {
            Ok(Reply::Lost) => {
                store.detach(shard, &begun.attached);
            }
            Ok(Reply::Done(_)) => return Ok((shard, begun.attached, begun.entries)),
            Ok(_) => return Err(Unusable::Misunderstood),
            // Asked again, it is given the script.
            Err(error) if error.is_unknown_script() => {}
            Err(error) => {
                store.failed(shard, Some(&begun.attached), &error);
                let is_elsewhere = error.is_loss() || error.is_redirection();
                if attempt + 1 == ATTEMPTS || !is_elsewhere {
                    return Err(error);
                }
            }
        }
    }
    Err(Unusable::Restless)
}

const ATTEMPTS: u32 = 3;

/// Frees what was fenced: the transaction has ended, and who reads from now on sees what it has done. A failure is not
/// the transaction's: a reader will find the fence and ask how the transaction has ended.
#[repository]
pub(crate) async fn end(store: &Store, fences: Fences) {
    #[cfg(feature = "cache-faults")]
    failpoint(store, Failpoint::BeforeEnd).await;
    forget_near(store, &fences);
    #[cfg(feature = "cache-faults")]
    if injects!(store, DeleteAfterCommitOnly) {
        return delete(store, &fences).await;
    }
    let arguments = [fences.token.as_bytes(), b"own"];
    let calls = fences.entries.iter();
    let calls = calls.map(|(_, attached, entries)| (&**attached, &entries[..]));
    let ended = step_all(store, &END, calls, &arguments).await;
    for ((shard, attached, entries), ended) in fences.entries.iter().zip(ended) {
        let ended = match ended {
            Err(error) if error.is_unknown_script() => {
                let keys: Vec<&str> = entries.iter().map(String::as_str).collect();
                step(store, attached, &END, &keys, &arguments).await
            }
            ended => ended,
        };
        if let Err(error) = ended {
            store.failed(*shard, Some(attached), &error);
        }
    }
}

fn forget_near(store: &Store, fences: &Fences) {
    if fences.everything {
        store.forget_all_near();
    }
    let now = store.moment();
    for name in &fences.names {
        store.forget_near(name);
        store.distrust(name, now);
    }
}

/// Deletes after the commit, without fences. Deliberately incorrect: the tests have to detect it.
#[cfg(feature = "cache-faults")]
#[repository]
async fn delete(store: &Store, fences: &Fences) {
    for name in &fences.names {
        if let Ok(attached) = attached(store, name.shard(store.settings.shards)).await {
            let mut command = redis::cmd("DEL");
            command.arg(attached.names.value(name));
            let _ = attached.link.send(&command, &store.counters).await;
        }
    }
}
