//! Transactions and their savepoints.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use diesel::QueryResult;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::pg::PgConnection;

use super::Executor;
use super::copy::copy;
use super::pool::{Connection, Pooled};
#[cfg(feature = "redis")]
use super::protocol;
use crate::engine::usage::Use;
use crate::error::{Failure, Stage, Verdict};
#[cfg(feature = "redis")]
use crate::sql::cache as question;
use crate::sql::copy::is_worth_a_copy;
#[cfg(feature = "redis")]
use crate::sql::prepared;
use crate::sql::{NewRow, ROWS_PER_STATEMENT, insert_many};
use crate::transaction::{Hold, Occupancy, already_failed, is_first_failure, savepoint_abandoned};
use crate::write_set::{Everything, Notes, Touches};
use crate::{Error, Result};

/// A transaction. Its writes are visible to its own repositories only, until it is committed.
///
/// [`Db::transaction`](super::Db::transaction) begins and ends one. If it is dropped unfinished, it is rolled back and
/// its connection is closed.
///
/// # Calls at the same time
/// One thread uses it at a time. A call fails with [`Error::InUse`] while another thread runs a statement, or is within a
/// unit of several statements such as [`Ingest::run`](crate::blocking::Ingest::run). Nothing of it is sent: the
/// transaction and its other calls are not affected. No call waits for another.
pub struct Tx {
    /// The calls that use it now.
    pub(super) occupancy: Occupancy,
    pub(super) connection: Mutex<Pooled>,
    /// The use of the connection, which needs no lock.
    pub(super) usage: std::sync::Arc<Use>,
    /// A statement has failed: until the enclosing savepoint is rolled back, the server refuses every other.
    pub(super) failed: AtomicBool,
    /// An error may have gone unseen: the connection was lent.
    pub(super) unheard: bool,
    /// Savepoints that were begun and have not ended.
    pub(super) savepoints: u32,
    /// The cache keys of the rows that were written.
    pub(super) notes: Notes,
    #[cfg(feature = "redis")]
    pub(super) cache: Option<std::sync::Arc<super::protocol::client::CacheClient>>,
    #[cfg(feature = "crypto")]
    pub(super) secrets: Option<std::sync::Arc<dyn crate::KeyProvider>>,
    pub(super) ended: bool,
}

impl fmt::Debug for Tx {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tx")
            .field("failed", &self.failed)
            .field("savepoints", &self.savepoints)
            .finish()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.ended {
            self.usage.retire();
        }
    }
}

/// A call that uses a transaction.
pub(super) struct Held<'t> {
    pub(super) tx: &'t Tx,
    hold: Hold,
}

impl<'t> Held<'t> {
    pub(super) fn enter(tx: &'t Tx, hold: Hold) -> Result<Self> {
        tx.occupancy.enter(hold)?;
        Ok(Self { tx, hold })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.tx.occupancy.leave(self.hold);
    }
}

/// A call within a transaction, with the connection.
pub(super) struct TxCall<'t> {
    // Released before the transaction is left.
    connection: MutexGuard<'t, Pooled>,
    held: Held<'t>,
}

impl TxCall<'_> {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection.inner
    }

    pub(super) fn failed(self, error: diesel::result::Error) -> Error {
        self.held.tx.usage.answered();
        self.held.tx.failed(error)
    }
}

impl Drop for TxCall<'_> {
    fn drop(&mut self) {
        self.held.tx.usage.answered();
    }
}

impl Tx {
    pub(crate) fn executor(&self) -> Executor<'_> {
        Executor::Tx(self)
    }

    /// Runs a part of the transaction that can fail alone: an error, returned or a statement's own, undoes what the
    /// part has done and leaves the rest as it was.
    ///
    /// # Errors
    /// What `work` returns, or the error of the savepoint itself.
    pub fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Tx) -> Result<R, E>,
    {
        // Counted first: if `work` panics and the panic is caught, the transaction must not be committed.
        self.savepoints += 1;
        let level = self.savepoints;
        if let Err(error) = AnsiTransactionManager::begin_transaction(&mut self.connection().inner)
        {
            self.savepoints -= 1;
            return Err(self.failed(error).into());
        }
        let outcome = work(&mut *self);
        if self.savepoints != level {
            return outcome.and(Err(savepoint_abandoned().into()));
        }
        let outcome = match outcome {
            Ok(_) if self.has_failed() => Err(already_failed().into()),
            outcome => outcome,
        };
        let ended = match &outcome {
            Ok(_) => AnsiTransactionManager::commit_transaction(&mut self.connection().inner),
            Err(_) => AnsiTransactionManager::rollback_transaction(&mut self.connection().inner),
        };
        match ended {
            Ok(()) => {
                self.savepoints -= 1;
                *self.failed.get_mut() = false;
                outcome
            }
            // Left counted: the transaction's state is not known.
            Err(error) => outcome.and(Err(self.failed(error).into())),
        }
    }

    pub(crate) fn takes_notes(&self) -> bool {
        self.notes.are_taken()
    }

    /// Returns the keys of the database's secrets.
    #[cfg(feature = "crypto")]
    pub(crate) fn secrets(&self) -> Option<&dyn crate::KeyProvider> {
        self.secrets.as_deref()
    }

    /// Notes what was written.
    pub(crate) fn touch(&self, what: &(impl Touches + ?Sized)) {
        self.notes.add(what);
    }

    /// Returns the connection, for what the repositories do not offer. Do not begin or end a transaction on it. An error of a
    /// statement on it that is swallowed is an error when the transaction is to be committed, as any other.
    ///
    /// What is left of the session ends with the transaction: before the commit, deferred constraints are checked, and
    /// then roles, settings, temporary tables, cursors, `LISTEN`, statements of `PREPARE` and advisory locks of the
    /// session are taken back, in place of the question for a swallowed error and in the same round trip. Settings that
    /// are to last belong into the URL's `options` or to the role. A lock that is to be held until what was written is
    /// visible is one of the transaction, `pg_advisory_xact_lock`. A transaction that is rolled back closes its connection.
    ///
    /// Its `search_path` is `pg_catalog, pg_temp`: write tables, functions and types of the application with their
    /// schemas, or name these by [`Config::search_path`](crate::Config::search_path).
    pub fn connection_mut(&mut self) -> &mut PgConnection {
        self.unheard = true;
        self.touch(&Everything);
        &mut self.connection().inner
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        self.usage.ask();
        self.connection
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call. A transaction is used by one thread at a time; a second one is refused instead of made to wait.
    pub(super) fn enter(&self, hold: Hold) -> Result<TxCall<'_>> {
        let held = Held::enter(self, hold)?;
        let mut connection = match self.connection.try_lock() {
            Ok(connection) => {
                self.usage.ask();
                connection
            }
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    by: "another thread",
                });
            }
        };
        if !self.is_of_the_caller() {
            connection.trim().inspect_err(|_| self.set_failed())?;
        }
        Ok(TxCall { connection, held })
    }

    /// Runs a statement.
    pub(super) fn run<T>(
        &self,
        hold: Hold,
        statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        let mut call = self.enter(hold)?;
        statement(call.connection()).map_err(|error| call.failed(error))
    }

    fn has_failed(&self) -> bool {
        AtomicBool::load(&self.failed, Ordering::Relaxed)
    }

    /// Checks whether a statement has failed, or the connection was lent: nothing is to be run on it beside.
    pub(super) fn is_of_the_caller(&self) -> bool {
        self.unheard || self.has_failed()
    }

    pub(super) fn set_failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, error: diesel::result::Error) -> Error {
        if !matches!(error, diesel::result::Error::NotFound) {
            self.failed.store(true, Ordering::Relaxed);
        }
        let failure = Failure::of(error, Stage::Within);
        self.usage.note(&failure);
        failure.error
    }

    /// Inserts any number of rows by what takes the least time. Nothing comes between its statements.
    pub(super) fn insert_bulk<N: NewRow>(&self, rows: &[N], hold: Hold) -> Result<usize> {
        let _held = Held::enter(self, hold)?;
        if is_worth_a_copy(rows)
            && let Some(written) = self.run(Hold::Within, |connection| copy(connection, rows))?
        {
            return Ok(written);
        }
        let mut written = 0;
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            written += Executor::Part(self).execute(insert_many(chunk))?;
        }
        Ok(written)
    }

    /// Ends it: what was written stays if `outcome` is `Ok`, and is undone otherwise.
    pub(super) fn end<R, E: From<Error>>(self, outcome: Result<R, E>) -> Result<R, E> {
        match outcome {
            Ok(value) => {
                self.commit()?;
                Ok(value)
            }
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    /// Makes what was written last and visible to others.
    pub(super) fn commit(mut self) -> Result<()> {
        let refusal = if self.savepoints > 0 || self.occupancy.is_held() {
            Some(savepoint_abandoned())
        } else if *self.failed.get_mut() {
            Some(already_failed())
        } else if self.unheard {
            let connection = self.connection();
            let restoring = connection.config.restoring();
            let restored = connection.inner.batch_execute(&restoring);
            match restored {
                Ok(()) => None,
                Err(error) => {
                    let error = self.failed(error);
                    // Refused by what the commit would have checked: as after a refused commit, the connection is kept.
                    if is_first_failure(&error) && !self.usage.is_over() {
                        self.undo_and_restore(&restoring);
                        return Err(error);
                    }
                    Some(error)
                }
            }
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.rollback();
            return Err(refusal);
        }
        #[cfg(feature = "redis")]
        let fences = match self.fence() {
            Ok(fences) => fences,
            Err(error) => {
                self.rollback();
                return Err(error);
            }
        };
        let outcome = AnsiTransactionManager::commit_transaction(&mut self.connection().inner);
        let outcome = outcome.map_err(|error| Failure::of(error, Stage::Commit));
        // A server that refuses to commit has ended the transaction, too.
        self.ended = !matches!(&outcome, Err(failure) if failure.verdict != Verdict::Keep);
        let outcome = outcome.map_err(|failure| {
            self.usage.note(&failure);
            failure.error
        });
        #[cfg(feature = "redis")]
        if let (Some(fences), Some(cache), true) = (fences, &self.cache, self.ended) {
            protocol::fences::end(cache, fences);
        }
        outcome
    }

    /// Fences what was written, if there is a cache and something was.
    #[cfg(feature = "redis")]
    fn fence(&mut self) -> Result<Option<protocol::fences::Fences>> {
        let (Some(cache), Some(touched)) = (self.cache.clone(), self.notes.take()) else {
            return Ok(None);
        };
        let own = prepared(diesel::sql_query(question::OWN));
        let own: question::Own = self.executor().one(own)?;
        // Without an id it has written nothing.
        let (Some(id), Some(timeline)) = (own.id, own.timeline) else {
            return Ok(None);
        };
        cache.is_on(&timeline);
        let fences = protocol::fences::fence(&cache, &touched, &id, &self.executor())?;
        Ok(Some(fences))
    }

    /// Undoes what was written, and restores the session of a connection that was lent.
    fn undo_and_restore(&mut self, restoring: &str) {
        let connection = &mut self.connection().inner;
        self.ended = match AnsiTransactionManager::rollback_transaction(connection) {
            Ok(()) => connection.batch_execute(restoring).is_ok(),
            Err(_) => false,
        };
    }

    /// Undoes what was written. Where that fails, closing the connection undoes it. A connection that was lent is closed
    /// too: the error that ended the transaction may be one after which it is of no further use.
    pub(super) fn rollback(mut self) {
        if self.savepoints == 0 && !self.unheard && !self.occupancy.is_held() {
            let connection = &mut self.connection().inner;
            let outcome = AnsiTransactionManager::rollback_transaction(connection);
            self.ended = outcome.is_ok();
        }
    }
}
