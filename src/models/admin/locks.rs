//! The sessions that wait for locks, and those that block them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::monitoring::{PG_MONITOR, Thresholds, Warning, exceeds, seconds};
use crate::models::statement_names::statement_name;

/// The sessions that wait for locks in the database, and the sessions that block them.
///
/// A session that blocks others and does not wait comes first, followed by the sessions that wait
/// behind it. Each session appears once. Sessions in a deadlock come last; PostgreSQL ends it after
/// `deadlock_timeout`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Locks {
    /// The sessions.
    pub sessions: Vec<LockSession>,
    /// The number of sessions of which only the process and the role are visible.
    pub hidden: u64,
}

/// A session that waits for a lock or blocks another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LockSession {
    /// The process; 0 for a prepared transaction.
    pub pid: i32,
    /// The number of sessions between it and the one at the head of its queue. `None` in a
    /// deadlock.
    #[serde(skip_deserializing)]
    pub depth: Option<u32>,
    /// The processes that it waits for, by a lock that they hold or wait for before it.
    #[serde(default)]
    pub blocked_by: Vec<i32>,
    /// The number of sessions that wait for it, directly or behind others.
    #[serde(skip_deserializing)]
    pub blocks: u32,
    /// The mode of the lock that it waits for, and its object: `AccessExclusiveLock on
    /// public.projects`.
    pub waits_for: Option<String>,
    /// The time in seconds for which it has waited.
    pub wait_seconds: Option<f64>,
    /// The role.
    pub role: Option<String>,
    /// The name that the application gave itself.
    pub application: Option<String>,
    /// The state, for example `active` or `idle in transaction`. `None` if it is hidden.
    pub state: Option<String>,
    /// The age of the transaction in seconds.
    pub transaction_seconds: Option<f64>,
    /// The text of the statement that runs, or that ran last. It may contain values.
    pub query: Option<String>,
    /// The name of the statement, if it is one of this crate's and its text is complete.
    #[serde(skip_deserializing)]
    pub name: Option<&'static str>,
}

/// The sessions in no order, as the server reports them.
#[derive(Debug, Deserialize)]
pub(crate) struct Unordered {
    sessions: Vec<LockSession>,
    hidden: u64,
}

impl From<Unordered> for Locks {
    fn from(unordered: Unordered) -> Self {
        Self {
            sessions: in_queues(unordered.sessions),
            hidden: unordered.hidden,
        }
    }
}

/// Orders the sessions by their queues.
///
/// A session that waits behind many has an edge to each of them. A walk along all paths would
/// therefore take exponential time. This one visits each session once, breadth first, so that each
/// is attached to the blocker that is nearest to the head.
fn in_queues(sessions: Vec<LockSession>) -> Vec<LockSession> {
    let mut sessions: BTreeMap<i32, LockSession> = sessions
        .into_iter()
        .map(|session| (session.pid, session))
        .collect();
    let mut waiting_for: BTreeMap<i32, BTreeSet<i32>> = BTreeMap::new();
    for session in sessions.values() {
        for blocker in &session.blocked_by {
            waiting_for.entry(*blocker).or_default().insert(session.pid);
        }
    }
    let behind = |pid: i32| waiting_for.get(&pid).into_iter().flatten().copied();
    let pids: Vec<i32> = sessions.keys().copied().collect();
    for pid in &pids {
        let (mut reached, mut queue) = (BTreeSet::new(), VecDeque::from([*pid]));
        while let Some(next) = queue.pop_front() {
            for waiter in behind(next) {
                if waiter != *pid && reached.insert(waiter) {
                    queue.push_back(waiter);
                }
            }
        }
        if let Some(session) = sessions.get_mut(pid) {
            session.blocks = u32::try_from(reached.len()).unwrap_or(u32::MAX);
            session.name = session.query.as_deref().and_then(statement_name);
        }
    }
    let mut heads: Vec<&LockSession> = sessions
        .values()
        .filter(|session| session.blocked_by.is_empty() && session.blocks > 0)
        .collect();
    heads.sort_by_key(|head| std::cmp::Reverse(head.blocks));
    let heads: Vec<i32> = heads.into_iter().map(|head| head.pid).collect();
    let mut queue: VecDeque<(i32, u32)> = heads.iter().map(|pid| (*pid, 0)).collect();
    let mut attached: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut depths: BTreeMap<i32, u32> = heads.iter().map(|pid| (*pid, 0)).collect();
    while let Some((pid, depth)) = queue.pop_front() {
        for waiter in behind(pid) {
            if let std::collections::btree_map::Entry::Vacant(entry) = depths.entry(waiter) {
                entry.insert(depth + 1);
                attached.entry(pid).or_default().push(waiter);
                queue.push_back((waiter, depth + 1));
            }
        }
    }
    let mut ordered = Vec::with_capacity(sessions.len());
    let mut next: Vec<i32> = heads.into_iter().rev().collect();
    while let Some(pid) = next.pop() {
        next.extend(attached.get(&pid).into_iter().flatten().rev());
        if let Some(mut session) = sessions.remove(&pid) {
            session.depth = depths.get(&pid).copied();
            ordered.push(session);
        }
    }
    // A blocker that has ended between the reads has no waiter any more.
    ordered.extend(
        sessions
            .into_values()
            .filter(|session| !session.blocked_by.is_empty()),
    );
    ordered
}

impl Locks {
    /// Returns the role that is needed to see the hidden sessions. `None` if none is hidden.
    #[must_use]
    pub fn needs(&self) -> Option<&'static str> {
        (self.hidden > 0).then_some(PG_MONITOR)
    }

    /// Returns what exceeds the thresholds: `lock_wait`, one warning for each session that waits
    /// too long.
    #[must_use]
    pub fn warnings(&self, thresholds: &Thresholds) -> Vec<Warning> {
        let waiting = self.sessions.iter().filter_map(|session| {
            let wait = exceeds(session.wait_seconds, thresholds.lock_wait)?;
            let application = session.application.as_deref().unwrap_or_default();
            Some(Warning::new(
                "lock_wait",
                format!("{application} (process {})", session.pid),
                format!(
                    "{} for {}",
                    seconds(wait),
                    session.waits_for.as_deref().unwrap_or("a lock")
                ),
                "find the session at the head of its queue in Locks, and end its transaction",
            ))
        });
        waiting.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(pid: i32, blocked_by: &[i32]) -> LockSession {
        let text = format!(
            r#"{{"pid": {pid}, "blocked_by": {blocked_by:?}, "waits_for": null, "wait_seconds": null, "role": null,
                "application": null, "state": null, "transaction_seconds": null, "query": null}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn order(sessions: Vec<LockSession>) -> Vec<(i32, Option<u32>, u32)> {
        in_queues(sessions)
            .into_iter()
            .map(|session| (session.pid, session.depth, session.blocks))
            .collect()
    }

    #[test]
    fn a_queue_follows_the_session_at_its_head() {
        let sessions = vec![
            session(4, &[2]),
            session(2, &[9]),
            session(9, &[]),
            session(5, &[2]),
            session(7, &[8]),
            session(8, &[]),
        ];
        assert_eq!(
            order(sessions),
            [
                (9, Some(0), 3),
                (2, Some(1), 2),
                (4, Some(2), 0),
                (5, Some(2), 0),
                (8, Some(0), 1),
                (7, Some(1), 0)
            ]
        );
    }

    #[test]
    fn a_long_queue_of_exclusive_locks_is_ordered_at_once() {
        let waiting = (1..=200).map(|pid| session(pid, &(0..pid).collect::<Vec<_>>()));
        let ordered = order(waiting.chain([session(0, &[])]).collect());
        assert_eq!(ordered.len(), 201);
        assert_eq!(ordered[0], (0, Some(0), 200));
    }

    #[test]
    fn a_deadlock_comes_last() {
        let sessions = vec![session(1, &[2]), session(2, &[1]), session(3, &[4])];
        let ordered = order(sessions);
        assert_eq!(ordered, [(1, None, 1), (2, None, 1), (3, None, 0)]);
    }
}
