//! Readers of one entry who wait for one of them.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cache::name::Name;

/// A value that is handed to all who have waited for it.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

/// Who reads what at the moment.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Name, Arc<Flight>>>>);

#[derive(Default)]
struct Flight {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    UnderWay,
    Ended(Option<Shared>),
}

pub(crate) enum Turn {
    Lead(Leading),
    Follow(Following),
}

/// The one who reads. Dropped without a value, it leaves the others to themselves.
pub(crate) struct Leading {
    flights: Flights,
    name: Name,
    flight: Arc<Flight>,
    is_closed: bool,
}

/// One who waits for another, within a bound.
pub(crate) struct Following {
    flights: Flights,
    name: Name,
    flight: Arc<Flight>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody joins the flight any more.
    fn close(&self, name: &Name, flight: &Arc<Flight>) {
        let mut flights = self.lock();
        if flights
            .get(name)
            .is_some_and(|other| Arc::ptr_eq(other, flight))
        {
            flights.remove(name);
        }
    }

    pub(crate) fn join(&self, name: &Name) -> Turn {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(name) {
            return Turn::Follow(Following {
                flights: self.clone(),
                name: name.clone(),
                flight: Arc::clone(flight),
            });
        }
        let flight = Arc::<Flight>::default();
        flights.insert(name.clone(), Arc::clone(&flight));
        Turn::Lead(Leading {
            flights: self.clone(),
            name: name.clone(),
            flight,
            is_closed: false,
        })
    }
}

impl Flight {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first end counts.
    fn end(&self, value: Option<Shared>) {
        let mut state = self.lock();
        if matches!(*state, State::UnderWay) {
            *state = State::Ended(value);
            self.ended.notify_all();
        }
    }
}

impl Leading {
    /// From now on nobody else joins. Only who has joined before the value is stored may have it: who comes later may
    /// have seen a write acknowledged that came after.
    pub(crate) fn close(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.flights.close(&self.name, &self.flight);
        }
    }

    pub(crate) fn share(self, value: Shared) {
        self.flight.end(Some(value));
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.close();
        self.flight.end(None);
    }
}

impl Following {
    /// What the other has read; nothing if it could not be stored, or the other has gone or takes longer than `patience`.
    /// Then who comes next does not wait for it again.
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
                self.flights.close(&self.name, &self.flight);
                None
            }
        }
    }
}
