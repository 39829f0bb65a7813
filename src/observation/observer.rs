//! The observer of a `Db`, which begins to observe its calls, transactions, checkouts and copies.
//!
//! It has the settings of the observation. If no subscriber wants a span and there are no metrics,
//! it returns no [`Call`], and the cost is that of one check.

use std::sync::Arc;
use std::time::Instant;

#[cfg(feature = "tracing")]
use std::time::Duration;
#[cfg(feature = "tracing")]
use tracing::{Level, Span};

#[cfg(feature = "tracing")]
use super::spans::{at_level, call_span, checkout_span, copy_span};
use super::{Call, Checkout, Copying, Method};

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
