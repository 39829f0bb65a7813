//! What a listener still has to read for its reader.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{Follow, FollowedIds, LiveAnalysis, PAGE};
use crate::{AnalysisId, AnalysisStatus, ProjectId};

/// How many analyses that have changed are remembered for a slow reader, and how many that were told as pending or
/// running.
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
    /// The last whose findings were counted although nothing was heard of it.
    glanced_at: Option<AnalysisId>,
    resuming: Resuming,
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
            glanced_at: None,
            resuming: Resuming::Done,
            seen_at: None,
        }
    }

    /// Everything is to be read again, these too.
    pub(crate) fn resume(&mut self, unheard: Vec<AnalysisId>) {
        let mut backlog: HashSet<_> = unheard.into_iter().collect();
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
            project_id: match self.follow {
                Follow::Project(id) => Some(id),
                Follow::All | Follow::Analysis(_) => None,
            },
            created_from: self.seen_at.map(|at| at - LONGEST_TRANSACTION),
            after,
        })
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
        let start = self.backlog.len().saturating_sub(PAGE);
        let mut ids: HashSet<_> = self.backlog.drain(start..).collect();
        let room = PAGE.saturating_sub(ids.len());
        let more: Vec<_> = self.changed.iter().take(room).copied().collect();
        for id in more {
            self.changed.remove(&id);
            ids.insert(id);
        }
        ids.into_iter().collect()
    }

    /// These were read.
    pub(crate) fn told(&mut self, ids: &[AnalysisId], found: &[LiveAnalysis]) {
        for id in ids {
            self.open.remove(id);
        }
        let open = found.iter().filter(|row| row.is_open());
        for row in open.take(KEPT - self.open.len().min(KEPT)) {
            self.open.insert(row.id, row.clone());
        }
    }

    /// Those that run, for a glance at what they have found since they were told: so many of them, and the next ones the
    /// next time.
    pub(crate) fn running(&mut self) -> Vec<AnalysisId> {
        let after = self.glanced_at.map_or(Bound::Unbounded, Bound::Excluded);
        let after = self.open.range((after, Bound::Unbounded));
        let running = after.filter(|(_, told)| told.status == AnalysisStatus::Running);
        let ids: Vec<_> = running.map(|(id, _)| *id).take(PAGE).collect();
        self.glanced_at = ids.get(PAGE - 1).copied();
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
        todo.resume(Vec::new());
        assert!(!todo.is_overrun() && todo.changed.is_empty());
    }
}
