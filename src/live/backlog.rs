//! The analyses that a listener has yet to read.
//!
//! [`Backlog`] decides and does no I/O. After (re)connecting it catches up: it pages through the
//! analyses that are followed and open, and reads again each one that it has delivered as open.
//! Meanwhile notifications add to `changed`. Each set is bounded; if `changed` overflows, the
//! listener catches up again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{Follow, FollowedIds, LiveAnalysis, PAGE, RECENT, StatesOf, Undelivered};
use crate::{AnalysisId, AnalysisStatus, ProjectId};

/// The bound of each set: analyses that have changed, delivered ones that are open, delivered ones
/// that have ended.
const CAPACITY: usize = 50_000;

/// Transactions that create analyses are taken to end within this time: catching up looks this far
/// back.
const LONGEST_TRANSACTION: TimeDelta = TimeDelta::minutes(10);

/// The work of one listener, and the memory of what it has delivered.
pub(crate) struct Backlog {
    follow: Follow,
    /// Analyses to read before the reader's view is complete.
    to_read: Vec<AnalysisId>,
    /// Analyses for which a notification has arrived since.
    changed: HashSet<AnalysisId>,
    /// More notifications have arrived than `changed` may hold.
    is_overrun: bool,
    /// Analyses delivered as pending or running, in the state that was delivered.
    open: BTreeMap<AnalysisId, LiveAnalysis>,
    /// Delivered analyses that have ended.
    closed: Closed,
    /// The last analysis of the previous poll for findings.
    poll_cursor: Option<AnalysisId>,
    catch_up: CatchUp,
    /// The number of analyses that are read at a time.
    page: usize,
    /// The timeline of the last server, if this role may read it.
    timeline: Option<String>,
    /// The server's time at its last response.
    pub(crate) seen_at: Option<DateTime<Utc>>,
}

/// The progress of catching up.
enum CatchUp {
    /// Analyses after this one are yet to be listed.
    After(Option<AnalysisId>),
    /// All are listed, and some are yet to be read.
    Listed,
    /// The reader's view is complete.
    Done,
}

/// The payload of a notification.
#[derive(Deserialize)]
struct Payload {
    id: AnalysisId,
    project_id: ProjectId,
}

impl Backlog {
    pub(crate) fn new(follow: Follow) -> Self {
        Self {
            follow,
            to_read: Vec::new(),
            changed: HashSet::new(),
            is_overrun: false,
            open: BTreeMap::new(),
            closed: Closed::default(),
            poll_cursor: None,
            catch_up: CatchUp::Done,
            page: PAGE,
            timeline: None,
            seen_at: None,
        }
    }

    /// Begins to catch up: all that is followed is read again, and with it what the reader has not
    /// received.
    pub(crate) fn restart(&mut self, undelivered: Undelivered) {
        let mut to_read: HashSet<_> = undelivered.changed.into_iter().collect();
        for (id, project_id) in undelivered.deleted {
            self.closed.remember(id, project_id);
            to_read.insert(id);
        }
        to_read.extend(self.to_read.drain(..));
        to_read.extend(self.changed.drain());
        to_read.extend(self.open.keys());
        self.catch_up = match self.follow {
            Follow::Analysis(id) => {
                to_read.insert(id);
                CatchUp::Listed
            }
            Follow::All | Follow::Project(_) => CatchUp::After(None),
        };
        self.to_read = to_read.into_iter().collect();
        self.is_overrun = false;
    }

    /// Adds the analysis that a notification names, if it is followed. Other payloads are ignored.
    pub(crate) fn record_notification(&mut self, payload: &str) {
        let Ok(payload) = serde_json::from_str::<Payload>(payload) else {
            return;
        };
        let is_followed = match self.follow {
            Follow::All => true,
            Follow::Project(id) => id == payload.project_id,
            Follow::Analysis(id) => id == payload.id,
        };
        if is_followed && self.changed.len() < CAPACITY {
            self.changed.insert(payload.id);
        } else if is_followed && !self.changed.contains(&payload.id) {
            self.is_overrun = true;
        }
    }

    pub(crate) fn is_overrun(&self) -> bool {
        self.is_overrun
    }

    /// Returns the next page of followed analyses to list, if there is one.
    pub(crate) fn next_page(&self) -> Option<FollowedIds> {
        let CatchUp::After(after) = self.catch_up else {
            return None;
        };
        if self.to_read.len() >= PAGE {
            return None;
        }
        Some(FollowedIds {
            project_id: self.project_id(),
            created_from: self.seen_at.map(|at| at - LONGEST_TRANSACTION),
            after,
        })
    }

    fn project_id(&self) -> Option<ProjectId> {
        match self.follow {
            Follow::Project(id) => Some(id),
            Follow::All | Follow::Analysis(_) => None,
        }
    }

    /// Returns the statement that reads these analyses.
    pub(crate) fn states_of(&self, ids: &[AnalysisId]) -> StatesOf {
        StatesOf {
            ids: ids.to_vec(),
            project_id: self.project_id(),
        }
    }

    pub(crate) fn page_loaded(&mut self, page: Vec<AnalysisId>) {
        self.catch_up = match page.last() {
            Some(last) if page.len() == PAGE => CatchUp::After(Some(*last)),
            _ => CatchUp::Listed,
        };
        self.to_read.extend(page);
    }

    /// Removes and returns the analyses to read now, at most a page.
    pub(crate) fn next_batch(&mut self) -> Vec<AnalysisId> {
        let start = self.to_read.len().saturating_sub(self.page);
        let mut ids: HashSet<_> = self.to_read.drain(start..).collect();
        let room = self.page.saturating_sub(ids.len());
        let more: Vec<_> = self.changed.iter().take(room).copied().collect();
        for id in more {
            self.changed.remove(&id);
            ids.insert(id);
        }
        ids.into_iter().collect()
    }

    /// Records that `found` is delivered as the state of `ids`. Returns the analyses that were
    /// delivered before and are gone. One that was never delivered and is gone is not reported: the
    /// reader may not be allowed to see its id.
    pub(crate) fn mark_delivered(
        &mut self,
        ids: &[AnalysisId],
        found: &[LiveAnalysis],
    ) -> Vec<(AnalysisId, ProjectId)> {
        let mut before: HashMap<_, _> = HashMap::with_capacity(ids.len());
        for id in ids {
            let was_closed = self.closed.forget(*id);
            let was_open = self.open.remove(id).map(|delivered| delivered.project_id);
            before.extend(was_open.or(was_closed).map(|project_id| (*id, project_id)));
        }
        for row in found {
            before.remove(&row.id);
            if row.is_open() && self.open.len() < CAPACITY {
                self.open.insert(row.id, row.clone());
            } else {
                self.closed.remember(row.id, row.project_id);
            }
        }
        before.into_iter().collect()
    }

    /// Records the timeline of the server. If the server may have another history than the previous
    /// one, analyses delivered within [`RECENT`] are read again, ended ones too.
    pub(crate) fn connected_to(&mut self, timeline: Option<String>) {
        if timeline.is_none() || self.timeline != timeline {
            self.to_read.extend(self.closed.since(RECENT));
        }
        self.timeline = timeline;
    }

    /// Adapts the page size to the time that reading a page took: halves it from half of the limit
    /// on, doubles it below an eighth.
    pub(crate) fn record_duration(&mut self, time: Duration, limit: Duration) {
        if time >= limit / 2 {
            self.page = (self.page / 2).max(1);
        } else if time < limit / 8 {
            self.page = (self.page * 2).min(PAGE);
        }
    }

    /// Returns a page of running analyses whose findings are to be counted, and moves the cursor
    /// on.
    pub(crate) fn findings_to_poll(&mut self) -> Vec<AnalysisId> {
        let after = self.poll_cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.open.range((after, Bound::Unbounded));
        let running = after.filter(|(_, delivered)| delivered.status == AnalysisStatus::Running);
        let ids: Vec<_> = running.map(|(id, _)| *id).take(self.page).collect();
        self.poll_cursor = ids.get(self.page - 1).copied();
        ids
    }

    pub(crate) fn is_anything_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Keeps the rows that differ from what was delivered.
    pub(crate) fn retain_changed(&self, found: &mut Vec<LiveAnalysis>) {
        found.retain(|row| self.open.get(&row.id) != Some(row));
    }

    /// Checks whether all that was to be read has been read, and if so ends catching up. Returns
    /// `true` once.
    pub(crate) fn finish_catch_up(&mut self) -> bool {
        let has_resumed = matches!(self.catch_up, CatchUp::Listed) && self.to_read.is_empty();
        if has_resumed {
            self.catch_up = CatchUp::Done;
        }
        has_resumed
    }

    /// Checks whether the reader's view has been completed.
    pub(crate) fn is_caught_up(&self) -> bool {
        matches!(self.catch_up, CatchUp::Done)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.catch_up, CatchUp::Done) && self.to_read.is_empty() && self.changed.is_empty()
    }
}

/// Delivered analyses that have ended, the last [`CAPACITY`] of them.
#[derive(Default)]
struct Closed {
    delivered: HashMap<AnalysisId, Delivered>,
    by_age: BTreeMap<u64, AnalysisId>,
    /// The number of the last one.
    last: u64,
}

struct Delivered {
    project_id: ProjectId,
    number: u64,
    at: Instant,
}

impl Closed {
    fn remember(&mut self, id: AnalysisId, project_id: ProjectId) {
        self.forget(id);
        if self.delivered.len() >= CAPACITY
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.delivered.remove(&oldest);
        }
        self.last += 1;
        self.by_age.insert(self.last, id);
        let delivered = Delivered {
            project_id,
            number: self.last,
            at: Instant::now(),
        };
        self.delivered.insert(id, delivered);
    }

    fn forget(&mut self, id: AnalysisId) -> Option<ProjectId> {
        let delivered = self.delivered.remove(&id)?;
        self.by_age.remove(&delivered.number);
        Some(delivered.project_id)
    }

    /// Returns the analyses delivered within this time.
    fn since(&self, time: Duration) -> impl Iterator<Item = AnalysisId> {
        let delivered = self.delivered.iter();
        delivered.filter_map(move |(id, one)| (one.at.elapsed() <= time).then_some(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(id: AnalysisId, project_id: ProjectId) -> String {
        format!(r#"{{"id": "{id}", "project_id": "{project_id}", "status": "new word"}}"#)
    }

    #[test]
    fn only_notifications_of_followed_analyses_are_recorded() {
        let (analysis, project) = (AnalysisId::new(), ProjectId::new());
        for (follow, expected) in [
            (Follow::All, 2),
            (Follow::Project(project), 1),
            (Follow::Analysis(analysis), 1),
        ] {
            let mut backlog = Backlog::new(follow);
            backlog.record_notification(&note(analysis, project));
            backlog.record_notification(&note(AnalysisId::new(), ProjectId::new()));
            backlog.record_notification("not ours");
            assert_eq!(backlog.next_batch().len(), expected, "{follow:?}");
        }
    }

    #[test]
    fn an_overflow_of_notifications_is_noticed() {
        let mut backlog = Backlog::new(Follow::All);
        let project = ProjectId::new();
        let first = AnalysisId::new();
        backlog.record_notification(&note(first, project));
        for _ in 1..CAPACITY {
            backlog.record_notification(&note(AnalysisId::new(), project));
        }
        backlog.record_notification(&note(first, project));
        assert!(!backlog.is_overrun());
        for _ in 0..CAPACITY {
            backlog.record_notification(&note(AnalysisId::new(), project));
        }
        assert!(backlog.is_overrun());
        assert_eq!(backlog.changed.len(), CAPACITY);
        backlog.restart(Undelivered::default());
        assert!(!backlog.is_overrun() && backlog.changed.is_empty());
    }

    fn row(status: AnalysisStatus) -> LiveAnalysis {
        LiveAnalysis {
            id: AnalysisId::new(),
            project_id: ProjectId::new(),
            r#type: crate::AnalysisType::Quality,
            status,
            progress: 0,
            findings: 0,
        }
    }

    #[test]
    fn only_delivered_analyses_are_reported_as_deleted_and_once() {
        let mut backlog = Backlog::new(Follow::All);
        let (open, ended) = (row(AnalysisStatus::Running), row(AnalysisStatus::Completed));
        let (ids, stranger) = ([open.id, ended.id], AnalysisId::new());
        assert!(
            backlog
                .mark_delivered(&ids, &[open.clone(), ended.clone()])
                .is_empty()
        );
        let mut deleted = backlog.mark_delivered(&[ids[0], ids[1], stranger], &[]);
        deleted.sort_unstable_by_key(|(id, _)| *id == ended.id);
        let expected = [(open.id, open.project_id), (ended.id, ended.project_id)];
        assert_eq!(deleted, expected);
        assert!(backlog.mark_delivered(&ids, &[]).is_empty());

        // The connection was lost before the reader took the events: they are looked up and
        // reported again.
        let undelivered = Undelivered {
            changed: Vec::new(),
            deleted: expected.to_vec(),
        };
        backlog.restart(undelivered);
        assert_eq!(backlog.next_batch().len(), 2);
        assert_eq!(backlog.mark_delivered(&ids, &[]).len(), 2);
    }

    #[test]
    fn another_timeline_makes_recent_analyses_be_read_again() {
        let mut backlog = Backlog::new(Follow::All);
        backlog.connected_to(Some("00000001".to_owned()));
        let ended = row(AnalysisStatus::Completed);
        backlog.mark_delivered(&[ended.id], std::slice::from_ref(&ended));
        for (timeline, expected) in [(Some("00000001"), 0), (Some("00000002"), 1), (None, 1)] {
            backlog.restart(Undelivered::default());
            backlog.connected_to(timeline.map(str::to_owned));
            assert_eq!(backlog.next_batch().len(), expected, "{timeline:?}");
        }
    }

    #[test]
    fn pages_shrink_while_the_server_is_slow() {
        let mut backlog = Backlog::new(Follow::All);
        let limit = Duration::from_secs(8);
        for (seconds, page) in [(8, PAGE / 2), (4, PAGE / 4), (2, PAGE / 4), (0, PAGE / 2)] {
            backlog.record_duration(Duration::from_secs(seconds), limit);
            assert_eq!(backlog.page, page);
        }
        for _ in 0..20 {
            backlog.record_duration(limit, limit);
        }
        assert_eq!(backlog.page, 1);
        for _ in 0..20 {
            backlog.record_duration(Duration::ZERO, limit);
        }
        assert_eq!(backlog.page, PAGE);
    }

    #[test]
    fn the_memory_of_ended_analyses_is_bounded() {
        let mut closed = Closed::default();
        let project = ProjectId::new();
        let ids: Vec<_> = (0..CAPACITY + 3).map(|_| AnalysisId::new()).collect();
        for id in ids.iter().chain(&ids[3..10]) {
            closed.remember(*id, project);
        }
        assert_eq!(
            (closed.delivered.len(), closed.by_age.len()),
            (CAPACITY, CAPACITY)
        );
        assert_eq!(closed.since(Duration::from_secs(3600)).count(), CAPACITY);
        assert_eq!(closed.forget(ids[2]), None);
        assert_eq!(closed.forget(ids[3]), Some(project));
        assert_eq!(
            (closed.delivered.len(), closed.by_age.len()),
            (CAPACITY - 1, CAPACITY - 1)
        );
    }
}
