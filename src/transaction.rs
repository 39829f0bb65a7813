//! The options and the retries of a transaction.

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
    is_unit: bool,
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

/// Marks a transaction whose connection may be lent, in the message that begins it. The mark ends
/// with the transaction.
pub(crate) const MARK: &str = "; SET LOCAL wundr.begun = 'yes'";

/// Keeps the mark of a transaction, as a lock, while the settings of its session are reset.
///
/// Without the mark the lock is not taken: the caller has ended the transaction on the connection
/// and begun another one, or has reset the settings.
pub(crate) const KEEP_MARK: &str = "SELECT pg_catalog.pg_advisory_xact_lock_shared(2004184676, 1919181428) \
     WHERE pg_catalog.current_setting('wundr.begun', true) = 'yes'; ";

impl TransactionOptions {
    /// Creates options with the server's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the options of the crate's own units of work.
    ///
    /// Their statements are written for this isolation level, whatever the server's default is.
    pub(crate) fn of_a_unit() -> Self {
        Self {
            is_unit: true,
            ..Self::new().isolation(Isolation::ReadCommitted)
        }
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

    /// Returns the options of an exported snapshot, which is held while others use it.
    #[cfg(feature = "admin")]
    pub(crate) fn of_a_snapshot() -> Self {
        Self {
            isolation: Some(Isolation::RepeatableRead),
            read_only: true,
            ..Self::of_a_unit_that_may_pause()
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

    /// Checks whether the connection may be lent to the caller, and the caller may write.
    pub(crate) fn may_have_own_writes(&self) -> bool {
        !self.is_unit && !self.read_only
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Returns the advice about the error of an attempt. Another server does not accept a write in
    /// a read-only transaction either.
    pub(crate) fn advice_about(&self, error: &impl Retryable) -> Advice {
        match error.advice() {
            Advice::AgainElsewhere if self.read_only => Advice::Never,
            advice => advice,
        }
    }

    /// Checks whether the transaction begins with `BEGIN` alone.
    pub(crate) fn is_default(&self) -> bool {
        self.isolation.is_none() && !self.read_only && !self.deferrable && !self.may_pause
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
        let wait = self.wait_before_next(tries, advice);
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        if wait.is_some() {
            let reason = match advice {
                Advice::AgainElsewhere => "failover",
                _ => "conflict",
            };
            crate::observation::retried(reason, tries.again + tries.elsewhere);
        }
        wait
    }

    fn wait_before_next(&self, tries: &mut Tries, advice: Advice) -> Option<Duration> {
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

    /// Returns the number of the attempt that begins now, from 1.
    #[cfg(any(feature = "tracing", feature = "metrics"))]
    pub(crate) fn attempt(&self) -> u32 {
        self.again.saturating_add(self.elsewhere).saturating_add(1)
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
