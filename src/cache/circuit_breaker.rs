//! A circuit breaker: keeps reads away from a server that does not reply.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A circuit breaker. After a failure it rejects reads for a time, which doubles with each further
/// failure.
#[derive(Debug, Default)]
pub(crate) struct CircuitBreaker {
    state: Mutex<State>,
    /// `false` as long as `state` need not be locked: every read checks the breaker.
    has_failed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
    /// One caller is testing whether the server replies again.
    is_tried: bool,
}

/// The longest wait, as a multiple of the first.
const LONGEST: u32 = 16;

impl CircuitBreaker {
    /// Checks whether a call may be made. After the wait one caller is admitted; the others are
    /// admitted once its call has succeeded.
    pub(crate) fn admits(&self, wait: Duration) -> bool {
        if !AtomicBool::load(&self.has_failed, Ordering::Relaxed) {
            return true;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.until {
            None => true,
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                state.until = Some(Instant::now() + wait);
                state.is_tried = true;
                true
            }
        }
    }

    /// Records a success: all callers are admitted again.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State::default();
        self.has_failed.store(false, Ordering::Relaxed);
    }

    /// Records a failure, and returns whether it is the first in a row. Calls that were in flight
    /// together count as one.
    pub(crate) fn failed(&self, wait: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.has_failed.store(true, Ordering::Relaxed);
        let is_resting = state.until.is_some_and(|until| Instant::now() < until);
        if is_resting && !state.is_tried {
            return false;
        }
        let factor = 1_u32
            .checked_shl(state.failures)
            .unwrap_or(LONGEST)
            .min(LONGEST);
        state.until = Some(Instant::now() + wait * factor);
        state.failures += 1;
        state.is_tried = false;
        state.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::CircuitBreaker;

    #[test]
    fn a_failure_keeps_callers_away_until_one_has_tried() {
        let breaker = CircuitBreaker::default();
        let hour = Duration::from_secs(3600);
        assert!(breaker.admits(hour));
        assert!(breaker.failed(Duration::ZERO));
        assert!(!breaker.failed(Duration::ZERO));
        assert!(
            breaker.admits(hour),
            "the wait is over: one caller is admitted"
        );
        assert!(!breaker.admits(hour), "and no other caller meanwhile");
        breaker.succeeded();
        assert!(breaker.admits(hour) && breaker.failed(hour) && !breaker.admits(hour));
    }

    #[test]
    fn calls_that_fail_together_count_once() {
        let breaker = CircuitBreaker::default();
        let wait = Duration::from_millis(50);
        for _ in 0..100 {
            breaker.failed(wait);
        }
        std::thread::sleep(wait);
        assert!(breaker.admits(wait), "the wait has not grown a hundredfold");
        breaker.failed(wait);
        std::thread::sleep(wait);
        assert!(
            !breaker.admits(wait),
            "it has doubled by the trial's failure"
        );
    }
}
