//! Readers of one entry who wait for one of them.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::cache::name::Name;

/// A value that is handed to all who have waited for it.
pub(crate) type Shared = Arc<dyn Any + Send + Sync>;

type Outcome = Option<Shared>;

/// Who reads what at the moment.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Name, watch::Receiver<Outcome>>>>);

pub(crate) enum Turn {
    Lead(Leading),
    Follow(Following),
}

/// The one who reads. Dropped without a value, it leaves the others to themselves.
pub(crate) struct Leading {
    flights: Flights,
    name: Name,
    outcome: watch::Sender<Outcome>,
    is_closed: bool,
}

/// One who waits for another. The other's future may be kept without being polled: it is waited for within a bound.
pub(crate) struct Following {
    flights: Flights,
    name: Name,
    outcome: watch::Receiver<Outcome>,
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, watch::Receiver<Outcome>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody joins the flight any more.
    fn close(&self, name: &Name, flight: &watch::Receiver<Outcome>) {
        let mut flights = self.lock();
        if flights
            .get(name)
            .is_some_and(|other| other.same_channel(flight))
        {
            flights.remove(name);
        }
    }

    pub(crate) fn join(&self, name: &Name) -> Turn {
        let mut flights = self.lock();
        if let Some(outcome) = flights.get(name) {
            return Turn::Follow(Following {
                flights: self.clone(),
                name: name.clone(),
                outcome: outcome.clone(),
            });
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(name.clone(), receiver);
        Turn::Lead(Leading {
            flights: self.clone(),
            name: name.clone(),
            outcome: sender,
            is_closed: false,
        })
    }
}

impl Leading {
    /// From now on nobody else joins. Only who has joined before the value is stored may have it: who comes later may
    /// have seen a write acknowledged that came after.
    pub(crate) fn close(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.flights.close(&self.name, &self.outcome.subscribe());
        }
    }

    pub(crate) fn share(self, value: Shared) {
        self.outcome.send_replace(Some(value));
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.close();
    }
}

impl Following {
    /// What the other has read; nothing if it could not be stored, or the other has gone or takes longer than `patience`.
    /// Then who comes next does not wait for it again.
    pub(crate) async fn wait(mut self, patience: Duration) -> Option<Shared> {
        let flight = self.outcome.clone();
        let outcome = self.outcome.wait_for(Option::is_some);
        if let Ok(outcome) = tokio::time::timeout(patience, outcome).await {
            return outcome.ok().and_then(|outcome| outcome.clone());
        }
        self.flights.close(&self.name, &flight);
        None
    }
}
