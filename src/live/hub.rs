//! One listener for any number of followers.
//!
//! The listener puts its events into the queue of the hub, which passes each on to the followers
//! that it concerns before the listener goes on. So no follower waits for another, and none has to
//! be polled for the others to receive their events.
//!
//! The hub knows the state of every analysis that is pending or running. A follower that joins, or
//! from whose queue events were discarded, reads these states page by page as it takes them:
//! neither needs the database, and neither needs memory for them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, Weak};
use std::task::Waker;

use super::entries::Entry;
use super::follower::Follower;
use super::{Follow, LiveAnalysis, LiveEvent, locked};
use crate::{AnalysisId, ProjectId};

/// The number of states that a follower takes from the hub at a time.
const SYNC_PAGE: usize = 100;

/// The followers, and the states that they begin with.
#[derive(Default)]
pub(crate) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    /// The analyses that are pending or running.
    open: BTreeMap<AnalysisId, LiveAnalysis>,
    /// The listener has caught up: `open` is complete.
    is_complete: bool,
    followers: Vec<Weak<Follower>>,
}

impl Hub {
    /// Adds a follower, which begins with the states of the open analyses.
    pub(crate) fn join(&self, follow: Follow) -> Arc<Follower> {
        let follower = Arc::new(Follower::new(follow));
        let mut state = locked(&self.0);
        state.followers.retain(|other| other.strong_count() > 0);
        state.followers.push(Arc::downgrade(&follower));
        follower
    }

    /// Passes events of the listener on, in their order.
    ///
    /// Returns the readers to wake, once the caller holds no lock.
    #[must_use]
    pub(crate) fn distribute(&self, events: impl Iterator<Item = LiveEvent>) -> Vec<Waker> {
        let mut state = locked(&self.0);
        let (mut readers, mut has_left) = (Vec::new(), false);
        for event in events {
            let before = state.record(&event);
            for follower in &state.followers {
                match follower.upgrade() {
                    Some(follower) => readers.extend(follower.receive(&event, before)),
                    None => has_left = true,
                }
            }
        }
        if has_left {
            state.followers.retain(|other| other.strong_count() > 0);
        }
        readers
    }

    /// Delivers the state of the only analysis that is followed, if it has ended: the hub has only
    /// the states of open analyses. An older state that the listener has read is not delivered
    /// after it.
    pub(crate) fn deliver_ended(&self, follower: &Follower, row: LiveAnalysis) {
        if !row.is_open() {
            let reader = follower.change(|queue| {
                if !queue.has_ended {
                    queue.has_ended = true;
                    queue.changed(row);
                }
            });
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// Returns the readers of all followers, to be woken without an event.
    #[cfg(feature = "async")]
    pub(crate) fn readers(&self) -> Vec<Waker> {
        let state = locked(&self.0);
        let followers = state.followers.iter().filter_map(Weak::upgrade);
        followers
            .filter_map(|follower| follower.change(|_| {}))
            .collect()
    }

    /// Returns the number of followers.
    pub(crate) fn followers(&self) -> usize {
        let state = locked(&self.0);
        let followers = state.followers.iter();
        followers.filter(|other| other.strong_count() > 0).count()
    }

    /// Moves the next states that a follower has to read into its queue.
    pub(super) fn sync(&self, follower: &Follower) {
        let state = locked(&self.0);
        let mut queue = locked(&follower.queue);
        let Some(after) = queue.sync else {
            return;
        };
        // What has arrived meanwhile is taken first: there is room in an empty queue only.
        if !queue.entries.is_empty() {
            return;
        }
        // The last state of the only analysis that is followed was delivered already.
        let is_over = queue.has_ended;
        let rows = state.open.range((after, Bound::Unbounded));
        let rows = rows.filter(|_| !is_over);
        let mut rows = rows.filter(|(_, row)| follower.follows(row)).peekable();
        for (id, row) in rows.by_ref().take(SYNC_PAGE) {
            queue.sync = Some(Bound::Excluded(*id));
            queue.changed(row.clone());
        }
        if rows.peek().is_none() {
            queue.sync = None;
            if state.is_complete {
                queue.push(Entry::Resumed);
            }
        }
    }
}

impl State {
    /// Records an event. Returns the project that the analysis belonged to, if it is known.
    fn record(&mut self, event: &LiveEvent) -> Option<ProjectId> {
        let before = match event {
            LiveEvent::Changed(row) if row.is_open() => self.open.insert(row.id, row.clone()),
            LiveEvent::Changed(LiveAnalysis { id, .. }) | LiveEvent::Deleted { id, .. } => {
                self.open.remove(id)
            }
            LiveEvent::Missed { .. } => {
                self.is_complete = false;
                None
            }
            LiveEvent::Resumed => {
                self.is_complete = true;
                None
            }
        };
        before.map(|row| row.project_id)
    }
}

#[cfg(all(test, feature = "blocking"))]
mod tests {
    use std::time::Instant;

    use super::super::follower::FOLLOWER_CAPACITY;
    use super::*;
    use crate::{AnalysisStatus, AnalysisType};

    fn row(project_id: ProjectId, status: AnalysisStatus) -> LiveAnalysis {
        LiveAnalysis {
            id: AnalysisId::new(),
            project_id,
            r#type: AnalysisType::Quality,
            status,
            progress: 0,
            findings: 0,
        }
    }

    fn completed(row: &LiveAnalysis) -> LiveAnalysis {
        LiveAnalysis {
            status: AnalysisStatus::Completed,
            ..row.clone()
        }
    }

    /// The event of a lost connection.
    fn lost() -> LiveEvent {
        LiveEvent::Missed {
            reason: "lost".to_owned(),
            discarded: 0,
        }
    }

    fn put(hub: &Hub, events: impl IntoIterator<Item = LiveEvent>) {
        assert!(
            hub.distribute(events.into_iter()).is_empty(),
            "no reader waits"
        );
    }

    fn next(hub: &Hub, follower: &Follower) -> Option<LiveEvent> {
        follower.wait(hub, Some(Instant::now()))
    }

    fn all(hub: &Hub, follower: &Follower) -> Vec<LiveEvent> {
        std::iter::from_fn(|| next(hub, follower)).collect()
    }

    #[test]
    fn a_follower_begins_with_the_open_analyses_that_it_follows() {
        let hub = Hub::default();
        let (here, there) = (ProjectId::new(), ProjectId::new());
        let (mine, other) = (
            row(here, AnalysisStatus::Running),
            row(there, AnalysisStatus::Running),
        );
        let early = hub.join(Follow::Project(here));
        put(&hub, [mine.clone(), other.clone()].map(LiveEvent::Changed));
        assert_eq!(all(&hub, &early), [LiveEvent::Changed(mine.clone())]);
        put(&hub, [LiveEvent::Resumed]);
        assert_eq!(all(&hub, &early), [LiveEvent::Resumed]);
        let late = hub.join(Follow::Project(here));
        assert_eq!(
            all(&hub, &late),
            [LiveEvent::Changed(mine.clone()), LiveEvent::Resumed]
        );
        let one = hub.join(Follow::Analysis(other.id));
        assert_eq!(
            all(&hub, &one),
            [LiveEvent::Changed(other.clone()), LiveEvent::Resumed]
        );

        // A change, an analysis that leaves, and one that is deleted.
        let ended = completed(&other);
        let moved = LiveAnalysis {
            project_id: there,
            ..mine.clone()
        };
        let deleted = LiveEvent::Deleted {
            id: moved.id,
            project_id: there,
        };
        put(
            &hub,
            [
                LiveEvent::Changed(ended.clone()),
                LiveEvent::Changed(moved),
                deleted,
            ],
        );
        assert_eq!(
            all(&hub, &late),
            [LiveEvent::Deleted {
                id: mine.id,
                project_id: here
            }]
        );
        assert_eq!(all(&hub, &one), [LiveEvent::Changed(ended)]);
        drop((early, late));
        put(&hub, []);
        assert_eq!(hub.followers(), 1);
    }

    #[test]
    fn a_slow_follower_is_told_how_much_was_discarded_and_begins_anew() {
        let hub = Hub::default();
        let project = ProjectId::new();
        put(&hub, [LiveEvent::Resumed]);
        let (slow, fast) = (hub.join(Follow::All), hub.join(Follow::All));
        assert_eq!(all(&hub, &slow), [LiveEvent::Resumed]);
        assert_eq!(all(&hub, &fast), [LiveEvent::Resumed]);
        let mut open = Vec::new();
        for number in 0..FOLLOWER_CAPACITY + 1 {
            let status = match number % 2 {
                0 => AnalysisStatus::Running,
                _ => AnalysisStatus::Failed,
            };
            let row = row(project, status);
            // Several changes of one analysis wait as one.
            put(
                &hub,
                [
                    LiveEvent::Changed(row.clone()),
                    LiveEvent::Changed(row.clone()),
                ],
            );
            assert_eq!(all(&hub, &fast), vec![LiveEvent::Changed(row.clone()); 1]);
            if row.is_open() {
                open.push(row.id);
            }
        }
        let Some(LiveEvent::Missed { discarded, .. }) = next(&hub, &slow) else {
            panic!("nothing was discarded");
        };
        assert_eq!(discarded, FOLLOWER_CAPACITY as u64 + 1);
        let mut seen = Vec::new();
        let mut events = all(&hub, &slow);
        assert_eq!(events.pop(), Some(LiveEvent::Resumed));
        for event in events {
            match event {
                LiveEvent::Changed(row) => seen.push(row.id),
                other => panic!("{other:?}"),
            }
        }
        open.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, open);
    }

    #[test]
    fn a_lost_connection_is_told_once_and_then_the_end_of_the_read() {
        let hub = Hub::default();
        put(&hub, [LiveEvent::Resumed]);
        let follower = hub.join(Follow::All);
        assert_eq!(all(&hub, &follower), [LiveEvent::Resumed]);
        put(&hub, [lost()]);
        let joined = hub.join(Follow::All);
        let row = row(ProjectId::new(), AnalysisStatus::Pending);
        put(&hub, [LiveEvent::Changed(row.clone()), LiveEvent::Resumed]);
        assert_eq!(
            all(&hub, &follower),
            [lost(), LiveEvent::Changed(row.clone()), LiveEvent::Resumed]
        );
        assert_eq!(
            all(&hub, &joined),
            [LiveEvent::Changed(row), LiveEvent::Resumed]
        );
    }

    #[test]
    fn the_state_of_an_analysis_that_has_ended_is_not_followed_by_an_older_one() {
        let hub = Hub::default();
        put(&hub, [LiveEvent::Resumed]);
        let running = row(ProjectId::new(), AnalysisStatus::Running);
        let ended = completed(&running);
        let follower = hub.join(Follow::Analysis(running.id));
        hub.deliver_ended(&follower, ended.clone());
        put(&hub, [LiveEvent::Changed(running)]);
        assert_eq!(
            all(&hub, &follower),
            [LiveEvent::Changed(ended.clone()), LiveEvent::Resumed]
        );
        put(&hub, [LiveEvent::Changed(ended.clone())]);
        assert_eq!(all(&hub, &follower), [LiveEvent::Changed(ended)]);
    }

    #[test]
    fn after_its_end_no_older_state_of_an_analysis_is_delivered() {
        let hub = Hub::default();
        put(&hub, [LiveEvent::Resumed]);
        let running = row(ProjectId::new(), AnalysisStatus::Running);
        let ended = completed(&running);
        let follower = hub.join(Follow::Analysis(running.id));
        assert_eq!(all(&hub, &follower), [LiveEvent::Resumed]);
        hub.deliver_ended(&follower, ended.clone());
        put(&hub, [LiveEvent::Changed(running.clone())]);
        assert_eq!(all(&hub, &follower), [LiveEvent::Changed(ended)]);

        // The server that took over may not have the end.
        put(&hub, [lost(), LiveEvent::Changed(running.clone())]);
        assert_eq!(all(&hub, &follower), [lost(), LiveEvent::Changed(running)]);
    }

    #[test]
    fn a_follower_that_joins_while_the_connection_is_lost_is_not_up_to_date() {
        let hub = Hub::default();
        put(&hub, [LiveEvent::Resumed]);
        put(&hub, [lost()]);
        let joined = hub.join(Follow::All);
        assert_eq!(all(&hub, &joined), []);
        put(&hub, [LiveEvent::Resumed]);
        assert_eq!(all(&hub, &joined), [LiveEvent::Resumed]);
    }
}
