//! The limits of the time that a call may take.

use std::time::Duration;

use super::Config;
#[cfg(doc)]
use crate::Error;

impl Config {
    /// Sets the time for which a call waits for a connection of the pool.
    ///
    /// Default: 10 s. Must be between 1 ms and 24 days.
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        Self {
            acquire_timeout: timeout,
            ..self
        }
    }

    /// Sets the time limit for connecting to one host.
    ///
    /// It covers name resolution, the connection itself, authentication, and the query that
    /// [`require_primary`](Self::require_primary) needs. Default: the URL's, or 3 s. Must be
    /// between 1 ms and 24 days, or `None` for no limit.
    ///
    /// libpq, and therefore the blocking engine, counts in whole seconds, with a minimum of 2. It
    /// allows that time for each address of the host's name.
    pub fn connect_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            connect_timeout: timeout.into(),
            ..self
        }
    }

    /// Sets the time after which the server ends a statement with [`Error::Timeout`].
    ///
    /// Default: 30 s. Must be between 1 ms and 24 days, or `None` for no limit.
    pub fn statement_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            statement_timeout: timeout.into(),
            ..self
        }
    }

    /// Sets the time for which the server keeps a transaction open whose client sends nothing.
    ///
    /// Default: 60 s. Must be between 1 ms and 24 days, or `None` for no limit.
    pub fn idle_in_transaction_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            idle_in_transaction_timeout: timeout.into(),
            ..self
        }
    }

    /// Sets the time for which the server may send nothing while a response is due.
    ///
    /// Default: the statement timeout plus 5 s, or none if that is `None`. Must be between 1 ms and
    /// 24 days, or `None` for no limit.
    ///
    /// A server that is stopped or cut off by the network ends neither the statement nor the
    /// connection. In the async engine, the statement then fails with [`Error::Connection`] and its
    /// connection is closed. Each part of a response restarts the time, so a stream or a COPY may
    /// take longer than this. The error comes at most an eighth of the limit late.
    ///
    /// A longer limit is needed for a transaction that raises its own `statement_timeout`, and for
    /// a role behind PgBouncer that has a longer one.
    ///
    /// The crate's calls that may take any time, such as those of `admin`, are not ended by this
    /// limit. In the async engine the server is then asked on another connection, within
    /// [`health_timeout`](Self::health_timeout). The connection is closed only if five such probes
    /// in succession are not answered. Migrations do the same in both engines.
    ///
    /// In the blocking engine, only the network's own limits can end the wait of a thread. The pool
    /// counts a connection whose statement has taken longer than this as lost. If no other
    /// connection is free, the pool opens new ones in its place, so that other calls can continue.
    pub fn response_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            response_timeout: Some(timeout.into()),
            ..self
        }
    }

    /// Sets the time for which [`Db::health`](crate::Db::health) waits for a connection and its
    /// response together.
    ///
    /// Default: 2 s. Must be between 1 ms and 24 days.
    pub fn health_timeout(self, timeout: Duration) -> Self {
        Self {
            health_timeout: timeout,
            ..self
        }
    }
}
