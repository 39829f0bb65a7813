//! What a listener still has to read for its reader.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{Follow, FollowedIds, LATELY, LiveAnalysis, PAGE, StatesOf, Unheard};
use crate::{AnalysisId, AnalysisStatus, ProjectId};

/// How many analyses that have changed are remembered for a slow reader, how many that were told as pending or running,
/// and how many others that were told.
const KEPT: usize = 50_000;

/// How much longer than this a transaction may have run whose new analyses were not heard of.
const LONGEST_TRANSACTION: TimeDelta = TimeDelta::minutes(10);

pub(crate) struct Todo {
    follow: Follow,
    /// To be read before the view is right.
    backlog: Vec<AnalysisId>,
    /// Changed since.
    changed: HashSet<AnalysisId>,
    /// More than that have changed.
    is_overrun: bool,
    /// Told as pending or running, as they were told.
    open: BTreeMap<AnalysisId, LiveAnalysis>,
    /// The others that were told.
    closed: Closed,
    /// The last whose findings were counted although nothing was heard of it.
    glanced_at: Option<AnalysisId>,
    resuming: Resuming,
    /// How many analyses are read at a time.
    page: usize,
    /// The timeline of the server that was listened to last, if it said.
    timeline: Option<String>,
    /// The server's time at its last sign of life.
    pub(crate) seen_at: Option<DateTime<Utc>>,
}

/// How far the followed analyses were looked up.
enum Resuming {
    After(Option<AnalysisId>),
    Listed,
    Done,
}

/// What a notification says.
#[derive(Deserialize)]
struct Note {
    id: AnalysisId,
    project_id: ProjectId,
}

impl Todo {
    pub(crate) fn new(follow: Follow) -> Self {
        Self {
            follow,
            backlog: Vec::new(),
            changed: HashSet::new(),
            is_overrun: false,
            open: BTreeMap::new(),
            closed: Closed::default(),
            glanced_at: None,
            resuming: Resuming::Done,
            page: PAGE,
            timeline: None,
            seen_at: None,
        }
    }

    /// Everything is to be read again, these too.
    pub(crate) fn resume(&mut self, unheard: Unheard) {
        let mut backlog: HashSet<_> = unheard.changed.into_iter().collect();
        for (id, project_id) in unheard.deleted {
            self.closed.remember(id, project_id);
            backlog.insert(id);
        }
        backlog.extend(self.backlog.drain(..));
        backlog.extend(self.changed.drain());
        backlog.extend(self.open.keys());
        self.resuming = match self.follow {
            Follow::Analysis(id) => {
                backlog.insert(id);
                Resuming::Listed
            }
            Follow::All | Follow::Project(_) => Resuming::After(None),
        };
        self.backlog = backlog.into_iter().collect();
        self.is_overrun = false;
    }

    /// A notification has come.
    pub(crate) fn note(&mut self, payload: &str) {
        let Ok(note) = serde_json::from_str::<Note>(payload) else {
            return;
        };
        let is_followed = match self.follow {
            Follow::All => true,
            Follow::Project(id) => id == note.project_id,
            Follow::Analysis(id) => id == note.id,
        };
        if is_followed && self.changed.len() < KEPT {
            self.changed.insert(note.id);
        } else if is_followed && !self.changed.contains(&note.id) {
            self.is_overrun = true;
        }
    }

    pub(crate) fn is_overrun(&self) -> bool {
        self.is_overrun
    }

    /// The next of the followed analyses to look up, if there are more.
    pub(crate) fn next_page(&self) -> Option<FollowedIds> {
        let Resuming::After(after) = self.resuming else {
            return None;
        };
        if self.backlog.len() >= PAGE {
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

    /// The question what became of these.
    pub(crate) fn states_of(&self, ids: &[AnalysisId]) -> StatesOf {
        StatesOf {
            ids: ids.to_vec(),
            project_id: self.project_id(),
        }
    }

    pub(crate) fn listed(&mut self, page: Vec<AnalysisId>) {
        self.resuming = match page.last() {
            Some(last) if page.len() == PAGE => Resuming::After(Some(*last)),
            _ => Resuming::Listed,
        };
        self.backlog.extend(page);
    }

    /// What to read now.
    pub(crate) fn take(&mut self) -> Vec<AnalysisId> {
        let start = self.backlog.len().saturating_sub(self.page);
        let mut ids: HashSet<_> = self.backlog.drain(start..).collect();
        let room = self.page.saturating_sub(ids.len());
        let more: Vec<_> = self.changed.iter().take(room).copied().collect();
        for id in more {
            self.changed.remove(&id);
            ids.insert(id);
        }
        ids.into_iter().collect()
    }

    /// These were read. Returns those of them that were told before and are no more; what was never told and is not
    /// found is none of the reader's business.
    pub(crate) fn told(
        &mut self,
        ids: &[AnalysisId],
        found: &[LiveAnalysis],
    ) -> Vec<(AnalysisId, ProjectId)> {
        let mut before: HashMap<_, _> = HashMap::with_capacity(ids.len());
        for id in ids {
            let was_closed = self.closed.forget(*id);
            let was_open = self.open.remove(id).map(|told| told.project_id);
            before.extend(was_open.or(was_closed).map(|project_id| (*id, project_id)));
        }
        for row in found {
            before.remove(&row.id);
            if row.is_open() && self.open.len() < KEPT {
                self.open.insert(row.id, row.clone());
            } else {
                self.closed.remember(row.id, row.project_id);
            }
        }
        before.into_iter().collect()
    }

    /// The server that is listened to now. If it may have another history than the one before, what was told lately is
    /// to be read again, whatever its state was.
    pub(crate) fn listening_to(&mut self, timeline: Option<String>) {
        if timeline.is_none() || self.timeline != timeline {
            self.backlog.extend(self.closed.since(LATELY));
        }
        self.timeline = timeline;
    }

    /// Reading a page has taken this long: reads fewer at a time where the server needs half of the limit or more, and
    /// more again where it does not.
    pub(crate) fn took(&mut self, time: Duration, limit: Duration) {
        if time >= limit / 2 {
            self.page = (self.page / 2).max(1);
        } else if time < limit / 8 {
            self.page = (self.page * 2).min(PAGE);
        }
    }

    /// Those that run, for a glance at what they have found since they were told: so many of them, and the next ones the
    /// next time.
    pub(crate) fn running(&mut self) -> Vec<AnalysisId> {
        let after = self.glanced_at.map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.open.range((after, Bound::Unbounded));
        let running = after.filter(|(_, told)| told.status == AnalysisStatus::Running);
        let ids: Vec<_> = running.map(|(id, _)| *id).take(self.page).collect();
        self.glanced_at = ids.get(self.page - 1).copied();
        ids
    }

    pub(crate) fn is_anything_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Leaves of what was found what was not told.
    pub(crate) fn only_news(&self, found: &mut Vec<LiveAnalysis>) {
        found.retain(|row| self.open.get(&row.id) != Some(row));
    }

    /// Tells once when everything that was to be read again has been.
    pub(crate) fn has_resumed(&mut self) -> bool {
        let has_resumed = matches!(self.resuming, Resuming::Listed) && self.backlog.is_empty();
        if has_resumed {
            self.resuming = Resuming::Done;
        }
        has_resumed
    }

    /// Whether there is nothing left from before.
    pub(crate) fn is_resumed(&self) -> bool {
        matches!(self.resuming, Resuming::Done)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.resuming, Resuming::Done)
            && self.backlog.is_empty()
            && self.changed.is_empty()
    }
}

/// Analyses that were told, neither pending nor running: the last [`KEPT`] of them.
#[derive(Default)]
struct Closed {
    told: HashMap<AnalysisId, Told>,
    by_turn: BTreeMap<u64, AnalysisId>,
    turn: u64,
}

struct Told {
    project_id: ProjectId,
    turn: u64,
    at: Instant,
}

impl Closed {
    fn remember(&mut self, id: AnalysisId, project_id: ProjectId) {
        self.forget(id);
        if self.told.len() >= KEPT
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            self.told.remove(&oldest);
        }
        self.turn += 1;
        self.by_turn.insert(self.turn, id);
        let (turn, at) = (self.turn, Instant::now());
        let told = Told {
            project_id,
            turn,
            at,
        };
        self.told.insert(id, told);
    }

    fn forget(&mut self, id: AnalysisId) -> Option<ProjectId> {
        let told = self.told.remove(&id)?;
        self.by_turn.remove(&told.turn);
        Some(told.project_id)
    }

    fn since(&self, lately: Duration) -> impl Iterator<Item = AnalysisId> {
        let is_late = move |told: &Told| told.at.elapsed() <= lately;
        let told = self.told.iter();
        told.filter_map(move |(id, told)| is_late(told).then_some(*id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(id: AnalysisId, project_id: ProjectId) -> String {
        format!(r#"{{"id": "{id}", "project_id": "{project_id}", "status": "new word"}}"#)
    }

    #[test]
    fn only_what_is_followed_is_noted() {
        let (analysis, project) = (AnalysisId::new(), ProjectId::new());
        for (follow, expected) in [
            (Follow::All, 2),
            (Follow::Project(project), 1),
            (Follow::Analysis(analysis), 1),
        ] {
            let mut todo = Todo::new(follow);
            todo.note(&note(analysis, project));
            todo.note(&note(AnalysisId::new(), ProjectId::new()));
            todo.note("not ours");
            assert_eq!(todo.take().len(), expected, "{follow:?}");
        }
    }

    #[test]
    fn more_than_is_kept_is_known_to_be_missed() {
        let mut todo = Todo::new(Follow::All);
        let project = ProjectId::new();
        let first = AnalysisId::new();
        todo.note(&note(first, project));
        for _ in 1..KEPT {
            todo.note(&note(AnalysisId::new(), project));
        }
        todo.note(&note(first, project));
        assert!(!todo.is_overrun());
        for _ in 0..KEPT {
            todo.note(&note(AnalysisId::new(), project));
        }
        assert!(todo.is_overrun());
        assert_eq!(todo.changed.len(), KEPT);
        todo.resume(Unheard::default());
        assert!(!todo.is_overrun() && todo.changed.is_empty());
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
    fn only_what_was_told_is_told_as_deleted_and_once() {
        let mut todo = Todo::new(Follow::All);
        let (open, ended) = (row(AnalysisStatus::Running), row(AnalysisStatus::Completed));
        let (ids, stranger) = ([open.id, ended.id], AnalysisId::new());
        assert!(todo.told(&ids, &[open.clone(), ended.clone()]).is_empty());
        let mut deleted = todo.told(&[ids[0], ids[1], stranger], &[]);
        deleted.sort_unstable_by_key(|(id, _)| *id == ended.id);
        let expected = [(open.id, open.project_id), (ended.id, ended.project_id)];
        assert_eq!(deleted, expected);
        assert!(todo.told(&ids, &[]).is_empty());

        // The reader has not taken it when the connection was lost: it is looked up and told again.
        let unheard = Unheard {
            changed: Vec::new(),
            deleted: expected.to_vec(),
        };
        todo.resume(unheard);
        assert_eq!(todo.take().len(), 2);
        assert_eq!(todo.told(&ids, &[]).len(), 2);
    }

    #[test]
    fn another_timeline_brings_what_was_told_lately_up_again() {
        let mut todo = Todo::new(Follow::All);
        todo.listening_to(Some("00000001".to_owned()));
        let ended = row(AnalysisStatus::Completed);
        todo.told(&[ended.id], std::slice::from_ref(&ended));
        for (timeline, expected) in [(Some("00000001"), 0), (Some("00000002"), 1), (None, 1)] {
            todo.resume(Unheard::default());
            todo.listening_to(timeline.map(str::to_owned));
            assert_eq!(todo.take().len(), expected, "{timeline:?}");
        }
    }

    #[test]
    fn fewer_are_read_at_a_time_where_the_server_is_slow() {
        let mut todo = Todo::new(Follow::All);
        let limit = Duration::from_secs(8);
        for (seconds, page) in [(8, PAGE / 2), (4, PAGE / 4), (2, PAGE / 4), (0, PAGE / 2)] {
            todo.took(Duration::from_secs(seconds), limit);
            assert_eq!(todo.page, page);
        }
        for _ in 0..20 {
            todo.took(limit, limit);
        }
        assert_eq!(todo.page, 1);
        for _ in 0..20 {
            todo.took(Duration::ZERO, limit);
        }
        assert_eq!(todo.page, PAGE);
    }

    #[test]
    fn what_has_ended_is_remembered_within_a_bound() {
        let mut closed = Closed::default();
        let project = ProjectId::new();
        let ids: Vec<_> = (0..KEPT + 3).map(|_| AnalysisId::new()).collect();
        for id in ids.iter().chain(&ids[3..10]) {
            closed.remember(*id, project);
        }
        assert_eq!((closed.told.len(), closed.by_turn.len()), (KEPT, KEPT));
        assert_eq!(closed.since(Duration::from_secs(3600)).count(), KEPT);
        assert_eq!(closed.forget(ids[2]), None);
        assert_eq!(closed.forget(ids[3]), Some(project));
        assert_eq!(
            (closed.told.len(), closed.by_turn.len()),
            (KEPT - 1, KEPT - 1)
        );
    }
}
