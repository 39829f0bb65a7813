//! Live progress in the async engine: a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::stream::Stream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::Notification;

use super::{Db, listener, repository};
use crate::engine::connect::Connector;
use crate::engine::connection::Connection;
use crate::live::{
    Follow, FollowedIds, Inbox, LISTEN, LiveAnalysis, LiveEvent, Now, StatesOf, Timeline, direct,
    known, no_answer,
};
use crate::{AnalysisId, Config, Error, Result};

/// A listener's connection.
pub(super) struct Line {
    connector: Connector,
    connection: Connection,
    heard: UnboundedReceiver<Notification>,
    heartbeat: Duration,
}

/// Gives up on a server that has gone without a word.
async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = diesel::QueryResult<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(no_answer(limit)),
    }
}

#[repository]
impl Line {
    pub(super) async fn open(&mut self) -> Result<()> {
        (self.connection, self.heard) = self.connector.connect_to_listen().await?;
        Ok(())
    }

    pub(super) async fn listen(&mut self) -> Result<()> {
        in_time(self.heartbeat, self.connection.batch_execute(LISTEN)).await
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    pub(super) async fn pause(&self, time: Duration) -> () {
        tokio::time::sleep(time).await
    }

    /// The payloads that have come; waits for the first.
    pub(super) async fn notifications(&mut self, patience: Duration) -> Result<Vec<String>> {
        let mut heard = Vec::new();
        let waiting = self.heard.recv_many(&mut heard, 1000);
        match tokio::time::timeout(patience, waiting).await {
            Ok(0) => Err(Error::broken_connection("the server closed the connection")),
            Ok(_) => Ok(heard.iter().map(|one| one.payload().to_owned()).collect()),
            Err(_) => Ok(Vec::new()),
        }
    }

    pub(super) async fn followed(&mut self, page: FollowedIds) -> Result<Vec<AnalysisId>> {
        in_time(self.heartbeat * 2, page.load(&mut self.connection)).await
    }

    pub(super) async fn states(&mut self, states: StatesOf) -> Result<Vec<LiveAnalysis>> {
        in_time(self.heartbeat * 2, states.load(&mut self.connection)).await
    }

    pub(super) async fn now(&mut self) -> Result<DateTime<Utc>> {
        in_time(self.heartbeat, Now.get_result(&mut self.connection)).await
    }

    /// The timeline, unless the server keeps it from this role.
    pub(super) async fn timeline(&mut self) -> Result<Option<String>> {
        let timeline = Timeline.get_result(&mut self.connection);
        known(in_time(self.heartbeat, timeline).await)
    }
}

/// What becomes of the analyses that are followed, as it happens: a stream that does not end.
///
/// It begins with every analysis that is pending or running, one [`Changed`](LiveEvent::Changed) for each, and
/// [`Resumed`](LiveEvent::Resumed). A connection that is lost is [`Missed`](LiveEvent::Missed), then the listener
/// connects again for as long as it takes, reads what is followed anew, and says [`Resumed`](LiveEvent::Resumed).
/// A server that has gone without a word is noticed within twice [`Config::heartbeat`], 10 s by default. Of several hosts
/// the primary is followed. For 30 s it connects again at least once a second, then every 5 s.
///
/// However slow its reader is, it keeps at most some thousand events, one for each analysis. Dropped, it closes its
/// connection, which is its own and not the pool's.
pub struct Live {
    inbox: Arc<Inbox>,
    listener: tokio::task::AbortHandle,
}

impl Live {
    /// Connects and listens, in the runtime that calls.
    ///
    /// # Errors
    /// [`Error::Connection`] if the server cannot be reached now; [`Error::InvalidInput`] if the settings lead to a
    /// PgBouncer or are wrong.
    pub async fn follow(config: &Config, follow: Follow) -> Result<Self> {
        let config = direct(config)?;
        let connector = Connector::new(&config)?;
        let (connection, heard) = connector.connect_to_listen().await?;
        let line = Line {
            connector,
            connection,
            heard,
            heartbeat: config.heartbeat,
        };
        let inbox = Arc::<Inbox>::default();
        let listening = tokio::spawn(listener::listen(line, follow, Arc::clone(&inbox)));
        Ok(Self {
            inbox,
            listener: listening.abort_handle(),
        })
    }

    /// How many events wait to be taken.
    pub fn waiting(&self) -> usize {
        self.inbox.waiting()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.inbox.close();
        self.listener.abort();
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Live")
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl Stream for Live {
    type Item = LiveEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LiveEvent>> {
        self.inbox.poll(context).map(Some)
    }
}

impl Db {
    /// Follows analyses by a connection of its own to the same server: see [`Live`]. It costs every writer of an
    /// analysis's status or progress a NOTIFY, which takes a lock of the whole database cluster while the writer's
    /// transaction commits, whether somebody listens or not; the README says how to switch that off.
    ///
    /// Behind a PgBouncer there is nothing to hear: use [`Live::follow`] with settings of a direct connection.
    ///
    /// # Errors
    /// As [`Live::follow`].
    pub async fn follow(&self, follow: Follow) -> Result<Live> {
        Live::follow(self.config(), follow).await
    }
}
