//! Live progress in the blocking engine: an iterator, with a thread that listens.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;

use super::{Db, listener};
use crate::engine::libpq::Connector;
use crate::live::{
    Follow, FollowedIds, Inbox, LISTEN, LiveAnalysis, LiveEvent, Now, StatesOf, Timeline, direct,
    known, no_answer,
};
use crate::{AnalysisId, Config, Error, Result};

/// libpq tells of notifications only when it is asked: this often.
const POLL: Duration = Duration::from_millis(20);

/// The most notifications that are taken at a time.
const CHUNK: usize = 1000;

/// What is done with a connection.
type Job = Box<dyn FnOnce(&mut PgConnection) + Send>;

/// A listener's connection, in a thread of its own.
///
/// A call of libpq cannot be interrupted. So the listener waits for an answer only as long as it may take, and then
/// leaves the thread behind: it ends with its connection as soon as libpq returns, when the system gives up on the
/// connection or the server goes on.
pub(super) struct Line {
    connector: Arc<Connector>,
    jobs: Sender<Job>,
    inbox: Arc<Inbox>,
    heartbeat: Duration,
    /// The time that connecting may take.
    opening: Option<Duration>,
}

/// Connects in a thread of its own, which then does what comes.
fn connect(connector: &Arc<Connector>, limit: Option<Duration>) -> Result<Sender<Job>> {
    let (jobs, todo) = channel::<Job>();
    let (connected, outcome) = sync_channel(1);
    let connector = Arc::clone(connector);
    std::thread::Builder::new()
        .name("wundr-db line".to_owned())
        .spawn(move || {
            let mut connection = match connector.connect() {
                Ok(connection) => connection,
                Err(error) => {
                    let _ = connected.send(Err(error));
                    return;
                }
            };
            let is_awaited = connected.send(Ok(())).is_ok();
            while is_awaited && let Ok(job) = todo.recv() {
                job(&mut connection);
            }
        })
        .map_err(Error::connection)?;
    answer(&outcome, limit)??;
    Ok(jobs)
}

/// The time after which connecting is given up although libpq, which has its own limit for each address, has not.
fn opening(config: &Config) -> Option<Duration> {
    /// The addresses of a host that are waited for.
    const ADDRESSES: u32 = 4;
    /// The least that libpq makes of a limit.
    const LEAST: Duration = Duration::from_secs(2);
    let hosts = u32::try_from(config.target.hosts.len()).unwrap_or(u32::MAX);
    let address = config.connect_timeout?.max(LEAST);
    let host = address
        .saturating_mul(ADDRESSES)
        .saturating_add(config.heartbeat.saturating_mul(2));
    Some(host.saturating_mul(hosts.max(1)))
}

fn answer<T>(outcome: &Receiver<T>, limit: Option<Duration>) -> Result<T> {
    let Some(limit) = limit else {
        let ended = |_| Error::broken_connection("the listener's thread has ended");
        return outcome.recv().map_err(ended);
    };
    outcome.recv_timeout(limit).map_err(|_| no_answer(limit))
}

impl Line {
    /// Does something with the connection, unless it takes longer than the limit.
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
        answer(&outcome, Some(limit))?
    }

    pub(super) fn open(&mut self) -> Result<()> {
        self.jobs = connect(&self.connector, self.opening)?;
        Ok(())
    }

    pub(super) fn listen(&mut self) -> Result<()> {
        self.within(self.heartbeat, |connection| {
            Ok(connection.batch_execute(LISTEN)?)
        })
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    pub(super) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.inbox.is_closed() {
            std::thread::sleep(POLL);
        }
    }

    /// The payloads that have come; waits for the first.
    pub(super) fn notifications(&mut self, patience: Duration) -> Result<Vec<String>> {
        let inbox = Arc::clone(&self.inbox);
        let until = Instant::now() + patience;
        self.within(patience.saturating_add(self.heartbeat), move |connection| {
            loop {
                let mut payloads = Vec::new();
                for notification in connection.notifications_iter().take(CHUNK) {
                    payloads.push(notification?.payload);
                }
                let now = Instant::now();
                if !payloads.is_empty() || now >= until || inbox.is_closed() {
                    return Ok(payloads);
                }
                std::thread::sleep(POLL.min(until - now));
            }
        })
    }

    pub(super) fn followed(&mut self, page: FollowedIds) -> Result<Vec<AnalysisId>> {
        self.within(self.heartbeat * 2, |connection| Ok(page.load(connection)?))
    }

    pub(super) fn states(&mut self, states: StatesOf) -> Result<Vec<LiveAnalysis>> {
        self.within(
            self.heartbeat * 2,
            |connection| Ok(states.load(connection)?),
        )
    }

    pub(super) fn now(&mut self) -> Result<DateTime<Utc>> {
        self.within(self.heartbeat, |connection| Ok(Now.get_result(connection)?))
    }

    /// The timeline, unless the server keeps it from this role.
    pub(super) fn timeline(&mut self) -> Result<Option<String>> {
        known(self.within(self.heartbeat, |connection| {
            Ok(Timeline.get_result(connection)?)
        }))
    }
}

/// What becomes of the analyses that are followed, as it happens: an iterator that does not end, each `next` waiting
/// for as long as nothing happens. [`next_within`](Self::next_within) waits no longer than it is told.
///
/// It begins with every analysis that is pending or running, one [`Changed`](LiveEvent::Changed) for each, and
/// [`Resumed`](LiveEvent::Resumed). A connection that is lost is [`Missed`](LiveEvent::Missed), then the listener
/// connects again for as long as it takes, reads what is followed anew, and says [`Resumed`](LiveEvent::Resumed).
/// However slow its reader is, it keeps at most some thousand events, one for each analysis. Dropped, it closes its
/// connection, which is its own and not the pool's.
///
/// A thread of its own listens, and asks libpq 50 times a second. The system notices a server that
/// has gone without a word: see [`Config::keepalives`](crate::Config::keepalives).
pub struct Live {
    inbox: Arc<Inbox>,
}

impl Live {
    /// Connects and listens.
    ///
    /// # Errors
    /// [`Error::Connection`] if the server cannot be reached now, or no thread can be made; [`Error::InvalidInput`] if
    /// the settings lead to a PgBouncer or are wrong.
    pub fn follow(config: &Config, follow: Follow) -> Result<Self> {
        let config = direct(config)?;
        let inbox = Arc::<Inbox>::default();
        let connector = Arc::new(Connector::new(&config)?);
        let opening = opening(&config);
        let line = Line {
            jobs: connect(&connector, opening)?,
            connector,
            inbox: Arc::clone(&inbox),
            heartbeat: config.heartbeat,
            opening,
        };
        let listening = Arc::clone(&inbox);
        std::thread::Builder::new()
            .name("wundr-db live".to_owned())
            .spawn(move || listener::listen(line, follow, listening))
            .map_err(Error::connection)?;
        Ok(Self { inbox })
    }

    /// The next event, if there is one within this time.
    pub fn next_within(&mut self, patience: Duration) -> Option<LiveEvent> {
        self.inbox.wait(Instant::now().checked_add(patience))
    }

    /// How many events wait to be taken.
    pub fn waiting(&self) -> usize {
        self.inbox.waiting()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.inbox.close();
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
        self.inbox.wait(None)
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
    pub fn follow(&self, follow: Follow) -> Result<Live> {
        Live::follow(self.config(), follow)
    }
}
