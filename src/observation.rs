//! The spans and the metrics of calls, transactions and pools.
//!
//! Everything here is compiled with the feature `tracing` or `metrics` alone. The names of fields
//! and metrics are OpenTelemetry's conventions for databases. No value of a row and no bind is ever
//! recorded.
//!
//! A call is observed by the attribute `#[repository(observed)]`, which begins and ends a [`Call`]
//! around each method. If no subscriber wants its span and there are no metrics, there is no
//! [`Call`], and the cost is that of one check. Without the features, `unobserved` takes the place
//! of this module, and the calls are as they would be without the attribute.

use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "tracing")]
use tracing::{Level, Span, field::Empty};

use crate::Error;

/// The target of the spans and events of calls and transactions.
#[cfg(feature = "tracing")]
const TARGET: &str = "wundr_db::calls";

/// The target of the spans of checkouts, and of the events of connections.
#[cfg(feature = "tracing")]
const POOL: &str = "wundr_db::pool";

/// The method that is called.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// The table or view, without its schema.
    pub collection: &'static str,
    /// The method.
    pub name: &'static str,
    /// Both, for example `users.find_by_email`. It stays the same when statements change.
    pub summary: &'static str,
}

/// The settings of the observation of one `Db`.
#[derive(Debug, Clone)]
pub struct CallObserver {
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

/// Creates a span at a level that is known at run time. `$span` is the macro of the span.
#[cfg(feature = "tracing")]
macro_rules! at_level {
    ($level:expr, $span:ident $arguments:tt) => {
        match $level {
            Level::ERROR => $span!(ERROR, $arguments),
            Level::WARN => $span!(WARN, $arguments),
            Level::INFO => $span!(INFO, $arguments),
            Level::DEBUG => $span!(DEBUG, $arguments),
            _ => $span!(TRACE, $arguments),
        }
    };
}

/// Creates the span of a method. With `parent`, it belongs to that span, and otherwise to the
/// current one.
#[cfg(feature = "tracing")]
macro_rules! call_span {
    ($level:ident, (($($parent:tt)*), $system:literal, $method:expr, $namespace:expr)) => {
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
            wundr_db.attempt = Empty,
            wundr_db.retries = Empty,
            wundr_db.cache.outcome = Empty,
            outcome = Empty,
            "error.type" = Empty,
        )
    };
}

/// Creates the span of the checkout of a connection.
#[cfg(feature = "tracing")]
macro_rules! checkout_span {
    ($level:ident, ($namespace:expr)) => {
        tracing::span!(
            target: POOL,
            Level::$level,
            "checkout",
            otel.name = "checkout",
            otel.kind = "internal",
            db.system.name = "postgresql",
            db.namespace = $namespace,
            wundr_db.wait_us = Empty,
            outcome = Empty,
            "error.type" = Empty,
        )
    };
}

/// Creates the span of a `COPY`.
#[cfg(feature = "tracing")]
macro_rules! copy_span {
    ($level:ident, ($collection:expr, $namespace:expr)) => {
        tracing::span!(
            target: TARGET,
            Level::$level,
            "copy",
            otel.name = "COPY",
            otel.kind = "client",
            db.system.name = "postgresql",
            db.namespace = $namespace,
            db.collection.name = $collection,
            db.operation.name = "COPY",
            wundr_db.copied_rows = Empty,
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
    #[must_use]
    pub fn begin(&self, method: Method) -> Option<Call> {
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
                at_level!(self.level, call_span((parent: parent,), "postgresql", method, namespace))
            }
            None => at_level!(self.level, call_span((), "postgresql", method, namespace)),
        }
    }

    /// Begins to observe a call of a cached repository. Returns `None` if nothing wants to have it.
    ///
    /// It has a span alone: the reads of the cache have a metric of their own, and those of the
    /// database are calls within this one.
    #[must_use]
    pub fn begin_cached(&self, method: Method) -> Option<Call> {
        #[cfg(not(feature = "tracing"))]
        let _ = (self, method);
        #[cfg(not(feature = "tracing"))]
        return None;
        #[cfg(feature = "tracing")]
        {
            let namespace = &*self.namespace;
            let span = at_level!(self.level, call_span((), "redis", method, namespace));
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

impl CallObserver {
    /// Begins to observe the checkout of a connection. It belongs to the current call.
    pub(crate) fn begin_checkout(&self) -> Checkout {
        #[cfg(feature = "tracing")]
        let namespace = &*self.namespace;
        Checkout {
            #[cfg(feature = "tracing")]
            span: at_level!(self.level, checkout_span(namespace)),
            #[cfg(feature = "tracing")]
            waits_since: None,
        }
    }

    /// Begins to observe a `COPY` into a table. It belongs to the current call.
    pub(crate) fn begin_copy(&self, table: &str) -> Copying {
        // The name without its schema, as that of a call.
        #[cfg(feature = "tracing")]
        let (collection, namespace) = (bare_name(table), &*self.namespace);
        #[cfg(not(feature = "tracing"))]
        let _ = table;
        Copying {
            began: Instant::now(),
            #[cfg(feature = "tracing")]
            span: at_level!(self.level, copy_span(&*collection, namespace)),
        }
    }
}

/// Returns the last part of a qualified name, without quotes: `notes` of `"app"."notes"`.
#[cfg(feature = "tracing")]
fn bare_name(table: &str) -> String {
    let name = table.rsplit('.').next().unwrap_or(table);
    name.trim_matches('"').to_owned()
}

/// The checkout of a connection. Dropped before it [ends](Self::end), it was abandoned.
#[derive(Debug)]
pub(crate) struct Checkout {
    #[cfg(feature = "tracing")]
    span: Span,
    /// The time from which on the caller waits.
    #[cfg(feature = "tracing")]
    waits_since: Option<Instant>,
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

/// A `COPY`. Dropped before it ends, it was abandoned.
#[derive(Debug)]
pub(crate) struct Copying {
    began: Instant,
    #[cfg(feature = "tracing")]
    span: Span,
}

impl Copying {
    /// Ends a `COPY`. `None` if the rows have to be sent by statements instead.
    pub(crate) fn end(self, copied: &crate::Result<Option<usize>>) {
        let took = self.began.elapsed();
        #[cfg(feature = "tracing")]
        let mut this = self;
        #[cfg(feature = "tracing")]
        match copied {
            Ok(Some(rows)) => {
                this.span.record("wundr_db.copied_rows", *rows as u64);
                tracing::debug!(
                    target: TARGET,
                    parent: &this.span,
                    rows,
                    elapsed_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                    "copied rows"
                );
                this.record("ok");
            }
            Ok(None) => this.record("not possible"),
            Err(error) => {
                this.span.record("error.type", error.code());
                this.record("error");
            }
        }
        #[cfg(feature = "metrics")]
        if let Ok(Some(rows)) = copied {
            metrics::counter!("wundr_db.copy.rows").increment(*rows as u64);
            metrics::histogram!("wundr_db.copy.duration").record(took.as_secs_f64());
        }
        #[cfg(not(all(feature = "metrics", feature = "tracing")))]
        let _ = (took, copied);
    }

    #[cfg(feature = "tracing")]
    fn record(&mut self, outcome: &'static str) {
        self.span.record("outcome", outcome);
        self.span = Span::none();
    }
}

#[cfg(feature = "tracing")]
impl Drop for Copying {
    fn drop(&mut self) {
        if !self.span.is_none() {
            self.record(ABANDONED);
        }
    }
}

/// The outcome of a call whose future was dropped, or of a transaction that was left unfinished.
const ABANDONED: &str = "abandoned";

/// A call or a transaction that is observed. Dropped before it [ends](Self::end), it was abandoned.
#[derive(Debug)]
pub struct Call {
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

#[cfg(feature = "async")]
type BoxFuture<'f, R> = std::pin::Pin<Box<dyn Future<Output = crate::Result<R>> + Send + 'f>>;

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

/// Records a field of the current call. Without a subscriber that is not looked up.
#[cfg(feature = "tracing")]
fn record_current(field: &'static str, value: impl tracing::Value) {
    if tracing::level_filters::LevelFilter::current() != tracing::level_filters::LevelFilter::OFF {
        Span::current().record(field, value);
    }
}

/// Records the number of rows that a query of the current call has returned.
#[cfg(feature = "tracing")]
pub(crate) fn returned_rows(number: usize) {
    record_current("db.response.returned_rows", number);
}

/// Records that a statement of the current call is run again in a transaction of its own, because
/// it could not be serialized.
pub(crate) fn statement_runs_again() {
    #[cfg(feature = "tracing")]
    {
        record_current("wundr_db.retries", 1_u64);
        tracing::debug!(target: TARGET, reason = "statement", "the statement is run again");
    }
    #[cfg(feature = "metrics")]
    metrics::counter!("wundr_db.retries", "reason" => "statement").increment(1);
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

/// Records how the cache has answered the current call.
#[cfg(all(feature = "tracing", feature = "redis"))]
pub(crate) fn cache_outcome(outcome: &str) {
    record_current("wundr_db.cache.outcome", outcome);
}
