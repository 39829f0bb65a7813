//! A private PostgreSQL server.

mod builder;
mod data_directory;
mod database;
mod run;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use self::data_directory::{PostmasterFile, command, server_account};
use self::run::Run;
use super::ServerError;
use super::directory::Account;
use super::process::{Ending, ServerProcess, tail};
use super::programs::PostgresPrograms;
use super::simple_query::Session;
pub use builder::PostgresServerBuilder;
pub use database::{Collation, TestDatabase};

const CRASH: Ending = Ending {
    signal: "QUIT",
    patience: Duration::from_secs(10),
};
const CLEAN: Ending = Ending {
    signal: "INT",
    patience: Duration::from_secs(60),
};

const URL_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

static SHARED: Mutex<Option<&'static PostgresServer>> = Mutex::new(None);

/// The way to stop a server, as in `pg_ctl stop --mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShutdownMode {
    /// Rolls back transactions, closes connections and writes all data.
    Fast,
    /// Stops as in a crash. The next start recovers from the write-ahead log.
    Immediate,
}

/// A private PostgreSQL server, which is stopped and removed at the end of the process.
///
/// The [module](super) documentation describes where it runs. Its superuser is `postgres`, without
/// a password. Its locale is `C`, its encoding is UTF-8, and it allows 200 connections. Autovacuum
/// is off unless the data is kept.
#[derive(Debug)]
pub struct PostgresServer {
    cluster: Arc<Cluster>,
}

impl PostgresServer {
    /// Creates a builder for a server with other settings.
    pub fn builder() -> PostgresServerBuilder {
        PostgresServerBuilder::default()
    }

    /// Starts a server for tests. Its data is not kept and not forced to disk.
    ///
    /// # Errors
    /// The same as [`PostgresServerBuilder::start`].
    pub fn start() -> Result<PostgresServer, ServerError> {
        Self::builder().start()
    }

    /// Returns the server that all tests of this process share.
    ///
    /// The first call starts it. It ends with the process. The processes that one run of
    /// cargo-nextest starts of one program share a server, which ends with the last of them.
    ///
    /// # Errors
    /// The same as [`PostgresServerBuilder::start`]. After an error the next call tries again.
    pub fn shared() -> Result<&'static PostgresServer, ServerError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = *shared {
            return Ok(server);
        }
        let server: &'static PostgresServer = Box::leak(Box::new(match Run::of_this_process() {
            Some(run) => run.server()?,
            None => Self::start()?,
        }));
        *shared = Some(server);
        Ok(server)
    }

    /// Returns the URL of a database of this server over the Unix socket, for libpq and
    /// tokio-postgres.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.cluster.url(database)
    }

    /// Returns the URL of a database over TCP.
    ///
    /// `None` unless this process started the server with
    /// [`listen_tcp`](PostgresServerBuilder::listen_tcp).
    #[must_use]
    pub fn tcp_url(&self, database: &str) -> Option<String> {
        let Cluster { tcp, port, .. } = *self.cluster;
        let database = encode(database.as_bytes());
        tcp.then(|| format!("postgres://postgres@127.0.0.1:{port}/{database}"))
    }

    /// Returns the major version, 15 or higher.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.cluster.programs.major
    }

    /// Returns the directory of the server's socket, which is the `host` of a connection.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.cluster.directory
    }

    /// Returns the port, which is a part of the socket's name, and the TCP port if there is one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.cluster.port
    }

    /// Returns the path of the Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.cluster.socket()
    }

    /// Runs a statement in the database `postgres` and returns the first column of its first row.
    pub(super) fn run(&self, statement: &str) -> Result<Option<String>, ServerError> {
        self.cluster.session()?.run(statement)
    }

    /// Returns the data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.cluster.data
    }

    /// Returns the last lines of the server's log, or an empty string for a server of another
    /// process.
    #[must_use]
    pub fn log(&self) -> String {
        tail(&self.cluster.log(), 0)
    }

    /// Returns the server's process id if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self.cluster.process() {
            Ok(mut process) => process.pid(),
            Err(_) => PostmasterFile::read(&self.cluster.data).map(|file| file.pid),
        }
    }

    /// Creates a command of a program of the same installation, such as `pg_dump` or
    /// `pg_basebackup`.
    ///
    /// It is configured to connect to this server. It runs as the server's account, in the
    /// directory of its socket.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.cluster.command(program);
        command
            .env("PGHOST", &self.cluster.directory)
            .env("PGPORT", self.cluster.port.to_string());
        command.env("PGUSER", "postgres");
        command
    }

    /// Stops the server as in a crash, if it runs.
    ///
    /// Connections break, and the next start recovers. Committed data survives. Its data, socket
    /// and URLs stay the same after [`restart`](Self::restart).
    ///
    /// # Errors
    /// - [`ServerError::Borrowed`] for a server of another process
    pub fn kill(&self) -> Result<(), ServerError> {
        self.cluster.process()?.stop(CRASH);
        Ok(())
    }

    /// Starts the server again on the same data and socket, after a clean stop if it runs.
    ///
    /// # Errors
    /// - [`ServerError::Borrowed`] for a server of another process
    /// - [`ServerError::Start`] if it does not start
    pub fn restart(&self) -> Result<(), ServerError> {
        let mut process = self.cluster.process()?;
        process.stop(CLEAN);
        self.cluster.launch(&mut process)
    }

    /// Stops the server now, even if it still has [`TestDatabase`]s.
    ///
    /// Dropping the server instead stops it when they are dropped: with `Immediate`, or with `Fast`
    /// if its data is kept.
    ///
    /// # Errors
    /// - [`ServerError::Borrowed`] for a server of another process, which continues
    pub fn stop(self, mode: ShutdownMode) -> Result<(), ServerError> {
        let ending = match mode {
            ShutdownMode::Fast => CLEAN,
            ShutdownMode::Immediate => CRASH,
        };
        self.cluster.process()?.stop(ending);
        Ok(())
    }
}

#[derive(Debug)]
struct Cluster {
    programs: PostgresPrograms,
    account: Option<Account>,
    data: PathBuf,
    /// Contains the socket and, if this process started the server, the log.
    directory: PathBuf,
    port: u16,
    tcp: bool,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    /// `None` for a server of another process.
    process: Option<Mutex<ServerProcess>>,
}

impl Cluster {
    /// Returns the server that another process runs on a data directory.
    fn borrow(data: &Path, programs: &PostgresPrograms) -> Option<Cluster> {
        let file = PostmasterFile::read(data).filter(|file| file.ready)?;
        // A new file belongs to the user of this process.
        let user = tempfile::tempfile().ok()?.metadata().ok()?.uid();
        let cluster = Cluster {
            programs: programs.clone(),
            account: server_account(Some(data)).filter(|_| user == 0),
            data: data.to_owned(),
            directory: file.socket_directory,
            port: file.port,
            tcp: false,
            settings: Vec::new(),
            environment: Vec::new(),
            process: None,
        };
        cluster.session().ok()?;
        Some(cluster)
    }

    fn process(&self) -> Result<MutexGuard<'_, ServerProcess>, ServerError> {
        let process = self.process.as_ref().ok_or(ServerError::Borrowed)?;
        Ok(process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn launch(&self, process: &mut ServerProcess) -> Result<(), ServerError> {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(&self.data)
            .arg("-k")
            .arg(&self.directory);
        command.arg("-p").arg(self.port.to_string());
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        process.launch(&mut command, &self.log(), |pid| {
            PostmasterFile::read(&self.data).is_some_and(|file| file.ready && file.pid == pid)
        })
    }

    fn command(&self, program: &str) -> Command {
        command(&self.programs, program, self.account, &self.directory)
    }

    fn session(&self) -> Result<Session, ServerError> {
        Session::open(&self.socket(), "postgres")
    }

    fn socket(&self) -> PathBuf {
        self.directory.join(format!(".s.PGSQL.{}", self.port))
    }

    fn url(&self, database: &str) -> String {
        let directory = encode(self.directory.as_os_str().as_bytes());
        // Includes the port, since libpq would otherwise read it from $PGPORT.
        format!(
            "postgres://postgres@{directory}:{}/{}",
            self.port,
            encode(database.as_bytes())
        )
    }

    fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }
}

pub(super) fn encode(part: &[u8]) -> String {
    percent_encode(part, URL_SAFE).to_string()
}
