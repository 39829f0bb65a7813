//! Several statements of one repository call: all of them or none, wherever it runs.

use diesel_async::SimpleAsyncConnection;

use super::call::StatementGuard;
use super::{BoxFuture, Executor, Tx};
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::Trace;
use crate::mapping::NewRow;
use crate::transaction::{
    BEGIN_PART, BEGIN_PART_THAT_MAY_PAUSE, RESTORE_IDLE_LIMIT, TransactionOptions,
};
use crate::{Error, Result};

/// A unit of work within a repository's method: a transaction of its own on a pool, a savepoint in
/// the caller's.
pub(crate) enum UnitOfWork<'a> {
    Own(Box<Tx>),
    Part(StatementGuard<'a>),
}

// Boxed: a write that needs no unit of its own has one in its future as well, and is not to be
// larger for that.
impl<'a> UnitOfWork<'a> {
    pub(crate) fn begin<'f>(executor: &'f Executor<'a>) -> BoxFuture<'f, Result<Self>> {
        Self::begin_with(executor, TransactionOptions::of_a_unit(), BEGIN_PART)
    }

    /// Begins a unit that is not ended by the idle-in-transaction limit. In a transaction of the
    /// caller's that limit has to be [restored](Self::restore_idle_limit).
    pub(crate) fn begin_that_may_pause<'f>(
        executor: &'f Executor<'a>,
    ) -> BoxFuture<'f, Result<Self>> {
        let options = TransactionOptions::of_a_unit_that_may_pause();
        Self::begin_with(executor, options, BEGIN_PART_THAT_MAY_PAUSE)
    }

    /// Has the limit of the caller's transaction count again.
    pub(crate) async fn restore_idle_limit(&self) -> Result<()> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Part(guard) => guard.tx.command(RESTORE_IDLE_LIMIT).await,
        }
    }

    fn begin_with<'f>(
        executor: &'f Executor<'a>,
        options: TransactionOptions,
        begin_part: &'static str,
    ) -> BoxFuture<'f, Result<Self>> {
        Box::pin(async move {
            match executor {
                Executor::Pool(db) => Ok(Self::Own(Box::new(db.begin(&options).await?))),
                Executor::Tx(tx) => Self::begin_part(tx, Hold::Alone, begin_part).await,
                // Within another unit. The server takes the name for the savepoint that was made
                // last.
                Executor::Part(tx) => Self::begin_part(tx, Hold::Within, begin_part).await,
            }
        })
    }

    async fn begin_part(tx: &'a Tx, hold: Hold, begin_part: &str) -> Result<Self> {
        let guard = StatementGuard::begin(tx, hold, Trace::StatementAbandoned)?;
        tx.command(begin_part).await?;
        Ok(Self::Part(guard))
    }

    fn tx(&self) -> &Tx {
        match self {
            Self::Own(tx) => tx,
            Self::Part(guard) => guard.tx,
        }
    }

    /// Returns the executor of the unit.
    pub(crate) fn executor(&self) -> Executor<'_> {
        Executor::Part(self.tx())
    }

    /// Inserts rows; a failure leaves the unit as it was before.
    pub(crate) async fn attempt<N>(&self, rows: &[N]) -> Result<u64>
    where
        N: NewRow + Sync,
        for<'r> crate::sql::InsertMany<'r, N>: Send,
    {
        let tx = self.tx();
        tx.command("SAVEPOINT wundr_attempt").await?;
        match tx.insert_bulk(&rows, Hold::Within).await {
            Ok(written) => {
                tx.command("RELEASE SAVEPOINT wundr_attempt").await?;
                Ok(written)
            }
            Err(error) => {
                let undone = tx.forget_failure(
                    "ROLLBACK TO SAVEPOINT wundr_attempt; RELEASE SAVEPOINT wundr_attempt",
                );
                let undone = undone.await;
                // An error that has ended the connection gives the reason; what follows from it
                // does not.
                if error.is_about_a_row() {
                    undone?;
                }
                Err(error)
            }
        }
    }

    /// Ends the unit: what it did stays if `outcome` is `Ok`, and is undone otherwise.
    pub(crate) fn end<'f, T>(self, outcome: Result<T>) -> BoxFuture<'f, Result<T>>
    where
        'a: 'f,
        T: Send + 'f,
    {
        Box::pin(async move {
            let ended = self.keep_or_undo(outcome.is_ok()).await;
            let value = outcome?;
            ended.map(|()| value)
        })
    }

    // Apart from the outcome's type, so that it is compiled once.
    async fn keep_or_undo(self, keep: bool) -> Result<()> {
        match self {
            Self::Own(tx) if keep => tx.commit().await,
            Self::Own(tx) => {
                tx.rollback().await;
                Ok(())
            }
            Self::Part(guard) if keep => {
                guard.tx.command("RELEASE SAVEPOINT wundr_unit").await?;
                guard.mark_completed();
                Ok(())
            }
            Self::Part(guard) => {
                let undone = guard.tx.forget_failure(
                    "ROLLBACK TO SAVEPOINT wundr_unit; RELEASE SAVEPOINT wundr_unit",
                );
                if undone.await.is_ok() {
                    guard.mark_completed();
                }
                Ok(())
            }
        }
    }
}

impl Tx {
    /// Runs a command that takes and returns nothing.
    async fn command(&self, sql: &str) -> Result<()> {
        let guard = StatementGuard::begin(self, Hold::Within, Trace::StatementAbandoned)?;
        let mut connection = &self.connection.inner;
        guard.complete(connection.batch_execute(sql).await)
    }

    /// Goes back to a savepoint: what had failed since has not happened.
    async fn forget_failure(&self, back: &str) -> Result<(), Error> {
        self.command(back).await?;
        self.state.forget_failure();
        Ok(())
    }
}
