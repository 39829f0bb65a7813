//! The near cache: values in the memory of the process, in front of Redis.
//!
//! Two properties hold however long the future of a read is kept without being polled:
//!
//! - A value is used for at most the staleness of the settings, counted from the moment at which
//!   its read *began*.
//! - A value whose read began before a removal of its entry is not used after that removal.
//!   Therefore a process reads its own writes, and nothing of a timeline that has ended as far as
//!   it has observed.
//!
//! Removals are counted for parts of the entries, not for each. A removal may thus discard values
//! of other entries, which are read again.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::config::Near;
use super::keys::EntryKey;

/// The number of parts of the entries whose removals are counted together.
const PARTS: usize = 1_024;

/// The values, by entry.
pub(crate) struct NearCache {
    values: moka::sync::Cache<EntryKey, NearValue>,
    staleness: Duration,
    /// The number of removals of all entries, and of single ones in each part.
    all_removals: AtomicU64,
    removals: Box<[AtomicU64]>,
}

#[derive(Clone)]
struct NearValue {
    value: Arc<dyn Any + Send + Sync>,
    start: NearStart,
}

/// The start of a read whose value may be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NearStart {
    at: Instant,
    /// The number of removals that had affected the entry.
    removals: u64,
}

impl NearCache {
    pub(crate) fn new(near: Near) -> Self {
        Self {
            // An outdated value stays until another takes its place: the number of values is
            // bounded.
            values: moka::sync::Cache::new(near.entries),
            staleness: near.staleness,
            all_removals: AtomicU64::new(0),
            removals: (0..PARTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Returns the count of single removals in the part of an entry.
    fn part(&self, key: &EntryKey) -> &AtomicU64 {
        &self.removals[key.hash() as usize % PARTS]
    }

    /// Returns the number of removals that have affected the entry. Both counts only rise, so that
    /// the sum is the same only if both are.
    fn removals(&self, key: &EntryKey) -> u64 {
        let of_part = AtomicU64::load(self.part(key), Ordering::Relaxed);
        of_part.wrapping_add(AtomicU64::load(&self.all_removals, Ordering::Relaxed))
    }

    /// Returns the start of a read that begins now.
    pub(crate) fn start(&self, key: &EntryKey) -> NearStart {
        NearStart {
            at: Instant::now(),
            removals: self.removals(key),
        }
    }

    /// Returns the value of an entry, if it may be used.
    pub(crate) fn get(&self, key: &EntryKey) -> Option<Arc<dyn Any + Send + Sync>> {
        let NearValue { value, start } = self.values.get(key)?;
        let may_be_used =
            start.removals == self.removals(key) && start.at.elapsed() < self.staleness;
        may_be_used.then_some(value)
    }

    /// Keeps a value of a read that began at `start`.
    pub(crate) fn keep(&self, key: &EntryKey, value: Arc<dyn Any + Send + Sync>, start: NearStart) {
        self.values.insert(key.clone(), NearValue { value, start });
    }

    /// Removes an entry, and whatever a read that is under way would keep of it.
    pub(crate) fn remove(&self, key: &EntryKey) {
        self.part(key).fetch_add(1, Ordering::Relaxed);
        self.values.invalidate(key);
    }

    /// Removes all entries, and whatever reads that are under way would keep.
    pub(crate) fn remove_all(&self) {
        self.all_removals.fetch_add(1, Ordering::Relaxed);
        self.values.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::NearCache;
    use crate::cache::CachedKind;
    use crate::cache::config::Near;
    use crate::cache::keys::EntryKey;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn near(staleness: Duration) -> NearCache {
        NearCache::new(Near {
            entries: 100,
            staleness,
        })
    }

    fn name(text: &str) -> EntryKey {
        EntryKey::of_unique(CachedKind::User, text)
    }

    #[test]
    fn a_value_that_was_read_before_a_removal_is_not_kept_after_it() {
        let near = near(HOUR);
        let (ada, eve) = (name("ada"), name("eve"));
        let [of_ada, of_eve] = [&ada, &eve].map(|key| near.start(key));
        near.remove(&ada);
        near.keep(&ada, Arc::new(1), of_ada);
        near.keep(&eve, Arc::new(2), of_eve);
        assert!(near.get(&ada).is_none());
        assert!(near.get(&eve).is_some());
        near.remove_all();
        near.keep(&eve, Arc::new(3), of_eve);
        assert!(near.get(&eve).is_none());
        let start = near.start(&ada);
        near.keep(&ada, Arc::new(4), start);
        assert!(near.get(&ada).is_some());
    }

    #[test]
    fn a_value_ages_from_the_start_of_its_read() {
        let near = near(Duration::from_millis(20));
        let ada = name("ada");
        let start = near.start(&ada);
        std::thread::sleep(Duration::from_millis(20));
        near.keep(&ada, Arc::new(1), start);
        assert!(near.get(&ada).is_none());
    }
}
