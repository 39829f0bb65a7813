//! A follower of a hub as an iterator.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::following::Inside;
use crate::live::{Follower, LiveEvent};

/// An iterator of the changes that one follower of a [`LiveHub`](super::LiveHub) receives. It does
/// not end.
///
/// Events are those of [`Live`](super::Live), with two differences. At most 1,000 wait for a slow
/// reader: then they are discarded, [`LiveEvent::Missed`] has their number, and the follower reads
/// all states again. And an analysis that was created and has ended before the follower began is
/// not delivered, but its deletion may be.
///
/// [`next_within`](Self::next_within) waits for a limited time. No follower waits for another.
///
/// # Examples
/// ```no_run
/// # fn example(db: wundr_db::blocking::Db, project: wundr_db::ProjectId) -> wundr_db::Result<()> {
/// use wundr_db::{Follow, LiveEvent};
///
/// let hub = db.live()?;
/// for event in hub.follow(Follow::Project(project))? {
///     match event {
///         LiveEvent::Changed(analysis) => println!("{}: {} %", analysis.id, analysis.progress),
///         LiveEvent::Missed { discarded, .. } => println!("{discarded} events were discarded"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct LiveFollower {
    pub(super) follower: Arc<Follower>,
    pub(super) inside: Arc<Inside>,
}

impl LiveFollower {
    /// Waits for the next event for at most this time.
    pub fn next_within(&mut self, timeout: Duration) -> Option<LiveEvent> {
        let deadline = Instant::now().checked_add(timeout);
        self.follower.wait(&self.inside.hub, deadline)
    }
}

impl Iterator for LiveFollower {
    type Item = LiveEvent;

    fn next(&mut self) -> Option<LiveEvent> {
        self.follower.wait(&self.inside.hub, None)
    }
}
