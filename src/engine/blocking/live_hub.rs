//! Live progress in the blocking engine: one connection for many followers.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Db, Live};
use crate::live::{EventQueue, Follow, Follower, Hub, LiveAnalysis, LiveEvent, StatesOf};
use crate::sql::Sql;
use crate::{AnalysisId, Result};

/// One connection for any number of followers of live progress.
///
/// [`Db::live`] creates it. Its clones share the connection. That is closed when the last clone
/// and the last [`LiveFollower`] are dropped.
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
#[derive(Clone)]
pub struct LiveHub(Arc<Inside>);

struct Inside {
    hub: Arc<Hub>,
    /// Ends the listener when it is dropped.
    _live: Live,
    db: Db,
}

impl Db {
    /// Opens a connection to the same server by which any number of followers follow analyses: see
    /// [`LiveHub`].
    ///
    /// [`follow`](Self::follow) describes the connection, and what notifications cost.
    ///
    /// # Errors
    /// As [`Live::follow`].
    pub fn live(&self) -> Result<LiveHub> {
        let hub = Arc::<Hub>::default();
        let queue = Arc::new(EventQueue::of_hub(Arc::clone(&hub)));
        let live = Live::follow_into(self.config(), Follow::All, queue)?;
        Ok(LiveHub(Arc::new(Inside {
            hub,
            _live: live,
            db: self.clone(),
        })))
    }

    fn live_state(&self, id: AnalysisId) -> Result<Option<LiveAnalysis>> {
        let states = StatesOf {
            ids: vec![id],
            project_id: None,
        };
        self.executor().first(Sql(states))
    }
}

impl LiveHub {
    /// Begins to follow. No connection is opened.
    ///
    /// The follower begins with one [`Changed`](LiveEvent::Changed) for each followed analysis that
    /// is pending or running, as the hub has it, and then [`Resumed`](LiveEvent::Resumed). A change
    /// of the last moment may come after that. To follow one analysis, its
    /// state is read on a connection of the pool, so that it is delivered also if the analysis has
    /// ended. Every change that begins after this returns is delivered.
    ///
    /// # Errors
    /// - the errors of a read, for [`Follow::Analysis`] only
    pub fn follow(&self, follow: Follow) -> Result<LiveFollower> {
        let follower = self.0.hub.join(follow);
        if let Follow::Analysis(id) = follow
            && let Some(row) = self.0.db.live_state(id)?
        {
            self.0.hub.deliver_ended(&follower, row);
        }
        let inside = Arc::clone(&self.0);
        Ok(LiveFollower { follower, inside })
    }

    /// Returns the number of followers.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.0.hub.followers()
    }
}

impl fmt::Debug for LiveHub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hub = formatter.debug_struct("LiveHub");
        hub.field("followers", &self.followers()).finish()
    }
}

/// An iterator of the changes that one follower of a [`LiveHub`] receives. It does not end.
///
/// Events are those of [`Live`](super::Live), with two differences. At most 1,000 wait for a slow
/// reader: then they are discarded, [`LiveEvent::Missed`] has their number, and the follower begins
/// anew. And an analysis that was created and has ended before the follower began is not delivered,
/// but its deletion may be.
///
/// [`next_within`](Self::next_within) waits for a limited time. No follower waits for another.
pub struct LiveFollower {
    follower: Arc<Follower>,
    inside: Arc<Inside>,
}

impl LiveFollower {
    /// Waits for the next event for at most this time.
    pub fn next_within(&mut self, timeout: Duration) -> Option<LiveEvent> {
        let deadline = Instant::now().checked_add(timeout);
        self.follower.wait(&self.inside.hub, deadline)
    }

    /// Returns the number of events that wait to be taken, without the states with which the
    /// follower begins.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.follower.waiting()
    }
}

impl fmt::Debug for LiveFollower {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut follower = formatter.debug_struct("LiveFollower");
        follower.field("waiting", &self.waiting()).finish()
    }
}

impl Iterator for LiveFollower {
    type Item = LiveEvent;

    fn next(&mut self) -> Option<LiveEvent> {
        self.follower.wait(&self.inside.hub, None)
    }
}
