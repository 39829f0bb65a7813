//! A private PostgreSQL and Redis for tests: real servers, started from the machine's own programs, gone with the
//! process that started them.
//!
//! Nothing is mocked, nothing is shared with a server that is already running, and no port is needed: the servers listen
//! on a Unix socket in a directory of their own. Each test gets a database of its own, copied from a template that is
//! prepared once, so tests run on all threads at the same time and may commit.
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
//! A [`Proxy`] in front of a server takes the part of a network or a host that fails: it can fall silent, refuse or cut
//! connections, swallow the answer to a commit, tear answers into pieces, and lead to another server. A [`Pair`] is a
//! primary and its standby, which can be paused, cut off and promoted.
//!
//! # What the machine needs
//!
//! The PostgreSQL server programs, version 15 or newer, and `redis-server` (or `valkey-server`) for [`RedisServer`].
//! They are looked for in
//! - `$PG_BIN` and `$REDIS_BIN`, directories; when one is set, no other place is tried;
//! - PostgreSQL: `pg_config --bindir`, the newest version below the directories that distributions use, then `$PATH`;
//! - Redis: `$PATH`, then the usual directories.
//!
//! A program that is missing is an error that contains the command which installs it, never a skipped test.
//!
//! # What happens to the servers
//!
//! A server stops when its handle and all its [`TestDatabase`]s are dropped. A small watchdog process does the same when
//! the process dies in any other way, a `kill -9` included. PostgreSQL refuses to run as root, so root starts it as
//! `postgres` or `nobody`. Data is kept in memory (`/dev/shm`) where there is at least 1 GiB of it, otherwise in the
//! directory for temporary files. That directory also keeps a `wundr-db-initdb-*.tar`, an empty database cluster that
//! saves later processes the run of `initdb`; it can be deleted at any time.
//!
//! All functions here block the calling thread. Only Unix-like systems are supported.

mod binaries;
mod cluster;
mod directory;
mod pair;
mod process;
mod proxy;
mod redis;
mod simple_query;

pub use cluster::{PostgresServer, PostgresServerBuilder, ShutdownMode, TestDatabase};
pub use pair::Pair;
pub use proxy::{Proxy, ProxyMode, Upstream};
pub use redis::{RedisServer, RedisServerBuilder};

use std::io;
use std::path::{Path, PathBuf};

/// A database with every migration applied, in the process's own server.
///
/// The migrations run once for each server; each call copies what they made, in some 20 ms.
///
/// # Errors
/// [`ServerError`] if the server cannot be started or a migration fails.
#[cfg(any(feature = "async", feature = "blocking"))]
pub fn migrated_database() -> Result<TestDatabase, ServerError> {
    migrated_database_of(PostgresServer::shared()?)
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
    crate::migrations::blocking::up(config)
}

#[cfg(all(feature = "async", not(feature = "blocking")))]
fn migrate(config: &crate::Config) -> crate::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(crate::Error::connection)?;
    runtime.block_on(crate::migrations::up(config))
}

/// Why a test server could not be started or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The machine has no usable server program.
    #[error("{program} was not found (looked in {searched}). To install it: {install}")]
    NotInstalled {
        /// What is missing.
        program: &'static str,
        /// The places that were tried, and what was wrong with those that had something.
        searched: String,
        /// The command that installs it on this machine.
        install: String,
    },
    /// The directory that `$PG_BIN` or `$REDIS_BIN` names is not usable.
    #[error("{variable} is {}, but {reason}. Unset it to search the machine, or install the programs: {install}", directory.display())]
    Override {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        directory: PathBuf,
        /// What is wrong with that directory.
        reason: String,
        /// The command that installs the programs on this machine.
        install: String,
    },
    /// The process runs as root and the machine has neither a `postgres` nor a `nobody` account to run PostgreSQL as.
    #[error("PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`")]
    NoAccount,
    /// The persistent data directory cannot be used.
    #[error("data directory {}: {reason}", path.display())]
    DataDirectory {
        /// The directory.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// A setting's name or value cannot be passed to the server.
    #[error("setting {name:?}: {reason}")]
    Setting {
        /// The setting's name.
        name: String,
        /// Why it cannot be passed.
        reason: &'static str,
    },
    /// The server ended, or did not become ready in time.
    #[error("{program} {reason}; the end of its log:\n{log}")]
    Start {
        /// The program that was started.
        program: String,
        /// What happened.
        reason: String,
        /// The last lines of the server's log.
        log: String,
    },
    /// PostgreSQL refused a statement.
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
        /// What the closure returned.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server belongs to another process, which alone may stop or restart it.
    #[error("this PostgreSQL server was started by another process and is only used by this one")]
    Borrowed,
    /// An operation on a file, a socket or a process failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's error.
        source: io::Error,
    },
}

impl ServerError {
    /// For `map_err`: names what was tried on a path.
    fn io(action: &str, path: &Path) -> impl FnOnce(io::Error) -> ServerError {
        let action = format!("{action} {}", path.display());
        move |source| ServerError::Io { action, source }
    }
}
