//! The spans and the metrics of calls, transactions and pools.
//!
//! The names of fields and metrics are OpenTelemetry's conventions for databases. No value of a row
//! and no bind is ever recorded.
//!
//! A call is observed by the attribute `#[repository(observed)]`, which begins and ends a [`Call`]
//! around each method. Without the features `tracing` and `metrics`, `unobserved` has the same
//! names and does nothing: the calls are as they would be without the attribute.

#[cfg(any(feature = "tracing", feature = "metrics"))]
mod calls;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod copies;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod current;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod observer;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod pool;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(not(any(feature = "tracing", feature = "metrics")))]
mod unobserved;

#[cfg(not(any(feature = "tracing", feature = "metrics")))]
pub use unobserved::*;
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub use {calls::*, observer::CallObserver};
#[cfg(any(feature = "tracing", feature = "metrics"))]
pub(crate) use {copies::Copying, current::*, pool::*};

/// The target of the spans and events of calls and transactions.
#[cfg(feature = "tracing")]
const TARGET: &str = "wundr_db::calls";

/// The target of the spans of checkouts, and of the events of connections.
#[cfg(feature = "tracing")]
const POOL: &str = "wundr_db::pool";

/// The outcome of a call whose future was dropped, or of a transaction that was left unfinished.
#[cfg(any(feature = "tracing", feature = "metrics"))]
const ABANDONED: &str = "abandoned";

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

#[cfg(feature = "async")]
pub(crate) type BoxFuture<'f, R> =
    std::pin::Pin<Box<dyn Future<Output = crate::Result<R>> + Send + 'f>>;
