//! The server that the processes of one run of cargo-nextest share.
//!
//! cargo-nextest runs each test in a process of its own. The first process starts the server. Its
//! watchdog reads from a named pipe, which every process keeps open for writing until it ends. The
//! watchdog therefore receives the end of the pipe when the last process has ended, in whatever
//! way, and stops the server.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::data_directory::{fnv1a, run_to_end};
use super::{Cluster, PostgresServer};
use crate::testing::ServerError;
use crate::testing::programs::PostgresPrograms;

/// The variable that cargo-nextest sets for the processes of one run.
const RUN_ID: &str = "NEXTEST_RUN_ID";

/// The number of attempts to create the directory, which the watchdog of an earlier server may
/// remove at the same time.
const ATTEMPTS: usize = 10;

/// The directory of a run, which contains a lock, the named pipe, and the path of the server's
/// data.
pub(super) struct Run {
    directory: PathBuf,
}

impl Run {
    /// Returns the run that started this process, if there is one. The tests of each program have a
    /// run of their own, as with `cargo test`.
    pub(super) fn of_this_process() -> Option<Self> {
        let run = env::var_os(RUN_ID)?;
        let program = env::current_exe().ok()?;
        let key = [run.as_bytes(), b" ", program.as_os_str().as_bytes()].concat();
        let directory = env::temp_dir().join(format!("wundr-db-run-{:016x}", fnv1a(&key)));
        Some(Self { directory })
    }

    /// Returns the server of the run, which is started if it does not run.
    pub(super) fn server(&self) -> Result<PostgresServer, ServerError> {
        let _lock = self.lock()?;
        if let Some(cluster) = self.join()? {
            return Ok(PostgresServer {
                cluster: Arc::new(cluster),
            });
        }
        let users = self.users();
        // A watchdog that was killed has left it.
        let _ = fs::remove_file(&users);
        let mut make_pipe = Command::new("mkfifo");
        make_pipe.args(["-m", "600"]).arg(&users);
        run_to_end(make_pipe, Path::new("mkfifo"))?;
        let server = PostgresServer::builder().used_through(users).start()?;
        let data = self.data();
        fs::write(&data, server.data_dir().as_os_str().as_bytes())
            .map_err(ServerError::io("write", &data))?;
        Ok(server)
    }

    /// Locks the directory until the file is dropped. Creates it if it does not exist.
    fn lock(&self) -> Result<File, ServerError> {
        let path = self.directory.join("lock");
        let mut attempt = 1;
        let file = loop {
            let directory = &self.directory;
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            let made = builder.create(directory).and_then(|()| File::create(&path));
            match made {
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                made => break made.map_err(ServerError::io("create", &path))?,
            }
        };
        file.lock().map_err(ServerError::io("lock", &path))?;
        Ok(file)
    }

    /// Uses the running server, until the end of this process.
    fn join(&self) -> Result<Option<Cluster>, ServerError> {
        // Opened for reading too, since it would otherwise wait for a watchdog that was killed.
        let Ok(users) = File::options().read(true).write(true).open(self.users()) else {
            return Ok(None);
        };
        let Ok(data) = fs::read(self.data()) else {
            return Ok(None);
        };
        let programs = PostgresPrograms::find()?;
        let cluster = Cluster::borrow(Path::new(OsStr::from_bytes(&data)), &programs);
        if cluster.is_some() {
            std::mem::forget(users);
        }
        Ok(cluster)
    }

    fn users(&self) -> PathBuf {
        self.directory.join("users")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }
}
