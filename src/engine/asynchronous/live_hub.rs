//! Live progress in the async engine: one connection for many followers.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::Stream;

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

struct Inside {
    hub: Arc<Hub>,
    live: Mutex<Live>,
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

    async fn live_state(&self, id: AnalysisId) -> Result<Option<LiveAnalysis>> {
        let states = StatesOf {
            ids: vec![id],
            project_id: None,
        };
        self.executor().first(Sql(states)).await
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

/// A stream of the changes that one follower of a [`LiveHub`] receives. It does not end.
///
/// Events are those of [`Live`](super::Live), with two differences. At most 1,000 wait for a slow
/// reader: then they are discarded, [`LiveEvent::Missed`] has their number, and the follower begins
/// anew. And an analysis that was created and has ended before the follower began is not delivered,
/// but its deletion may be.
///
/// No follower waits for another. A stream that is kept without being polled does not delay the
/// others.
pub struct LiveFollower {
    follower: Arc<Follower>,
    inside: Arc<Inside>,
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

impl Stream for LiveFollower {
    type Item = LiveEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LiveEvent>> {
        let next = self.follower.poll(&self.inside.hub, context);
        if next.is_pending() {
            // The waker is registered: a listener whose runtime ends from here on calls it.
            let live = self.inside.live.lock();
            live.unwrap_or_else(PoisonError::into_inner).go_on();
        }
        next.map(Some)
    }
}
