//! Closes a connection on which the server is silent although a response is due.
//!
//! A server that is stopped or cut off does not close its connections, and its `statement_timeout`
//! ends nothing.
//!
//! No statement costs a timer. Operations count themselves while they wait, and the waiters count
//! the events of the socket and the parts of responses. A task of the connection compares the
//! counts eight times within the limit while any operation waits.
//!
//! The server is not silent while bytes arrive or are taken: a row may take longer than the limit
//! to arrive. It is not silent either if the client has something to read or to send, but no
//! operation is polled that would do so.
//!
//! A statement without a time limit may be silent for hours, such as a `VACUUM`. For such a
//! statement the connection has a [`Probe`]: after the limit, the server is asked on another
//! connection. Only if it does not respond there either, the connection is closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::driver::Driver;
use super::locked;
use crate::config::PROBES;

/// Asks the server on another connection, within a limit. Returns whether it responds and still has
/// the session of this connection.
pub(super) type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// The number of comparisons within the limit.
const CHECKS: u32 = 8;

#[derive(Default)]
pub(super) struct ResponseTimeout {
    limit: OnceLock<Duration>,
    /// The number of waiting operations.
    waiters: AtomicUsize,
    /// The number of operations that began to wait.
    begun: AtomicU64,
    is_watched: AtomicBool,
    has_ended: AtomicBool,
    /// Set while statements have no time limit.
    probe: Mutex<Option<Probe>>,
}

impl ResponseTimeout {
    /// Sets the time that the server may be silent while a response is due.
    pub(super) fn limit(&self, limit: Duration) {
        let _ = self.limit.set(limit);
    }

    /// Sets the probe that is asked after the limit, before the connection is closed.
    pub(super) fn set_probe(&self, probe: Option<Probe>) {
        *locked(&self.probe) = probe;
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
        self.begun.fetch_add(1, Ordering::Relaxed);
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
        let counts = |driver: &Driver| {
            let (events, is_io_ready) = driver.activity();
            ((events, timeout.begun.load(Ordering::Relaxed)), is_io_ready)
        };
        let mut before = self.driver.upgrade().map(|driver| counts(&driver).0);
        let mut silent_for = Duration::ZERO;
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
            let (mut now, is_io_ready) = counts(&driver);
            if before == Some(now) && !is_io_ready {
                silent_for += step;
            } else {
                silent_for = Duration::ZERO;
            }
            if silent_for >= limit {
                // An operation whose owner does not poll it still counts itself when its response
                // has arrived. It may also have to send something.
                let answered = driver.answered();
                let has_to_send;
                (now, has_to_send) = counts(&driver);
                if timeout.waiters.load(Ordering::SeqCst) > answered && !has_to_send {
                    let probe = locked(&timeout.probe).clone();
                    let Some(probe) = probe else {
                        return self.close(&driver);
                    };
                    // The connection may be dropped meanwhile.
                    drop(driver);
                    let responds = responds(&probe).await;
                    let Some(driver) = self.driver.upgrade() else {
                        return;
                    };
                    if !responds && counts(&driver) == (now, false) {
                        return self.close(&driver);
                    }
                }
                silent_for = Duration::ZERO;
            }
            before = Some(now);
        }
    }

    fn close(&self, driver: &Driver) {
        self.response_timeout
            .has_ended
            .store(true, Ordering::Relaxed);
        driver.close();
    }

    fn leave(mut self) {
        self.response_timeout = Arc::default();
    }
}

async fn responds(probe: &Probe) -> bool {
    for _ in 0..PROBES {
        if probe().await {
            return true;
        }
    }
    false
}
