//! Live progress in the blocking engine: an iterator, with a thread that listens.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::sql_types::Timestamptz;

use super::{Db, listener};
use crate::engine::libpq::Connector;
use crate::live::{
    Follow, FollowedIds, Inbox, LISTEN, LiveAnalysis, LiveEvent, StatesOf, check_direct,
};
use crate::{AnalysisId, Config, Error, Result};

/// libpq tells of notifications only when it is asked: this often.
const POLL: Duration = Duration::from_millis(20);

/// The most notifications that are taken at a time.
const CHUNK: usize = 1000;

/// A listener's connection.
pub(super) struct Line {
    connector: Connector,
    connection: PgConnection,
    inbox: Arc<Inbox>,
}

impl Line {
    pub(super) fn open(&mut self) -> Result<()> {
        self.connection = self.connector.connect()?;
        Ok(())
    }

    pub(super) fn listen(&mut self) -> Result<()> {
        Ok(self.connection.batch_execute(LISTEN)?)
    }

    pub(super) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.inbox.is_closed() {
            std::thread::sleep(POLL);
        }
    }

    /// The payloads that have come; waits for the first.
    pub(super) fn notifications(&mut self, patience: Duration) -> Result<Vec<String>> {
        let until = Instant::now() + patience;
        loop {
            let mut payloads = Vec::new();
            for notification in self.connection.notifications_iter().take(CHUNK) {
                payloads.push(notification?.payload);
            }
            if !payloads.is_empty() || Instant::now() >= until || self.inbox.is_closed() {
                return Ok(payloads);
            }
            std::thread::sleep(POLL);
        }
    }

    pub(super) fn followed(&mut self, page: FollowedIds) -> Result<Vec<AnalysisId>> {
        Ok(page.load(&mut self.connection)?)
    }

    pub(super) fn states(&mut self, ids: &[AnalysisId]) -> Result<Vec<LiveAnalysis>> {
        Ok(StatesOf(ids).load(&mut self.connection)?)
    }

    pub(super) fn now(&mut self) -> Result<DateTime<Utc>> {
        let now = diesel::select(diesel::dsl::sql::<Timestamptz>(
            "pg_catalog.statement_timestamp()",
        ));
        Ok(now.get_result(&mut self.connection)?)
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
        check_direct(config)?;
        let inbox = Arc::<Inbox>::default();
        let connector = Connector::new(config)?;
        let line = Line {
            connection: connector.connect()?,
            connector,
            inbox: Arc::clone(&inbox),
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
