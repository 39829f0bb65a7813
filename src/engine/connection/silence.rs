//! Ends a connection on which the server says nothing although an answer is due.
//!
//! A server that is stopped, or cut off by a network that drops what is sent, does not end its connections, and its
//! `statement_timeout` ends nothing either.
//!
//! No statement costs a timer. A statement that has to wait counts itself in and out, each part of an answer is counted,
//! and a task of the connection compares the counts eight times within the limit, for as long as anything waits.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Wake;
use std::time::Duration;

use tokio::runtime::Handle;

use super::driver::Driver;
use super::waiting::OnAnswer;

/// How often the counts are compared within the limit.
const LOOKS: u32 = 8;

#[derive(Default)]
pub(super) struct Silence {
    limit: OnceLock<Duration>,
    /// How many wait for an answer.
    waiting: AtomicUsize,
    /// How often one began to wait, or was called for a part of an answer.
    heard: AtomicU64,
    is_watched: AtomicBool,
    has_ended: AtomicBool,
}

impl Silence {
    /// Sets how long the server may say nothing while an answer is due.
    pub(super) fn limit(&self, limit: Duration) {
        let _ = self.limit.set(limit);
    }

    /// Returns the limit if it has ended the connection.
    pub(super) fn ended(&self) -> Option<Duration> {
        let has_ended = self.has_ended.load(Ordering::Relaxed);
        self.limit.get().copied().filter(|_| has_ended)
    }

    /// An answer is waited for from here on.
    pub(super) fn begin(self: &Arc<Self>, driver: &Arc<Driver>) {
        let Some(&limit) = self.limit.get() else {
            return;
        };
        self.heard.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // In this order, so that either the task sees who waits, or who waits sees that the task has ended.
        if self.is_watched.swap(true, Ordering::SeqCst) {
            return;
        }
        let watch = Watch {
            silence: Arc::clone(self),
            driver: Arc::downgrade(driver),
        };
        // Outside a runtime there is nothing that could wait for a time.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(watch.run(limit));
        }
    }

    /// The answer is there, or is not waited for any more.
    pub(super) fn end(&self) {
        if self.limit.get().is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The task that compares the counts. Dropped with its runtime, it lets another begin.
struct Watch {
    silence: Arc<Silence>,
    driver: Weak<Driver>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.silence.is_watched.store(false, Ordering::SeqCst);
    }
}

impl Watch {
    async fn run(self, limit: Duration) {
        let silence = &self.silence;
        let step = (limit / LOOKS).max(Duration::from_millis(1));
        let (mut heard, mut quiet) = (silence.heard.load(Ordering::Relaxed), Duration::ZERO);
        loop {
            tokio::time::sleep(step).await;
            if silence.waiting.load(Ordering::SeqCst) == 0 {
                silence.is_watched.store(false, Ordering::SeqCst);
                let waits = silence.waiting.load(Ordering::SeqCst) > 0;
                if !waits || silence.is_watched.swap(true, Ordering::SeqCst) {
                    // Another task may watch by now: this one has nothing to take back.
                    return self.leave();
                }
            }
            let Some(driver) = self.driver.upgrade() else {
                return;
            };
            let now = silence.heard.load(Ordering::Relaxed);
            // What has come and was not read yet is no silence.
            if now != heard || driver.is_called() {
                (heard, quiet) = (now, Duration::ZERO);
                continue;
            }
            quiet += step;
            if quiet >= limit {
                silence.has_ended.store(true, Ordering::Relaxed);
                driver.close();
                return;
            }
        }
    }

    fn leave(mut self) {
        self.silence = Arc::default();
    }
}

/// Wakes for an answer that has come, and counts it.
pub(super) struct Heard {
    pub(super) waiting: Arc<OnAnswer>,
    pub(super) silence: Arc<Silence>,
}

impl Wake for Heard {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.silence.heard.fetch_add(1, Ordering::Relaxed);
        self.waiting.wake_by_ref();
    }
}
