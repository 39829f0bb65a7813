//! A private PostgreSQL server.

use super::ServerError;
use super::directory::{Account, PrivateDirectory, Purpose, run_as};
use super::process::{Ending, ServerProcess, free_port, tail};
use super::programs::PostgresPrograms;
use super::simple_query::Session;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The arguments of `initdb`. The C locale is the only one that every machine has.
const INITDB_ARGUMENTS: [&str; 8] = [
    "-U",
    "postgres",
    "-A",
    "trust",
    "-E",
    "UTF8",
    "--locale=C",
    "--no-instructions",
];

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

const CRASH: Ending = Ending {
    signal: "QUIT",
    patience: Duration::from_secs(10),
};
const CLEAN: Ending = Ending {
    signal: "INT",
    patience: Duration::from_secs(60),
};

/// The time to wait for another process that starts or stops a server on the same data directory.
const OTHER_PROCESS: Duration = Duration::from_secs(60);

const URL_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

static NEXT_DATABASE: AtomicU64 = AtomicU64::new(0);

static SHARED: Mutex<Option<&'static PostgresServer>> = Mutex::new(None);

/// A builder of [`PostgresServer`]s.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PostgresServerBuilder {
    fsync: Option<bool>,
    data_dir: Option<PathBuf>,
    settings: Vec<(String, String)>,
    tcp: bool,
    /// The address and the slot of the primary that a standby follows.
    primary: Option<(SocketAddr, String)>,
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

    /// Starts a standby on a copy of another server.
    pub(super) fn start_standby(
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
        let process = ServerProcess::new(&directory.path, ending)?;
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
            process: Some(Mutex::new(process)),
        };
        cluster.launch(&mut *cluster.process()?)?;
        Ok(cluster)
    }
}

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
    /// See [`PostgresServerBuilder::start`].
    pub fn start() -> Result<PostgresServer, ServerError> {
        Self::builder().start()
    }

    /// Returns the server that all tests of this process share.
    ///
    /// The first call starts it. It ends with the process.
    ///
    /// # Errors
    /// See [`PostgresServerBuilder::start`]. After an error the next call tries again.
    pub fn shared() -> Result<&'static PostgresServer, ServerError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = *shared {
            return Ok(server);
        }
        let server: &'static PostgresServer = Box::leak(Box::new(Self::start()?));
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

    /// Creates an empty database with a unique name.
    ///
    /// # Errors
    /// [`ServerError::Statement`] if PostgreSQL rejects the statement, [`ServerError::Io`] if it
    /// does not respond.
    pub fn create_database(&self) -> Result<TestDatabase, ServerError> {
        self.copy_database("template0", &mut self.cluster.session()?)
    }

    /// Creates a database as a copy of a template, with the template's settings and privileges.
    ///
    /// The first call for a `template_key` creates the template as an empty database. It then calls
    /// `prepare` with its URL, for example to run migrations. Nothing can connect to the template
    /// afterwards. Calls from other threads wait for it, as do calls from other processes that
    /// share the server. Change the key if `prepare` changes: templates remain in a server whose
    /// data is kept.
    ///
    /// `prepare` runs on a thread of its own. It may block on a runtime there even if the caller
    /// runs inside one. Its connections are closed when it returns.
    ///
    /// # Errors
    /// [`ServerError::Prepare`] with the error of `prepare`; the next call for that key then starts
    /// over. Otherwise as [`create_database`](Self::create_database).
    ///
    /// # Panics
    /// If `prepare` panics.
    pub fn create_database_from<F>(
        &self,
        template_key: &str,
        prepare: F,
    ) -> Result<TestDatabase, ServerError>
    where
        F: FnOnce(&str) -> Result<(), Box<dyn Error + Send + Sync>> + Send,
    {
        let hash = fnv1a(template_key.as_bytes());
        let template = format!("template_{hash:016x}");
        let mut session = self.cluster.session()?;
        if !is_template(&mut session, &template)? {
            // The lock is polled, since a wait in the server would need a time limit. It ends with
            // the session.
            let lock = format!(
                "SELECT pg_catalog.pg_try_advisory_lock({})",
                hash.cast_signed()
            );
            while session.run(&lock)?.as_deref() != Some("t") {
                std::thread::sleep(Duration::from_millis(5));
            }
            if !is_template(&mut session, &template)? {
                self.make_template(&mut session, template_key, &template, prepare)?;
            }
        }
        let database = self.copy_database(&template, &mut session)?;
        let name = &database.name;
        // CREATE DATABASE copies neither ALTER DATABASE ... SET nor GRANT ... ON DATABASE.
        session.run(&format!(
            "INSERT INTO pg_catalog.pg_db_role_setting (setdatabase, setrole, setconfig) \
             SELECT new.oid, setrole, setconfig FROM pg_catalog.pg_db_role_setting \
             JOIN pg_catalog.pg_database old ON old.oid = setdatabase AND old.datname = '{template}' \
             JOIN pg_catalog.pg_database new ON new.datname = '{name}'"
        ))?;
        session.run(&format!(
            "UPDATE pg_catalog.pg_database new SET datacl = old.datacl FROM pg_catalog.pg_database old \
             WHERE new.datname = '{name}' AND old.datname = '{template}' AND old.datacl IS NOT NULL"
        ))?;
        Ok(database)
    }

    fn make_template<F>(
        &self,
        session: &mut Session,
        key: &str,
        template: &str,
        prepare: F,
    ) -> Result<(), ServerError>
    where
        F: FnOnce(&str) -> Result<(), Box<dyn Error + Send + Sync>> + Send,
    {
        // Removes the remains of a process that died while preparing.
        session.run(&format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)"))?;
        session.run(&format!("CREATE DATABASE {template} TEMPLATE template0"))?;
        let url = self.url(template);
        let outcome = std::thread::scope(|scope| scope.spawn(|| prepare(&url)).join());
        outcome
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .map_err(|source| ServerError::Prepare {
                key: key.to_owned(),
                source,
            })?;
        session.run(&format!(
            "ALTER DATABASE {template} ALLOW_CONNECTIONS false"
        ))?;
        session.run(&format!(
            "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid, 10000)) FROM pg_catalog.pg_stat_activity \
             WHERE datname = '{template}'"
        ))?;
        Ok(())
    }

    fn copy_database(
        &self,
        template: &str,
        session: &mut Session,
    ) -> Result<TestDatabase, ServerError> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let number = NEXT_DATABASE.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}_{:x}", std::process::id(), now.as_nanos());
        session.run(&format!(
            "CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
        ))?;
        Ok(TestDatabase {
            cluster: Arc::clone(&self.cluster),
            name,
        })
    }

    /// Stops the server as in a crash, if it runs.
    ///
    /// Connections break, and the next start recovers. Committed data survives. Its data, socket
    /// and URLs stay the same after [`restart`](Self::restart).
    ///
    /// # Errors
    /// [`ServerError::Borrowed`] for a server of another process.
    pub fn kill(&self) -> Result<(), ServerError> {
        self.cluster.process()?.stop(CRASH);
        Ok(())
    }

    /// Starts the server again on the same data and socket, after a clean stop if it runs.
    ///
    /// # Errors
    /// [`ServerError::Borrowed`] for a server of another process, [`ServerError::Start`] if it does
    /// not start.
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
    /// [`ServerError::Borrowed`] for a server of another process, which continues.
    pub fn stop(self, mode: ShutdownMode) -> Result<(), ServerError> {
        let ending = match mode {
            ShutdownMode::Fast => CLEAN,
            ShutdownMode::Immediate => CRASH,
        };
        self.cluster.process()?.stop(ending);
        Ok(())
    }
}

/// A database of a [`PostgresServer`], which is removed when this value is dropped.
///
/// The server runs as long as it has any.
#[derive(Debug)]
pub struct TestDatabase {
    cluster: Arc<Cluster>,
    name: String,
}

impl TestDatabase {
    /// Returns the URL of the database over the Unix socket.
    #[must_use]
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// Returns the database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.cluster.socket()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A test may have stopped the server.
        if let Ok(mut session) = self.cluster.session() {
            let _ = session.run(&format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                self.name
            ));
        }
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

/// The state that a running server writes to `postmaster.pid` in its data directory.
struct PostmasterFile {
    pid: u32,
    port: u16,
    socket_directory: PathBuf,
    ready: bool,
}

impl PostmasterFile {
    /// Reads the file. `None` if it does not exist or the server has not finished writing it.
    fn read(data: &Path) -> Option<Self> {
        let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        Some(Self {
            pid: lines.first()?.parse().ok()?,
            port: lines.get(3)?.parse().ok()?,
            socket_directory: PathBuf::from(lines.get(4)?),
            // A standby writes "standby".
            ready: matches!(*lines.get(7)?, "ready" | "standby"),
        })
    }
}

/// Returns the account that a server started by root runs as: the owner of its data, or an
/// unprivileged account.
fn server_account(data: Option<&Path>) -> Option<Account> {
    let owner = data
        .and_then(|data| data.metadata().ok())
        .filter(|data| data.uid() != 0);
    owner
        .map(|data| Account {
            uid: data.uid(),
            gid: data.gid(),
        })
        .or_else(Account::unprivileged)
}

fn command(
    programs: &PostgresPrograms,
    program: &str,
    account: Option<Account>,
    directory: &Path,
) -> Command {
    let mut command = Command::new(programs.path(program));
    // $PGDATA, $PGOPTIONS and similar variables are meant for other servers.
    for (name, _) in env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"PG")) {
        command.env_remove(name);
    }
    // The account may have no access to the current directory of this process.
    command
        .env("LC_ALL", "C")
        .current_dir(directory)
        .stdin(Stdio::null());
    run_as(&mut command, account);
    command
}

fn initdb(
    programs: &PostgresPrograms,
    account: Option<Account>,
    directory: &Path,
    data: &Path,
    synced: bool,
) -> Result<(), ServerError> {
    let mut command = command(programs, "initdb", account, directory);
    command
        .args(INITDB_ARGUMENTS)
        .args((!synced).then_some("--no-sync"));
    // initdb would use the machine's time zone for the server.
    command.arg("-D").arg(data).env("TZ", "UTC");
    let program = programs.path("initdb");
    run_to_end(command, &program)
}

/// Copies a running primary and configures the copy as its standby.
fn copy_primary(
    primary: SocketAddr,
    slot: &str,
    data: &Path,
    programs: &PostgresPrograms,
    directory: &PrivateDirectory,
) -> Result<(), ServerError> {
    let program = programs.path("pg_basebackup");
    let mut command = command(
        programs,
        "pg_basebackup",
        directory.account,
        &directory.path,
    );
    command.arg("-d").arg(format!(
        "host={} port={} user=postgres",
        primary.ip(),
        primary.port()
    ));
    command
        .args(["-R", "-C", "-S", slot, "-X", "stream"])
        .args(["-c", "fast", "--no-sync", "-D"])
        .arg(data);
    run_to_end(command, &program)?;
    // The interval at which the standby reconnects to its primary. PostgreSQL's default is 5 s.
    let settings = data.join("postgresql.auto.conf");
    fs::File::options()
        .append(true)
        .open(&settings)
        .and_then(|mut file| file.write_all(b"wal_retrieve_retry_interval = '1s'\n"))
        .map_err(ServerError::io("write", &settings))
}

fn run_to_end(mut command: Command, program: &Path) -> Result<(), ServerError> {
    let Output { status, stderr, .. } = command
        .output()
        .map_err(ServerError::io("start", program))?;
    if status.success() {
        return Ok(());
    }
    Err(ServerError::Start {
        program: program.display().to_string(),
        reason: format!("failed ({status})"),
        log: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// Creates the persistent data directory unless it exists.
fn make_data_directory(
    data: &Path,
    programs: &PostgresPrograms,
    synced: bool,
) -> Result<(), ServerError> {
    let unusable = |reason: String| {
        Err(ServerError::DataDirectory {
            path: data.to_owned(),
            reason,
        })
    };
    if let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) {
        let version = version.trim();
        if version.parse() == Ok(programs.major) {
            return Ok(());
        }
        return unusable(format!(
            "it was created by PostgreSQL {version}, and the programs are {}; set PG_BIN to those of version {version}, \
             or remove the directory",
            programs.version
        ));
    }
    if fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some()) {
        return unusable("it contains other files than PostgreSQL's data".to_owned());
    }
    let parent = data.parent().unwrap_or(data);
    fs::create_dir_all(parent).map_err(ServerError::io("make", parent))?;
    // Created elsewhere, then renamed, since two processes may do this at the same time, and one
    // may die halfway.
    let new = PrivateDirectory::create_in(parent, ".wundr-db-initdb-", server_account(None))?;
    let made = initdb(programs, new.account, &new.path, &new.path, synced);
    let moved =
        made.and_then(|()| fs::rename(&new.path, data).map_err(ServerError::io("make", data)));
    if moved.is_err() {
        let _ = fs::remove_dir_all(&new.path);
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
    }
    moved
}

/// Creates a data directory from the saved image of one, or creates both.
fn make_scratch_data(
    data: &Path,
    programs: &PostgresPrograms,
    directory: &PrivateDirectory,
) -> Result<(), ServerError> {
    let key = format!(
        "{} {:?} {INITDB_ARGUMENTS:?}",
        programs.version,
        programs.path("")
    );
    let image = env::temp_dir().join(format!(
        "wundr-db-initdb-{}-{:016x}.tar",
        directory.user,
        fnv1a(key.as_bytes())
    ));
    if restore_image(&image, data, directory).is_none() {
        let _ = fs::remove_dir_all(data);
        initdb(programs, directory.account, &directory.path, data, false)?;
        let _ = save_image(&image, data);
    }
    Ok(())
}

fn restore_image(image: &Path, data: &Path, directory: &PrivateDirectory) -> Option<()> {
    // Other users can write to the directory for temporary files. Only a file of this user is used.
    let found = image.symlink_metadata().ok()?;
    let file = fs::File::open(image).ok()?;
    let opened = file.metadata().ok()?;
    let is_own = found.is_file() && opened.uid() == directory.user && opened.mode() & 0o022 == 0;
    if !is_own || (found.dev(), found.ino()) != (opened.dev(), opened.ino()) {
        return None;
    }
    fs::DirBuilder::new().mode(0o700).create(data).ok()?;
    if let Some(Account { uid, gid }) = directory.account {
        chown(data, Some(uid), Some(gid)).ok()?;
    }
    let mut tar = Command::new("tar");
    tar.args(["-xpf", "-"])
        .current_dir(data)
        .stdin(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run_as(&mut tar, directory.account);
    tar.status().ok()?.success().then_some(())
}

fn save_image(image: &Path, data: &Path) -> Option<()> {
    let file = tempfile::NamedTempFile::new_in(image.parent()?).ok()?;
    let mut tar = Command::new("tar");
    tar.args(["-cf", "-", "."])
        .current_dir(data)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    tar.stdout(file.reopen().ok()?);
    if !tar.status().ok()?.success() {
        return None;
    }
    file.persist(image).ok().map(drop)
}

/// Checks whether a template exists and is complete.
fn is_template(session: &mut Session, template: &str) -> Result<bool, ServerError> {
    let statement =
        format!("SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = '{template}'");
    Ok(session.run(&statement)?.as_deref() == Some("f"))
}

pub(super) fn encode(part: &[u8]) -> String {
    percent_encode(part, URL_SAFE).to_string()
}

/// Returns the FNV-1a hash, which is the same in every process and build, unlike those of the
/// standard library.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
