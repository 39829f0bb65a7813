//! Private PostgreSQL and Redis servers for tests, and rows, seeds and recorders.
//!
//! - `#[wundr_db::test]` gives a test a database of its own. The types of its arguments choose what
//!   it gets.
//! - [`fixture`] and [`builder`] make rows without a database.
//! - [`Scenario`] stores an organization with members, projects and analyses.
//! - [`StatementRecorder`] records the statements that a database receives.
//!
//! # Servers
//!
//! They are real servers, started from the programs installed on the machine, and they end with the
//! process that started them. Nothing is mocked, and nothing is shared with a server that is
//! already running. No port is needed: the servers listen on a Unix socket in a directory of their
//! own. Each test gets its own database, copied from a template that is prepared once. Tests can
//! therefore run on all threads at the same time and may commit.
//!
//! ```no_run
//! use wundr_db::testing::{PostgresServer, RedisServer};
//!
//! # fn prepare_schema(_url: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> { Ok(()) }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One server for all tests of the process.
//! let server = PostgresServer::shared()?;
//!
//! // The closure runs once; every call returns a copy of what it made.
//! let database = server.create_database_from("my-schema-v1", |url| prepare_schema(url))?;
//! println!("connect to {}", database.url());
//!
//! let redis = RedisServer::start()?;
//! println!("and to {}", redis.url());
//! # Ok(())
//! # }
//! ```
//!
//! # Faults
//!
//! A [`Proxy`] in front of a server simulates a failing network or host. It can stop forwarding,
//! reject or cut connections, swallow the response to a commit, split responses into pieces, and
//! connect to another server. A [`Pair`] is a primary and its standby, which can be paused, cut off
//! and promoted.
//!
//! # Requirements
//!
//! The PostgreSQL server programs, version 15 or newer, and `redis-server` or `valkey-server` for
//! [`RedisServer`]. They are searched in:
//! - the directories `$PG_BIN` and `$REDIS_BIN`; if the variable is set, no other place is searched
//! - PostgreSQL: `pg_config --bindir`, the newest version below the directories that distributions
//!   use, then `$PATH`
//! - Redis: `$PATH`, then the usual directories
//!
//! A missing program is an error that contains the command to install it. It never skips a test.
//!
//! # Lifetime of the servers
//!
//! A server stops when its handle and all its [`TestDatabase`]s are dropped. A small watchdog
//! process stops it if this process ends in any other way, including `kill -9`. The shared server
//! of a run of cargo-nextest, which starts a process for each test, ends with the last of them.
//! PostgreSQL refuses to run as root; a process of root starts it as `postgres` or `nobody`. Data
//! is stored in memory (`/dev/shm`) if at least 1 GiB is available there, otherwise in the
//! directory for temporary files. That directory also keeps a `wundr-db-initdb-*.tar`, an empty
//! database cluster that saves later processes the run of `initdb`. It can be deleted at any time.
//!
//! All functions of this module block the calling thread. Only Unix-like systems are supported.

#[cfg(any(feature = "async", feature = "blocking"))]
pub(crate) mod case;
mod directory;
mod fixtures;
mod pair;
mod postgres;
mod process;
mod programs;
mod proxy;
mod recorder;
mod redis;
#[cfg(any(feature = "async", feature = "blocking"))]
mod scenario;
mod simple_query;

#[cfg(any(feature = "async", feature = "blocking"))]
pub use case::{AsyncTest, BlockingTest, TestArgument, TestContext, TestError};
pub use fixtures::{Fixture, RowBuilder, builder, fixture};
pub use pair::Pair;
pub use postgres::{Collation, PostgresServer, PostgresServerBuilder, ShutdownMode, TestDatabase};
pub use proxy::{Proxy, ProxyMode, Upstream};
pub use recorder::{RecordedStatement, StatementRecorder};
pub use redis::{RedisServer, RedisServerBuilder};
#[cfg(any(feature = "async", feature = "blocking"))]
pub(crate) use scenario::SeedRows;
#[cfg(any(feature = "async", feature = "blocking"))]
pub use scenario::{Scenario, Seeded};

use std::io;
use std::path::{Path, PathBuf};

/// Creates a database with every migration applied, on the server that all tests of this process
/// share.
///
/// The migrations run once for each server. Each call copies the migrated template, which takes
/// some 20 ms.
///
/// # Errors
/// - [`ServerError`] if the server cannot be started or a migration fails
#[cfg(any(feature = "async", feature = "blocking"))]
pub fn migrated_database() -> Result<TestDatabase, ServerError> {
    migrated_database_of(PostgresServer::shared()?)
}

/// Creates a database with this collation and every migration applied, on the server that all tests
/// of this process share.
///
/// Each call runs the migrations, which takes some seconds.
///
/// # Errors
/// - [`ServerError`] if the server cannot be started or has no such locale
/// - [`ServerError::Prepare`] if a migration fails
#[cfg(any(feature = "async", feature = "blocking"))]
pub fn migrated_database_with_collation(
    collation: &Collation,
) -> Result<TestDatabase, ServerError> {
    let database = PostgresServer::shared()?.create_database_with_collation(collation)?;
    let failed = |source: crate::Error| ServerError::Prepare {
        key: database.name().to_owned(),
        source: source.into(),
    };
    let config = crate::Config::new(&database.url()).map_err(failed)?;
    migrate(&config).map_err(failed)?;
    Ok(database)
}

#[cfg(any(feature = "async", feature = "blocking"))]
fn migrated_database_of(server: &PostgresServer) -> Result<TestDatabase, ServerError> {
    server.create_database_from(&crate::migrations::fingerprint(), |url| {
        migrate(&crate::Config::new(url)?)?;
        Ok(())
    })
}

#[cfg(feature = "blocking")]
fn migrate(config: &crate::Config) -> crate::Result<Vec<String>> {
    crate::blocking::migrations::up(config)
}

#[cfg(all(feature = "async", not(feature = "blocking")))]
fn migrate(config: &crate::Config) -> crate::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(crate::Error::connection)?;
    runtime.block_on(crate::migrations::up(config))
}

/// The error of starting or using a test server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The machine has no usable server program.
    #[error("{program} was not found (looked in {searched}). To install it: {install}")]
    NotInstalled {
        /// The missing program.
        program: &'static str,
        /// The places that were searched, and the reasons against the programs that were found.
        searched: String,
        /// The command that installs it on this machine.
        install: String,
    },
    /// The directory in `$PG_BIN` or `$REDIS_BIN` is not usable.
    #[error("{variable} is {}, but {reason}. Unset it to search the machine, or install the programs: {install}", directory.display())]
    Override {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        directory: PathBuf,
        /// The reason why the directory is not usable.
        reason: String,
        /// The command that installs the programs on this machine.
        install: String,
    },
    /// The process runs as root and the machine has neither a `postgres` nor a `nobody` account to
    /// run PostgreSQL as.
    #[error("PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`")]
    NoAccount,
    /// The persistent data directory cannot be used.
    #[error("data directory {}: {reason}", path.display())]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// The reason why it cannot be used.
        reason: String,
    },
    /// A setting's name or value cannot be passed to the server.
    #[error("setting {name:?}: {reason}")]
    Setting {
        /// The setting's name.
        name: String,
        /// The reason why it cannot be passed.
        reason: &'static str,
    },
    /// The server ended, or did not become ready in time.
    #[error("{program} {reason}; the end of its log:\n{log}")]
    Start {
        /// The program that was started.
        program: String,
        /// The failure.
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// PostgreSQL rejected a statement.
    #[error("PostgreSQL: {message} (SQLSTATE {sqlstate}) in: {statement}")]
    Statement {
        /// The five-character code.
        sqlstate: String,
        /// The server's message.
        message: String,
        /// The statement.
        statement: String,
    },
    /// The closure that prepares a template failed.
    #[error("preparing the template database {key:?}: {source}")]
    Prepare {
        /// The template's key.
        key: String,
        /// The error that the closure returned.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server was started by another process, and only that process may stop or restart it.
    #[error("this PostgreSQL server was started by another process and is only used by this one")]
    Borrowed,
    /// An operation on a file, a socket or a process failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// The operation.
        action: String,
        /// The operating system's error.
        source: io::Error,
    },
}

impl ServerError {
    /// Returns a function for `map_err` that adds the operation and its path.
    fn io(action: &str, path: &Path) -> impl FnOnce(io::Error) -> ServerError {
        let action = format!("{action} {}", path.display());
        move |source| ServerError::Io { action, source }
    }
}
