//! The queue of one follower.

use std::ops::Bound;
use std::sync::{Condvar, Mutex};
use std::task::Waker;

use super::entries::{Entries, Entry};
use super::hub::Hub;
#[cfg(feature = "blocking")]
use super::wait_for;
use super::{Follow, LiveAnalysis, LiveEvent, locked};
use crate::{AnalysisId, ProjectId};

/// The number of events that wait for one follower at most.
pub(super) const FOLLOWER_CAPACITY: usize = 1_000;

const TOO_SLOW: &str = "more has changed than is kept for a slow reader";

/// The queue of one follower.
pub(crate) struct Follower {
    follow: Follow,
    pub(super) queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) entries: Entries,
    /// Open analyses after this one are yet to be read from the hub.
    pub(super) sync: Option<Bound<AnalysisId>>,
    /// The only analysis that is followed has ended.
    pub(super) has_ended: bool,
    reader: Option<Waker>,
}

impl Queue {
    /// Checks whether the state of an open analysis is yet to be read from the hub.
    fn is_yet_to_read(&self, id: AnalysisId) -> bool {
        match self.sync {
            Some(Bound::Unbounded) => true,
            Some(Bound::Excluded(after)) => id > after,
            Some(Bound::Included(_)) | None => false,
        }
    }

    pub(super) fn changed(&mut self, row: LiveAnalysis) {
        if self.entries.changed(row) {
            self.make_room();
        }
    }

    fn deleted(&mut self, id: AnalysisId, project_id: ProjectId) {
        self.entries.deleted(id, project_id);
        self.make_room();
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
        self.make_room();
    }

    /// Discards the entries if there are too many: the follower then reads all states again.
    fn make_room(&mut self) {
        if self.entries.len() <= FOLLOWER_CAPACITY {
            return;
        }
        let discarded = self.entries.drain().map(|entry| match entry {
            Entry::Changed(_) | Entry::Deleted(..) => 1,
            Entry::Missed { discarded, .. } => discarded,
            Entry::Resumed => 0,
        });
        let discarded = discarded.sum();
        let reason = TOO_SLOW.to_owned();
        self.entries.push(Entry::Missed { reason, discarded });
        self.sync = Some(Bound::Unbounded);
    }
}

impl Follower {
    /// Creates a follower that has read no state.
    pub(super) fn new(follow: Follow) -> Self {
        Self {
            follow,
            queue: Mutex::new(Queue {
                sync: Some(Bound::Unbounded),
                ..Queue::default()
            }),
            arrived: Condvar::new(),
        }
    }

    pub(super) fn follows(&self, row: &LiveAnalysis) -> bool {
        self.follows_one(row.id, row.project_id)
    }

    fn follows_one(&self, id: AnalysisId, project_id: ProjectId) -> bool {
        match self.follow {
            Follow::All => true,
            Follow::Project(followed) => followed == project_id,
            Follow::Analysis(followed) => followed == id,
        }
    }

    /// Adds an event to the queue, if it concerns the follower. Returns the reader to wake.
    pub(super) fn receive(&self, event: &LiveEvent, before: Option<ProjectId>) -> Option<Waker> {
        match event {
            LiveEvent::Changed(row) if self.follows(row) => self.change(|queue| {
                if matches!(self.follow, Follow::Analysis(_)) && !row.is_open() {
                    queue.has_ended = true;
                }
                if !(row.is_open() && (queue.has_ended || queue.is_yet_to_read(row.id))) {
                    queue.changed(row.clone());
                }
            }),
            LiveEvent::Changed(row) => {
                let before = before.filter(|before| self.follows_one(row.id, *before))?;
                self.change(|queue| queue.deleted(row.id, before))
            }
            LiveEvent::Deleted { id, project_id } => {
                if !self.follows_one(*id, *project_id) {
                    return None;
                }
                self.change(|queue| queue.deleted(*id, *project_id))
            }
            LiveEvent::Missed { reason, discarded } => self.change(|queue| {
                // A failover may have lost the end.
                queue.has_ended = false;
                let (reason, discarded) = (reason.clone(), *discarded);
                queue.push(Entry::Missed { reason, discarded });
            }),
            LiveEvent::Resumed => self.change(|queue| {
                // One that still reads the states is up to date at the end of them.
                if queue.sync.is_none() {
                    queue.push(Entry::Resumed);
                }
            }),
        }
    }

    /// Changes the queue. Returns the reader to wake.
    #[must_use]
    pub(super) fn change(&self, write: impl FnOnce(&mut Queue)) -> Option<Waker> {
        let reader = {
            let mut queue = locked(&self.queue);
            write(&mut queue);
            queue.reader.take()
        };
        self.arrived.notify_all();
        reader
    }

    /// Returns the number of events that wait to be taken, without the states that are yet to be
    /// read from the hub.
    pub(crate) fn waiting(&self) -> usize {
        locked(&self.queue).entries.len()
    }

    #[cfg(feature = "async")]
    pub(crate) fn poll(
        &self,
        hub: &Hub,
        context: &std::task::Context<'_>,
    ) -> std::task::Poll<LiveEvent> {
        use std::task::Poll;

        loop {
            let mut queue = locked(&self.queue);
            if let Some(event) = queue.entries.take() {
                return Poll::Ready(event);
            }
            if queue.sync.is_none() {
                queue.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            // Locked after the hub.
            drop(queue);
            hub.sync(self);
        }
    }

    /// Waits for the next event. Returns `None` once the deadline has passed; without a deadline,
    /// never.
    #[cfg(feature = "blocking")]
    pub(crate) fn wait(
        &self,
        hub: &Hub,
        deadline: Option<std::time::Instant>,
    ) -> Option<LiveEvent> {
        let mut queue = locked(&self.queue);
        loop {
            if let Some(event) = queue.entries.take() {
                return Some(event);
            }
            if queue.sync.is_some() {
                // Locked after the hub.
                drop(queue);
                hub.sync(self);
                queue = locked(&self.queue);
                continue;
            }
            queue = wait_for(&self.arrived, queue, deadline)?;
        }
    }
}
