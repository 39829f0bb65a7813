//! A primary and its standby.

use super::ServerError;
use super::postgres::{PostgresServer, PostgresServerBuilder, TestDatabase};
use super::proxy::{Proxy, ProxyMode};
use std::error::Error;
use std::io::ErrorKind;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The time limit for every wait on the standby.
const TIMEOUT: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(5);

/// The replication slot. It keeps the changes that the standby has not received, however long the
/// replication is cut.
const SLOT: &str = "wundr_standby";

/// A primary and a standby that follows it by streaming replication, for tests of failover.
///
/// Both are private servers of this process, as a [`PostgresServer`] is. Replication is
/// asynchronous: a write is acknowledged before the standby has it, unless
/// [`synchronous`](Self::synchronous) is set. [`promote`](Self::promote) makes the standby a
/// primary. It does not stop the old primary, so that a test can reproduce that danger. A [`Proxy`]
/// in front of the primary can lead clients to the new one.
///
/// Dropping the pair stops both servers, the primary once its databases are dropped.
///
/// ```no_run
/// use wundr_db::testing::{Pair, Proxy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pair = Pair::start()?;
/// let database = pair.primary().create_database()?;
/// let address = Proxy::start(pair.primary())?;
/// println!("connect to {}", address.url_of(&database));
///
/// // Later writes are lost.
/// pair.wait_for_catch_up()?;
/// pair.cut_replication()?;
/// // ...
/// pair.promote()?;
/// address.lead_to(pair.standby());
/// address.cut();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pair {
    standby: PostgresServer,
    replication: Proxy,
    primary: PostgresServer,
}

impl Pair {
    /// Starts a primary and a standby.
    ///
    /// # Errors
    /// - The errors of [`PostgresServerBuilder::start`]
    /// - [`ServerError::Start`] if the copy of the primary fails
    pub fn start() -> Result<Self, ServerError> {
        Self::start_with(PostgresServer::builder(), PostgresServer::builder())
    }

    /// Starts a primary and a standby with settings of their own.
    ///
    /// A `data_dir` of the standby's builder is ignored. The standby needs at least the primary's
    /// `max_connections`.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub fn start_with(
        primary: PostgresServerBuilder,
        standby: PostgresServerBuilder,
    ) -> Result<Self, ServerError> {
        Self::of_with(primary.start()?, standby)
    }

    /// Starts a standby of a running server, such as one that was promoted before.
    ///
    /// # Errors
    /// See [`start`](Self::start). The server is dropped on error.
    pub fn of(primary: PostgresServer) -> Result<Self, ServerError> {
        Self::of_with(primary, PostgresServer::builder())
    }

    fn of_with(
        primary: PostgresServer,
        standby: PostgresServerBuilder,
    ) -> Result<Self, ServerError> {
        let replication = Proxy::start(&primary)?;
        let standby = standby.start_standby(replication.address(), SLOT)?;
        Ok(Self {
            standby,
            replication,
            primary,
        })
    }

    /// Returns the primary and the standby as separate servers. The replication ends.
    #[must_use]
    pub fn into_servers(self) -> (PostgresServer, PostgresServer) {
        (self.primary, self.standby)
    }

    /// Returns the server that was the primary at the start.
    #[must_use]
    pub fn primary(&self) -> &PostgresServer {
        &self.primary
    }

    /// Returns the server that was the standby at the start.
    #[must_use]
    pub fn standby(&self) -> &PostgresServer {
        &self.standby
    }

    /// Returns the proxy between the primary and the standby.
    #[must_use]
    pub fn replication(&self) -> &Proxy {
        &self.replication
    }

    /// Returns the URL of the standby's copy of a database of the primary, over the Unix socket.
    #[must_use]
    pub fn standby_url(&self, database: &TestDatabase) -> String {
        self.standby.url(database.name())
    }

    /// Creates an empty database on the primary and waits until the standby has it.
    ///
    /// # Errors
    /// See [`PostgresServer::create_database`] and [`wait_for_catch_up`](Self::wait_for_catch_up).
    pub fn create_database(&self) -> Result<TestDatabase, ServerError> {
        let database = self.primary.create_database()?;
        self.wait_for_catch_up()?;
        Ok(database)
    }

    /// Creates a database on the primary from a template and waits until the standby has it.
    ///
    /// # Errors
    /// See [`PostgresServer::create_database_from`] and
    /// [`wait_for_catch_up`](Self::wait_for_catch_up).
    pub fn create_database_from<F>(
        &self,
        template_key: &str,
        prepare: F,
    ) -> Result<TestDatabase, ServerError>
    where
        F: FnOnce(&str) -> Result<(), Box<dyn Error + Send + Sync>> + Send,
    {
        let database = self.primary.create_database_from(template_key, prepare)?;
        self.wait_for_catch_up()?;
        Ok(database)
    }

    /// Creates a database with every migration applied on the primary, and waits until the standby
    /// has it.
    ///
    /// # Errors
    /// See [`migrated_database`](super::migrated_database) and
    /// [`wait_for_catch_up`](Self::wait_for_catch_up).
    #[cfg(any(feature = "async", feature = "blocking"))]
    pub fn migrated_database(&self) -> Result<TestDatabase, ServerError> {
        let database = super::migrated_database_of(&self.primary)?;
        self.wait_for_catch_up()?;
        Ok(database)
    }

    /// Promotes the standby to a primary with its own timeline, and waits until it accepts writes.
    ///
    /// Changes that the standby has not received are lost to it. The old primary continues to run.
    ///
    /// # Errors
    /// - [`ServerError::Statement`] if the server is no longer a standby
    /// - [`ServerError::Io`] if it takes longer than 60 seconds
    pub fn promote(&self) -> Result<(), ServerError> {
        self.standby
            .run(&format!("SELECT pg_promote(true, {})", TIMEOUT.as_secs()))?;
        self.wait("the promotion of the standby", || {
            let recovers = self.standby.run("SELECT pg_is_in_recovery()")?;
            Ok(recovers.as_deref() == Some("f"))
        })
    }

    /// Makes the standby receive the primary's changes without applying them, so that its readers
    /// see old data.
    ///
    /// # Errors
    /// - [`ServerError::Statement`] if the server is no longer a standby
    /// - [`ServerError::Io`] if it does not respond
    pub fn pause_replay(&self) -> Result<(), ServerError> {
        self.standby.run("SELECT pg_wal_replay_pause()")?;
        self.wait("the pause of the standby's replay", || {
            let state = self.standby.run("SELECT pg_get_wal_replay_pause_state()")?;
            Ok(state.as_deref() == Some("paused"))
        })
    }

    /// Makes the standby apply the changes that it has received.
    ///
    /// # Errors
    /// See [`pause_replay`](Self::pause_replay).
    pub fn resume_replay(&self) -> Result<(), ServerError> {
        self.standby.run("SELECT pg_wal_replay_resume()").map(drop)
    }

    /// Ends the replication: the standby receives no later changes, and a promotion loses them.
    ///
    /// With [`synchronous`](Self::synchronous), the primary's later commits wait.
    ///
    /// # Errors
    /// - [`ServerError::Io`] if the standby does not detect it within 60 seconds
    pub fn cut_replication(&self) -> Result<(), ServerError> {
        self.replication.set(ProxyMode::Refuse)?;
        self.replication.cut();
        self.wait("the end of the replication", || {
            let receivers = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
            Ok(self.standby.run(receivers)?.as_deref() == Some("0"))
        })
    }

    /// Restores the replication after [`cut_replication`](Self::cut_replication). The standby
    /// reconnects every second.
    ///
    /// # Errors
    /// The same as [`Proxy::set`].
    pub fn mend_replication(&self) -> Result<(), ServerError> {
        self.replication.set(ProxyMode::Pass)
    }

    /// Sets whether the primary's commits wait until the standby has applied them.
    ///
    /// If they do, acknowledged changes survive a promotion, and readers of the standby see them.
    ///
    /// # Errors
    /// [`ServerError::Statement`] and [`ServerError::Io`].
    pub fn synchronous(&self, on: bool) -> Result<(), ServerError> {
        let names = if on { "*" } else { "" };
        let commit = if on { "remote_apply" } else { "on" };
        for statement in [
            format!("ALTER SYSTEM SET synchronous_commit = '{commit}'"),
            format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"),
            "SELECT pg_reload_conf()".to_owned(),
        ] {
            self.primary.run(&statement)?;
        }
        let state = if on { "sync" } else { "async" };
        self.wait("the change of the replication's mode", || {
            let states = "SELECT string_agg(sync_state, ' ') FROM pg_stat_replication";
            let setting = "SELECT current_setting('synchronous_commit')";
            Ok(self.primary.run(setting)?.as_deref() == Some(commit)
                && (self.primary.run(states)?.as_deref() == Some(state) || !on))
        })
    }

    /// Waits until the standby has applied everything that the primary had written before this
    /// call.
    ///
    /// # Errors
    /// - [`ServerError::Io`] if that takes longer than 60 seconds, for example because the
    ///   replication is cut or paused
    pub fn wait_for_catch_up(&self) -> Result<(), ServerError> {
        let position = self.primary.run("SELECT pg_current_wal_insert_lsn()")?;
        let caught_up = format!(
            "SELECT pg_last_wal_replay_lsn() >= '{}'",
            position.unwrap_or_default()
        );
        self.wait("the standby to catch up", || {
            Ok(self.standby.run(&caught_up)?.as_deref() == Some("t"))
        })
    }

    fn wait(
        &self,
        what: &str,
        condition: impl Fn() -> Result<bool, ServerError>,
    ) -> Result<(), ServerError> {
        let deadline = Instant::now() + TIMEOUT;
        while !condition()? {
            if Instant::now() >= deadline {
                return Err(ServerError::Io {
                    action: format!(
                        "wait for {what}; the end of the standby's log:\n{}\n",
                        self.standby.log()
                    ),
                    source: ErrorKind::TimedOut.into(),
                });
            }
            sleep(POLL);
        }
        Ok(())
    }
}
