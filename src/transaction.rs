//! The options and the retries of a transaction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::{Advice, Error};

/// The isolation level of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it began.
    ReadCommitted,
    /// All statements see what was committed before the first of them began.
    RepeatableRead,
    /// Transactions have the effect of running one after the other. Needs [`Retry`].
    Serializable,
}

/// The options of a transaction. Default: the server's, usually read committed, read and write.
///
/// ```
/// use wundr_db::{Isolation, TransactionOptions};
///
/// let report = TransactionOptions::new().isolation(Isolation::Serializable).read_only().deferrable();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct TransactionOptions {
    isolation: Option<Isolation>,
    read_only: bool,
    deferrable: bool,
    may_pause: bool,
}

/// Begins a unit of work within the caller's transaction.
pub(crate) const BEGIN_PART: &str = "SAVEPOINT wundr_unit";

/// Begins a unit of work during which the client may pause.
///
/// The caller's idle limit is saved in a setting of the crate's own.
pub(crate) const BEGIN_PART_THAT_MAY_PAUSE: &str = "SAVEPOINT wundr_unit; \
    SELECT pg_catalog.set_config('wundr.idle_limit', \
        pg_catalog.current_setting('idle_in_transaction_session_timeout'), true); \
    SET LOCAL idle_in_transaction_session_timeout = 0";
pub(crate) const RESTORE_IDLE_LIMIT: &str = "SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', \
    pg_catalog.current_setting('wundr.idle_limit'), true)";

impl TransactionOptions {
    /// Creates options with the server's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the options of the crate's own units of work.
    ///
    /// Their statements are written for this isolation level, whatever the server's default is.
    pub(crate) fn of_a_unit() -> Self {
        Self::new().isolation(Isolation::ReadCommitted)
    }

    /// Returns the options of a unit of work whose client may send nothing for any time.
    ///
    /// The server cannot distinguish such a client from a lost one. TCP keepalives end the
    /// connection of a lost client.
    pub(crate) fn of_a_unit_that_may_pause() -> Self {
        Self {
            may_pause: true,
            ..Self::of_a_unit()
        }
    }

    /// Sets the isolation level.
    pub fn isolation(self, isolation: Isolation) -> Self {
        Self {
            isolation: Some(isolation),
            ..self
        }
    }

    /// Makes the transaction read-only: a write fails with [`Error::ReadOnly`].
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// Lets a serializable, read-only transaction wait until it can neither fail nor cause others
    /// to fail.
    pub fn deferrable(self) -> Self {
        Self {
            deferrable: true,
            ..self
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(crate) fn begin(&self) -> String {
        let mut sql = "BEGIN".to_owned();
        if let Some(isolation) = self.isolation {
            sql.push_str(" ISOLATION LEVEL ");
            sql.push_str(match isolation {
                Isolation::ReadCommitted => "READ COMMITTED",
                Isolation::RepeatableRead => "REPEATABLE READ",
                Isolation::Serializable => "SERIALIZABLE",
            });
        }
        if self.read_only {
            sql.push_str(" READ ONLY");
        }
        if self.deferrable {
            sql.push_str(" DEFERRABLE");
        }
        if self.may_pause {
            sql.push_str("; SET LOCAL idle_in_transaction_session_timeout = 0");
        }
        sql
    }
}

/// The limits for repeating a transaction that failed to serialize or was part of a deadlock.
///
/// Between two attempts it waits for a random time up to a bound. The bound doubles with each
/// attempt ("full jitter").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Retry {
    attempts: u32,
    first_wait: Duration,
    longest_wait: Duration,
    failover: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(500),
            failover: Duration::ZERO,
        }
    }
}

impl Retry {
    /// Sets the largest number of attempts, including the first. Default: 8. Zero counts as 1.
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Sets the bound of the first wait. Default: 5 ms.
    pub fn first_wait(self, wait: Duration) -> Self {
        Self {
            first_wait: wait,
            ..self
        }
    }

    /// Sets the bound of every wait. Default: 500 ms.
    pub fn longest_wait(self, wait: Duration) -> Self {
        Self {
            longest_wait: wait,
            ..self
        }
    }

    /// Sets the time, counted from the first attempt, for which a transaction is repeated during a
    /// failover.
    ///
    /// It is repeated while no connection is available, one is lost before the commit, or the
    /// server accepts no writes ([`Advice::AgainElsewhere`]). Default: zero, which means never.
    ///
    /// These attempts do not count among [`attempts`](Self::attempts). An error after which the
    /// transaction may have been committed ([`Advice::LookFirst`]) ends them.
    pub fn through_failover(self, time: Duration) -> Self {
        Self {
            failover: time,
            ..self
        }
    }

    /// Returns the wait before the next attempt, or `None` if there is none.
    pub(crate) fn next(&self, tries: &mut Tries, advice: Advice) -> Option<Duration> {
        match advice {
            Advice::Again => {
                tries.again = tries.again.saturating_add(1);
                (tries.again < self.attempts).then(|| self.wait_after(tries.again))
            }
            Advice::AgainElsewhere => {
                let left = self.failover.checked_sub(tries.started.elapsed())?;
                tries.elsewhere = tries.elsewhere.saturating_add(1);
                Some(self.wait_after(tries.elsewhere).min(left)).filter(|_| !left.is_zero())
            }
            Advice::Never | Advice::LookFirst => None,
        }
    }

    fn wait_after(&self, attempt: u32) -> Duration {
        let doubled = self
            .first_wait
            .saturating_mul(1u32.checked_shl(attempt - 1).unwrap_or(u32::MAX));
        doubled.min(self.longest_wait).mul_f64(random_fraction())
    }
}

/// The attempts of a transaction so far.
pub(crate) struct Tries {
    started: Instant,
    again: u32,
    elsewhere: u32,
}

impl Tries {
    pub(crate) fn begin() -> Self {
        Self {
            started: Instant::now(),
            again: 0,
            elsewhere: 0,
        }
    }
}

/// Converts the error of an attempt, and returns the advice about the database error that it was
/// made of.
pub(crate) fn with_advice<E: From<Error> + Retryable>(error: Error) -> (E, Advice) {
    let advice = error.advice();
    let error = E::from(error);
    match error.is_retryable() {
        true => (error, advice),
        false => (error, Advice::Never),
    }
}

/// Returns a number between 0 and 1, from the random bits at the end of a version 7 UUID.
pub(crate) fn random_fraction() -> f64 {
    let (_, low) = Uuid::now_v7().as_u64_pair();
    f64::from(low as u32) / f64::from(u32::MAX)
}

/// An error type with the decision whether its transaction may be repeated.
pub trait Retryable {
    /// Checks whether the same work may succeed when it is repeated from its beginning.
    fn is_retryable(&self) -> bool;

    /// Returns what the caller can do about the error.
    ///
    /// An error type that wraps an [`Error`] should return the advice of the wrapped one. Without
    /// that, [`Retry::through_failover`] has no effect on a transaction whose work returned the
    /// error.
    fn advice(&self) -> Advice {
        match self.is_retryable() {
            true => Advice::Again,
            false => Advice::Never,
        }
    }
}

impl Retryable for Error {
    fn is_retryable(&self) -> bool {
        Error::is_retryable(self)
    }

    fn advice(&self) -> Advice {
        Error::advice(self)
    }
}

/// Returns the error of a transaction whose work continued after a statement had failed.
///
/// The server has rolled it back.
pub(crate) fn already_failed() -> Error {
    Error::Other {
        sqlstate: Some(crate::SqlState::IN_FAILED_TRANSACTION),
        message: "the transaction was rolled back: one of its statements had failed".to_owned(),
    }
}

/// Checks whether an error of the last statement before a commit is the transaction's first one, so
/// that no earlier one went unnoticed.
pub(crate) fn is_first_failure(error: &Error) -> bool {
    let unseen = Some(crate::SqlState::IN_FAILED_TRANSACTION);
    !matches!(error, Error::Other { sqlstate, .. } if *sqlstate == unseen)
}

/// Returns the error of a transaction in which a savepoint's future was dropped or its panic was
/// caught.
pub(crate) fn savepoint_abandoned() -> Error {
    Error::Other {
        sqlstate: Some(crate::SqlState::IN_FAILED_TRANSACTION),
        message: "the transaction was rolled back: a savepoint in it was left unfinished"
            .to_owned(),
    }
}

/// Returns the error of a transaction in which a statement's future was dropped, so that its
/// outcome is unknown.
#[cfg(feature = "async")]
pub(crate) fn statement_abandoned() -> Error {
    Error::Other {
        sqlstate: Some(crate::SqlState::IN_FAILED_TRANSACTION),
        message: "the transaction was rolled back: a statement in it was left unfinished"
            .to_owned(),
    }
}

/// A statement that fails on a dead connection, and in a transaction in which an error went
/// unnoticed.
///
/// For the latter, COMMIT would silently roll back.
pub(crate) const PROOF_OF_HEALTH: &str = "SELECT 1";

/// The calls that use a transaction at this moment: any number of statements, or one exclusive
/// call.
///
/// No call waits for another here. The other call may be a future that its owner keeps without
/// polling it; the wait would then never end.
#[derive(Debug, Default)]
pub(crate) struct Occupancy(AtomicU64);

/// The use of a transaction by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Shared with other statements.
    Shared,
    /// Shared with other statements, while the rest of its response arrives. Later calls execute
    /// after it.
    #[cfg(feature = "async")]
    Streaming,
    /// Exclusive.
    Alone,
    /// A part of a call that has exclusive use already.
    Within,
}

impl Hold {
    const fn weight(self) -> u64 {
        match self {
            Self::Shared => 1,
            #[cfg(feature = "async")]
            Self::Streaming => 1 << 32,
            Self::Alone => ALONE,
            Self::Within => 0,
        }
    }
}

const ALONE: u64 = 1 << 63;
const STATEMENTS: u64 = (1 << 32) - 1;

impl Occupancy {
    /// Begins a call.
    ///
    /// # Errors
    /// [`Error::InUse`] if another call has exclusive use, or if this call needs exclusive use and
    /// there is another.
    pub(crate) fn enter(&self, hold: Hold) -> Result<(), Error> {
        let admitted =
            self.0
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |calls| match hold {
                    Hold::Within => Some(calls),
                    _ if calls & ALONE != 0 => None,
                    Hold::Alone if calls & STATEMENTS != 0 => None,
                    _ => Some(calls + hold.weight()),
                });
        match admitted {
            Ok(_) => Ok(()),
            Err(calls) if calls & ALONE != 0 => Err(Error::InUse {
                by: "a call that needs exclusive use",
            }),
            Err(_) => Err(Error::InUse {
                by: "another statement, and the call needs exclusive use",
            }),
        }
    }

    /// Ends a call.
    pub(crate) fn leave(&self, hold: Hold) {
        self.0.fetch_sub(hold.weight(), Ordering::AcqRel);
    }

    /// Turns a shared statement into one whose response is still arriving.
    #[cfg(feature = "async")]
    pub(crate) fn begin_stream(&self) {
        let change = Hold::Streaming.weight() - Hold::Shared.weight();
        self.0.fetch_add(change, Ordering::AcqRel);
    }

    /// Checks whether a call has not ended.
    ///
    /// With the transaction borrowed mutably, that is a call whose future was leaked by
    /// `mem::forget`.
    pub(crate) fn is_held(&mut self) -> bool {
        *self.0.get_mut() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(outcome: Result<(), Error>) -> bool {
        matches!(outcome, Err(Error::InUse { .. }))
    }

    #[test]
    fn statements_share_a_transaction_and_a_unit_of_work_excludes_them() {
        let mut calls = Occupancy::default();
        calls.enter(Hold::Shared).unwrap();
        calls.enter(Hold::Shared).unwrap();
        assert!(is_refused(calls.enter(Hold::Alone)));
        calls.leave(Hold::Shared);
        assert!(is_refused(calls.enter(Hold::Alone)));
        calls.leave(Hold::Shared);

        calls.enter(Hold::Alone).unwrap();
        calls.enter(Hold::Within).unwrap();
        calls.leave(Hold::Within);
        assert!(is_refused(calls.enter(Hold::Shared)));
        assert!(is_refused(calls.enter(Hold::Alone)));
        assert!(calls.is_held());
        calls.leave(Hold::Alone);
        assert!(!calls.is_held());
        calls.enter(Hold::Shared).unwrap();
    }

    #[cfg(feature = "async")]
    #[test]
    fn an_open_stream_does_not_prevent_a_unit_of_work() {
        let mut calls = Occupancy::default();
        calls.enter(Hold::Shared).unwrap();
        assert!(is_refused(calls.enter(Hold::Alone)));
        calls.begin_stream();
        calls.enter(Hold::Alone).unwrap();
        assert!(is_refused(calls.enter(Hold::Shared)));
        calls.leave(Hold::Streaming);
        assert!(is_refused(calls.enter(Hold::Shared)));
        calls.leave(Hold::Alone);
        assert!(!calls.is_held());
    }
}
