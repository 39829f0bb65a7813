//! The connections, kept by bb8.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::PoolableConnection as _;

use crate::config::Recycling;
use crate::engine::connect::{Connector, Tls};
use crate::error::{Failure, Stage, Verdict};
use crate::transaction::PROOF_OF_HEALTH;
use crate::usage::{Usage, Use};
use crate::{Error, Result};

/// Opens connections and tells which may be used again.
pub(super) struct Manager {
    pub(super) connector: Connector,
    pub(super) recycling: Recycling,
    pub(super) closed: Arc<AtomicBool>,
    pub(super) usage: Arc<Usage>,
}

/// A connection of the pool.
pub(super) struct Connection {
    pub(super) inner: crate::engine::connection::Connection,
    pub(super) tls: Tls,
    pub(super) usage: Arc<Use>,
}

/// Why a connection could not be opened. The pool hands it out like a connection, so that the caller who waits is
/// told at once, not when the time for waiting is over.
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) at: Instant,
}

impl Connection {
    /// Ends what the server still does for a caller that has gone, and keeps the connection from being used again.
    pub(super) fn abandon(&mut self) {
        self.usage.retire();
        let (tls, token) = (self.tls.clone(), self.inner.cancel_token());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // If the request is lost, statement_timeout ends the statement.
                let _ = tls.cancel(token).await;
            });
        }
    }

    /// The error of a statement on it. A connection of no further use does not go back to the pool.
    pub(super) fn failed(&self, error: diesel::result::Error, stage: Stage) -> Failure {
        let failure = Failure::of(error, stage);
        self.usage.heed(failure.verdict);
        failure
    }
}

impl bb8::ManageConnection for Manager {
    // The pool moves a connection several times on its way out and back.
    type Connection = Result<Box<Connection>, Box<Refusal>>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Connection> {
        let opening = self.usage.opens();
        let connection = match self.connector.connect().await {
            Ok(inner) => Ok(Box::new(Connection {
                inner,
                tls: self.connector.tls(),
                usage: opening.done(),
            })),
            Err(error) => {
                self.usage.refused(&error);
                Err(Box::new(Refusal {
                    error,
                    at: Instant::now(),
                }))
            }
        };
        if AtomicBool::load(&self.closed, Ordering::Relaxed) {
            return Err(Error::closed());
        }
        Ok(connection)
    }

    async fn is_valid(&self, connection: &mut Self::Connection) -> Result<()> {
        match connection {
            Ok(connection) if self.recycling == Recycling::Verified => {
                Ok(connection.inner.batch_execute(PROOF_OF_HEALTH).await?)
            }
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        match connection {
            Ok(connection) => {
                // Asked of each connection that is given back.
                if connection.inner.has_been_refused_writes() && !connection.usage.is_read_only() {
                    connection.usage.heed(Verdict::RetireAll);
                }
                connection.usage.give_back();
                connection.usage.is_over()
                    || AtomicBool::load(&self.closed, Ordering::Relaxed)
                    || connection.inner.is_broken()
            }
            Err(_) => true,
        }
    }
}

/// An open connection, which goes back to the pool when it is dropped.
pub(super) struct Pooled(pub(super) bb8::PooledConnection<'static, Manager>);

impl std::ops::Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &*self.0 {
            Ok(connection) => connection,
            Err(_) => unreachable!("a refusal does not leave checkout"),
        }
    }
}

impl std::ops::DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut *self.0 {
            Ok(connection) => connection,
            Err(_) => unreachable!("a refusal does not leave checkout"),
        }
    }
}

/// A connection for one statement. Dropped before the statement has ended, it does not go back to the pool.
pub(super) struct Lease {
    pub(super) connection: Pooled,
    pub(super) settled: bool,
}

impl Lease {
    pub(super) fn settle<T>(mut self, outcome: QueryResult<T>) -> Result<T> {
        self.settled = true;
        outcome.map_err(|error| self.connection.failed(error, Stage::Alone).error)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.settled {
            self.connection.abandon();
        }
    }
}
