//! Single flight: of the concurrent readers of one entry, one reads it and the others wait for its
//! value.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

// `tests/contracts/single_flight.rs` compiles this file with others, loom's among them.
use super::{EntryKey, Mutex, MutexGuard, timeout, watch};

/// A value that is shared with all followers.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

type Outcome = Option<Shared>;

/// The reads in flight, by entry.
#[derive(Clone, Default)]
pub(crate) struct SingleFlight(Arc<Mutex<HashMap<EntryKey, watch::Receiver<Outcome>>>>);

pub(crate) enum Flight {
    Leader(Leader),
    Follower(Follower),
}

/// The reader that reads the entry. If it is dropped without a value, its followers receive none.
pub(crate) struct Leader {
    flights: SingleFlight,
    key: EntryKey,
    outcome: watch::Sender<Outcome>,
    is_closed: bool,
}

/// A reader that waits for the leader. The wait is bounded, because the leader's future may be kept
/// without being polled.
pub(crate) struct Follower {
    flights: SingleFlight,
    key: EntryKey,
    outcome: watch::Receiver<Outcome>,
}

impl SingleFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<EntryKey, watch::Receiver<Outcome>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the flight for readers that have not joined yet.
    fn close(&self, key: &EntryKey, flight: &watch::Receiver<Outcome>) {
        let mut flights = self.lock();
        if flights
            .get(key)
            .is_some_and(|other| other.same_channel(flight))
        {
            flights.remove(key);
        }
    }

    /// Joins the flight of an entry, or begins one.
    pub(crate) fn join(&self, key: &EntryKey) -> Flight {
        let mut flights = self.lock();
        if let Some(outcome) = flights.get(key) {
            return Flight::Follower(Follower {
                flights: self.clone(),
                key: key.clone(),
                outcome: outcome.clone(),
            });
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(key.clone(), receiver);
        Flight::Leader(Leader {
            flights: self.clone(),
            key: key.clone(),
            outcome: sender,
            is_closed: false,
        })
    }
}

impl Leader {
    /// Closes the flight for later readers. They may not share the value: a later write may have
    /// been acknowledged to them.
    pub(crate) fn close(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.flights.close(&self.key, &self.outcome.subscribe());
        }
    }

    /// Gives the value to the followers.
    pub(crate) fn share(self, value: Shared) {
        self.outcome.send_replace(Some(value));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.close();
    }
}

impl Follower {
    /// Waits for the leader's value. Returns `None` if it was not stored, or the leader has gone or
    /// takes longer than `patience`. In the last case later readers do not join this flight.
    pub(crate) async fn wait(mut self, patience: Duration) -> Option<Shared> {
        let flight = self.outcome.clone();
        let outcome = self.outcome.wait_for(Option::is_some);
        if let Ok(outcome) = timeout(patience, outcome).await {
            return outcome.ok().and_then(|outcome| outcome.clone());
        }
        self.flights.close(&self.key, &flight);
        None
    }
}
