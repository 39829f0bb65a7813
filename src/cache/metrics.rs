//! What the cache has done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latencies::{Histogram, Latencies};

/// What a cache has done since it was made, in this process. The numbers only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheMetrics {
    /// Answers from Redis.
    pub hits: u64,
    /// Answers from the process's own memory.
    pub near_hits: u64,
    /// Answers of another reader of this process, who was waited for.
    pub shared: u64,
    /// Entries that were not there, and were read from the database.
    pub misses: u64,
    /// Reads of the database without regard to the cache: behind a fence, before a
    /// new generation may be filled, with Redis gone.
    pub bypasses: u64,
    /// Values that were stored.
    pub fills: u64,
    /// Values that were read and could not be stored, since a write came between: each would have been stale.
    pub fills_refused: u64,
    /// Values that were found and not used, since they were of another generation.
    pub stale_prevented: u64,
    /// Values that were too large to be stored.
    pub too_large: u64,
    /// Values that could not be understood.
    pub undecodable: u64,
    /// Entries that were filled again before their end.
    pub early_refreshes: u64,
    /// Commits whose entries were fenced.
    pub fences: u64,
    /// Fences that another writer had left behind, and that were removed.
    pub fences_cleared: u64,
    /// Commits that went on without a fence, see [`Unfenced::Proceed`](super::Unfenced::Proceed).
    pub unfenced: u64,
    /// Generations that this process has begun.
    pub generations: u64,
    /// Calls to Redis that failed or were not answered in time.
    pub errors: u64,
    /// Calls to Redis that were answered.
    pub calls: u64,
    /// The time that all those calls took together.
    pub call_time: Duration,
    /// How many of them took how long.
    pub latencies: Latencies,
}

impl CacheMetrics {
    /// The part of the reads that needed no database: between 0 and 1, and 0 before the first.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let answered = self.hits + self.near_hits + self.shared;
        let reads = answered + self.misses + self.bypasses;
        if reads == 0 {
            return 0.0;
        }
        answered as f64 / reads as f64
    }

    /// How long a call to Redis took on average.
    #[must_use]
    pub fn mean_call(&self) -> Duration {
        let nanoseconds = self.call_time.as_nanos() / u128::from(self.calls.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Counts without locks.
macro_rules! counters {
    ($($name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)+
            call_nanoseconds: AtomicU64,
            latencies: Histogram,
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> CacheMetrics {
                CacheMetrics {
                    $($name: AtomicU64::load(&self.$name, Ordering::Relaxed),)+
                    call_time: Duration::from_nanos(AtomicU64::load(&self.call_nanoseconds, Ordering::Relaxed)),
                    latencies: self.latencies.snapshot(),
                }
            }
        }
    };
}

counters! {
    hits, near_hits, shared, misses, bypasses, fills, fills_refused, stale_prevented, too_large, undecodable,
    early_refreshes, fences, fences_cleared, unfenced, generations, errors, calls,
}

impl Counters {
    pub(crate) fn called(&self, took: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.latencies.add(took);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.call_nanoseconds.fetch_add(took, Ordering::Relaxed);
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
