//! Several statements of one repository call: all of them or none, wherever it runs.

use diesel::connection::SimpleConnection as _;

use super::transaction::Held;
use super::{Executor, Tx};
use crate::Result;
use crate::engine::occupancy::Hold;
use crate::mapping::NewRow;
use crate::transaction::{
    BEGIN_PART, BEGIN_PART_THAT_MAY_PAUSE, RESTORE_IDLE_LIMIT, TransactionOptions,
};

/// A unit of work within a repository's method: a transaction of its own on a pool, a savepoint in
/// the caller's.
pub(crate) enum UnitOfWork<'a> {
    Own(Box<Tx>),
    Part(SavepointGuard<'a>),
}

/// A part of the caller's transaction, which it has to itself. Left by a panic, it keeps that from
/// being committed.
pub(crate) struct SavepointGuard<'a> {
    held: Held<'a>,
    completed: bool,
}

impl<'a> SavepointGuard<'a> {
    fn begin(tx: &'a Tx, hold: Hold, begin_part: &str) -> Result<Self> {
        let held = Held::enter(tx, hold)?;
        tx.command(begin_part)?;
        Ok(Self {
            held,
            completed: false,
        })
    }
}

impl Drop for SavepointGuard<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.held.tx.state.set_failed();
        }
    }
}

impl<'a> UnitOfWork<'a> {
    pub(crate) fn begin(executor: &Executor<'a>) -> Result<Self> {
        Self::begin_with(executor, TransactionOptions::of_a_unit(), BEGIN_PART)
    }

    /// Begins a unit that is not ended by the idle-in-transaction limit. In a transaction of the
    /// caller's that limit has to be [restored](Self::restore_idle_limit).
    pub(crate) fn begin_that_may_pause(executor: &Executor<'a>) -> Result<Self> {
        let options = TransactionOptions::of_a_unit_that_may_pause();
        Self::begin_with(executor, options, BEGIN_PART_THAT_MAY_PAUSE)
    }

    /// Has the limit of the caller's transaction count again.
    pub(crate) fn restore_idle_limit(&self) -> Result<()> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Part(guard) => guard.held.tx.command(RESTORE_IDLE_LIMIT),
        }
    }

    fn begin_with(
        executor: &Executor<'a>,
        options: TransactionOptions,
        begin_part: &str,
    ) -> Result<Self> {
        match executor {
            Executor::Pool(db) => Ok(Self::Own(Box::new(db.begin(&options)?))),
            Executor::Tx(tx) => Ok(Self::Part(SavepointGuard::begin(
                tx,
                Hold::Alone,
                begin_part,
            )?)),
            // Within another unit. The server takes the name for the savepoint that was made last.
            Executor::Part(tx) => Ok(Self::Part(SavepointGuard::begin(
                tx,
                Hold::Within,
                begin_part,
            )?)),
        }
    }

    fn tx(&self) -> &Tx {
        match self {
            Self::Own(tx) => tx,
            Self::Part(guard) => guard.held.tx,
        }
    }

    /// Returns the executor of the unit.
    pub(crate) fn executor(&self) -> Executor<'_> {
        Executor::Part(self.tx())
    }

    /// Inserts rows; a failure leaves the unit as it was before.
    pub(crate) fn attempt<N: NewRow + Sync>(&self, rows: &[N]) -> Result<u64> {
        let tx = self.tx();
        tx.command("SAVEPOINT wundr_attempt")?;
        match tx.insert_bulk(rows, Hold::Within) {
            Ok(written) => {
                tx.command("RELEASE SAVEPOINT wundr_attempt")?;
                Ok(written)
            }
            Err(error) => {
                let undone = tx.forget_failure(
                    "ROLLBACK TO SAVEPOINT wundr_attempt; RELEASE SAVEPOINT wundr_attempt",
                );
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
    pub(crate) fn end<T>(self, outcome: Result<T>) -> Result<T> {
        match (self, outcome) {
            (Self::Own(tx), outcome) => tx.end(outcome),
            (Self::Part(mut guard), Ok(value)) => {
                guard.held.tx.command("RELEASE SAVEPOINT wundr_unit")?;
                guard.completed = true;
                Ok(value)
            }
            (Self::Part(mut guard), Err(error)) => {
                let undone = guard.held.tx.forget_failure(
                    "ROLLBACK TO SAVEPOINT wundr_unit; RELEASE SAVEPOINT wundr_unit",
                );
                guard.completed = undone.is_ok();
                Err(error)
            }
        }
    }
}

impl Tx {
    /// Runs a command that takes and returns nothing.
    fn command(&self, sql: &str) -> Result<()> {
        self.run(Hold::Within, |connection| connection.batch_execute(sql))
    }

    /// Goes back to a savepoint: what had failed since has not happened.
    fn forget_failure(&self, back: &str) -> Result<()> {
        self.command(back)?;
        self.state.forget_failure();
        Ok(())
    }
}
