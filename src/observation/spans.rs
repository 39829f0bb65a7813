//! The spans, each with all of its fields.
//!
//! A span of `tracing` has its level in its static description. So each is a macro, which
//! [`at_level`] expands once for each level. The names of the fields are OpenTelemetry's.

/// Creates a span at a level that is known at run time. `$span` is the macro of the span.
macro_rules! at_level {
    ($level:expr, $span:ident $arguments:tt) => {
        match $level {
            tracing::Level::ERROR => $span!(ERROR, $arguments),
            tracing::Level::WARN => $span!(WARN, $arguments),
            tracing::Level::INFO => $span!(INFO, $arguments),
            tracing::Level::DEBUG => $span!(DEBUG, $arguments),
            _ => $span!(TRACE, $arguments),
        }
    };
}

/// Creates the span of a method. With `parent`, it belongs to that span, and otherwise to the
/// current one.
macro_rules! call_span {
    ($level:ident, (($($parent:tt)*), $system:literal, $method:expr, $namespace:expr)) => {
        tracing::span!(
            target: $crate::observation::TARGET,
            $($parent)*
            tracing::Level::$level,
            "call",
            otel.name = $method.summary,
            otel.kind = "client",
            db.system.name = $system,
            db.namespace = $namespace,
            db.collection.name = $method.collection,
            db.operation.name = $method.name,
            db.query.summary = $method.summary,
            db.response.returned_rows = tracing::field::Empty,
            wundr_db.attempt = tracing::field::Empty,
            wundr_db.retries = tracing::field::Empty,
            wundr_db.cache.outcome = tracing::field::Empty,
            outcome = tracing::field::Empty,
            "error.type" = tracing::field::Empty,
        )
    };
}

/// Creates the span of the checkout of a connection.
macro_rules! checkout_span {
    ($level:ident, ($namespace:expr)) => {
        tracing::span!(
            target: $crate::observation::POOL,
            tracing::Level::$level,
            "checkout",
            otel.name = "checkout",
            otel.kind = "internal",
            db.system.name = "postgresql",
            db.namespace = $namespace,
            wundr_db.wait_us = tracing::field::Empty,
            outcome = tracing::field::Empty,
            "error.type" = tracing::field::Empty,
        )
    };
}

/// Creates the span of a `COPY`.
macro_rules! copy_span {
    ($level:ident, ($collection:expr, $namespace:expr)) => {
        tracing::span!(
            target: $crate::observation::TARGET,
            tracing::Level::$level,
            "copy",
            otel.name = "COPY",
            otel.kind = "client",
            db.system.name = "postgresql",
            db.namespace = $namespace,
            db.collection.name = $collection,
            db.operation.name = "COPY",
            wundr_db.copied_rows = tracing::field::Empty,
            outcome = tracing::field::Empty,
            "error.type" = tracing::field::Empty,
        )
    };
}

pub(super) use {at_level, call_span, checkout_span, copy_span};
