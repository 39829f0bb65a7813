//! The state of a transaction without its I/O, which the transactions of both engines share.
//!
//! A transaction can only be committed if nothing went wrong that the server does not report. The
//! engine records here what it sends and what it receives, and asks before the commit what is left
//! to do.

use std::sync::atomic::{AtomicBool, Ordering};

use super::occupancy::{Hold, Occupancy};
use crate::error::Verdict;
use crate::transaction::{KEEP_MARK, Tries};
use crate::write_set::{Touches, WriteSet, WriteSetRecorder};
use crate::{Error, SqlState};

/// A flag that several calls of one transaction may set.
///
/// It replaces `AtomicBool::load`, which the traits `RunQueryDsl` of diesel and diesel-async hide.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn is_set(&self) -> bool {
        AtomicBool::load(&self.0, Ordering::Relaxed)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn take(&mut self) -> bool {
        std::mem::take(self.0.get_mut())
    }

    fn put(&mut self, value: bool) {
        *self.0.get_mut() = value;
    }
}

/// The state of a transaction.
#[derive(Debug)]
pub(crate) struct TxState {
    /// The calls that use the transaction now.
    occupancy: Occupancy,
    /// A statement has failed. Until the enclosing savepoint is rolled back, the server refuses
    /// every other statement.
    has_failed: Flag,
    /// The future of a statement was dropped, so it is unknown whether the statement was executed.
    statement_abandoned: Flag,
    /// An error may have gone unobserved: a stream was dropped before its end, or the connection
    /// was lent.
    error_unobserved: Flag,
    /// The connection was lent to the caller, which may have changed the session.
    is_lent: bool,
    /// The number of savepoints that have begun and not ended.
    savepoints: u32,
    /// A savepoint was being begun or ended when its future was dropped.
    savepoint_in_doubt: bool,
    /// The server has ended the transaction, and the connection can be used again.
    has_ended: bool,
    write_set: WriteSetRecorder,
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    observed: Option<crate::observation::Call>,
}

/// The consequence of an incomplete call whose future was dropped.
#[cfg(feature = "async")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trace {
    /// The statement may have been executed, or not.
    StatementAbandoned,
    /// The statement may have failed.
    ErrorUnobserved,
}

/// A savepoint that has begun.
#[derive(Debug)]
#[must_use]
pub(crate) struct Savepoint {
    level: u32,
    /// A statement was abandoned before the savepoint.
    abandoned_before: bool,
}

impl Savepoint {
    /// Returns the number of transactions and savepoints that diesel counts while this one is the
    /// innermost.
    pub(crate) fn depth(&self) -> u32 {
        self.level.saturating_add(1)
    }
}

/// The step before a COMMIT.
#[derive(Debug)]
pub(crate) enum BeforeCommit {
    /// There is none.
    Nothing,
    /// Execute [`PROOF_OF_HEALTH`], which fails if an error went unobserved.
    Probe,
    /// Restore the session of the connection that was lent. That fails if an error went unobserved,
    /// too.
    RestoreSession,
    /// Roll back, and return this error.
    Refuse(Error),
}

/// The beginning of the SQL that restores a lent connection before the commit. The server refuses
/// it if the caller has ended the transaction: COMMIT would then succeed without an effect.
const STILL_BEGUN: &str = "SAVEPOINT wundr_lent; RELEASE SAVEPOINT wundr_lent";

/// Returns the SQL that restores a lent connection before the commit. Behind a cache, it keeps the
/// mark of the transaction: the settings are reset.
pub(crate) fn before_lent_commit(has_cache: bool, restoring: &str) -> String {
    let keep = if has_cache { KEEP_MARK } else { "" };
    format!("{STILL_BEGUN}; {keep}{restoring}")
}

/// A statement that fails on a dead connection, and in a transaction in which an error went
/// unobserved.
///
/// For the latter, COMMIT would silently roll back.
pub(crate) const PROOF_OF_HEALTH: &str = "SELECT 1";

impl TxState {
    /// Creates the state of a transaction that has begun. Its write set is recorded if there is a
    /// cache.
    pub(crate) fn new(has_cache: bool) -> Self {
        Self {
            occupancy: Occupancy::default(),
            has_failed: Flag::default(),
            statement_abandoned: Flag::default(),
            error_unobserved: Flag::default(),
            is_lent: false,
            savepoints: 0,
            savepoint_in_doubt: false,
            has_ended: false,
            write_set: WriteSetRecorder::new(has_cache),
            #[cfg(any(feature = "tracing", feature = "metrics"))]
            observed: None,
        }
    }

    /// Has the end of the transaction observed.
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    pub(crate) fn observe(&mut self, call: Option<crate::observation::Call>) {
        self.observed = call;
    }

    /// Records the number of the attempt that the transaction is.
    pub(crate) fn begin_attempt(&self, tries: &Tries) {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        if let Some(call) = &self.observed {
            call.record_attempt(tries.attempt());
        }
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        let _ = tries;
    }

    #[cfg(any(feature = "tracing", feature = "metrics"))]
    fn end_observation(&mut self, outcome: &'static str) {
        if self.has_ended
            && let Some(call) = self.observed.take()
        {
            call.end_transaction(outcome);
        }
    }

    /// Begins a call.
    ///
    /// # Errors
    /// - [`Error::InUse`] if the call and another one exclude each other.
    pub(crate) fn enter(&self, hold: Hold) -> Result<(), Error> {
        self.occupancy.enter(hold)
    }

    /// Ends a call.
    pub(crate) fn leave(&self, hold: Hold) {
        self.occupancy.leave(hold);
    }

    /// Ends the exclusive part of a stream, whose first rows have arrived.
    #[cfg(feature = "async")]
    pub(crate) fn begin_stream(&self) {
        self.occupancy.begin_stream();
    }

    /// Records that a statement has failed.
    pub(crate) fn set_failed(&self) {
        self.has_failed.set();
    }

    /// Records that the statements that failed were undone.
    pub(crate) fn forget_failure(&self) {
        self.has_failed.clear();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.is_set()
    }

    /// Records the error of a statement. `NotFound` is no failure: the server executed the
    /// statement.
    pub(crate) fn record_error(&self, error: &diesel::result::Error) {
        if !matches!(error, diesel::result::Error::NotFound) {
            self.set_failed();
        }
    }

    /// Records that the future of a call was dropped.
    #[cfg(feature = "async")]
    pub(crate) fn leave_trace(&self, trace: Trace) {
        match trace {
            Trace::StatementAbandoned => self.statement_abandoned.set(),
            Trace::ErrorUnobserved => self.error_unobserved.set(),
        }
    }

    /// Records that the connection is lent to the caller, which may write anything and ignore
    /// errors.
    pub(crate) fn lend(&mut self) {
        self.error_unobserved.put(true);
        self.is_lent = true;
        self.write_set.lend();
    }

    /// Checks whether the connection was lent to the caller.
    pub(crate) fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// Checks whether the write set is recorded.
    pub(crate) fn records_writes(&self) -> bool {
        self.write_set.is_on()
    }

    /// Adds the cache entries that a write makes old to the write set.
    pub(crate) fn record_write(&self, written: &(impl Touches + ?Sized)) {
        self.write_set.add(written);
    }

    /// Records that the caller has named what its own statements change.
    pub(crate) fn name_own_writes(&self) {
        self.write_set.name();
    }

    /// Returns the write set, if there is a cache and something may have been written. Nothing is
    /// recorded from then on.
    pub(crate) fn take_write_set(&mut self) -> Option<WriteSet> {
        self.write_set.take()
    }

    /// Counts a savepoint that is about to begin. It is counted first: if the caller's future is
    /// dropped or its panic is caught, the transaction must not be committed.
    ///
    /// # Errors
    /// - [`Error::Other`] if another savepoint is in doubt.
    pub(crate) fn begin_savepoint(&mut self) -> Result<Savepoint, Error> {
        if self.savepoint_in_doubt {
            return Err(savepoint_abandoned());
        }
        self.savepoints += 1;
        self.savepoint_in_doubt = true;
        Ok(Savepoint {
            level: self.savepoints,
            abandoned_before: self.statement_abandoned.take(),
        })
    }

    /// Records that the server has begun the savepoint.
    pub(crate) fn savepoint_begun(&mut self) {
        self.savepoint_in_doubt = false;
    }

    /// Records that the server has refused to begin the savepoint.
    pub(crate) fn savepoint_refused(&mut self, savepoint: &Savepoint) {
        self.savepoint_in_doubt = false;
        self.savepoints -= 1;
        self.statement_abandoned.put(savepoint.abandoned_before);
    }

    /// Checks whether every savepoint within this one has ended.
    pub(crate) fn is_innermost(&self, savepoint: &Savepoint) -> bool {
        self.savepoints == savepoint.level && !self.savepoint_in_doubt
    }

    /// Begins the end of a savepoint. Returns the error for which it is rolled back although its
    /// work succeeded.
    pub(crate) fn end_savepoint(&mut self) -> Option<Error> {
        self.savepoint_in_doubt = true;
        if self.statement_abandoned.is_set() {
            Some(statement_abandoned())
        } else {
            self.has_failed().then(already_failed)
        }
    }

    /// Records the end of a savepoint. If the server has not ended it, the transaction's state is
    /// unknown, and the savepoint stays counted.
    pub(crate) fn savepoint_ended(&mut self, savepoint: &Savepoint, has_ended: bool) {
        self.savepoint_in_doubt = false;
        if has_ended {
            self.savepoints -= 1;
            self.has_failed.put(false);
            self.statement_abandoned.put(savepoint.abandoned_before);
        }
    }

    /// Returns the step before the commit. `depth` is the number of transactions and savepoints
    /// that diesel counts. It differs from 1 if the caller has begun one on the lent connection, or
    /// has ended ours: diesel would then release a savepoint in place of the commit. `None` if it
    /// is unknown.
    pub(crate) fn before_commit(&mut self, depth: Option<u32>) -> BeforeCommit {
        if depth == Some(0) {
            return BeforeCommit::Refuse(ended_by_the_caller());
        }
        if self.savepoints > 0 || depth != Some(1) {
            BeforeCommit::Refuse(savepoint_abandoned())
        } else if self.statement_abandoned.is_set() || self.occupancy.is_held() {
            BeforeCommit::Refuse(statement_abandoned())
        } else if self.has_failed() {
            BeforeCommit::Refuse(already_failed())
        } else if self.is_lent {
            BeforeCommit::RestoreSession
        } else if self.error_unobserved.is_set() {
            BeforeCommit::Probe
        } else {
            BeforeCommit::Nothing
        }
    }

    /// Records the outcome of a COMMIT. A server that refuses to commit has ended the transaction,
    /// too.
    pub(crate) fn commit_ended(&mut self, refusal: Option<Verdict>) {
        self.has_ended = refusal.is_none_or(|verdict| verdict == Verdict::Keep);
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        self.end_observation(match refusal {
            None => "committed",
            Some(_) => "refused",
        });
    }

    /// Checks whether a ROLLBACK returns the connection to its state before the transaction.
    /// Otherwise closing the connection rolls back: an abandoned statement would have to be waited
    /// for, and a lent session is unknown.
    pub(crate) fn can_roll_back(&mut self) -> bool {
        self.savepoints == 0 && self.knows_what_was_sent() && !self.error_unobserved.is_set()
    }

    /// Checks whether the server has nothing to respond to any more, so that a ROLLBACK does not
    /// wait for an abandoned statement.
    pub(crate) fn knows_what_was_sent(&mut self) -> bool {
        !self.statement_abandoned.is_set() && !self.occupancy.is_held()
    }

    /// Records whether a ROLLBACK has ended the transaction.
    pub(crate) fn rollback_ended(&mut self, has_ended: bool) {
        self.has_ended = has_ended;
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        self.end_observation("rolled back");
    }

    /// Checks whether the server has ended the transaction, and the connection can be used again.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }
}

fn rolled_back(reason: &str) -> Error {
    Error::Other {
        sqlstate: Some(SqlState::IN_FAILED_TRANSACTION),
        message: format!("the transaction was rolled back: {reason}"),
    }
}

/// Returns the error of a transaction whose work continued after a statement had failed.
fn already_failed() -> Error {
    rolled_back("one of its statements had failed")
}

/// Returns the error of a transaction in which a savepoint's future was dropped or its panic was
/// caught.
pub(crate) fn savepoint_abandoned() -> Error {
    rolled_back("a savepoint in it was left unfinished")
}

/// Returns the error of a transaction that the caller has committed or rolled back on the lent
/// connection.
fn ended_by_the_caller() -> Error {
    Error::Other {
        sqlstate: SqlState::new("25P01"),
        message: "the transaction was ended on its connection, and not by its own commit"
            .to_owned(),
    }
}

/// Returns the error of a transaction in which a call was left unfinished, so that its outcome is
/// unknown.
fn statement_abandoned() -> Error {
    rolled_back("a statement in it was left unfinished")
}

/// Checks whether an error of the last statement before a commit is the transaction's first one, so
/// that no earlier one went unobserved.
pub(crate) fn is_first_failure(error: &Error) -> bool {
    let earlier = Some(SqlState::IN_FAILED_TRANSACTION);
    !matches!(error, Error::Other { sqlstate, .. } if *sqlstate == earlier)
}

#[cfg(test)]
mod tests;
