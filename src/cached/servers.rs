//! What is known of a shard: the connection to its server, and the generation that it is used under.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, RedisError, RedisResult, Value};

use super::link::{Gate, Link, Reads, send_all};
use super::repository;
use super::store::Store;
use crate::Result;
use crate::cache::name::Names;
use crate::cache::script::{Reply, Step};
use crate::cache::{count, events};

/// A shard: where it is, once that was found out.
#[derive(Default)]
pub(super) struct Shard {
    attached: Mutex<Option<Arc<Attached>>>,
    pub(super) gate: Gate,
    /// How often the server was not reached.
    pub(super) failures: AtomicU64,
    /// How many commits went on without their fences, and how many of those had done so when the last generation was
    /// begun for it: as long as these differ, what is cached may be old. Two numbers, so that neither a future that is
    /// dropped nor a commit that comes between is forgotten.
    pub(super) owed: AtomicU64,
    pub(super) paid: AtomicU64,
    /// When it was last tried to open the generation.
    opening: Mutex<Option<Instant>>,
    /// The generations that were used here, the last one last. None but that may come again.
    used: Mutex<VecDeque<String>>,
}

/// A connection to the run of a server, and the names of the generation that goes with it.
pub(super) struct Attached {
    pub(super) link: Arc<Link>,
    pub(super) reads: Arc<Reads>,
    pub(super) run: String,
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
    /// Whether the shard's slot has moved to another server, or is about to.
    pub(super) fn is_redirection(&self) -> bool {
        matches!(self, Self::Redis(error) if matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN")))
    }

    /// The server that has the shard's slot. Without a host it is the one that has said so.
    pub(super) fn moved_to(&self) -> Option<(String, u16)> {
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
            Self::Database(_) | Self::Resting | Self::Restless | Self::Outdated { .. } => false,
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

    pub(super) fn owes(&self) -> bool {
        AtomicU64::load(&self.owed, Ordering::Relaxed)
            != AtomicU64::load(&self.paid, Ordering::Relaxed)
    }

    /// Notes that the generation is used, and tells whether it may be: one that was left for another has been put back.
    pub(super) fn may_use(&self, generation: &str) -> bool {
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

    /// Whether to try now to open the generation, which may take as long as the slowest transaction.
    pub(super) fn may_try_to_open(&self) -> bool {
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
    pub(super) fn attach(&self, shard: u16, attached: &Arc<Attached>) {
        self.breaker(shard).succeeded();
        self.told.forget();
        let shard = self.shard(shard);
        let mut current = shard.lock();
        if !shard.owes() {
            *current = Some(Arc::clone(attached));
        }
    }

    /// Does not use a connection again.
    pub(super) fn unlink(&self, link: &Arc<Link>) {
        self.links().retain(|_, other| !Arc::ptr_eq(other, link));
    }

    /// A call has failed: reads leave the server alone for a while if it is to blame. Who was late to find out that a
    /// connection has ended says nothing about the one that is there in its place.
    pub(super) fn failed(&self, shard: u16, attached: Option<&Arc<Attached>>, error: &Unusable) {
        count(&self.counters.errors);
        if error.ends_link() {
            // Whether the server is gone with the connection is found out by who opens the next.
            let is_news = match attached {
                Some(attached) => {
                    self.unlink(&attached.link);
                    self.detach(shard, attached) && !error.is_loss() && !error.is_redirection()
                }
                // Where a slot is on its way, its server answers for the others.
                None => !error.is_redirection(),
            };
            if is_news && self.breaker(shard).failed(self.settings.retry_after) {
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

/// How many generations of a shard are remembered.
const REMEMBERED: usize = 64;

/// How long to wait before it is tried again to open a generation.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

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

/// Calls a script by its name, and by its text if the server has not seen that yet.
#[repository]
pub(super) async fn call(
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
