//! The state of a shard: the connection to its server, and the generation in use.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, RedisError, RedisResult, Value};

use super::cache_io::{Gate, MgetBatcher, RedisConnection, send_all};
use super::client::CacheClient;
use super::repository;
use crate::Result;
use crate::cache::keys::KeySpace;
use crate::cache::scripts::{Reply, Step};
use crate::cache::{count, events};

/// The state of a shard.
#[derive(Default)]
pub(crate) struct Shard {
    attached: Mutex<Option<Arc<ShardSession>>>,
    pub(crate) gate: Gate,
    /// The number of failed attempts to open a session.
    pub(crate) failures: AtomicU64,
    /// The number of commits without fences, and the number of those that the last new generation covers. While they differ,
    /// cached values may be old. Two counters, so that neither a dropped future nor a concurrent commit is lost.
    pub(crate) unfenced_commits: AtomicU64,
    pub(crate) covered_commits: AtomicU64,
    /// The time of the last attempt to open the generation.
    opening: Mutex<Option<Instant>>,
    /// The generations used so far, newest last. Only the newest may be used again.
    used: Mutex<VecDeque<String>>,
}

/// A session: a connection to one run of a server, and the keys of the generation in use there.
pub(crate) struct ShardSession {
    pub(crate) link: Arc<RedisConnection>,
    pub(crate) reads: Arc<MgetBatcher>,
    pub(crate) run: String,
    pub(crate) names: Arc<KeySpace>,
}

/// The reason why the cache cannot be used at the moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("the database: {0}")]
    Database(#[from] crate::Error),
    #[error("it did not answer recently")]
    Resting,
    #[error("its reply does not belong to this version of the protocol")]
    Misunderstood,
    #[error("its generation changes faster than it can be used")]
    Restless,
    #[error(
        "the database is on timeline {own}, but the cache has seen the later timeline {known} of it: either the URL leads \
         to a server that another has taken over from, or the database was restored to an earlier state. In the latter \
         case the cache begins anew when it has found the same for 10 s, at once by Cached::forget_everything(), or when \
         the keys that begin with \"{keys}\" are deleted"
    )]
    Outdated {
        own: Arc<str>,
        known: String,
        keys: String,
    },
}

impl Unusable {
    /// Checks whether the shard's slot has moved to another server, or is being moved.
    pub(crate) fn is_redirection(&self) -> bool {
        matches!(self, Self::Redis(error) if matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN")))
    }

    /// Returns the server to which the slot has moved. An empty host stands for the host of the responding server.
    pub(crate) fn moved_to(&self) -> Option<(String, u16)> {
        let Self::Redis(error) = self else {
            return None;
        };
        if error.code() != Some("MOVED") {
            return None;
        }
        let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
        Some((host.to_owned(), port.parse().ok()?))
    }

    /// Checks whether the server does not have the script.
    pub(crate) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Redis(error) if error.code() == Some("NOSCRIPT"))
    }

    /// Checks whether an established connection was lost. The server may be reachable by a new one.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Redis(error) if error.is_connection_dropped())
    }

    /// Checks whether the connection must not be used again. `false` if only this call was rejected.
    pub(crate) fn ends_link(&self) -> bool {
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
            Self::Database(_) | Self::Resting | Self::Restless | Self::Outdated { .. } => false,
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<ShardSession>>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// Returns the session.
    pub(crate) fn current(&self) -> Option<Arc<ShardSession>> {
        self.lock().clone()
    }

    /// Records a commit without fences: the shard needs a new generation before it is used again.
    pub(crate) fn record_unfenced_commit(&self) {
        let mut current = self.lock();
        self.unfenced_commits.fetch_add(1, Ordering::Relaxed);
        *current = None;
    }

    /// Checks whether a commit without fences is not covered by a new generation yet.
    pub(crate) fn has_uncovered_commits(&self) -> bool {
        AtomicU64::load(&self.unfenced_commits, Ordering::Relaxed)
            != AtomicU64::load(&self.covered_commits, Ordering::Relaxed)
    }

    /// Records the use of a generation, and returns whether it may be used. One that was replaced and put back must not be
    /// used.
    pub(crate) fn may_use(&self, generation: &str) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.iter().position(|known| known == generation) {
            Some(index) => index + 1 == used.len(),
            None => {
                if used.len() == REMEMBERED {
                    used.pop_front();
                }
                used.push_back(generation.to_owned());
                true
            }
        }
    }

    /// Checks whether an attempt to open the generation is due. Until it succeeds, as long as the slowest transaction may pass.
    pub(crate) fn may_try_to_open(&self) -> bool {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = opening.is_none_or(|last| last.elapsed() >= BETWEEN_TRIES);
        if is_time {
            *opening = Some(Instant::now());
        }
        is_time
    }
}

impl CacheClient {
    /// Returns the state of a shard.
    pub(crate) fn shard(&self, shard: u16) -> &Shard {
        &self.shards[usize::from(shard)]
    }

    /// Ends a session of the shard, and returns whether it was the current one.
    pub(crate) fn detach(&self, shard: u16, attached: &Arc<ShardSession>) -> bool {
        let mut current = self.shard(shard).lock();
        let is_current = current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, attached));
        if is_current {
            *current = None;
        }
        is_current
    }

    /// Makes a session the current one of the shard, unless a commit went on without its fences meanwhile.
    pub(crate) fn attach(&self, shard: u16, attached: &Arc<ShardSession>) {
        self.breaker(shard).succeeded();
        self.log_once.forget();
        let shard = self.shard(shard);
        let mut current = shard.lock();
        if !shard.has_uncovered_commits() {
            *current = Some(Arc::clone(attached));
        }
    }

    /// Removes a connection, so that it is not used again.
    pub(crate) fn unlink(&self, link: &Arc<RedisConnection>) {
        self.links().retain(|_, other| !Arc::ptr_eq(other, link));
    }

    /// Records a failed call. If the server is the cause, reads avoid it for a time. An error on a connection that was already
    /// replaced does not count against its replacement.
    pub(crate) fn failed(
        &self,
        shard: u16,
        attached: Option<&Arc<ShardSession>>,
        error: &Unusable,
    ) {
        count(&self.counters.errors);
        if error.ends_link() {
            // The next attempt to connect shows whether the server is gone, too.
            let is_news = match attached {
                Some(attached) => {
                    self.unlink(&attached.link);
                    self.detach(shard, attached) && !error.is_loss() && !error.is_redirection()
                }
                // A server from which one slot is being moved still serves its other slots.
                None => !error.is_redirection(),
            };
            if is_news && self.breaker(shard).failed(self.settings.retry_after) {
                events::unreachable(error);
            }
        } else if !matches!(error, Unusable::Resting | Unusable::Database(_)) {
            self.log_once.refused(error);
        }
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, HashMap<String, Arc<RedisConnection>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of generations of a shard that are recorded.
const REMEMBERED: usize = 64;

/// The least time between two attempts to open a generation.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// Calls one script of the protocol on the shard's keys and on `keys`.
#[repository]
pub(crate) async fn step(
    store: &CacheClient,
    attached: &ShardSession,
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

/// Calls a script on several shards concurrently, by its SHA-1 alone.
#[repository]
pub(crate) async fn step_all<'a>(
    store: &CacheClient,
    step: &Step,
    shards: impl Iterator<Item = (&'a ShardSession, &'a [String])>,
    arguments: &[&[u8]],
) -> Vec<Result<Reply, Unusable>> {
    let commands: Vec<(&RedisConnection, Cmd)> = shards
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

/// Calls a script by its SHA-1, and by its text if the server does not have it.
#[repository]
pub(crate) async fn call(
    store: &CacheClient,
    link: &RedisConnection,
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
