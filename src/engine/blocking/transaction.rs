//! Transactions and their savepoints.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use diesel::QueryResult;
use diesel::connection::{
    AnsiTransactionManager, Connection as _, InstrumentationEvent, SimpleConnection,
    TransactionDepthChange, TransactionManager,
};
use diesel::pg::PgConnection;
use diesel::query_dsl::methods::ExecuteDsl;

use super::Executor;
use super::copy::copy;
use super::pool::{Connection, Pooled};
use super::{CommitGuard, CommitHook};
use crate::engine::attachments::Attachments;
use crate::engine::lent_session::ACCEPTS_WRITES;
use crate::engine::libpq::with_reason;
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::{
    BeforeCommit, PROOF_OF_HEALTH, TxState, before_lent_commit, is_first_failure,
    savepoint_abandoned,
};
use crate::engine::usage::Use;
use crate::error::{Failure, Stage};
use crate::mapping::{NewRow, ROWS_PER_STATEMENT};
use crate::sql::copy::{is_worth_a_copy, table};
use crate::sql::insert_many;
use crate::sql::settings::{Begin, Settings, WithSettings};
use crate::{Error, Result};

/// A transaction. Its writes are visible to its own repositories only, until it is committed.
///
/// [`Db::transaction`](super::Db::transaction) begins and ends one. If it is dropped unfinished, it
/// is rolled back and its connection is closed.
///
/// # Calls at the same time
/// One thread uses it at a time. A call fails with [`Error::InUse`] while another thread runs a
/// statement, or is within a unit of several statements such as
/// [`Ingest::run`](crate::blocking::Ingest::run). Nothing of it is sent: the transaction and its
/// other calls are not affected. No call waits for another.
pub struct Tx {
    pub(super) connection: Mutex<Pooled>,
    /// The use of the connection, which needs no lock.
    pub(super) usage: Arc<Use>,
    pub(super) state: TxState,
    /// The attachments of the `Db` that began it.
    pub(super) attachments: Attachments<dyn CommitHook>,
}

impl fmt::Debug for Tx {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tx")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.state.has_ended() {
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
        tx.state.enter(hold)?;
        Ok(Self { tx, hold })
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.tx.state.leave(self.hold);
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

    pub(super) fn failed(mut self, error: diesel::result::Error) -> Error {
        let error = with_reason(&mut self.connection.inner, error);
        self.held.tx.usage.answered();
        self.held.tx.failed(error)
    }
}

impl Drop for TxCall<'_> {
    fn drop(&mut self) {
        self.held.tx.usage.answered();
    }
}

/// Begins a transaction whose settings are binds, as
/// [`begin_transaction_sql`](AnsiTransactionManager::begin_transaction_sql) begins one by its text.
pub(super) fn begin_with_settings(
    connection: &mut PgConnection,
    settings: &Settings<'_>,
) -> QueryResult<()> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(connection);
    if status.transaction_depth()?.is_some() {
        return Err(diesel::result::Error::AlreadyInTransaction);
    }
    connection
        .instrumentation()
        .on_connection_event(InstrumentationEvent::begin_transaction(NonZeroU32::MIN));
    ExecuteDsl::execute(WithSettings::<()>::new(&Begin, settings), connection)?;
    AnsiTransactionManager::transaction_manager_status_mut(connection)
        .transaction_state()?
        .change_transaction_depth(TransactionDepthChange::IncreaseDepth)
}

impl Tx {
    pub(crate) fn executor(&self) -> Executor<'_> {
        Executor::Tx(self)
    }

    /// Runs a part of the transaction that can fail alone: an error, returned or a statement's own,
    /// undoes what the part has done and leaves the rest as it was.
    ///
    /// # Errors
    /// - the error of `work`
    /// - the error of the savepoint itself
    pub fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Tx) -> Result<R, E>,
    {
        let savepoint = self.state.begin_savepoint()?;
        let connection = &mut self.connection().inner;
        if let Err(error) = AnsiTransactionManager::begin_transaction(connection) {
            let error = with_reason(connection, error);
            self.state.savepoint_refused(&savepoint);
            return Err(self.failed(error).into());
        }
        self.state.savepoint_begun();
        let outcome = work(&mut *self);
        if !self.state.is_innermost(&savepoint) || self.depth() != Some(savepoint.depth()) {
            return outcome.and(Err(savepoint_abandoned().into()));
        }
        let outcome = match (outcome, self.state.end_savepoint()) {
            (Ok(_), Some(error)) => Err(error.into()),
            (outcome, _) => outcome,
        };
        let ended = match &outcome {
            Ok(_) => AnsiTransactionManager::commit_transaction(&mut self.connection().inner),
            Err(_) => AnsiTransactionManager::rollback_transaction(&mut self.connection().inner),
        };
        self.state.savepoint_ended(&savepoint, ended.is_ok());
        match ended {
            Ok(()) => outcome,
            Err(error) => outcome.and(Err(self.failed(error).into())),
        }
    }

    /// Returns the number of transactions and savepoints that diesel counts on the connection. A
    /// caller to which it was lent may have begun or ended some.
    fn depth(&mut self) -> Option<u32> {
        let connection = self.connection.get_mut();
        let connection = &mut connection.unwrap_or_else(PoisonError::into_inner).inner;
        let status = AnsiTransactionManager::transaction_manager_status_mut(connection);
        let depth = status.transaction_depth().ok()?;
        Some(depth.map_or(0, NonZeroU32::get))
    }

    /// Returns the connection, for statements that the repositories do not offer.
    ///
    /// Do not begin or end a transaction on it: the commit fails if a savepoint that was begun by
    /// diesel has not ended, or if there is no transaction any more. A transaction that replaces
    /// this one is not noticed. If the caller ignores the error of a statement, the commit fails,
    /// too.
    ///
    /// The session is restored with the transaction. Before the commit, in one round trip, deferred
    /// constraints are checked, and roles, settings, temporary tables, cursors, `LISTEN`,
    /// statements of `PREPARE` and advisory locks of the session are reset. Settings that are to
    /// last belong into the URL's `options` or to the role. For a lock until the commit, use
    /// `pg_advisory_xact_lock`. A transaction that is rolled back closes its connection.
    ///
    /// The `search_path` is `pg_catalog, pg_temp`. Qualify the application's tables, functions and
    /// types with their schemas, or set [`Config::search_path`](crate::Config::search_path).
    ///
    /// Behind a cache, the tables that the transaction has written are found before the commit. If
    /// one of them is cached, everything that is cached becomes invalid, unless
    /// [`touches`](Self::touches) names the rows.
    pub fn connection_mut(&mut self) -> &mut PgConnection {
        self.state.lend();
        self.usage.lend();
        let connection = self.connection();
        connection.expose();
        &mut connection.inner
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        self.usage.ask();
        self.connection
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call. A transaction is used by one thread at a time; a second one is refused
    /// instead of made to wait.
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

    /// Checks whether a statement has failed, or the connection was lent: nothing is to be run on
    /// it beside.
    pub(super) fn is_of_the_caller(&self) -> bool {
        self.state.is_lent() || self.state.has_failed()
    }

    pub(super) fn set_failed(&self) {
        self.state.set_failed();
    }

    pub(super) fn failed(&self, error: diesel::result::Error) -> Error {
        self.state.record_error(&error);
        let failure = Failure::of(error, Stage::Within);
        self.usage.note(&failure);
        failure.error
    }

    /// Inserts any number of rows by the fastest statement. Nothing comes between its statements.
    pub(super) fn insert_bulk<N: NewRow + Sync>(&self, rows: &[N], hold: Hold) -> Result<u64> {
        let _held = Held::enter(self, hold)?;
        if is_worth_a_copy(rows) {
            let table = table::<N>().unwrap_or_default();
            let copying = self.attachments.observer().begin_copy(&table);
            let copied = self.run(Hold::Within, |connection| copy(connection, rows));
            copying.end(&copied);
            if let Some(written) = copied? {
                return Ok(written as u64);
            }
        }
        let mut written = 0;
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            written += Executor::Part(self).execute(insert_many(chunk))?;
        }
        Ok(written)
    }

    /// Ends the transaction: commits if `outcome` is `Ok`, and rolls back otherwise.
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

    /// Commits the transaction.
    pub(super) fn commit(mut self) -> Result<()> {
        let depth = self.depth();
        let has_cache = self.records_writes();
        let refusal = match self.state.before_commit(depth) {
            BeforeCommit::Nothing => None,
            BeforeCommit::Refuse(error) => Some(error),
            BeforeCommit::Probe => {
                let proof = self.connection().inner.batch_execute(PROOF_OF_HEALTH);
                proof.err().map(|error| self.failed(error))
            }
            BeforeCommit::RestoreSession => {
                let connection = self.connection();
                let restoring = connection.context.config.restoring();
                let all = before_lent_commit(has_cache, &restoring);
                match connection.inner.batch_execute(&all) {
                    Ok(()) => None,
                    Err(error) => {
                        let error = self.failed(error);
                        // A deferred check failed: as after a refused commit, the connection is
                        // kept.
                        if is_first_failure(&error) && !self.usage.is_over() {
                            self.undo_and_restore(&restoring);
                            return Err(error);
                        }
                        Some(error)
                    }
                }
            }
        };
        if let Some(refusal) = refusal {
            self.rollback();
            return Err(refusal);
        }
        let guard = match self.run_hook() {
            Ok(guard) => guard,
            Err(error) => {
                self.rollback();
                return Err(error);
            }
        };
        let connection = &mut self.connection().inner;
        let outcome = AnsiTransactionManager::commit_transaction(connection).map_err(|error| {
            let error = with_reason(connection, error);
            Failure::of(error, Stage::Commit)
        });
        self.state
            .commit_ended(outcome.as_ref().err().map(|failure| failure.verdict));
        let outcome = outcome.map_err(|failure| {
            self.usage.note(&failure);
            failure.error
        });
        if let Some(mut guard) = guard
            && self.state.has_ended()
        {
            guard.after_commit();
        }
        outcome
    }

    /// Runs the hook before the commit, if there is a cache and cached rows were written.
    fn run_hook(&mut self) -> Result<Option<Box<dyn CommitGuard>>> {
        let write_set = self.state.take_write_set();
        match (&self.attachments.hook, &write_set) {
            (Some(hook), Some(write_set)) => hook.before_commit(write_set, self),
            _ => Ok(None),
        }
    }

    /// Rolls back, and restores the session of a connection that was lent.
    fn undo_and_restore(&mut self, restoring: &str) {
        let connection = &mut self.connection().inner;
        let has_ended = match AnsiTransactionManager::rollback_transaction(connection) {
            Ok(()) => connection.batch_execute(restoring).is_ok(),
            Err(_) => false,
        };
        self.state.rollback_ended(has_ended);
    }

    /// Undoes what was written. Where that fails, closing the connection undoes it. A connection
    /// that was lent is closed too: the error that ended the transaction may be one after which it
    /// is of no further use.
    pub(super) fn rollback(mut self) {
        if self.state.can_roll_back() {
            let connection = &mut self.connection().inner;
            let outcome = AnsiTransactionManager::rollback_transaction(connection);
            self.state.rollback_ended(outcome.is_ok());
        } else if self.state.is_lent() {
            self.settle_doubt();
        }
    }

    /// Decides whether the server or the caller is the reason for a write that was refused. The
    /// connection is closed in both cases, but others only if it is the server.
    fn settle_doubt(&mut self) {
        if self.usage.is_doubtful() && self.state.knows_what_was_sent() {
            let asking = format!("ROLLBACK; {ACCEPTS_WRITES}");
            let asked = self.connection().inner.batch_execute(&asking);
            self.usage.settle(asked.is_ok());
        }
    }
}
