//! Live progress: one connection for many followers.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::*;
use crate::live::{EventQueue, Follow, Hub, LiveAnalysis, StatesOf};
use crate::sql::Sql;
use crate::{AnalysisId, Result};

/// One connection for any number of followers of live progress.
///
/// [`Db::live`] creates it. Its clones share the connection. That is closed when the last clone
/// and the last [`LiveFollower`] are dropped.
///
/// # Examples
/// ```no_run
/// # async fn example(db: wundr_db::Db, project: wundr_db::ProjectId) -> wundr_db::Result<()> {
/// use futures_util::StreamExt;
/// use wundr_db::{Follow, LiveEvent};
///
/// let hub = db.live().await?;
/// let mut follower = hub.follow(Follow::Project(project)).await?;
/// while let Some(event) = follower.next().await {
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

/// What the clones of a hub and its followers share.
pub struct Inside {
    pub(in super::super) hub: Arc<Hub>,
    /// The listener, which ends when this is dropped.
    #[allow(dead_code, reason = "the blocking engine only drops it")]
    pub(in super::super) live: Mutex<Live>,
    db: Db,
}

#[repository]
impl Db {
    /// Opens a connection to the same server by which any number of followers follow analyses: see
    /// [`LiveHub`].
    ///
    /// [`follow`](Self::follow) describes the connection, and what notifications cost.
    ///
    /// # Errors
    /// The same as [`Live::follow`].
    #[unboxed]
    pub async fn live(&self) -> Result<LiveHub> {
        let hub = Arc::<Hub>::default();
        let queue = Arc::new(EventQueue::of_hub(Arc::clone(&hub)));
        let live = Live::follow_into(self.config(), Follow::All, queue).await?;
        Ok(LiveHub(Arc::new(Inside {
            hub,
            live: Mutex::new(live),
            db: self.clone(),
        })))
    }

    #[unboxed]
    async fn live_state(&self, id: AnalysisId) -> Result<Option<LiveAnalysis>> {
        let states = StatesOf {
            ids: vec![id],
            project_id: None,
        };
        self.executor().first(Sql(states)).await
    }
}

#[repository]
impl LiveHub {
    /// Begins to follow. No connection is opened.
    ///
    /// The follower begins with one [`Changed`](crate::LiveEvent::Changed) for each followed
    /// analysis that is pending or running, as the hub has it, and then
    /// [`Resumed`](crate::LiveEvent::Resumed). A change of the last moment may arrive after that.
    /// To follow one analysis, its state is read on a connection of the pool, so that it is
    /// delivered also if the analysis has ended. Every change that begins after this returns is
    /// delivered.
    ///
    /// # Errors
    /// - the errors of a read, for [`Follow::Analysis`] only
    #[unboxed]
    pub async fn follow(&self, follow: Follow) -> Result<LiveFollower> {
        let follower = self.0.hub.join(follow);
        if let Follow::Analysis(id) = follow
            && let Some(row) = self.0.db.live_state(id).await?
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

impl LiveFollower {
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
