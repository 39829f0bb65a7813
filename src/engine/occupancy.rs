//! The calls that use a transaction at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

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
    /// - [`Error::InUse`] if another call has exclusive use, or if this call needs exclusive use
    ///   and there is another
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
