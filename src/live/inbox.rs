//! What waits for the reader: bounded, each analysis once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::{LiveAnalysis, LiveEvent, PAGE};
use crate::{AnalysisId, ProjectId};

/// What a reader has not taken when the view became uncertain.
#[derive(Default)]
pub(crate) struct Unheard {
    pub(crate) changed: Vec<AnalysisId>,
    pub(crate) deleted: Vec<(AnalysisId, ProjectId)>,
}

/// Between a listener and its reader.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
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
    /// Its state is looked up when it is taken; there is none if it was deleted meanwhile.
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
                Entry::Missed(reason) => LiveEvent::Missed { reason },
                Entry::Resumed => LiveEvent::Resumed,
            });
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, write: impl FnOnce(&mut State)) {
        let reader = {
            let mut state = self.lock();
            write(&mut state);
            state.reader.take()
        };
        self.arrived.notify_all();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The newest state of analyses, and those that are no more.
    pub(crate) fn put(&self, found: Vec<LiveAnalysis>, deleted: Vec<(AnalysisId, ProjectId)>) {
        if found.is_empty() && deleted.is_empty() {
            return;
        }
        self.tell(|state| {
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

    pub(crate) fn resumed(&self) {
        self.tell(|state| state.entries.push_back(Entry::Resumed));
    }

    /// Drops what waits, and returns the analyses that the reader has not taken.
    pub(crate) fn missed(&self, reason: String) -> Unheard {
        let mut unheard = Unheard::default();
        self.tell(|state| {
            state.states.clear();
            for entry in state.entries.drain(..) {
                match entry {
                    Entry::Changed(id) => unheard.changed.push(id),
                    Entry::Deleted(id, project_id) => unheard.deleted.push((id, project_id)),
                    Entry::Missed(_) | Entry::Resumed => {}
                }
            }
            state.entries.push_back(Entry::Missed(reason));
        });
        unheard
    }

    /// Whether the reader keeps up so far that more may be read for it.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting() < PAGE
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().entries.len()
    }

    /// The reader has gone.
    pub(crate) fn close(&self) {
        self.tell(|state| state.is_closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
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

    /// The next event, if there is one before the deadline; without a deadline there always is.
    #[cfg(feature = "blocking")]
    pub(crate) fn wait(&self, deadline: Option<std::time::Instant>) -> Option<LiveEvent> {
        use std::time::{Duration, Instant};

        let mut state = self.lock();
        loop {
            if let Some(event) = state.take() {
                return Some(event);
            }
            let patience = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if patience.is_zero() {
                return None;
            }
            let waited = self.arrived.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
