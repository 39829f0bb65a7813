//! Live progress in the async engine: a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::stream::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::Notification;

use super::{Db, following, repository};
use crate::engine::connection::Connection;
use crate::engine::connection::connect::Connector;
use crate::live::{
    Backlog, EventQueue, Follow, FollowedIds, LISTEN, LiveAnalysis, LiveEvent, Now, StatesOf,
    Timeline, direct_config, no_response, unless_denied,
};
use crate::sql::Sql;
use crate::{AnalysisId, Config, Error, Result};

/// The connection of a listener.
pub(super) struct ListenerConnection {
    connector: Connector,
    connection: Connection,
    notifications: UnboundedReceiver<Notification>,
    heartbeat: Duration,
}

/// Waits for a response within the limit.
async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = diesel::QueryResult<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(no_response(limit)),
    }
}

#[repository]
impl ListenerConnection {
    /// Connects again and subscribes.
    pub(super) async fn open(&mut self) -> Result<()> {
        (self.connection, self.notifications) = self.connector.connect_to_listen().await?;
        self.listen().await
    }

    async fn listen(&mut self) -> Result<()> {
        in_time(self.heartbeat, self.connection.batch_execute(LISTEN)).await
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    pub(super) async fn pause(&self, time: Duration) -> () {
        tokio::time::sleep(time).await
    }

    /// Returns the payloads that have arrived. Waits for the first of them, for at most this time.
    pub(super) async fn notifications(&mut self, timeout: Duration) -> Result<Vec<String>> {
        let mut notifications = Vec::new();
        let waiting = self.notifications.recv_many(&mut notifications, 1000);
        match tokio::time::timeout(timeout, waiting).await {
            Ok(0) => Err(Error::broken_connection("the server closed the connection")),
            Ok(_) => Ok(notifications
                .iter()
                .map(|one| one.payload().to_owned())
                .collect()),
            Err(_) => Ok(Vec::new()),
        }
    }

    pub(super) async fn followed(&mut self, page: FollowedIds) -> Result<Vec<AnalysisId>> {
        in_time(self.heartbeat * 2, Sql(page).load(&mut self.connection)).await
    }

    pub(super) async fn states(&mut self, states: StatesOf) -> Result<Vec<LiveAnalysis>> {
        in_time(self.heartbeat * 2, Sql(states).load(&mut self.connection)).await
    }

    pub(super) async fn now(&mut self) -> Result<DateTime<Utc>> {
        in_time(self.heartbeat, Sql(Now).get_result(&mut self.connection)).await
    }

    /// Returns the timeline, or `None` if this role may not read it.
    pub(super) async fn timeline(&mut self) -> Result<Option<String>> {
        let timeline = Sql(Timeline).get_result(&mut self.connection);
        unless_denied(in_time(self.heartbeat, timeline).await)
    }
}

/// A stream of the changes of followed analyses. It does not end.
///
/// It begins with one [`Changed`](LiveEvent::Changed) for each analysis that is pending or running,
/// and then [`Resumed`](LiveEvent::Resumed). If the connection is lost, it yields
/// [`Missed`](LiveEvent::Missed), connects again (at least once a second for 30 s, then every 5 s),
/// reads the followed analyses and yields [`Resumed`](LiveEvent::Resumed). A server that does not
/// respond is noticed within twice [`Config::heartbeat`], 10 s by default. Of several hosts, the
/// primary is followed.
///
/// The queue holds some thousand events at most, one for each analysis, however slow the reader is.
/// The connection is not one of the pool. It is closed when the stream is dropped.
///
/// A task of the runtime in which it was created delivers the events. If that runtime ends, the
/// stream yields [`Missed`](LiveEvent::Missed) and goes on in the runtime in which it is polled.
pub struct Live {
    queue: Arc<EventQueue>,
    listener: tokio::task::AbortHandle,
    stranded: Arc<Stranded>,
}

/// The listener whose runtime has ended.
type Stranded = Mutex<Option<Box<Listener>>>;

/// What a listener needs to go on.
struct Listener {
    connection: ListenerConnection,
    backlog: Backlog,
}

/// A listener at work. Dropped with its runtime, it waits for the next one.
struct Working {
    listener: Option<Box<Listener>>,
    queue: Arc<EventQueue>,
    stranded: Arc<Stranded>,
}

impl Working {
    async fn listen(mut self, is_lost: Option<Error>) {
        if let Some(Listener {
            connection,
            backlog,
        }) = self.listener.as_deref_mut()
        {
            following::listener::listen(connection, backlog, &self.queue, is_lost).await;
        }
        self.listener = None;
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.take()
            && !self.queue.is_closed()
        {
            *locked(&self.stranded) = Some(listener);
            self.queue.wake();
        }
    }
}

fn locked(stranded: &Stranded) -> MutexGuard<'_, Option<Box<Listener>>> {
    stranded.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// Connects and subscribes, and delivers from a task of the current runtime.
    ///
    /// Every change that begins after this returns is delivered, also of an analysis that has ended
    /// by then.
    ///
    /// # Errors
    /// - [`Error::Connection`] if the server cannot be reached, or does not respond within
    ///   [`Config::heartbeat`];
    /// - the error of the server if it refuses the subscription, as a standby does;
    /// - [`Error::InvalidInput`] if the settings lead to a PgBouncer or are wrong.
    pub async fn follow(config: &Config, follow: Follow) -> Result<Self> {
        Self::follow_into(config, follow, Arc::default()).await
    }

    /// Does the same as [`follow`](Self::follow) with this queue.
    pub(super) async fn follow_into(
        config: &Config,
        follow: Follow,
        queue: Arc<EventQueue>,
    ) -> Result<Self> {
        let config = direct_config(config)?;
        let connector = Connector::new(&config)?;
        let (connection, notifications) = connector.connect_to_listen().await?;
        let mut connection = ListenerConnection {
            connector,
            connection,
            notifications,
            heartbeat: config.heartbeat,
        };
        // Before it returns: the caller's next change may end an analysis, and catching up reads
        // open ones only.
        connection.listen().await?;
        let stranded = Arc::<Stranded>::default();
        let working = Working {
            listener: Some(Box::new(Listener {
                connection,
                backlog: Backlog::new(follow),
            })),
            queue: Arc::clone(&queue),
            stranded: Arc::clone(&stranded),
        };
        Ok(Self {
            queue,
            listener: tokio::spawn(working.listen(None)).abort_handle(),
            stranded,
        })
    }

    /// Goes on in the current runtime, if that of the listener has ended.
    pub(super) fn go_on(&mut self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let stranded = locked(&self.stranded).take();
        if let Some(listener) = stranded {
            let working = Working {
                listener: Some(listener),
                queue: Arc::clone(&self.queue),
                stranded: Arc::clone(&self.stranded),
            };
            let lost = Error::broken_connection("the runtime of the listener has ended");
            let listening = runtime.spawn(working.listen(Some(lost)));
            self.listener = listening.abort_handle();
        }
    }

    /// Returns the number of events that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.queue.close();
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

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LiveEvent>> {
        let next = self.queue.poll(context);
        if next.is_pending() {
            // The waker is registered: a listener that is dropped from here on calls it.
            self.go_on();
        }
        next.map(Some)
    }
}

impl Db {
    /// Follows analyses by a connection of its own to the same server: see [`Live`].
    ///
    /// PgBouncer does not deliver notifications: behind one, use [`Live::follow`] with the settings
    /// of a direct connection. Each change of an analysis's status or progress sends a NOTIFY, with
    /// or without followers, and its commit takes a lock of the whole database cluster for that;
    /// `docs/operations.md` says how to switch it off.
    ///
    /// # Errors
    /// The same as [`Live::follow`].
    pub async fn follow(&self, follow: Follow) -> Result<Live> {
        Live::follow(self.config(), follow).await
    }
}
