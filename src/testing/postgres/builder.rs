//! The builder of a server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::data_directory::{copy_primary, make_data_directory, make_scratch_data, server_account};
use super::{CLEAN, CRASH, Cluster, PostgresServer};
use crate::testing::ServerError;
use crate::testing::directory::{PrivateDirectory, Purpose};
use crate::testing::process::{ServerProcess, free_port};
use crate::testing::programs::PostgresPrograms;

/// The settings of a server whose data is removed with it.
///
/// Commits stay synchronous. With the data in the operating system's cache that costs little, and
/// an acknowledged commit survives [`PostgresServer::kill`].
const SCRATCH_SETTINGS: [(&str, &str); 6] = [
    ("autovacuum", "off"),
    ("jit", "off"),
    ("log_checkpoints", "off"),
    // Limits the memory that the write-ahead log uses on /dev/shm.
    ("max_wal_size", "256MB"),
    ("max_connections", "200"),
    ("wal_recycle", "off"),
];

const KEPT_SETTINGS: [(&str, &str); 1] = [("max_connections", "200")];

const UNSYNCED_SETTINGS: [(&str, &str); 2] = [("fsync", "off"), ("full_page_writes", "off")];

/// The time to wait for another process that starts or stops a server on the same data directory.
const OTHER_PROCESS: Duration = Duration::from_secs(60);

/// A builder of [`PostgresServer`]s.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PostgresServerBuilder {
    fsync: Option<bool>,
    data_dir: Option<PathBuf>,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    tcp: bool,
    /// The address and the slot of the primary that a standby follows.
    primary: Option<(SocketAddr, String)>,
    /// The named pipe that the processes which share the server keep open.
    users: Option<PathBuf>,
}

impl PostgresServerBuilder {
    /// Sets whether the server forces its writes to disk.
    ///
    /// Default: only with [`data_dir`](Self::data_dir). `true` also avoids `/dev/shm`, so that
    /// timings include the disk.
    pub fn fsync(mut self, fsync: bool) -> Self {
        self.fsync = Some(fsync);
        self
    }

    /// Keeps the data in this directory.
    ///
    /// The directory is created if it does not exist, and reused by the next start. It may be
    /// empty.
    ///
    /// If another process already runs a server on the directory, this process uses that server.
    /// The server then ends with its own process, and [`kill`](PostgresServer::kill),
    /// [`restart`](PostgresServer::restart) and [`stop`](PostgresServer::stop) return
    /// [`ServerError::Borrowed`]. The settings of this builder do not apply to it.
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(directory.into());
        self
    }

    /// Sets a parameter of `postgresql.conf`.
    ///
    /// It takes precedence over this module's own settings. If a parameter is set twice, the last
    /// call applies.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Sets an environment variable of the server.
    ///
    /// For example, `LANGUAGE` with the parameter `lc_messages = C.UTF-8` selects the language of
    /// its messages.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Makes the server also listen on a free port of 127.0.0.1, for clients that do not support
    /// Unix sockets.
    ///
    /// Any user of the machine can then connect without a password.
    pub fn listen_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Starts the server and waits until it accepts connections, at most 60 seconds.
    ///
    /// # Errors
    /// - [`ServerError::NotInstalled`] or [`ServerError::Override`] if there is no PostgreSQL 15 or
    ///   newer
    /// - [`ServerError::Start`] if the server does not start
    /// - [`ServerError::DataDirectory`] if the data directory is of another version or cannot be
    ///   used
    /// - [`ServerError::NoAccount`] if root has no account to run PostgreSQL as
    /// - [`ServerError::Io`]
    pub fn start(&self) -> Result<PostgresServer, ServerError> {
        let programs = PostgresPrograms::find()?;
        let cluster = match &self.data_dir {
            Some(data) => self.start_on(data, &programs)?,
            None => self.launch(&programs, None)?,
        };
        Ok(PostgresServer {
            cluster: Arc::new(cluster),
        })
    }

    /// Lets the server run until no process has this named pipe open for writing.
    pub(super) fn used_through(mut self, users: PathBuf) -> Self {
        self.users = Some(users);
        self
    }

    /// Starts a standby on a copy of another server.
    pub(in crate::testing) fn start_standby(
        mut self,
        primary: SocketAddr,
        slot: &str,
    ) -> Result<PostgresServer, ServerError> {
        self.data_dir = None;
        self.primary = Some((primary, slot.to_owned()));
        self.start()
    }

    fn start_on(&self, data: &Path, programs: &PostgresPrograms) -> Result<Cluster, ServerError> {
        let data = std::path::absolute(data).map_err(ServerError::io("find", data))?;
        make_data_directory(&data, programs, self.fsync.unwrap_or(true))?;
        let deadline = Instant::now() + OTHER_PROCESS;
        loop {
            if let Some(cluster) = Cluster::borrow(&data, programs) {
                return Ok(cluster);
            }
            match self.launch(programs, Some(&data)) {
                Err(ServerError::Start { log, .. })
                    if log.contains("\"postmaster.pid\" already exists") =>
                {
                    if Instant::now() >= deadline {
                        let reason =
                            format!("it is in use, and the server there does not respond:\n{log}");
                        return Err(ServerError::DataDirectory { path: data, reason });
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                result => return result,
            }
        }
    }

    fn launch(
        &self,
        programs: &PostgresPrograms,
        data: Option<&Path>,
    ) -> Result<Cluster, ServerError> {
        const ATTEMPTS: usize = 5;
        let mut attempt = 1;
        loop {
            match self.launch_once(programs, data) {
                // Another program has taken the free port in the meantime.
                Err(ServerError::Start { log, .. })
                    if self.tcp && attempt < ATTEMPTS && log.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn launch_once(
        &self,
        programs: &PostgresPrograms,
        kept: Option<&Path>,
    ) -> Result<Cluster, ServerError> {
        let fsync = self.fsync.unwrap_or(kept.is_some());
        let purpose = if fsync && kept.is_none() {
            Purpose::Disk
        } else {
            Purpose::Scratch
        };
        let directory = PrivateDirectory::create("wundr-db-pg-", purpose, server_account(kept))?;
        let ending = if kept.is_some() { CLEAN } else { CRASH };
        let process = ServerProcess::new(&directory.path, ending, self.users.as_deref())?;
        if directory.user == 0 && directory.account.is_none() {
            return Err(ServerError::NoAccount);
        }
        let data = match kept {
            Some(data) => data.to_owned(),
            None => {
                let data = directory.path.join("data");
                match &self.primary {
                    Some((primary, slot)) => {
                        copy_primary(*primary, slot, &data, programs, &directory)?;
                    }
                    None => make_scratch_data(&data, programs, &directory)?,
                }
                data
            }
        };

        let port = if self.tcp { free_port()? } else { 5432 };
        let listen = if self.tcp { "127.0.0.1" } else { "" };
        let mut settings = vec![("listen_addresses", listen)];
        settings.extend(if kept.is_some() {
            KEPT_SETTINGS.as_slice()
        } else {
            &SCRATCH_SETTINGS
        });
        settings.extend(if fsync {
            &[]
        } else {
            UNSYNCED_SETTINGS.as_slice()
        });
        settings.extend(
            self.settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let settings = settings
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();

        let cluster = Cluster {
            programs: programs.clone(),
            account: directory.account,
            data,
            directory: directory.path,
            port,
            tcp: self.tcp,
            settings,
            environment: self.environment.clone(),
            process: Some(Mutex::new(process)),
        };
        cluster.launch(&mut *cluster.process()?)?;
        Ok(cluster)
    }
}
