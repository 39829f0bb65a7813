//! Single flight: of the concurrent readers of one entry, one reads it and the others wait for its
//! value.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cache::keys::EntryKey;

/// A value that is shared with all followers.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// The reads in flight, by entry.
#[derive(Clone, Default)]
pub(crate) struct SingleFlight(Arc<Mutex<HashMap<EntryKey, Arc<FlightState>>>>);

#[derive(Default)]
struct FlightState {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    UnderWay,
    Ended(Option<Shared>),
}

pub(crate) enum Flight {
    Leader(Leader),
    Follower(Follower),
}

/// The reader that reads the entry. If it is dropped without a value, its followers receive none.
pub(crate) struct Leader {
    flights: SingleFlight,
    key: EntryKey,
    flight: Arc<FlightState>,
    is_closed: bool,
}

/// A reader that waits for the leader, within a bound.
pub(crate) struct Follower {
    flights: SingleFlight,
    key: EntryKey,
    flight: Arc<FlightState>,
}

impl SingleFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<EntryKey, Arc<FlightState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the flight for readers that have not joined yet.
    fn close(&self, key: &EntryKey, flight: &Arc<FlightState>) {
        let mut flights = self.lock();
        if flights
            .get(key)
            .is_some_and(|other| Arc::ptr_eq(other, flight))
        {
            flights.remove(key);
        }
    }

    /// Joins the flight of an entry, or begins one.
    pub(crate) fn join(&self, key: &EntryKey) -> Flight {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            return Flight::Follower(Follower {
                flights: self.clone(),
                key: key.clone(),
                flight: Arc::clone(flight),
            });
        }
        let flight = Arc::<FlightState>::default();
        flights.insert(key.clone(), Arc::clone(&flight));
        Flight::Leader(Leader {
            flights: self.clone(),
            key: key.clone(),
            flight,
            is_closed: false,
        })
    }
}

impl FlightState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the flight. Only the first call has an effect.
    fn end(&self, value: Option<Shared>) {
        let mut state = self.lock();
        if matches!(*state, State::UnderWay) {
            *state = State::Ended(value);
            self.ended.notify_all();
        }
    }
}

impl Leader {
    /// Closes the flight for later readers. They may not share the value: a later write may have
    /// been acknowledged to them.
    pub(crate) fn close(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.flights.close(&self.key, &self.flight);
        }
    }

    /// Gives the value to the followers.
    pub(crate) fn share(self, value: Shared) {
        self.flight.end(Some(value));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.close();
        self.flight.end(None);
    }
}

impl Follower {
    /// Waits for the leader's value. Returns `None` if it was not stored, or the leader has gone or
    /// takes longer than `patience`. In the last case later readers do not join this flight.
    pub(crate) fn wait(self, patience: Duration) -> Option<Shared> {
        let is_under_way = |state: &mut State| matches!(state, State::UnderWay);
        let (state, _) = self
            .flight
            .ended
            .wait_timeout_while(self.flight.lock(), patience, is_under_way)
            .unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Ended(value) => value.clone(),
            State::UnderWay => {
                drop(state);
                self.flights.close(&self.key, &self.flight);
                None
            }
        }
    }
}
