//! The state of a pool without its I/O, which the pools of both engines share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::tx_state::Flag;
use super::usage::{Opening, Usage, Use};
use crate::{Config, Error, PoolState, Result};

/// The settings of a pool, the use of its connections, and whether it is closed.
///
/// The pool, its connections and all clones of its `Db` share it.
pub(crate) struct PoolContext {
    pub(crate) config: Config,
    pub(crate) usage: Arc<Usage>,
    closed: Flag,
}

/// The reason why a connection could not be opened.
///
/// The pool hands it out like a connection, so that the waiting caller receives it immediately and
/// not at the end of its timeout.
pub(crate) struct ConnectFailure {
    error: Error,
    at: Instant,
}

impl ConnectFailure {
    /// Returns the error, unless it is older than the call that `started` then. It was meant for an
    /// earlier caller, which has received another connection.
    pub(crate) fn take_if_since(&mut self, started: Instant) -> Option<Error> {
        (self.at >= started).then(|| std::mem::replace(&mut self.error, Error::closed()))
    }
}

impl PoolContext {
    pub(crate) fn new(config: Config) -> Arc<Self> {
        Arc::new(Self {
            config,
            usage: Usage::new(),
            closed: Flag::default(),
        })
    }

    /// Closes the pool. Its connections are not handed out from now on, and not kept when they are
    /// returned.
    pub(crate) fn close(&self) {
        self.closed.set();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_set()
    }

    /// # Errors
    /// - [`Error::Pool`] if the pool is closed
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(Error::closed());
        }
        Ok(())
    }

    /// Records that a connection was opened.
    pub(crate) fn opened(&self, opening: &Opening) -> Arc<Use> {
        let usage = opening.done();
        if self.config.asks_for_read_only() {
            usage.set_always_read_only();
        }
        usage
    }

    /// Records that a connection could not be opened.
    pub(crate) fn refused(&self, error: Error) -> ConnectFailure {
        self.usage.refused(&error);
        ConnectFailure {
            error,
            at: Instant::now(),
        }
    }

    /// Records that a caller takes the connection. Returns `false` if the caller must take another
    /// one: this one is then retired.
    pub(crate) fn take(&self, usage: &Use) -> bool {
        let is_usable = !self.is_closed() && !usage.is_over();
        if is_usable {
            usage.take();
        } else {
            usage.retire();
        }
        is_usable
    }

    /// Records that a caller returns the connection. Returns `false` if it must be closed.
    pub(crate) fn give_back(&self, usage: &Use) -> bool {
        usage.give_back();
        !self.is_closed() && !usage.is_over()
    }

    /// Checks whether a transaction that could not begin, since `started`, may begin on another
    /// connection.
    ///
    /// It may if this one may have been closed while it was idle, until the acquire timeout.
    pub(crate) fn may_begin_again(&self, started: Instant, usage: &Use, error: &Error) -> bool {
        started.elapsed() < self.config.acquire_timeout && usage.was_lost_while_idle(error)
    }

    /// Returns the state of the pool.
    pub(crate) fn state(&self) -> PoolState {
        self.usage.state(self.config.max_connections)
    }

    /// Returns the error of a call that has waited for `patience` since `started` without getting a
    /// connection.
    pub(crate) fn none_in_time(&self, started: Instant, patience: Duration) -> Error {
        self.usage
            .none_in_time(self.config.max_connections, started, patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Arc<PoolContext> {
        PoolContext::new(Config::without_environment("postgres://app@localhost/app").unwrap())
    }

    fn connection(context: &PoolContext) -> Arc<Use> {
        context.opened(&context.usage.opens())
    }

    #[test]
    fn a_closed_pool_hands_out_and_keeps_no_connection() {
        let context = context();
        let (used, idle) = (connection(&context), connection(&context));
        assert!(context.take(&used));
        assert!(context.check_open().is_ok());
        context.close();
        assert!(matches!(context.check_open(), Err(Error::Pool(_))));
        assert!(!context.take(&idle) && idle.is_over());
        assert!(!context.give_back(&used));
    }

    #[test]
    fn a_retired_connection_is_neither_handed_out_nor_kept() {
        let context = context();
        let usage = connection(&context);
        assert!(context.take(&usage) && context.give_back(&usage));
        usage.retire();
        assert!(!context.give_back(&usage));
        assert!(!context.take(&usage));
    }

    #[test]
    fn a_failure_is_for_the_callers_that_waited_for_it() {
        let context = context();
        let before = Instant::now();
        let mut failure = context.refused(Error::broken_connection("refused"));
        let after = Instant::now() + Duration::from_millis(1);
        assert!(failure.take_if_since(after).is_none());
        let error = failure.take_if_since(before).unwrap();
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[test]
    fn a_transaction_begins_again_only_if_its_connection_was_idle() {
        let context = context();
        let usage = connection(&context);
        let lost = Error::broken_connection("closed");
        let now = Instant::now();
        assert!(context.take(&usage));
        assert!(!context.may_begin_again(now, &usage, &lost));
        assert!(context.give_back(&usage) && context.take(&usage));
        assert!(context.may_begin_again(now, &usage, &lost));
        assert!(!context.may_begin_again(now, &usage, &Error::ReadOnly));
        let too_early = now.checked_sub(context.config.acquire_timeout);
        assert!(!context.may_begin_again(too_early.unwrap(), &usage, &lost));
    }

    #[test]
    fn settings_that_request_read_only_sessions_are_recorded_for_each_connection() {
        let url = "postgres://app@localhost/app?options=-c%20default_transaction_read_only%3Don";
        let context = PoolContext::new(Config::without_environment(url).unwrap());
        assert!(connection(&context).is_read_only());
        assert!(!connection(&self::context()).is_read_only());
    }
}
