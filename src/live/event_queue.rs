//! Events that wait for the reader: a bounded queue that coalesces the states of an analysis.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Waker;

use super::entries::{Entries, Entry};
#[cfg(feature = "blocking")]
use super::wait_for;
use super::{Hub, LiveAnalysis, LiveEvent, PAGE, locked};
use crate::{AnalysisId, ProjectId};

/// Events that the reader had not taken when its view became incomplete.
#[derive(Default)]
pub(crate) struct Undelivered {
    pub(crate) changed: Vec<AnalysisId>,
    pub(crate) deleted: Vec<(AnalysisId, ProjectId)>,
}

/// The queue between a listener and its reader.
#[derive(Default)]
pub(crate) struct EventQueue {
    state: Mutex<State>,
    arrived: Condvar,
    /// Takes every event in place of a reader.
    hub: Option<Arc<Hub>>,
}

#[derive(Default)]
struct State {
    entries: Entries,
    reader: Option<Waker>,
    is_closed: bool,
}

impl EventQueue {
    /// Creates the queue of a hub, which takes every event at once.
    pub(crate) fn of_hub(hub: Arc<Hub>) -> Self {
        Self {
            hub: Some(hub),
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Changes the state and wakes the reader.
    fn change(&self, write: impl FnOnce(&mut State)) {
        let (reader, followers) = {
            let mut state = self.lock();
            write(&mut state);
            let followers = match &self.hub {
                // Under the lock, so that the events keep their order.
                Some(hub) => hub.distribute(std::iter::from_fn(|| state.entries.take())),
                None => Vec::new(),
            };
            (state.reader.take(), followers)
        };
        self.arrived.notify_all();
        reader.into_iter().chain(followers).for_each(Waker::wake);
    }

    /// Adds the newest state of analyses, and the ids of deleted ones.
    pub(crate) fn put(&self, found: Vec<LiveAnalysis>, deleted: Vec<(AnalysisId, ProjectId)>) {
        if found.is_empty() && deleted.is_empty() {
            return;
        }
        self.change(|state| {
            for row in found {
                state.entries.changed(row);
            }
            for (id, project_id) in deleted {
                state.entries.deleted(id, project_id);
            }
        });
    }

    /// Adds [`LiveEvent::Resumed`].
    pub(crate) fn resumed(&self) {
        self.change(|state| state.entries.push(Entry::Resumed));
    }

    /// Replaces the events that wait by [`LiveEvent::Missed`], and returns them.
    pub(crate) fn missed(&self, reason: String) -> Undelivered {
        let mut undelivered = Undelivered::default();
        self.change(|state| {
            for entry in state.entries.drain() {
                match entry {
                    Entry::Changed(id) => undelivered.changed.push(id),
                    Entry::Deleted(id, project_id) => undelivered.deleted.push((id, project_id)),
                    Entry::Missed { .. } | Entry::Resumed => {}
                }
            }
            let discarded = 0;
            state.entries.push(Entry::Missed { reason, discarded });
        });
        undelivered
    }

    /// Checks whether there is room for another page.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting() < PAGE
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().entries.len()
    }

    /// Marks the queue as abandoned by its reader.
    pub(crate) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Wakes the reader, without an event.
    #[cfg(feature = "async")]
    pub(crate) fn wake(&self) {
        self.change(|_| {});
        let followers = self.hub.iter().flat_map(|hub| hub.readers());
        followers.for_each(Waker::wake);
    }

    #[cfg(feature = "async")]
    pub(crate) fn poll(&self, context: &std::task::Context<'_>) -> std::task::Poll<LiveEvent> {
        use std::task::Poll;

        let mut state = self.lock();
        match state.entries.take() {
            Some(event) => Poll::Ready(event),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Waits for the next event. Returns `None` once the deadline has passed; without a deadline,
    /// never.
    #[cfg(feature = "blocking")]
    pub(crate) fn wait(&self, deadline: Option<std::time::Instant>) -> Option<LiveEvent> {
        let mut state = self.lock();
        loop {
            if let Some(event) = state.entries.take() {
                return Some(event);
            }
            state = wait_for(&self.arrived, state, deadline)?;
        }
    }
}
