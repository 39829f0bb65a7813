//! How a transaction runs, and how often it is tried.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::{Advice, Error};

/// What a transaction sees of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// All statements see what was committed before the first.
    RepeatableRead,
    /// As if transactions ran one after the other; needs [`Retry`].
    Serializable,
}

/// How a transaction runs. The default is the server's: read committed, read and write.
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

/// Begins a unit within a transaction of the caller's.
pub(crate) const BEGIN_PART: &str = "SAVEPOINT wundr_unit";

/// The same, for a unit whose client may pause. The caller's limit is kept in a setting of its own.
pub(crate) const BEGIN_PART_THAT_MAY_PAUSE: &str = "SAVEPOINT wundr_unit; \
    SELECT pg_catalog.set_config('wundr.idle_limit', \
        pg_catalog.current_setting('idle_in_transaction_session_timeout'), true); \
    SET LOCAL idle_in_transaction_session_timeout = 0";
pub(crate) const RESTORE_IDLE_LIMIT: &str = "SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', \
    pg_catalog.current_setting('wundr.idle_limit'), true)";

impl TransactionOptions {
    /// The server's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A unit of work of the crate's own, whose statements are written for this isolation, whatever the server's
    /// default is.
    pub(crate) fn of_a_unit() -> Self {
        Self::new().isolation(Isolation::ReadCommitted)
    }

    /// A unit whose client may send nothing for any time. The server cannot tell that from a client that has gone; TCP
    /// keepalives end the connection of the latter.
    pub(crate) fn of_a_unit_that_may_pause() -> Self {
        Self {
            may_pause: true,
            ..Self::of_a_unit()
        }
    }

    /// What the transaction sees of others.
    pub fn isolation(self, isolation: Isolation) -> Self {
        Self {
            isolation: Some(isolation),
            ..self
        }
    }

    /// A write is refused with [`Error::ReadOnly`].
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// A serializable, read-only transaction waits for a moment in which it can neither fail nor make others fail.
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

/// How often a transaction is tried that failed to serialize or was ended to break a deadlock.
///
/// Between two tries it waits for a random time up to a bound that doubles from try to try ("full jitter").
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
    /// At most this many tries in all; at least one is made. Default: 8.
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// The bound of the first wait. Default: 5 ms.
    pub fn first_wait(self, wait: Duration) -> Self {
        Self {
            first_wait: wait,
            ..self
        }
    }

    /// The bound of every wait. Default: 500 ms.
    pub fn longest_wait(self, wait: Duration) -> Self {
        Self {
            longest_wait: wait,
            ..self
        }
    }

    /// Tries again for this long, from the first try on, while no connection can be had, one is lost before the commit, or
    /// the server takes no writes ([`Advice::AgainElsewhere`]). Default: zero, not at all.
    ///
    /// These tries do not count among [`attempts`](Self::attempts). An error after which the transaction may have been
    /// committed ([`Advice::LookFirst`]) ends them.
    pub fn through_failover(self, time: Duration) -> Self {
        Self {
            failover: time,
            ..self
        }
    }

    /// How long to wait before the next try, or `None` to give up.
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

/// The tries of a transaction.
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

/// The error of a try, with the advice about the error of the database's that it was made of.
pub(crate) fn with_advice<E: From<Error> + Retryable>(error: Error) -> (E, Advice) {
    let advice = error.advice();
    let error = E::from(error);
    match error.is_retryable() {
        true => (error, advice),
        false => (error, Advice::Never),
    }
}

/// Between 0 and 1, from the random bits that a version 7 UUID ends in.
pub(crate) fn random_fraction() -> f64 {
    let (_, low) = Uuid::now_v7().as_u64_pair();
    f64::from(low as u32) / f64::from(u32::MAX)
}

/// An error that says whether its transaction may be tried again.
pub trait Retryable {
    /// Whether the same work, done again from its beginning, may succeed.
    fn is_retryable(&self) -> bool;

    /// What a caller can do. An error that holds an [`Error`] returns what that one does; otherwise
    /// [`Retry::through_failover`] has no effect on a transaction whose work returned it.
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

/// The error of a transaction whose work went on after a statement had failed: the server has undone all of it.
pub(crate) fn already_failed() -> Error {
    Error::Other {
        sqlstate: Some(crate::SqlState::IN_FAILED_TRANSACTION),
        message: "the transaction was rolled back: one of its statements had failed".to_owned(),
    }
}

/// Checks whether this error of the last statement before a commit is the first one: none has gone unseen before.
pub(crate) fn is_first_failure(error: &Error) -> bool {
    let unseen = Some(crate::SqlState::IN_FAILED_TRANSACTION);
    !matches!(error, Error::Other { sqlstate, .. } if *sqlstate == unseen)
}

/// The error of a transaction in which a savepoint's future was dropped, or its panic caught.
pub(crate) fn savepoint_abandoned() -> Error {
    Error::Other {
        sqlstate: Some(crate::SqlState::IN_FAILED_TRANSACTION),
        message: "the transaction was rolled back: a savepoint in it was left unfinished"
            .to_owned(),
    }
}

/// The error of a transaction in which a statement's future was dropped: whether it was done is not known.
#[cfg(feature = "async")]
pub(crate) fn statement_abandoned() -> Error {
    Error::Other {
        sqlstate: Some(crate::SqlState::IN_FAILED_TRANSACTION),
        message: "the transaction was rolled back: a statement in it was left unfinished"
            .to_owned(),
    }
}

/// Fails on a dead connection, and where an error in a transaction has gone unseen, for which COMMIT would silently do
/// a rollback.
pub(crate) const PROOF_OF_HEALTH: &str = "SELECT 1";

/// The calls that use a transaction at this moment: any number of statements, or one call that has it to itself.
///
/// No call waits for another here. The other one may be a future that its owner keeps without polling it, and then the
/// wait would have no end.
#[derive(Debug, Default)]
pub(crate) struct Occupancy(AtomicU64);

/// How a call uses a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Beside other statements.
    Shared,
    /// Beside other statements, and with its answer under way: what comes next is done after it.
    #[cfg(feature = "async")]
    Streaming,
    /// With nothing beside it.
    Alone,
    /// As a part of a call that has the transaction already.
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
    /// [`Error::InUse`] if another call has the transaction to itself, or if this one is to have it to itself and
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
                by: "a call that has it to itself",
            }),
            Err(_) => Err(Error::InUse {
                by: "another statement, and the call needs it to itself",
            }),
        }
    }

    /// Ends a call.
    pub(crate) fn leave(&self, hold: Hold) {
        self.0.fetch_sub(hold.weight(), Ordering::AcqRel);
    }

    /// Turns a statement into one whose answer is under way.
    #[cfg(feature = "async")]
    pub(crate) fn begin_stream(&self) {
        let change = Hold::Streaming.weight() - Hold::Shared.weight();
        self.0.fetch_add(change, Ordering::AcqRel);
    }

    /// Checks whether there is a call that has not ended. With the transaction borrowed mutably, that is one whose
    /// future was forgotten.
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
    fn statements_share_a_transaction_and_a_unit_has_it_alone() {
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
    fn an_open_stream_does_not_keep_a_unit_from_beginning() {
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
