//! A histogram of the durations of calls.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Four buckets for each power of two of microseconds, up to 2^26 (a minute). The last bucket
/// counts longer calls too.
const BUCKETS: usize = 4 * 26;

/// The number of calls by duration, in buckets that are at most a quarter apart, from a microsecond
/// to a minute.
///
/// ```
/// # fn show(metrics: &wundr_db::cache::CacheMetrics) {
/// let slowest_of_a_hundred = metrics.latencies.quantile(0.99);
/// println!("99 % of all calls took at most {slowest_of_a_hundred:?}");
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Latencies([u64; BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Self([0; BUCKETS])
    }
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_map().entries(self.buckets()).finish()
    }
}

impl Latencies {
    /// Returns the number of calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the duration that the fraction `quantile` of all calls did not exceed, rounded up to
    /// the next bound. 0.5 gives the median. Zero before the first call. A `quantile` outside of 0
    /// to 1 is clamped.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        let wanted = (self.count() as f64 * quantile.clamp(0.0, 1.0))
            .ceil()
            .max(1.0);
        let mut within = 0;
        for (bound, count) in self.buckets() {
            within += count;
            if within as f64 >= wanted {
                return bound;
            }
        }
        Duration::ZERO
    }

    /// Returns the upper bounds of the buckets that are not empty, shortest first, each with the
    /// number of its calls.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.0.iter().enumerate();
        let counts = counts.filter(|(_, count)| **count > 0);
        counts.map(|(index, &count)| (bound(index), count))
    }
}

/// Returns the index of the bucket of a call that took this long.
fn bucket(took: Duration) -> usize {
    let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let power = microseconds.ilog2() as usize;
    let quarter = ((microseconds << 2) >> power & 3) as usize;
    (4 * power + quarter).min(BUCKETS - 1)
}

/// Returns the upper bound of a bucket.
fn bound(index: usize) -> Duration {
    let quarters = 5 + index as u64 % 4;
    Duration::from_nanos((1_000 * quarters) << (index / 4) >> 2)
}

/// A histogram that counts without locks.
#[derive(Debug)]
pub(crate) struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self(array::from_fn(|_| AtomicU64::default()))
    }
}

impl Histogram {
    pub(crate) fn add(&self, took: Duration) {
        self.0[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Latencies {
        Latencies(array::from_fn(|index| {
            AtomicU64::load(&self.0[index], Ordering::Relaxed)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_call_is_counted_between_two_bounds(microseconds in 1_u64..60_000_000) {
            let took = Duration::from_micros(microseconds);
            let index = bucket(took);
            prop_assert!(took < bound(index));
            prop_assert!(index == 0 || took >= bound(index - 1));
            prop_assert!(bound(index).as_secs_f64() <= took.as_secs_f64() * 1.25 + 1e-6);
        }
    }

    #[test]
    fn quantiles_are_of_what_was_counted() {
        let histogram = Histogram::default();
        assert_eq!(histogram.snapshot().quantile(0.5), Duration::ZERO);
        for (count, microseconds) in [(90, 100), (9, 1_000), (1, 70_000_000)] {
            for _ in 0..count {
                histogram.add(Duration::from_micros(microseconds));
            }
        }
        let latencies = histogram.snapshot();
        assert_eq!(latencies.count(), 100);
        let within = |quantile| latencies.quantile(quantile).as_micros();
        assert_eq!([within(-1.0), within(0.5), within(0.9)], [112; 3]);
        assert_eq!([within(0.91), within(0.99)], [1_024; 2]);
        assert!(within(2.0) > 60_000_000);
        let counts: Vec<u64> = latencies.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [90, 9, 1]);
    }

    #[test]
    fn the_shortest_and_the_longest_are_counted() {
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }
}
