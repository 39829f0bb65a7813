//! Closes a connection on which the server is silent although a response is due.
//!
//! A server that is stopped or cut off does not close its connections, and its `statement_timeout`
//! ends nothing.
//!
//! No statement costs a timer. Operations count themselves while they wait, each part of a response
//! is counted, and a task of the connection compares the counts eight times within the limit while
//! any operation waits.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Wake;
use std::time::Duration;

use tokio::runtime::Handle;

use super::driver::Driver;
use super::waiters::ResponseWaker;

/// The number of comparisons within the limit.
const CHECKS: u32 = 8;

#[derive(Default)]
pub(super) struct ResponseTimeout {
    limit: OnceLock<Duration>,
    /// The number of waiting operations.
    waiters: AtomicUsize,
    /// The number of operations that began to wait, and of parts of responses.
    progress: AtomicU64,
    is_watched: AtomicBool,
    has_ended: AtomicBool,
}

impl ResponseTimeout {
    /// Sets the time that the server may be silent while a response is due.
    pub(super) fn limit(&self, limit: Duration) {
        let _ = self.limit.set(limit);
    }

    /// Returns the limit if it has closed the connection.
    pub(super) fn ended(&self) -> Option<Duration> {
        let has_ended = self.has_ended.load(Ordering::Relaxed);
        self.limit.get().copied().filter(|_| has_ended)
    }

    /// Counts an operation that begins to wait. Starts the task if there is none.
    pub(super) fn begin(self: &Arc<Self>, driver: &Arc<Driver>) {
        let Some(&limit) = self.limit.get() else {
            return;
        };
        self.progress.fetch_add(1, Ordering::Relaxed);
        self.waiters.fetch_add(1, Ordering::SeqCst);
        // In this order: either the task sees this operation, or this operation sees that the task
        // has ended.
        if self.is_watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let watch = Watch {
            response_timeout: Arc::clone(self),
            driver: Arc::downgrade(driver),
        };
        // Outside a runtime there is no timer.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(watch.run(limit));
        }
    }

    /// Counts an operation that has ended.
    pub(super) fn end(&self) {
        if self.limit.get().is_some() {
            self.waiters.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The task that compares the counts. If it is dropped with its runtime, another one can start.
struct Watch {
    response_timeout: Arc<ResponseTimeout>,
    driver: Weak<Driver>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.response_timeout
            .is_watched
            .store(false, Ordering::SeqCst);
    }
}

impl Watch {
    async fn run(self, limit: Duration) {
        let timeout = &self.response_timeout;
        let step = (limit / CHECKS).max(Duration::from_millis(1));
        let (mut progress, mut silent_for) =
            (timeout.progress.load(Ordering::Relaxed), Duration::ZERO);
        loop {
            tokio::time::sleep(step).await;
            if timeout.waiters.load(Ordering::SeqCst) == 0 {
                timeout.is_watched.store(false, Ordering::SeqCst);
                let waits = timeout.waiters.load(Ordering::SeqCst) > 0;
                if !waits || timeout.is_watched.swap(true, Ordering::SeqCst) {
                    // Another task may have started: its mark must stay.
                    return self.leave();
                }
            }
            let Some(driver) = self.driver.upgrade() else {
                return;
            };
            let now = timeout.progress.load(Ordering::Relaxed);
            // Data that has arrived and is unread is no timeout.
            if now != progress || driver.is_io_ready() {
                (progress, silent_for) = (now, Duration::ZERO);
                continue;
            }
            silent_for += step;
            if silent_for >= limit {
                // An operation whose owner does not poll it still counts itself when its response
                // has arrived.
                let answered = driver.answered();
                if timeout.waiters.load(Ordering::SeqCst) <= answered {
                    silent_for = Duration::ZERO;
                    continue;
                }
                timeout.has_ended.store(true, Ordering::Relaxed);
                driver.close();
                return;
            }
        }
    }

    fn leave(mut self) {
        self.response_timeout = Arc::default();
    }
}

/// Wakes the waiters for a response, and counts it.
pub(super) struct CountingWaker {
    pub(super) waiters: Arc<ResponseWaker>,
    pub(super) response_timeout: Arc<ResponseTimeout>,
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.response_timeout
            .progress
            .fetch_add(1, Ordering::Relaxed);
        self.waiters.wake_by_ref();
    }
}
