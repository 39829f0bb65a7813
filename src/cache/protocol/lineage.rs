//! The timeline of the database, as it was observed. A promoted standby may lack cached writes, and
//! a restored database is on an earlier timeline than the cache has seen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cache_io::Ends;
use crate::engine::connection_observer::ConnectionObserver;

/// The interval at which a cache that is only read checks the identity of the database.
const EVERY: Duration = Duration::from_secs(10);

/// The delay before the check is repeated after a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// The time for which a lower timeline must be seen before the cache starts over on it.
const LONG_ENOUGH: Duration = Duration::from_secs(10);

/// The time for which that observation is valid.
const HOLDS: Duration = Duration::from_secs(60);

/// The observed timeline of the database.
pub(crate) struct Lineage {
    start: Instant,
    /// The time of the next check, in milliseconds since the start.
    next: AtomicU64,
    pub(crate) ends: Ends,
    lower: Mutex<Option<Lower>>,
    /// The number of times that the database may have become another one: a connection was lost, or
    /// none could be opened; one was opened after that; or one leads to another timeline than the
    /// last.
    losses: AtomicU64,
    /// The number of losses when the identity was read last.
    known_losses: AtomicU64,
    /// The timeline of the connection that was opened last.
    newest: Mutex<Option<String>>,
}

/// A timeline that is lower than the one that the cache has seen.
struct Lower {
    timeline: String,
    since: Instant,
    /// The time until which the cache accepts it as the timeline of a restored database.
    allowed: Option<Instant>,
}

impl Lineage {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            next: AtomicU64::new(u64::MAX),
            ends: Ends::default(),
            lower: Mutex::default(),
            losses: AtomicU64::new(0),
            known_losses: AtomicU64::new(0),
            newest: Mutex::default(),
        }
    }

    /// Returns the number of losses, to be passed to [`Lineage::record_losses`] after the identity
    /// was read.
    pub(crate) fn losses(&self) -> u64 {
        AtomicU64::load(&self.losses, Ordering::Relaxed)
    }

    /// Records that the database has identified itself, as of this number of losses.
    pub(crate) fn record_losses(&self, losses: u64) {
        self.known_losses.store(losses, Ordering::Relaxed);
    }

    /// Checks whether another server may respond since the identity was read last.
    pub(crate) fn has_lost(&self) -> bool {
        self.losses() != AtomicU64::load(&self.known_losses, Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn check_in(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.next
            .store(self.now().saturating_add(wait), Ordering::Relaxed);
    }

    pub(crate) fn is_due(&self) -> bool {
        self.now() >= AtomicU64::load(&self.next, Ordering::Relaxed)
    }

    /// Returns `true` for one of the readers that arrive while a check is due. The next check is
    /// due as if this one succeeded: while the database does not respond, checks must not pile up.
    pub(crate) fn claim(&self) -> bool {
        let next = AtomicU64::load(&self.next, Ordering::Relaxed);
        let now = self.now();
        let again = now.saturating_add(u64::try_from(EVERY.as_millis()).unwrap_or(u64::MAX));
        now >= next
            && self
                .next
                .compare_exchange(next, again, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Makes the next check due soon: this one has failed.
    pub(crate) fn has_failed(&self) {
        self.check_in(AGAIN);
    }

    fn lower(&self) -> MutexGuard<'_, Option<Lower>> {
        self.lower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self) -> MutexGuard<'_, Option<String>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a check due for the next reader: a connection was lost.
    pub(crate) fn on_database_error(&self) {
        if AtomicU64::load(&self.next, Ordering::Relaxed) != u64::MAX {
            self.next.store(0, Ordering::Relaxed);
        }
    }

    /// Records that the database is on this timeline.
    pub(crate) fn record_timeline(&self, timeline: &str) {
        self.newest().get_or_insert_with(|| timeline.to_owned());
        self.check_in(EVERY);
        let mut lower = self.lower();
        if lower
            .as_ref()
            .is_some_and(|lower| lower.timeline != timeline)
        {
            *lower = None;
        }
    }

    /// Records that the cache has seen a later timeline than this.
    pub(crate) fn record_earlier_timeline(&self, timeline: &str) {
        let mut lower = self.lower();
        if lower
            .as_ref()
            .is_none_or(|lower| lower.timeline != timeline)
        {
            *lower = Some(Lower {
                timeline: timeline.to_owned(),
                since: Instant::now(),
                allowed: None,
            });
        }
    }

    /// Accepts this timeline, although the cache has seen a later one.
    pub(crate) fn allow(&self, timeline: &str) {
        let now = Instant::now();
        *self.lower() = Some(Lower {
            timeline: timeline.to_owned(),
            since: now,
            allowed: Some(now + HOLDS),
        });
    }

    /// Returns whether the timeline is allowed, and whether it has been seen for long enough.
    pub(crate) fn state_of(&self, timeline: &str) -> (bool, bool) {
        let lower = self.lower();
        let lower = lower.as_ref().filter(|lower| lower.timeline == timeline);
        lower.map_or((false, false), |lower| {
            let is_allowed = lower.allowed.is_some_and(|until| Instant::now() < until);
            (is_allowed, lower.since.elapsed() >= LONG_ENOUGH)
        })
    }
}

impl ConnectionObserver for Lineage {
    fn server_may_have_changed(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    fn connected_to(&self, timeline: Option<&str>) -> bool {
        let mut newest = self.newest();
        if timeline.is_some() && newest.as_deref() == timeline {
            return false;
        }
        if newest.is_some() || timeline.is_none() {
            self.server_may_have_changed();
        }
        let Some(timeline) = timeline else {
            return false;
        };
        // Both have eight hexadecimal digits.
        let has_taken_over = newest.as_deref().is_some_and(|newest| newest < timeline);
        *newest = Some(timeline.to_owned());
        has_taken_over
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{AGAIN, ConnectionObserver, EVERY, Lineage};
    use crate::Error;
    use crate::engine::usage::Usage;

    #[test]
    fn checks_of_a_database_that_does_not_respond_do_not_pile_up() {
        let lineage = Lineage::new();
        lineage.record_timeline("1");
        lineage.on_database_error();
        let until_next = || lineage.next.load(Ordering::Relaxed) - lineage.now();
        assert!(lineage.is_due() && lineage.claim());
        assert!(!lineage.claim());
        assert!(u128::from(until_next()) > (EVERY / 2).as_millis());
        lineage.has_failed();
        assert!(u128::from(until_next()) <= AGAIN.as_millis());
    }

    #[test]
    fn connections_of_an_earlier_timeline_are_retired() {
        let (usage, lineage) = (Usage::new(), Arc::new(Lineage::new()));
        let observer: Arc<dyn ConnectionObserver> = lineage.clone();
        usage.observe(Arc::downgrade(&observer));
        assert!(usage.is_observed());
        let open = |timeline| {
            let mut opening = usage.opens();
            opening.is_on(timeline);
            opening.done()
        };
        let first = open(Some("00000001"));
        assert!(!first.is_over() && !lineage.has_lost());
        let second = open(Some("00000002"));
        assert!(first.is_over() && !second.is_over() && lineage.has_lost());
        lineage.record_losses(lineage.losses());
        let earlier = open(Some("00000001"));
        assert!(!second.is_over() && !earlier.is_over() && lineage.has_lost());
        lineage.record_losses(lineage.losses());
        let standby = open(None);
        assert!(!standby.is_over() && lineage.has_lost());
    }

    #[test]
    fn a_lost_or_refused_connection_is_a_loss() {
        let (usage, lineage) = (Usage::new(), Arc::new(Lineage::new()));
        let observer: Arc<dyn ConnectionObserver> = lineage.clone();
        usage.observe(Arc::downgrade(&observer));
        let connection = usage.opens().done();
        assert!(connection.lose() && !connection.lose());
        assert_eq!(lineage.losses(), 1);
        usage.refused(&Error::broken_connection("refused"));
        usage.opens().done();
        assert_eq!(lineage.losses(), 2, "the first connection after a loss");
        drop((observer, lineage));
        assert!(!usage.is_observed());
    }
}
