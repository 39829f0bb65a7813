//! The errors of connections that could not be opened, were lost, or were not free.

use std::error::Error as StdError;

#[cfg(any(feature = "async", feature = "migrations"))]
use super::connection_end::is_of_server;
use super::connection_end::{is_full_pool, is_lasting_refusal};
use super::{Error, Fate, innermost};

impl Error {
    /// Creates the error of a connection that could not be opened.
    pub(crate) fn connection(source: impl StdError + Send + Sync + 'static) -> Self {
        let message = innermost(&source);
        if is_full_pool(&message) {
            return Self::full_pool(&message);
        }
        Self::Connection {
            is_lasting: is_lasting_refusal(&source, &message),
            message: with_advice(&message),
            fate: Fate::NotSent,
            source: Some(Box::new(source)),
        }
    }

    /// Checks whether a server has sent this error of a connection that could not be opened, so
    /// that it responds.
    #[cfg(any(feature = "async", feature = "migrations"))]
    pub(crate) fn is_of_server(&self) -> bool {
        match self {
            // The pool of a PgBouncer is full.
            Self::Pool(_) => true,
            Self::Connection {
                message,
                is_lasting,
                source,
                ..
            } => *is_lasting || is_of_server(source.as_deref(), message),
            _ => false,
        }
    }

    /// Creates the error of every call after [`Db::close`](crate::Db::close).
    pub(crate) fn closed() -> Self {
        Self::Pool("closed".to_owned())
    }

    /// Creates the error of a call for which PgBouncer had no connection to the server.
    pub(crate) fn full_pool(message: &str) -> Self {
        let message = message.trim();
        Self::Pool(format!(
            "PgBouncer: {message}; raise default_pool_size or shorten transactions"
        ))
    }

    /// Creates the error of a connection on which nothing was sent.
    pub(crate) fn broken_connection(message: &str) -> Self {
        Self::ended_connection(message, Fate::NotSent)
    }

    pub(crate) fn ended_connection(message: &str, fate: Fate) -> Self {
        Self::Connection {
            message: with_advice(message),
            fate,
            is_lasting: false,
            source: None,
        }
    }

    /// Creates the error of a connection that could not be opened.
    pub(crate) fn refused_connection(message: &str, is_lasting: bool) -> Self {
        Self::Connection {
            message: with_advice(message),
            fate: Fate::NotSent,
            is_lasting,
            source: None,
        }
    }

    /// Checks whether the server rejected a connection and would reject the next one, too.
    pub(crate) const fn is_lasting_refusal(&self) -> bool {
        matches!(
            self,
            Self::Connection {
                is_lasting: true,
                ..
            }
        )
    }
}

/// Appends a hint to PgBouncer's error messages.
fn with_advice(message: &str) -> String {
    let advice = if message.contains("unsupported startup parameter") {
        "the server is PgBouncer; use Config::behind_pgbouncer"
    } else if message.contains("prepared statement \"") {
        "PgBouncer in transaction mode must be version 1.21 or later, with max_prepared_statements > 0"
    } else {
        return message.to_owned();
    };
    format!("{message}: {advice}")
}
