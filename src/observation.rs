//! The spans and the metrics of calls, transactions and pools.
//!
//! Everything here is compiled with the feature `tracing` or `metrics` alone. The names of fields
//! and metrics are OpenTelemetry's conventions for databases. No value of a row and no bind is ever
//! recorded.
//!
//! A call is observed by the attribute `#[repository(observed)]`, which begins and ends a [`Call`]
//! around each method. If no subscriber wants its span and there are no metrics, there is no
//! [`Call`], and the cost is that of one check.

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "tracing")]
use tracing::{Level, Span, field::Empty};

use crate::Error;

/// The target of the spans and events of calls and transactions.
#[cfg(feature = "tracing")]
const TARGET: &str = "wundr_db::calls";

/// The method that is called.
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "a metric has the two names")
)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    /// The table or view, without its schema.
    pub(crate) collection: &'static str,
    pub(crate) name: &'static str,
    /// Both, for example `users.find_by_email`. It stays the same when statements change.
    pub(crate) summary: &'static str,
}

/// The settings of the observation of one `Db`.
#[derive(Debug, Clone)]
pub(crate) struct CallObserver {
    namespace: Arc<str>,
    #[cfg(feature = "tracing")]
    slow: Option<Duration>,
    #[cfg(feature = "tracing")]
    level: Level,
    /// The span of the transaction.
    #[cfg(feature = "tracing")]
    parent: Option<Span>,
}

impl Default for CallObserver {
    fn default() -> Self {
        Self {
            namespace: Arc::from(""),
            #[cfg(feature = "tracing")]
            slow: None,
            #[cfg(feature = "tracing")]
            level: Level::DEBUG,
            #[cfg(feature = "tracing")]
            parent: None,
        }
    }
}

/// Creates the span of a method at a level that is known at run time. With `parent`, it belongs to
/// that span, and otherwise to the current one.
#[cfg(feature = "tracing")]
macro_rules! span_at {
    ($level:expr, ($($parent:tt)*), $system:literal, $method:expr, $namespace:expr) => {
        match $level {
            Level::ERROR => span_at!(@ ERROR, ($($parent)*), $system, $method, $namespace),
            Level::WARN => span_at!(@ WARN, ($($parent)*), $system, $method, $namespace),
            Level::INFO => span_at!(@ INFO, ($($parent)*), $system, $method, $namespace),
            Level::DEBUG => span_at!(@ DEBUG, ($($parent)*), $system, $method, $namespace),
            _ => span_at!(@ TRACE, ($($parent)*), $system, $method, $namespace),
        }
    };
    (@ $level:ident, ($($parent:tt)*), $system:literal, $method:expr, $namespace:expr) => {
        tracing::span!(
            target: TARGET,
            $($parent)*
            Level::$level,
            "call",
            otel.name = $method.summary,
            otel.kind = "client",
            db.system.name = $system,
            db.namespace = $namespace,
            db.collection.name = $method.collection,
            db.operation.name = $method.name,
            db.query.summary = $method.summary,
            db.response.returned_rows = Empty,
            wundr_db.cache.outcome = Empty,
            outcome = Empty,
            "error.type" = Empty,
        )
    };
}

impl CallObserver {
    /// Creates the observer of a database of this name.
    pub(crate) fn new(
        namespace: &str,
        #[cfg(feature = "tracing")] slow: Option<Duration>,
        #[cfg(feature = "tracing")] level: Level,
    ) -> Self {
        Self {
            namespace: Arc::from(namespace),
            #[cfg(feature = "tracing")]
            slow,
            #[cfg(feature = "tracing")]
            level,
            #[cfg(feature = "tracing")]
            parent: None,
        }
    }

    /// Begins to observe a call. Returns `None` if nothing wants to have it.
    pub(crate) fn begin(&self, method: Method) -> Option<Call> {
        #[cfg(feature = "tracing")]
        let span = self.span(method);
        #[cfg(feature = "tracing")]
        if span.is_none() && self.slow.is_none() && !cfg!(feature = "metrics") {
            return None;
        }
        Some(Call {
            method,
            namespace: Arc::clone(&self.namespace),
            #[cfg(feature = "tracing")]
            slow: self.slow,
            began: Instant::now(),
            has_ended: false,
            is_measured: true,
            #[cfg(feature = "tracing")]
            span,
        })
    }

    #[cfg(feature = "tracing")]
    fn span(&self, method: Method) -> Span {
        let namespace = &*self.namespace;
        match &self.parent {
            Some(parent) => {
                span_at!(self.level, (parent: parent,), "postgresql", method, namespace)
            }
            None => span_at!(self.level, (), "postgresql", method, namespace),
        }
    }

    /// Begins to observe a call of a cached repository. Returns `None` if nothing wants to have it.
    ///
    /// It has a span alone: the reads of the cache have a metric of their own, and those of the
    /// database are calls within this one.
    #[cfg(feature = "redis")]
    pub(crate) fn begin_cached(&self, method: Method) -> Option<Call> {
        #[cfg(not(feature = "tracing"))]
        let _ = (self, method);
        #[cfg(not(feature = "tracing"))]
        return None;
        #[cfg(feature = "tracing")]
        {
            let namespace = &*self.namespace;
            let span = span_at!(self.level, (), "redis", method, namespace);
            (!span.is_none()).then(|| Call {
                method,
                namespace: Arc::clone(&self.namespace),
                slow: self.slow,
                began: Instant::now(),
                has_ended: false,
                is_measured: false,
                span,
            })
        }
    }

    /// Begins to observe a transaction. The calls of the observer that is returned belong to it.
    pub(crate) fn begin_transaction(&self) -> (Self, Option<Call>) {
        const TRANSACTION: Method = Method {
            collection: "",
            name: "transaction",
            summary: "transaction",
        };
        let call = self.begin(TRANSACTION);
        #[cfg(feature = "tracing")]
        let within = Self {
            parent: call
                .as_ref()
                .map(|call| call.span.clone())
                .filter(|span| !span.is_none()),
            ..self.clone()
        };
        #[cfg(not(feature = "tracing"))]
        let within = self.clone();
        (within, call)
    }
}

/// The outcome of a call whose future was dropped, or of a transaction that was left unfinished.
const ABANDONED: &str = "abandoned";

/// A call or a transaction that is observed. Dropped before it [ends](Self::end), it was abandoned.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    namespace: Arc<str>,
    #[cfg(feature = "tracing")]
    slow: Option<Duration>,
    began: Instant,
    has_ended: bool,
    /// False if the call is a span alone.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    is_measured: bool,
    #[cfg(feature = "tracing")]
    span: Span,
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

#[cfg(feature = "async")]
type BoxFuture<'f, R> = std::pin::Pin<Box<dyn Future<Output = crate::Result<R>> + Send + 'f>>;

/// Runs a future as an observed call.
#[cfg(feature = "async")]
pub(crate) fn observed<'f, R: Send + 'f>(
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
#[cfg(feature = "blocking")]
pub(crate) fn observed_now<R>(
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

/// Records the number of rows that a query of the current call has returned.
#[cfg(feature = "tracing")]
pub(crate) fn returned_rows(number: usize) {
    Span::current().record("db.response.returned_rows", number);
}

/// Records that work is tried again, after this number of attempts.
pub(crate) fn retried(reason: &'static str, attempts: u32) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: TARGET, reason, attempts, "the work is tried again");
    #[cfg(feature = "metrics")]
    metrics::counter!("wundr_db.retries", "reason" => reason).increment(1);
    #[cfg(not(feature = "tracing"))]
    let _ = attempts;
}

/// Records the time for which a caller waited for a connection.
pub(crate) fn waited(time: Duration) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "wundr_db::pool",
        elapsed_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        "waited for a connection"
    );
    #[cfg(feature = "metrics")]
    metrics::histogram!("db.client.connection.wait_time").record(time.as_secs_f64());
}

/// Records that a connection was opened or could not be opened.
pub(crate) fn opened(error: Option<&'static str>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "wundr_db::pool", error, "opened a connection");
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
    tracing::debug!(target: "wundr_db::pool", reason, "closed a connection");
    #[cfg(feature = "metrics")]
    metrics::counter!("wundr_db.connections.closed", "reason" => reason).increment(1);
}

/// Records how the cache has answered the current call.
#[cfg(all(feature = "tracing", feature = "redis"))]
pub(crate) fn cache_outcome(outcome: &str) {
    if tracing::level_filters::LevelFilter::current() != tracing::level_filters::LevelFilter::OFF {
        Span::current().record("wundr_db.cache.outcome", outcome);
    }
}

/// Records that rows were written by `COPY`.
pub(crate) fn copied(rows: u64, took: Duration) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: TARGET,
        rows,
        elapsed_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "copied rows"
    );
    #[cfg(feature = "metrics")]
    {
        metrics::counter!("wundr_db.copy.rows").increment(rows);
        metrics::histogram!("wundr_db.copy.duration").record(took.as_secs_f64());
    }
}
