//! The checkouts of connections, and the events of a pool: connections that were opened, waited for
//! and closed.

use std::time::Duration;

#[cfg(feature = "tracing")]
use std::time::Instant;
#[cfg(feature = "tracing")]
use tracing::Span;

#[cfg(feature = "tracing")]
use super::{ABANDONED, POOL};
use crate::Error;

/// The checkout of a connection. Dropped before it [ends](Self::end), it was abandoned.
#[derive(Debug)]
pub(crate) struct Checkout {
    #[cfg(feature = "tracing")]
    pub(super) span: Span,
    /// The time from which on the caller waits.
    #[cfg(feature = "tracing")]
    pub(super) waits_since: Option<Instant>,
}

impl Checkout {
    /// Records that no connection is free, so that the caller waits.
    pub(crate) fn begin_wait(&mut self) {
        #[cfg(feature = "tracing")]
        if !self.span.is_none() {
            self.waits_since.get_or_insert_with(Instant::now);
        }
    }

    /// Ends the checkout.
    pub(crate) fn end(self, error: Option<&Error>) {
        #[cfg(feature = "tracing")]
        if !self.span.is_none() {
            let mut this = self;
            match error {
                None => this.record("ok"),
                Some(error) => {
                    this.span.record("error.type", error.code());
                    this.record("error");
                }
            }
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (self, error);
    }

    #[cfg(feature = "tracing")]
    fn record(&mut self, outcome: &'static str) {
        let waited = self.waits_since.map(|since| since.elapsed().as_micros());
        let waited = u64::try_from(waited.unwrap_or_default()).unwrap_or(u64::MAX);
        self.span.record("wundr_db.wait_us", waited);
        self.span.record("outcome", outcome);
        // It is recorded once.
        self.span = Span::none();
    }
}

#[cfg(feature = "tracing")]
impl Drop for Checkout {
    fn drop(&mut self) {
        if !self.span.is_none() {
            self.record(ABANDONED);
        }
    }
}

/// Records the time for which a caller waited for a connection.
pub(crate) fn waited(time: Duration) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: POOL,
        elapsed_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        "waited for a connection"
    );
    #[cfg(feature = "metrics")]
    metrics::histogram!("db.client.connection.wait_time").record(time.as_secs_f64());
}

/// Records that a connection was opened or could not be opened.
pub(crate) fn opened(error: Option<&'static str>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: POOL, error, "opened a connection");
    #[cfg(feature = "metrics")]
    match error {
        None => metrics::counter!("wundr_db.connections.opened").increment(1),
        Some(code) => {
            metrics::counter!("wundr_db.connections.refused", "error.type" => code).increment(1);
        }
    }
}

/// Records that a connection was closed, because of its age or its state.
pub(crate) fn closed(reason: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: POOL, reason, "closed a connection");
    #[cfg(feature = "metrics")]
    metrics::counter!("wundr_db.connections.closed", "reason" => reason).increment(1);
}
