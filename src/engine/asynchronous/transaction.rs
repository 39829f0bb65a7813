//! Transactions and their savepoints.

use std::fmt;
use std::future::Future;

use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};
use futures_util::stream::{FuturesOrdered, StreamExt};

use super::Executor;
use super::call::StatementGuard;
use super::new_rows::AnyNewRows;
use super::pool::Pooled;
use super::{CommitGuard, CommitHook};
use crate::engine::attachments::Attachments;
use crate::engine::connection::Connection;
use crate::engine::lent_session::ACCEPTS_WRITES;
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::{
    BeforeCommit, PROOF_OF_HEALTH, Trace, TxState, before_lent_commit, is_first_failure,
    savepoint_abandoned,
};
use crate::error::{Stage, Verdict};
use crate::mapping::ROWS_PER_STATEMENT;
use crate::{Error, Result};

/// A transaction. Its writes are visible to its own repositories only, until it is committed.
///
/// [`Db::transaction`](super::Db::transaction) begins and ends one. If it is dropped unfinished, it
/// is rolled back and its connection is closed.
///
/// # Calls at the same time
/// Statements may be awaited together, with `join!` and the like: they are pipelined. A stream that
/// has begun may be kept beside other calls: see [`RowStream`](crate::RowStream).
///
/// A statement whose future was polled once is executed, and its response is read, while other
/// calls are awaited. Its future may be kept without being polled. It holds the response in memory
/// until it is awaited or dropped.
///
/// Two kinds of calls need the transaction for themselves: a unit of several statements, such as
/// [`Ingest::run`](crate::Ingest::run), and a `COPY`, by which `create_many` writes 1,000 rows and
/// more if no other call is in progress. A call beside one of them fails with [`Error::InUse`], and
/// so does a unit that is begun beside a statement. Nothing of a call that fails so is sent: the
/// transaction and its other calls are not affected. No call waits for another: a future that is
/// kept without being polled could make it wait for ever.
///
/// # Cancel safety
/// If the future of a statement is dropped before its end, the statement may or may not have been
/// executed. The transaction cannot be committed then, unless a savepoint around the statement is
/// rolled back. A `COPY` that is dropped closes the connection, and the transaction with it.
pub struct Tx {
    pub(super) connection: Pooled,
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
            self.connection.abandon();
        }
    }
}

/// Lets a bound be put on the future that an async closure returns, which has no name.
#[doc(hidden)]
pub trait TxFnOnce<T, R>:
    AsyncFnOnce(T) -> R + FnOnce(T) -> <Self as TxFnOnce<T, R>>::Future
{
    /// The future.
    type Future: Future<Output = R>;
}

impl<F, T, Fut, R> TxFnOnce<T, R> for F
where
    F: AsyncFnOnce(T) -> R + FnOnce(T) -> Fut,
    Fut: Future<Output = R>,
{
    type Future = Fut;
}

/// [`TxFnOnce`] for work that may be done again.
#[doc(hidden)]
pub trait TxFn<T, R>: AsyncFn(T) -> R + Fn(T) -> <Self as TxFn<T, R>>::Future {
    /// The future.
    type Future: Future<Output = R>;
}

impl<F, T, Fut, R> TxFn<T, R> for F
where
    F: AsyncFn(T) -> R + Fn(T) -> Fut,
    Fut: Future<Output = R>,
{
    type Future = Fut;
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
    pub async fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        E: From<Error> + Send,
        R: Send,
        for<'t> F: AsyncFnOnce(&'t mut Tx) -> Result<R, E>
            + TxFnOnce<&'t mut Tx, Result<R, E>, Future: Send>
            + Send,
    {
        if self.connection.inner.depth().is_none() {
            return Err(savepoint_abandoned().into());
        }
        self.note_dropped();
        let savepoint = self.state.begin_savepoint()?;
        let begun = AnsiTransactionManager::begin_transaction(&mut self.connection.inner).await;
        if let Err(error) = begun {
            self.state.savepoint_refused(&savepoint);
            return Err(self.failed(error).into());
        }
        self.state.savepoint_begun();
        let outcome = work(&mut *self).await;
        if !self.state.is_innermost(&savepoint)
            || self.connection.inner.depth() != Some(savepoint.depth())
        {
            return outcome.and(Err(savepoint_abandoned().into()));
        }
        self.note_dropped();
        let outcome = match (outcome, self.state.end_savepoint()) {
            (Ok(_), Some(error)) => Err(error.into()),
            (outcome, _) => outcome,
        };
        let ended = match &outcome {
            Ok(_) => AnsiTransactionManager::commit_transaction(&mut self.connection.inner).await,
            Err(_) => {
                AnsiTransactionManager::rollback_transaction(&mut self.connection.inner).await
            }
        };
        self.state.savepoint_ended(&savepoint, ended.is_ok());
        match ended {
            Ok(()) => outcome,
            Err(error) => outcome.and(Err(self.failed(error).into())),
        }
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
    /// If the future of a statement is dropped before its end, the transaction cannot be committed,
    /// as for the statements of repositories.
    ///
    /// Behind a cache, the tables that the transaction has written are found before the commit. If
    /// one of them is cached, everything that is cached becomes invalid, unless
    /// [`touches`](Self::touches) names the rows.
    pub fn connection_mut(&mut self) -> &mut Connection {
        self.connection.usage.lend();
        if !self.state.is_lent() {
            // What was dropped before has left its trace.
            self.connection.inner.take_dropped();
        }
        self.state.lend();
        &mut self.connection.inner
    }

    pub(super) fn failed(&self, error: diesel::result::Error) -> Error {
        self.state.record_error(&error);
        let failure = self.connection.failed(error, Stage::Within);
        if failure.verdict == Verdict::Retire {
            // After a savepoint is rolled back, the rest of the transaction prepares its statements
            // again.
            self.connection.inner.forget_statements();
        }
        failure.error
    }

    /// Inserts any number of rows by the fastest statement. By `COPY` only where that can have the
    /// transaction to itself: nothing is sent beside it, and its rows are sent by its own future
    /// alone.
    pub(super) async fn insert_bulk(&self, rows: &dyn AnyNewRows, copy: Hold) -> Result<u64> {
        if rows.is_worth_a_copy()
            && let Ok(guard) = StatementGuard::begin(self, copy, Trace::StatementAbandoned)
        {
            let copying = self.attachments.observer().begin_copy(&rows.table());
            let copied = guard.complete(rows.copy(&self.connection.inner).await);
            copying.end(&copied);
            if let Some(written) = copied? {
                return Ok(written as u64);
            }
        }
        // Held from the first chunk to the last: no unit may begin between two of them.
        let hold = match copy {
            Hold::Within => Hold::Within,
            _ => Hold::Shared,
        };
        let guard = StatementGuard::begin(self, hold, Trace::StatementAbandoned)?;
        let written = self.insert_chunks(rows).await;
        guard.mark_completed();
        written
    }

    async fn insert_chunks(&self, rows: &dyn AnyNewRows) -> Result<u64> {
        let executor = Executor::Part(self);
        let count = rows.count();
        let mut starts = (0..count).step_by(ROWS_PER_STATEMENT);
        let mut under_way = FuturesOrdered::new();
        let mut written = Ok(0);
        loop {
            // One is made and sent while the server works on the other.
            while under_way.len() < 2
                && written.is_ok()
                && let Some(start) = starts.next()
            {
                let chunk = rows.insert(start..count.min(start + ROWS_PER_STATEMENT));
                under_way.push_back(executor.execute_any(chunk));
            }
            // After an error, too: no statement is to be left under way.
            match (under_way.next().await, &mut written) {
                (Some(Ok(more)), Ok(sum)) => *sum += more,
                (Some(Err(error)), Ok(_)) => written = Err(error),
                (Some(_), Err(_)) => {}
                (None, _) => return written,
            }
        }
    }

    /// Ends the transaction: commits if `outcome` is `Ok`, and rolls back otherwise.
    pub(super) async fn end<R, E: From<Error>>(self, outcome: Result<R, E>) -> Result<R, E> {
        match outcome {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(error) => {
                self.rollback().await;
                Err(error)
            }
        }
    }

    /// Records that the caller has dropped a statement on the connection that it was lent.
    fn note_dropped(&mut self) {
        if self.state.is_lent() && self.connection.inner.take_dropped_statement() {
            self.state.leave_trace(Trace::StatementAbandoned);
        }
    }

    /// Commits the transaction.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.note_dropped();
        let depth = self.connection.inner.depth();
        let refusal = match self.state.before_commit(depth) {
            BeforeCommit::Nothing => None,
            BeforeCommit::Refuse(error) => Some(error),
            BeforeCommit::Probe => {
                let proof = self.connection.inner.batch_execute(PROOF_OF_HEALTH);
                proof.await.err().map(|error| self.failed(error))
            }
            BeforeCommit::RestoreSession => {
                let restoring = self.connection.context.config.restoring();
                let all = before_lent_commit(self.records_writes(), &restoring);
                let restored = self.connection.inner.batch_execute(&all);
                match restored.await {
                    Ok(()) => None,
                    Err(error) => {
                        let error = self.failed(error);
                        // A deferred check failed: as after a refused commit, the connection is
                        // kept.
                        if is_first_failure(&error) && !self.connection.usage.is_over() {
                            self.undo_and_restore(&restoring).await;
                            return Err(error);
                        }
                        Some(error)
                    }
                }
            }
        };
        if let Some(refusal) = refusal {
            self.rollback().await;
            return Err(refusal);
        }
        let guard = match self.run_hook().await {
            Ok(guard) => guard,
            Err(error) => {
                self.rollback().await;
                return Err(error);
            }
        };
        let outcome = AnsiTransactionManager::commit_transaction(&mut self.connection.inner).await;
        let outcome = outcome.map_err(|error| self.connection.failed(error, Stage::Commit));
        self.state
            .commit_ended(outcome.as_ref().err().map(|failure| failure.verdict));
        if let Some(mut guard) = guard
            && self.state.has_ended()
        {
            guard.after_commit().await;
        }
        outcome.map_err(|failure| failure.error)
    }

    /// Runs the hook before the commit, if there is a cache and cached rows were written.
    async fn run_hook(&mut self) -> Result<Option<Box<dyn CommitGuard>>> {
        let write_set = self.state.take_write_set();
        match (&self.attachments.hook, &write_set) {
            (Some(hook), Some(write_set)) => hook.before_commit(write_set, self).await,
            _ => Ok(None),
        }
    }

    /// Rolls back, and restores the session of a connection that was lent.
    async fn undo_and_restore(&mut self, restoring: &str) {
        let connection = &mut self.connection.inner;
        let has_ended = match AnsiTransactionManager::rollback_transaction(connection).await {
            Ok(()) => connection.batch_execute(restoring).await.is_ok(),
            Err(_) => false,
        };
        self.state.rollback_ended(has_ended);
    }

    /// Rolls back. If that fails, or would have to wait for an abandoned statement, the connection
    /// is closed instead.
    pub(super) async fn rollback(mut self) {
        if self.state.can_roll_back() {
            let connection = &mut self.connection.inner;
            let outcome = AnsiTransactionManager::rollback_transaction(connection).await;
            self.state.rollback_ended(outcome.is_ok());
        } else if self.state.is_lent() {
            self.settle_doubt().await;
        }
    }

    /// Decides whether the server or the caller is the reason for a write that was refused. The
    /// connection is closed in both cases, but others only if it is the server.
    async fn settle_doubt(&mut self) {
        if self.connection.inner.has_been_refused_writes() {
            self.connection.usage.heed(Verdict::RetireAll);
        }
        self.note_dropped();
        if self.connection.usage.is_doubtful() && self.state.knows_what_was_sent() {
            let asking = format!("ROLLBACK; {ACCEPTS_WRITES}");
            let asked = self.connection.inner.batch_execute(&asking).await;
            self.connection.usage.settle(asked.is_ok());
        }
    }
}
