//! The counters of the cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::latencies::{Histogram, Latencies};

/// The counters of a cache since its creation, in this process. They only increase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CacheMetrics {
    /// Reads that Redis answered.
    pub hits: u64,
    /// Reads that the memory of the process answered.
    pub near_hits: u64,
    /// Reads that waited for another reader of this process and used its value.
    pub shared: u64,
    /// Reads of entries that were not cached, and were read from the database.
    pub misses: u64,
    /// Reads that went to the database and did not fill the entry: the entry is fenced, the
    /// generation is not open yet, or Redis does not reply.
    pub bypasses: u64,
    /// Values that were stored in Redis.
    pub fills: u64,
    /// Values that were read but not stored, because a write came between. Each could have been
    /// stale.
    pub fills_refused: u64,
    /// Values that were found but not used, because they belong to another generation, or, where
    /// values are encrypted, may be older than what this process has written or read.
    pub stale_prevented: u64,
    /// Values that were too large to be stored.
    pub too_large: u64,
    /// Values that could not be decoded.
    pub undecodable: u64,
    /// Entries that were refreshed before their end.
    pub early_refreshes: u64,
    /// Commits whose entries were fenced.
    pub fences: u64,
    /// Fences that were abandoned by a writer, and removed by this process.
    pub fences_cleared: u64,
    /// Commits that went on without a fence, see [`Unfenced::Proceed`](super::Unfenced::Proceed).
    pub unfenced: u64,
    /// Generations that this process began.
    pub generations: u64,
    /// Calls to Redis that failed or timed out.
    pub errors: u64,
    /// Calls to Redis that were answered.
    pub calls: u64,
    /// The total duration of these calls.
    pub call_time: Duration,
    /// The distribution of the durations of these calls.
    pub latencies: Latencies,
}

impl CacheMetrics {
    /// Returns the fraction of the reads that needed no database, between 0 and 1. 0 before the
    /// first read.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let answered = self.hits + self.near_hits + self.shared;
        let reads = answered + self.misses + self.bypasses;
        if reads == 0 {
            return 0.0;
        }
        answered as f64 / reads as f64
    }

    /// Sets the counters of the cache that are no reads: `wundr_db.cache.fences`,
    /// `wundr_db.cache.unfenced`, `wundr_db.cache.generations`, `wundr_db.cache.errors`,
    /// `wundr_db.cache.calls` and their like, and the gauge `wundr_db.cache.hit_rate`. `cache` is
    /// the label `cache`.
    ///
    /// Call it whenever the metrics are read. Reads are counted by `wundr_db.cache.reads` as they
    /// happen.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self, cache: &str) {
        use metrics::{counter, gauge};

        macro_rules! set {
            ($($name:ident),+) => {$(
                counter!(concat!("wundr_db.cache.", stringify!($name)), "cache" => cache.to_owned())
                    .absolute(self.$name);
            )+};
        }
        set!(
            fences,
            fences_cleared,
            unfenced,
            generations,
            errors,
            calls,
            fills,
            fills_refused
        );
        set!(stale_prevented, too_large, undecodable, early_refreshes);
        gauge!("wundr_db.cache.hit_rate", "cache" => cache.to_owned()).set(self.hit_rate());
        gauge!("wundr_db.cache.mean_call", "cache" => cache.to_owned())
            .set(self.mean_call().as_secs_f64());
    }

    /// Returns the mean duration of a call to Redis. Zero before the first call.
    #[must_use]
    pub fn mean_call(&self) -> Duration {
        let nanoseconds = self.call_time.as_nanos() / u128::from(self.calls.max(1));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

/// Declares the counters, which are updated without locks.
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
    /// Counts a call that was answered.
    pub(crate) fn called(&self, took: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.latencies.add(took);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.call_nanoseconds.fetch_add(took, Ordering::Relaxed);
    }
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
