//! The connections, kept by r2d2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use diesel::QueryResult;
use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager};
use diesel::pg::PgConnection;
use diesel::r2d2::{self, ManageConnection};

use crate::config::Recycling;
use crate::engine::libpq::Connector;
use crate::error::{Failure, Stage};
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
    pub(super) inner: PgConnection,
    pub(super) usage: Arc<Use>,
}

/// Why a connection could not be opened. The pool hands it out like a connection, so that the caller who waits is
/// told at once, not when the time for waiting is over.
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) at: Instant,
}

impl Manager {
    fn open(&self) -> Result<Connection> {
        let opening = self.usage.opens();
        Ok(Connection {
            inner: self.connector.connect()?,
            usage: opening.done(),
        })
    }
}

impl ManageConnection for Manager {
    type Connection = Result<Connection, Refusal>;
    type Error = Error;

    fn connect(&self) -> Result<Self::Connection> {
        let connection = self.open().map_err(|error| {
            self.usage.refused(&error);
            Refusal {
                error,
                at: Instant::now(),
            }
        });
        if AtomicBool::load(&self.closed, Ordering::Relaxed) {
            return Err(Error::closed());
        }
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Self::Connection) -> Result<()> {
        match connection {
            Ok(connection) if self.recycling == Recycling::Verified => {
                Ok(connection.inner.batch_execute(PROOF_OF_HEALTH)?)
            }
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        match connection {
            Ok(connection) => {
                // Asked of each connection that is given back.
                connection.usage.give_back();
                connection.usage.is_over()
                    || AtomicBool::load(&self.closed, Ordering::Relaxed)
                    || std::thread::panicking()
                    || AnsiTransactionManager::is_broken_transaction_manager(&mut connection.inner)
            }
            Err(_) => true,
        }
    }
}

/// An open connection, which goes back to the pool when it is dropped.
pub(super) struct Pooled(pub(super) r2d2::PooledConnection<Manager>);

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

impl Connection {
    pub(super) fn run<T>(
        &mut self,
        statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        statement(&mut self.inner).map_err(|error| {
            let failure = Failure::of(error, Stage::Alone);
            self.usage.heed(failure.verdict);
            failure.error
        })
    }
}
