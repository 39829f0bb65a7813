//! Events that wait to be taken, of which each analysis has its newest state alone.

use std::collections::{HashMap, VecDeque};

use super::{LiveAnalysis, LiveEvent};
use crate::{AnalysisId, ProjectId};

/// Events in the order of their arrival.
#[derive(Default)]
pub(super) struct Entries {
    queue: VecDeque<Entry>,
    /// The newest state of each analysis in the queue.
    states: HashMap<AnalysisId, LiveAnalysis>,
}

/// An event that waits.
pub(super) enum Entry {
    /// The state is in `states`. It has none if the analysis was deleted meanwhile.
    Changed(AnalysisId),
    Deleted(AnalysisId, ProjectId),
    Missed {
        reason: String,
        discarded: u64,
    },
    Resumed,
}

impl Entries {
    /// Returns the next event, and removes it.
    pub(super) fn take(&mut self) -> Option<LiveEvent> {
        loop {
            return Some(match self.queue.pop_front()? {
                Entry::Changed(id) => match self.states.remove(&id) {
                    Some(analysis) => LiveEvent::Changed(analysis),
                    None => continue,
                },
                Entry::Deleted(id, project_id) => LiveEvent::Deleted { id, project_id },
                Entry::Missed { reason, discarded } => LiveEvent::Missed { reason, discarded },
                Entry::Resumed => LiveEvent::Resumed,
            });
        }
    }

    /// Adds the state of an analysis, or replaces the one that waits. Returns `true` if the queue
    /// has grown.
    pub(super) fn changed(&mut self, row: LiveAnalysis) -> bool {
        let id = row.id;
        let is_new = self.states.insert(id, row).is_none();
        if is_new {
            self.push(Entry::Changed(id));
        }
        is_new
    }

    /// Adds the deletion of an analysis, and discards its state.
    pub(super) fn deleted(&mut self, id: AnalysisId, project_id: ProjectId) {
        self.states.remove(&id);
        self.push(Entry::Deleted(id, project_id));
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
    }

    /// Removes all entries, and returns them in their order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        self.states.clear();
        self.queue.drain(..)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
