//! Events that wait for the reader: a bounded queue that coalesces the states of an analysis.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::{Hub, LiveAnalysis, LiveEvent, PAGE};
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
    entries: VecDeque<Entry>,
    /// The newest state of each analysis among the entries.
    states: HashMap<AnalysisId, LiveAnalysis>,
    reader: Option<Waker>,
    is_closed: bool,
}

enum Entry {
    /// The state is in `states`. It has none if the analysis was deleted meanwhile.
    Changed(AnalysisId),
    Deleted(AnalysisId, ProjectId),
    Missed(String),
    Resumed,
}

impl State {
    fn take(&mut self) -> Option<LiveEvent> {
        loop {
            return Some(match self.entries.pop_front()? {
                Entry::Changed(id) => match self.states.remove(&id) {
                    Some(analysis) => LiveEvent::Changed(analysis),
                    None => continue,
                },
                Entry::Deleted(id, project_id) => LiveEvent::Deleted { id, project_id },
                Entry::Missed(reason) => LiveEvent::Missed {
                    reason,
                    discarded: 0,
                },
                Entry::Resumed => LiveEvent::Resumed,
            });
        }
    }
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the reader.
    fn change(&self, write: impl FnOnce(&mut State)) {
        let (reader, followers) = {
            let mut state = self.lock();
            write(&mut state);
            let followers = match &self.hub {
                // Under the lock, so that the events keep their order.
                Some(hub) => hub.distribute(std::iter::from_fn(|| state.take())),
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
                let id = row.id;
                if state.states.insert(id, row).is_none() {
                    state.entries.push_back(Entry::Changed(id));
                }
            }
            for (id, project_id) in deleted {
                state.states.remove(&id);
                state.entries.push_back(Entry::Deleted(id, project_id));
            }
        });
    }

    /// Adds [`LiveEvent::Resumed`].
    pub(crate) fn resumed(&self) {
        self.change(|state| state.entries.push_back(Entry::Resumed));
    }

    /// Replaces the events that wait by [`LiveEvent::Missed`], and returns them.
    pub(crate) fn missed(&self, reason: String) -> Undelivered {
        let mut undelivered = Undelivered::default();
        self.change(|state| {
            state.states.clear();
            for entry in state.entries.drain(..) {
                match entry {
                    Entry::Changed(id) => undelivered.changed.push(id),
                    Entry::Deleted(id, project_id) => undelivered.deleted.push((id, project_id)),
                    Entry::Missed(_) | Entry::Resumed => {}
                }
            }
            state.entries.push_back(Entry::Missed(reason));
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
        match state.take() {
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
        use std::time::{Duration, Instant};

        let mut state = self.lock();
        loop {
            if let Some(event) = state.take() {
                return Some(event);
            }
            let remaining = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if remaining.is_zero() {
                return None;
            }
            let waited = self.arrived.wait_timeout(state, remaining);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
