//! Transactions and their savepoints.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel_async::{AnsiTransactionManager, SimpleAsyncConnection, TransactionManager};
use futures_util::stream::{FuturesOrdered, StreamExt};

use super::Executor;
use super::executor::StatementGuard;
use super::pool::Pooled;
#[cfg(feature = "redis")]
use super::protocol;
use crate::engine::connection::Connection;
use crate::error::{Stage, Verdict};
#[cfg(feature = "redis")]
use crate::sql::cache as question;
use crate::sql::copy::is_worth_a_copy;
#[cfg(feature = "redis")]
use crate::sql::prepared;
use crate::sql::{NewRow, ROWS_PER_STATEMENT, insert_many};
use crate::transaction::{
    Hold, Occupancy, PROOF_OF_HEALTH, already_failed, is_first_failure, savepoint_abandoned,
    statement_abandoned,
};
use crate::write_set::{Everything, Notes, Touches};
use crate::{Error, Result};

/// A transaction. Its writes are visible to its own repositories only, until it is committed.
///
/// [`Db::transaction`](super::Db::transaction) begins and ends one. If it is dropped unfinished, it is rolled back and
/// its connection is closed.
///
/// # Calls at the same time
/// Statements may be awaited together, with `join!` and the like: they are pipelined. A stream that has begun may be kept
/// beside other calls: see [`RowStream`](crate::RowStream).
///
/// A statement whose future was polled once is executed, and its response is read, while other calls are awaited. Its
/// future may be kept without being polled. It holds the response in memory until it is awaited or dropped.
///
/// Two kinds of calls need the transaction for themselves: a unit of several statements, such as
/// [`Ingest::run`](crate::Ingest::run), and a `COPY`, by which `create_many` writes 1,000 rows and more if no other call
/// is in progress. A call beside one of them fails with [`Error::InUse`], and so does a unit that is begun beside a
/// statement. Nothing of a call that fails so is sent: the transaction and its other calls are not affected. No call waits
/// for another: a future that is kept without being polled could make it wait for ever.
///
/// # Cancel safety
/// If the future of a statement is dropped before its end, the statement may or may not have been executed. The
/// transaction cannot be committed then, unless a savepoint around the statement is rolled back. A `COPY` that is dropped
/// closes the connection, and the transaction with it.
pub struct Tx {
    pub(super) connection: Pooled,
    /// The calls that use it now.
    pub(super) occupancy: Occupancy,
    /// A statement has failed: until the enclosing savepoint is rolled back, the server refuses every other.
    pub(super) failed: AtomicBool,
    /// A statement's future was dropped: whether it was done is not known.
    pub(super) unfinished: AtomicBool,
    /// An error may have gone unseen: a stream was dropped before its end, or the connection was lent.
    pub(super) unheard: AtomicBool,
    /// The connection was lent: the session may not be as it was.
    pub(super) is_lent: bool,
    /// Savepoints that were begun and have not ended.
    pub(super) savepoints: u32,
    /// The cache keys of the rows that were written.
    pub(super) notes: Notes,
    #[cfg(feature = "redis")]
    pub(super) cache: Option<std::sync::Arc<super::protocol::client::CacheClient>>,
    #[cfg(feature = "crypto")]
    pub(super) secrets: Option<std::sync::Arc<dyn crate::KeyProvider>>,
    /// A savepoint was being begun or ended when its future was dropped.
    pub(super) adrift: bool,
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

    /// Runs a part of the transaction that can fail alone: an error, returned or a statement's own, undoes what the
    /// part has done and leaves the rest as it was.
    ///
    /// # Errors
    /// What `work` returns, or the error of the savepoint itself.
    pub async fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        E: From<Error> + Send,
        R: Send,
        for<'t> F: AsyncFnOnce(&'t mut Tx) -> Result<R, E>
            + TxFnOnce<&'t mut Tx, Result<R, E>, Future: Send>
            + Send,
    {
        if self.adrift {
            return Err(savepoint_abandoned().into());
        }
        let unfinished_before = std::mem::take(self.unfinished.get_mut());
        // Counted before the first await: if this future is dropped, the transaction must not be committed.
        self.savepoints += 1;
        let level = self.savepoints;
        self.adrift = true;
        let begun = AnsiTransactionManager::begin_transaction(&mut self.connection.inner).await;
        self.adrift = false;
        if let Err(error) = begun {
            self.savepoints -= 1;
            *self.unfinished.get_mut() = unfinished_before;
            return Err(self.failed(error).into());
        }
        let outcome = work(&mut *self).await;
        if self.savepoints != level || self.adrift {
            return outcome.and(Err(savepoint_abandoned().into()));
        }
        let outcome = match outcome {
            Ok(_) if *self.unfinished.get_mut() => Err(statement_abandoned().into()),
            Ok(_) if self.has_failed() => Err(already_failed().into()),
            outcome => outcome,
        };
        self.adrift = true;
        let ended = match &outcome {
            Ok(_) => AnsiTransactionManager::commit_transaction(&mut self.connection.inner).await,
            Err(_) => {
                AnsiTransactionManager::rollback_transaction(&mut self.connection.inner).await
            }
        };
        self.adrift = false;
        match ended {
            Ok(()) => {
                self.savepoints -= 1;
                *self.failed.get_mut() = false;
                *self.unfinished.get_mut() = unfinished_before;
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
    pub fn connection_mut(&mut self) -> &mut Connection {
        *self.unheard.get_mut() = true;
        self.is_lent = true;
        self.touch(&Everything);
        &mut self.connection.inner
    }

    fn has_failed(&self) -> bool {
        AtomicBool::load(&self.failed, Ordering::Relaxed)
    }

    pub(super) fn failed(&self, error: diesel::result::Error) -> Error {
        if !matches!(error, diesel::result::Error::NotFound) {
            self.failed.store(true, Ordering::Relaxed);
        }
        let failure = self.connection.failed(error, Stage::Within);
        if failure.verdict == Verdict::Retire {
            // What is left of the transaction, after a savepoint, prepares its statements anew.
            self.connection.inner.forget_statements();
        }
        failure.error
    }

    /// Inserts any number of rows by what takes the least time. By `COPY` only where that can have the transaction to
    /// itself: nothing is sent beside it, and its rows are sent by its own future alone.
    pub(super) async fn insert_bulk<N>(&self, rows: &[N], copy: Hold) -> Result<usize>
    where
        N: NewRow + Sync,
        for<'r> crate::sql::InsertMany<'r, N>: Send,
    {
        if is_worth_a_copy(rows)
            && let Ok(guard) = StatementGuard::begin(self, copy, &self.unfinished)
        {
            let copied = guard.complete(self.connection.inner.copy(rows).await)?;
            if let Some(written) = copied {
                return Ok(written);
            }
        }
        // Held from the first chunk to the last: no unit may begin between two of them.
        let hold = match copy {
            Hold::Within => Hold::Within,
            _ => Hold::Shared,
        };
        let guard = StatementGuard::begin(self, hold, &self.unfinished)?;
        let written = self.insert_chunks(rows).await;
        guard.mark_completed();
        written
    }

    async fn insert_chunks<N>(&self, rows: &[N]) -> Result<usize>
    where
        N: NewRow + Sync,
        for<'r> crate::sql::InsertMany<'r, N>: Send,
    {
        let executor = Executor::Part(self);
        let mut chunks = rows.chunks(ROWS_PER_STATEMENT);
        let mut under_way = FuturesOrdered::new();
        let mut written = Ok(0);
        loop {
            // One is made and sent while the server works on the other.
            while under_way.len() < 2
                && written.is_ok()
                && let Some(chunk) = chunks.next()
            {
                under_way.push_back(executor.execute(insert_many(chunk)));
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

    /// Ends it: what was written stays if `outcome` is `Ok`, and is undone otherwise.
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

    /// Makes what was written last and visible to others.
    pub(super) async fn commit(mut self) -> Result<()> {
        let refusal = if self.savepoints > 0 {
            Some(savepoint_abandoned())
        } else if *self.unfinished.get_mut() || self.occupancy.is_held() {
            Some(statement_abandoned())
        } else if *self.failed.get_mut() {
            Some(already_failed())
        } else if self.is_lent {
            let restoring = self.connection.config.restoring();
            let restored = self.connection.inner.batch_execute(&restoring);
            match restored.await {
                Ok(()) => None,
                Err(error) => {
                    let error = self.failed(error);
                    // Refused by what the commit would have checked: as after a refused commit, the connection is kept.
                    if is_first_failure(&error) && !self.connection.usage.is_over() {
                        self.undo_and_restore(&restoring).await;
                        return Err(error);
                    }
                    Some(error)
                }
            }
        } else if *self.unheard.get_mut() {
            let proof = self.connection.inner.batch_execute(PROOF_OF_HEALTH);
            proof.await.err().map(|error| self.failed(error))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.rollback().await;
            return Err(refusal);
        }
        #[cfg(feature = "redis")]
        let fences = match self.fence().await {
            Ok(fences) => fences,
            Err(error) => {
                self.rollback().await;
                return Err(error);
            }
        };
        let outcome = AnsiTransactionManager::commit_transaction(&mut self.connection.inner).await;
        let outcome = outcome.map_err(|error| self.connection.failed(error, Stage::Commit));
        // A server that refuses to commit has ended the transaction, too.
        self.ended = !matches!(&outcome, Err(failure) if failure.verdict != Verdict::Keep);
        let outcome = outcome.map_err(|failure| failure.error);
        #[cfg(feature = "redis")]
        if let (Some(fences), Some(cache), true) = (fences, &self.cache, self.ended) {
            protocol::fences::end(cache, fences).await;
        }
        outcome
    }

    /// Fences what was written, if there is a cache and something was.
    #[cfg(feature = "redis")]
    async fn fence(&mut self) -> Result<Option<protocol::fences::Fences>> {
        let (Some(cache), Some(touched)) = (self.cache.clone(), self.notes.take()) else {
            return Ok(None);
        };
        let own = prepared(diesel::sql_query(question::OWN));
        let own: question::Own = self.executor().one(own).await?;
        // Without an id it has written nothing.
        let (Some(id), Some(timeline)) = (own.id, own.timeline) else {
            return Ok(None);
        };
        cache.is_on(&timeline);
        let fences = protocol::fences::fence(&cache, &touched, &id, &self.executor()).await?;
        Ok(Some(fences))
    }

    /// Undoes what was written, and restores the session of a connection that was lent.
    async fn undo_and_restore(&mut self, restoring: &str) {
        let connection = &mut self.connection.inner;
        self.ended = match AnsiTransactionManager::rollback_transaction(connection).await {
            Ok(()) => connection.batch_execute(restoring).await.is_ok(),
            Err(_) => false,
        };
    }

    /// Rolls back. If that fails, or would have to wait for an abandoned statement, the connection is closed instead.
    pub(super) async fn rollback(mut self) {
        let is_at_rest = self.savepoints == 0
            && !*self.unfinished.get_mut()
            && !*self.unheard.get_mut()
            && !self.occupancy.is_held();
        if is_at_rest {
            let connection = &mut self.connection.inner;
            let outcome = AnsiTransactionManager::rollback_transaction(connection).await;
            self.ended = outcome.is_ok();
        }
    }
}
