//! Live progress in the blocking engine: an iterator, with a thread that listens.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;

use super::{Db, following};
use crate::engine::libpq::Connector;
use crate::live::{
    Backlog, EventQueue, Follow, FollowedIds, LISTEN, LiveAnalysis, LiveEvent, Now, StatesOf,
    Timeline, direct_config, no_response, unless_denied,
};
use crate::sql::Sql;
use crate::{AnalysisId, Config, Error, Result};

/// The interval at which libpq is asked for notifications.
const POLL: Duration = Duration::from_millis(20);

/// The largest number of notifications that are taken at a time.
const CHUNK: usize = 1000;

/// Work for the thread that owns the connection.
type Job = Box<dyn FnOnce(&mut PgConnection) + Send>;

/// The connection of a listener, in a thread of its own.
///
/// A call of libpq cannot be interrupted. The listener therefore waits for a response for a limited
/// time and then abandons the thread. The thread ends with its connection as soon as libpq returns.
pub(super) struct ListenerConnection {
    connector: Arc<Connector>,
    jobs: Sender<Job>,
    queue: Arc<EventQueue>,
    heartbeat: Duration,
    /// The time that connecting may take, if it is limited.
    connect_limit: Option<Duration>,
}

/// Starts the thread, waits until it has connected, and returns the sender of its jobs.
fn connect(connector: &Arc<Connector>, limit: Option<Duration>) -> Result<Sender<Job>> {
    let (jobs, received) = channel::<Job>();
    let (connected, outcome) = sync_channel(1);
    let connector = Arc::clone(connector);
    std::thread::Builder::new()
        .name("wundr-db listener connection".to_owned())
        .spawn(move || {
            let mut connection = match connector.connect() {
                Ok(connection) => connection,
                Err(error) => {
                    let _ = connected.send(Err(error));
                    return;
                }
            };
            let is_awaited = connected.send(Ok(())).is_ok();
            while is_awaited && let Ok(job) = received.recv() {
                job(&mut connection);
            }
        })
        .map_err(Error::connection)?;
    receive(&outcome, limit)??;
    Ok(jobs)
}

/// Returns the time after which a connection attempt is abandoned. libpq has a limit of its own for
/// each address.
fn connect_limit(config: &Config) -> Option<Duration> {
    /// The number of addresses of a host that are waited for.
    const ADDRESSES: u32 = 4;
    /// libpq raises shorter limits to this.
    const LEAST: Duration = Duration::from_secs(2);
    let hosts = u32::try_from(config.target.hosts.len()).unwrap_or(u32::MAX);
    let address = config.connect_timeout?.max(LEAST);
    let host = address
        .saturating_mul(ADDRESSES)
        .saturating_add(config.heartbeat.saturating_mul(2));
    Some(host.saturating_mul(hosts.max(1)))
}

/// Waits for the outcome of a job.
fn receive<T>(outcome: &Receiver<T>, limit: Option<Duration>) -> Result<T> {
    let Some(limit) = limit else {
        let ended = |_| Error::broken_connection("the listener's thread has ended");
        return outcome.recv().map_err(ended);
    };
    outcome.recv_timeout(limit).map_err(|_| no_response(limit))
}

impl ListenerConnection {
    /// Runs a job in the thread of the connection, and waits for its outcome within the limit.
    fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut PgConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = sync_channel(1);
        let job: Job = Box::new(move |connection| {
            let _ = done.send(work(connection));
        });
        self.jobs
            .send(job)
            .map_err(|_| Error::broken_connection("the listener's thread has ended"))?;
        receive(&outcome, Some(limit))?
    }

    /// Connects again and subscribes.
    pub(super) fn open(&mut self) -> Result<()> {
        self.jobs = connect(&self.connector, self.connect_limit)?;
        self.listen()
    }

    fn listen(&self) -> Result<()> {
        self.within(self.heartbeat, |connection| {
            Ok(connection.batch_execute(LISTEN)?)
        })
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    pub(super) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.queue.is_closed() {
            std::thread::sleep(POLL);
        }
    }

    /// Returns the payloads that have arrived. Waits for the first of them, for at most this time.
    pub(super) fn notifications(&mut self, timeout: Duration) -> Result<Vec<String>> {
        let queue = Arc::clone(&self.queue);
        let until = Instant::now() + timeout;
        self.within(timeout.saturating_add(self.heartbeat), move |connection| {
            loop {
                let mut payloads = Vec::new();
                for notification in connection.notifications_iter().take(CHUNK) {
                    payloads.push(notification?.payload);
                }
                let now = Instant::now();
                if !payloads.is_empty() || now >= until || queue.is_closed() {
                    return Ok(payloads);
                }
                std::thread::sleep(POLL.min(until - now));
            }
        })
    }

    pub(super) fn followed(&mut self, page: FollowedIds) -> Result<Vec<AnalysisId>> {
        self.within(self.heartbeat * 2, |connection| {
            Ok(Sql(page).load(connection)?)
        })
    }

    pub(super) fn states(&mut self, states: StatesOf) -> Result<Vec<LiveAnalysis>> {
        self.within(self.heartbeat * 2, |connection| {
            Ok(Sql(states).load(connection)?)
        })
    }

    pub(super) fn now(&mut self) -> Result<DateTime<Utc>> {
        self.within(self.heartbeat, |connection| {
            Ok(Sql(Now).get_result(connection)?)
        })
    }

    /// Returns the timeline, or `None` if this role may not read it.
    pub(super) fn timeline(&mut self) -> Result<Option<String>> {
        unless_denied(self.within(self.heartbeat, |connection| {
            Ok(Sql(Timeline).get_result(connection)?)
        }))
    }
}

/// An iterator over the changes of followed analyses. It does not end: `next` waits for as long as
/// nothing happens. [`next_within`](Self::next_within) waits for a limited time.
///
/// It begins with one [`Changed`](LiveEvent::Changed) for each analysis that is pending or running,
/// and then [`Resumed`](LiveEvent::Resumed). If the connection is lost, it yields
/// [`Missed`](LiveEvent::Missed), connects again (at least once a second for 30 s, then every 5 s),
/// reads the followed analyses and yields [`Resumed`](LiveEvent::Resumed). A server that does not
/// respond is noticed within twice [`Config::heartbeat`], 10 s by default. Of several hosts, the
/// primary is followed.
///
/// The queue holds some thousand events at most, one for each analysis, however slow the reader is.
/// The connection is not one of the pool. It is closed when the iterator is dropped. A thread of
/// its own polls libpq 50 times a second.
pub struct Live {
    queue: Arc<EventQueue>,
}

impl Live {
    /// Connects and subscribes, and delivers from a thread.
    ///
    /// Every change that begins after this returns is delivered, also of an analysis that has ended
    /// by then.
    ///
    /// # Errors
    /// - [`Error::Connection`] if the server cannot be reached, does not respond within
    ///   [`Config::heartbeat`], or a thread cannot be started;
    /// - the error of the server if it refuses the subscription, as a standby does;
    /// - [`Error::InvalidInput`] if the settings lead to a PgBouncer or are wrong.
    pub fn follow(config: &Config, follow: Follow) -> Result<Self> {
        Self::follow_into(config, follow, Arc::default())
    }

    /// Does the same as [`follow`](Self::follow) with this queue.
    pub(super) fn follow_into(
        config: &Config,
        follow: Follow,
        queue: Arc<EventQueue>,
    ) -> Result<Self> {
        let config = direct_config(config)?;
        let connector = Arc::new(Connector::new(&config)?);
        let connect_limit = connect_limit(&config);
        let mut connection = ListenerConnection {
            jobs: connect(&connector, connect_limit)?,
            connector,
            queue: Arc::clone(&queue),
            heartbeat: config.heartbeat,
            connect_limit,
        };
        // Before it returns: the caller's next change may end an analysis, and catching up reads
        // open ones only.
        connection.listen()?;
        let listening = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("wundr-db listener".to_owned())
            .spawn(move || {
                let mut backlog = Backlog::new(follow);
                following::listener::listen(&mut connection, &mut backlog, &listening, None);
            })
            .map_err(Error::connection)?;
        Ok(Self { queue })
    }

    /// Waits for the next event for at most this time.
    pub fn next_within(&mut self, timeout: Duration) -> Option<LiveEvent> {
        self.queue.wait(Instant::now().checked_add(timeout))
    }

    /// Returns the number of events that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.queue.close();
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

impl Iterator for Live {
    type Item = LiveEvent;

    fn next(&mut self) -> Option<LiveEvent> {
        self.queue.wait(None)
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
    pub fn follow(&self, follow: Follow) -> Result<Live> {
        Live::follow(self.config(), follow)
    }
}
