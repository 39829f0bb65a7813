//! The state of a shard: the connection to its server, and the generation in use.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cache_io::{Gate, MgetBatcher, RedisConnection};
use crate::cache::keys::KeySpace;

/// The state of a shard.
#[derive(Default)]
pub(crate) struct Shard {
    session: Mutex<Option<Arc<ShardSession>>>,
    pub(crate) gate: Gate,
    /// The number of failed attempts to open a session.
    pub(crate) failures: AtomicU64,
    /// The number of commits without fences, and the number of those that the last new generation
    /// covers. While they differ, cached values may be old. Two counters, so that neither a dropped
    /// future nor a concurrent commit is lost.
    pub(crate) unfenced_commits: AtomicU64,
    pub(crate) covered_commits: AtomicU64,
    /// The time of the last attempt to open the generation.
    opening: Mutex<Option<Instant>>,
    /// The generations used so far, newest last. Only the newest may be used again.
    used: Mutex<VecDeque<String>>,
}

/// A session: a connection to one run of a server, and the keys of the generation in use there.
pub(crate) struct ShardSession {
    pub(crate) connection: Arc<RedisConnection>,
    pub(crate) reads: Arc<MgetBatcher>,
    pub(crate) run_id: String,
    pub(crate) key_space: Arc<KeySpace>,
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<ShardSession>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// Ends this session, and returns whether it was the current one.
    pub(crate) fn close(&self, session: &Arc<ShardSession>) -> bool {
        let mut current = self.lock();
        let is_current = current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, session));
        if is_current {
            *current = None;
        }
        is_current
    }

    /// Makes a session the current one, unless a commit went on without its fences meanwhile.
    pub(crate) fn use_session(&self, session: &Arc<ShardSession>) {
        let mut current = self.lock();
        if !self.has_uncovered_commits() {
            *current = Some(Arc::clone(session));
        }
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

    /// Records the use of a generation, and returns whether it may be used. One that was replaced
    /// and put back must not be used.
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

    /// Checks whether an attempt to open the generation is due. Until it succeeds, as long as the
    /// slowest transaction may pass.
    pub(crate) fn may_try_to_open(&self) -> bool {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = opening.is_none_or(|last| last.elapsed() >= BETWEEN_TRIES);
        if is_time {
            *opening = Some(Instant::now());
        }
        is_time
    }
}

/// The number of generations of a shard that are recorded.
const REMEMBERED: usize = 64;

/// The least time between two attempts to open a generation.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);
