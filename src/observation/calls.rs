//! A call or a transaction that is observed, and how its work is run within its span.

use std::sync::Arc;
use std::time::Instant;

#[cfg(any(feature = "tracing", feature = "metrics"))]
use std::time::Duration;
#[cfg(feature = "tracing")]
use tracing::Span;

#[cfg(feature = "async")]
use super::BoxFuture;
#[cfg(feature = "tracing")]
use super::TARGET;
use super::{ABANDONED, Method};
use crate::Error;

/// A call or a transaction that is observed. Dropped before it ends, it was abandoned.
#[derive(Debug)]
pub struct Call {
    pub(super) method: Method,
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) namespace: Arc<str>,
    #[cfg(feature = "tracing")]
    pub(super) slow: Option<Duration>,
    pub(super) began: Instant,
    pub(super) has_ended: bool,
    /// False if the call is a span alone.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(super) is_measured: bool,
    #[cfg(feature = "tracing")]
    pub(super) span: Span,
}

impl Call {
    /// Enters the span until the guard is dropped.
    #[cfg(feature = "tracing")]
    pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
        self.span.enter()
    }

    /// Ends a call.
    pub(crate) fn end(mut self, error: Option<&Error>) {
        match error {
            None => self.record("ok", None),
            Some(error) => self.record("error", Some(error.code())),
        }
    }

    /// Records the number of the attempt that a transaction is, from 1.
    pub(crate) fn record_attempt(&self, attempt: u32) {
        #[cfg(feature = "tracing")]
        self.span.record("wundr_db.attempt", attempt);
        #[cfg(not(feature = "tracing"))]
        let _ = attempt;
    }

    /// Returns the call as that of a stream. How long it takes depends on the reader, so that it is
    /// never a slow call.
    #[cfg(feature = "async")]
    pub(crate) fn of_stream(mut self) -> Self {
        #[cfg(feature = "tracing")]
        {
            self.slow = None;
        }
        #[cfg(not(feature = "tracing"))]
        let _ = &mut self;
        self
    }

    /// Records the number of rows that a stream has returned.
    #[cfg(feature = "async")]
    pub(crate) fn record_rows(&self, rows: u64) {
        #[cfg(feature = "tracing")]
        self.span.record("db.response.returned_rows", rows);
        #[cfg(not(feature = "tracing"))]
        let _ = rows;
    }

    /// Ends a transaction.
    pub(crate) fn end_transaction(mut self, outcome: &'static str) {
        self.record(outcome, None);
    }

    fn record(&mut self, outcome: &'static str, error: Option<&'static str>) {
        self.has_ended = true;
        let took = self.began.elapsed();
        #[cfg(feature = "tracing")]
        {
            self.span.record("outcome", outcome);
            if let Some(error) = error {
                self.span.record("error.type", error);
            }
            if self.slow.is_some_and(|limit| took >= limit) {
                tracing::warn!(
                    target: TARGET,
                    parent: &self.span,
                    summary = self.method.summary,
                    elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    outcome,
                    "slow call"
                );
            }
        }
        #[cfg(feature = "metrics")]
        if self.is_measured {
            self.measure(took, outcome, error);
        }
        #[cfg(not(all(feature = "metrics", feature = "tracing")))]
        let _ = (took, error);
    }

    #[cfg(feature = "metrics")]
    fn measure(&self, took: Duration, outcome: &'static str, error: Option<&'static str>) {
        use metrics::{Label, histogram};

        let mut labels = vec![
            Label::from_static_parts("db.system.name", "postgresql"),
            Label::new("db.namespace", Arc::clone(&self.namespace)),
            Label::from_static_parts("db.operation.name", self.method.name),
            Label::from_static_parts("outcome", outcome),
        ];
        if !self.method.collection.is_empty() {
            labels.push(Label::from_static_parts(
                "db.collection.name",
                self.method.collection,
            ));
        }
        if let Some(error) = error {
            labels.push(Label::from_static_parts("error.type", error));
        }
        histogram!("db.client.operation.duration", labels).record(took.as_secs_f64());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.has_ended {
            self.record(ABANDONED, None);
        }
    }
}

/// Runs a future as an observed call.
#[cfg(feature = "async")]
#[must_use]
pub fn observed<'f, R: Send + 'f>(
    call: Option<Call>,
    mut future: BoxFuture<'f, R>,
) -> BoxFuture<'f, R> {
    let Some(call) = call else {
        return future;
    };
    Box::pin(async move {
        let outcome = std::future::poll_fn(|context| {
            #[cfg(feature = "tracing")]
            let _entered = call.enter();
            future.as_mut().poll(context)
        });
        let outcome = outcome.await;
        call.end(outcome.as_ref().err());
        outcome
    })
}

/// Runs work as an observed call.
///
/// # Errors
/// That of the work.
#[cfg(feature = "blocking")]
pub fn observed_now<R>(
    call: Option<Call>,
    work: impl FnOnce() -> crate::Result<R>,
) -> crate::Result<R> {
    let Some(call) = call else {
        return work();
    };
    #[cfg(feature = "tracing")]
    let entered = call.enter();
    let outcome = work();
    #[cfg(feature = "tracing")]
    drop(entered);
    call.end(outcome.as_ref().err());
    outcome
}
