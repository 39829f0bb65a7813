//! The use of a pool's connections: since when each is in use, and which of them are retired.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection_observer::ConnectionObserver;
use crate::error::{Failure, Verdict, is_full_pool};
use crate::{Error, PoolState};

/// The use of all connections of one pool.
pub(crate) struct Usage {
    origin: Instant,
    connections: Mutex<Vec<Weak<Use>>>,
    /// Connections of an earlier epoch lead to a server that accepts no writes.
    epoch: AtomicU64,
    opening: AtomicU32,
    waiting: AtomicU32,
    unreadable: AtomicU64,
    connect_failure: Mutex<Option<ConnectFailure>>,
    observers: Mutex<Vec<Weak<dyn ConnectionObserver>>>,
    /// Since the last connection was opened, one was lost or could not be opened.
    is_disturbed: AtomicBool,
}

/// The reason why a connection could not be opened.
#[derive(Clone)]
struct ConnectFailure {
    at: Instant,
    reason: String,
    is_lasting: bool,
}

/// The use of one connection.
pub(crate) struct Use {
    pool: Arc<Usage>,
    epoch: u64,
    /// The times at which the connection was taken and at which its current statement began.
    ///
    /// 0 if the connection is idle, or executes no statement.
    taken: AtomicU64,
    statement_began: AtomicU64,
    /// The connection has been idle in the pool. It may have been closed meanwhile.
    was_idle: AtomicBool,
    /// The connection is not used again after the current use.
    is_retired: AtomicBool,
    /// The caller requested a read-only transaction.
    is_read_only: AtomicBool,
    /// The settings request read-only transactions.
    is_always_read_only: AtomicBool,
    /// The connection is lent to a caller, whose statements may request read-only transactions.
    is_lent: AtomicBool,
    /// A write was refused meanwhile. It is unknown whether the server or the caller is the reason.
    is_doubtful: AtomicBool,
}

impl fmt::Debug for Use {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Use").finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Usage {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            connections: Mutex::default(),
            epoch: AtomicU64::new(0),
            opening: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            unreadable: AtomicU64::new(0),
            connect_failure: Mutex::default(),
            observers: Mutex::default(),
            is_disturbed: AtomicBool::new(false),
        })
    }

    /// Returns the milliseconds since the pool was created, plus 1.
    fn now(&self) -> u64 {
        let elapsed = self.origin.elapsed().as_millis();
        u64::try_from(elapsed).unwrap_or(u64::MAX - 1) + 1
    }

    fn since(&self, moment: u64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(moment))
    }

    /// Counts a connection as being opened until the guard is dropped.
    pub(crate) fn opens(self: &Arc<Self>) -> Opening {
        self.opening.fetch_add(1, Ordering::Relaxed);
        Opening {
            pool: Arc::clone(self),
            epoch: self.epoch.load(Ordering::Relaxed),
        }
    }

    #[cfg(feature = "async")]
    pub(crate) fn is_opening(&self) -> bool {
        self.opening.load(Ordering::Relaxed) > 0
    }

    /// Counts a caller as waiting for a connection until the guard is dropped.
    pub(crate) fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits {
            usage: self,
            #[cfg(any(feature = "tracing", feature = "metrics"))]
            began: Instant::now(),
        }
    }

    /// Stores the reason why a connection could not be opened.
    pub(crate) fn refused(&self, reason: &crate::Error) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        crate::observation::opened(Some(reason.code()));
        *locked(&self.connect_failure) = Some(ConnectFailure {
            at: Instant::now(),
            reason: reason.to_string(),
            is_lasting: reason.is_lasting_refusal(),
        });
        let was_disturbed = self.is_disturbed.swap(true, Ordering::Relaxed);
        // A server that rejects a password or a name is still the same. Further refusals add
        // nothing to the first.
        if !was_disturbed && !reason.is_lasting_refusal() {
            self.report_change();
        }
    }

    /// Adds an observer of the connections that are opened and lost from now on.
    #[allow(dead_code, reason = "the cache calls it, which some builds lack")]
    pub(crate) fn observe(&self, observer: Weak<dyn ConnectionObserver>) {
        let mut observers = locked(&self.observers);
        observers.retain(|observer| observer.strong_count() > 0);
        observers.push(observer);
    }

    fn observers(&self) -> Vec<Arc<dyn ConnectionObserver>> {
        locked(&self.observers)
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Checks whether the timeline of each new connection is to be read.
    pub(crate) fn is_observed(&self) -> bool {
        !self.observers().is_empty()
    }

    /// Reports that another server may respond from now on.
    fn report_change(&self) {
        for observer in self.observers() {
            observer.server_may_have_changed();
        }
    }

    fn lose(&self) {
        self.is_disturbed.store(true, Ordering::Relaxed);
        self.report_change();
    }

    /// Returns the last reason why a connection could not be opened, if it is not older than
    /// `moment`.
    fn connect_failure_since(&self, moment: Instant) -> Option<ConnectFailure> {
        let failure = locked(&self.connect_failure);
        failure.clone().filter(|failure| failure.at >= moment)
    }

    fn connections(&self) -> Vec<Arc<Use>> {
        locked(&self.connections)
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Returns the number of connections in use, and the longest time that one of them has been in
    /// use.
    pub(crate) fn in_use(&self) -> (u32, Option<Duration>) {
        let connections = self.connections();
        let taken = connections
            .iter()
            .map(|one| one.taken.load(Ordering::Relaxed));
        let taken: Vec<u64> = taken.filter(|&moment| moment > 0).collect();
        let longest = taken.iter().min().map(|&moment| self.since(moment));
        (u32::try_from(taken.len()).unwrap_or(u32::MAX), longest)
    }

    /// Checks whether a row was found that cannot be decoded. Others may follow.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed) > 0
    }

    /// Returns the state of a pool of at most `max_connections` connections.
    pub(crate) fn state(&self, max_connections: u32) -> PoolState {
        let connections = u32::try_from(self.connections().len()).unwrap_or(u32::MAX);
        let (in_use, longest_use) = self.in_use();
        PoolState {
            max_connections,
            connections,
            in_use,
            longest_use,
            waiting: self.waiting.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
        }
    }

    /// Returns the error of a call that has waited for `patience` since `started` without getting a
    /// connection.
    pub(crate) fn none_in_time(
        &self,
        max_connections: u32,
        started: Instant,
        patience: Duration,
    ) -> Error {
        let state = self.state(max_connections);
        let failure = self.connect_failure_since(started);
        match (state.longest_use, failure) {
            (Some(longest), _) if state.is_busy() => Error::Pool(format!(
                "none within {patience:?}: {} connections in use, the longest for {longest:.1?}",
                state.in_use
            )),
            (_, Some(ConnectFailure { reason, .. })) if is_full_pool(&reason) => {
                Error::full_pool(&reason)
            }
            (
                _,
                Some(ConnectFailure {
                    reason, is_lasting, ..
                }),
            ) => Error::refused_connection(
                &format!("none could be opened within {patience:?}: {reason}"),
                is_lasting,
            ),
            _ => Error::broken_connection(&format!("none could be opened within {patience:?}")),
        }
    }

    /// Retires connections that have executed one statement for longer than `limit`. Returns true
    /// if there are any.
    #[cfg(feature = "blocking")]
    pub(crate) fn retire_silent(&self, limit: Duration) -> bool {
        let mut found = false;
        for connection in self.connections() {
            let statement_began = connection.statement_began.load(Ordering::Relaxed);
            if statement_began > 0 && self.since(statement_began) > limit {
                found |= connection.lose();
            }
        }
        found
    }
}

/// A guard for a connection that is being opened.
pub(crate) struct Opening {
    pool: Arc<Usage>,
    epoch: u64,
}

impl Opening {
    /// Reports the timeline of the new connection; `None` if its server is a standby or did not
    /// respond.
    ///
    /// An address may lead to another server without any connection being lost. If that server has
    /// taken over, the connections to the earlier one are retired.
    pub(crate) fn is_on(&mut self, timeline: Option<&str>) {
        let mut has_taken_over = false;
        for observer in self.pool.observers() {
            has_taken_over |= observer.connected_to(timeline);
        }
        if has_taken_over {
            self.pool.epoch.fetch_add(1, Ordering::Relaxed);
            self.epoch = self.pool.epoch.load(Ordering::Relaxed);
        }
    }

    pub(crate) fn done(&self) -> Arc<Use> {
        if self.pool.is_disturbed.swap(false, Ordering::Relaxed) {
            self.pool.report_change();
        }
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        crate::observation::opened(None);
        let one = Arc::new(Use {
            pool: Arc::clone(&self.pool),
            epoch: self.epoch,
            taken: AtomicU64::new(0),
            statement_began: AtomicU64::new(0),
            was_idle: AtomicBool::new(false),
            is_retired: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
            is_always_read_only: AtomicBool::new(false),
            is_lent: AtomicBool::new(false),
            is_doubtful: AtomicBool::new(false),
        });
        let mut connections = locked(&self.pool.connections);
        connections.retain(|one| one.strong_count() > 0);
        connections.push(Arc::downgrade(&one));
        one
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.pool.opening.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A guard for a caller that waits.
pub(crate) struct Waits<'u> {
    usage: &'u Usage,
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    began: Instant,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.usage.waiting.fetch_sub(1, Ordering::Relaxed);
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        crate::observation::waited(self.began.elapsed());
    }
}

impl Use {
    /// Records that a caller takes the connection.
    pub(crate) fn take(&self) {
        let now = self.pool.now();
        self.taken.store(now, Ordering::Relaxed);
        self.statement_began.store(now, Ordering::Relaxed);
    }

    /// Records that the connection is being checked: no caller uses it. A server that does not
    /// respond to the check is no sign of a busy pool.
    #[cfg(feature = "blocking")]
    pub(crate) fn begin_check(&self) {
        self.taken.store(0, Ordering::Relaxed);
    }

    /// Records that the caller returns the connection.
    pub(crate) fn give_back(&self) {
        self.taken.store(0, Ordering::Relaxed);
        self.statement_began.store(0, Ordering::Relaxed);
        if self.is_doubtful() {
            self.settle(false);
        }
        self.is_lent.store(false, Ordering::Relaxed);
        self.is_read_only.store(false, Ordering::Relaxed);
        self.was_idle.store(true, Ordering::Relaxed);
    }

    /// Records that the connection is lent to a caller, until it is given back. From now on a
    /// refused write is doubtful: the caller's statements may have requested read-only
    /// transactions.
    pub(crate) fn lend(&self) {
        self.is_lent.store(true, Ordering::Relaxed);
    }

    /// Checks whether a write was refused while the connection was lent.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.is_doubtful.load(Ordering::Relaxed)
    }

    /// Decides about a write that was refused while the connection was lent. If the server accepts
    /// writes after the session was restored, the caller had requested a read-only transaction.
    pub(crate) fn settle(&self, accepts_writes: bool) {
        self.is_lent.store(false, Ordering::Relaxed);
        if self.is_doubtful.swap(false, Ordering::Relaxed) && !accepts_writes {
            self.heed(Verdict::RetireAll);
        }
    }

    /// Checks whether an error of `BEGIN` can be one of the time in which the connection was idle.
    ///
    /// `BEGIN` has no effect of its own and can be sent again on another connection.
    pub(crate) fn was_lost_while_idle(&self, error: &Error) -> bool {
        matches!(error, Error::Connection { .. }) && self.was_idle.load(Ordering::Relaxed)
    }

    /// Records that a statement begins.
    #[cfg(feature = "blocking")]
    pub(crate) fn ask(&self) {
        self.statement_began
            .store(self.pool.now(), Ordering::Relaxed);
    }

    /// Records that the statement has ended.
    #[cfg(feature = "blocking")]
    pub(crate) fn answered(&self) {
        self.statement_began.store(0, Ordering::Relaxed);
    }

    /// Records that the caller requested a read-only transaction.
    pub(crate) fn set_read_only(&self) {
        self.is_read_only.store(true, Ordering::Relaxed);
    }

    /// Records that the settings request read-only transactions.
    pub(crate) fn set_always_read_only(&self) {
        self.is_always_read_only.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed)
            || self.is_always_read_only.load(Ordering::Relaxed)
    }

    /// Prevents the connection from being used again.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Notes that the connection has ended or does not respond, although the pool did not end it.
    /// Returns `false` if the pool has ended it, or this was noted before.
    pub(crate) fn lose(&self) -> bool {
        let is_news = !self.is_retired.swap(true, Ordering::Relaxed);
        if is_news {
            self.pool.lose();
        }
        is_news
    }

    /// Counts an error of an unreadable row, and applies the error's consequence to the connection.
    pub(crate) fn note(&self, failure: &Failure) {
        if matches!(failure.error, Error::Decode { .. }) {
            self.pool.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        self.heed(failure.verdict);
    }

    /// Applies the consequence of an error to the connection.
    pub(crate) fn heed(&self, verdict: Verdict) {
        match verdict {
            Verdict::Keep => {}
            Verdict::Retire => {
                self.lose();
            }
            Verdict::RetireAll if self.is_read_only() => {}
            Verdict::RetireAll if self.is_lent.load(Ordering::Relaxed) => {
                self.is_doubtful.store(true, Ordering::Relaxed);
            }
            Verdict::RetireAll => {
                self.lose();
                let (from, to) = (self.epoch, self.epoch + 1);
                // Another connection of the same epoch may have done so already.
                let _ = self.pool.epoch.compare_exchange(
                    from,
                    to,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
    }

    /// Checks whether the connection must not be used again.
    pub(crate) fn is_over(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
            || self.epoch != self.pool.epoch.load(Ordering::Relaxed)
    }
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl Drop for Use {
    fn drop(&mut self) {
        crate::observation::closed(match self.is_over() {
            true => "retired",
            false => "unused",
        });
    }
}
