//! A PgBouncer of the tests' own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wundr_db::Config;
use wundr_db::testing::{PostgresServer, TestDatabase};

/// Fewer than tasks, so that clients change their server connections.
pub const SERVER_CONNECTIONS: usize = 5;

/// A PgBouncer in front of a server.
pub struct PgBouncer {
    process: Child,
    directory: TempDir,
}

/// Returns the installed program, if there is one.
fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let mut programs = directories.map(|directory| directory.join("pgbouncer"));
    programs.find(|program| program.exists())
}

/// Returns the program that `.ci/install-pgbouncer` has built, or `$WUNDR_PGBOUNCER`.
fn built() -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("WUNDR_PGBOUNCER").filter(|name| !name.is_empty()) {
        return Some(program.into());
    }
    let caches = [
        Some("/var/cache".into()),
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")),
    ];
    let programs = caches.into_iter().flatten();
    let mut programs = programs.map(|cache| cache.join("wundr-db/pgbouncer"));
    programs.find(|program| program.exists())
}

/// Checks whether a program supports prepared statements in transaction mode: its version is 1.21
/// or newer.
fn follows_statements(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number = text.split_whitespace().nth(1).unwrap();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap());
    (parts.next().unwrap(), parts.next().unwrap()) >= (1, 21)
}

/// Returns the program for a mode: in transaction mode one of version 1.21 or newer, otherwise the
/// installed one, whatever its version.
fn program(pool_mode: &str) -> PathBuf {
    if pool_mode == "transaction" {
        let mut programs = built().into_iter().chain(installed());
        let found = programs.find(|program| follows_statements(program));
        return found.expect(
            "there is no pgbouncer of version 1.21 or newer: run `sh .ci/install-pgbouncer`, \
             or name one with WUNDR_PGBOUNCER",
        );
    }
    installed().or_else(built).expect(
        "pgbouncer is not installed: apt-get install pgbouncer, or `sh .ci/install-servers`",
    )
}

/// Returns the installed program if it is older than 1.21.
pub fn old_program() -> Option<PathBuf> {
    installed().filter(|program| !follows_statements(program))
}

impl PgBouncer {
    pub fn start(pool_mode: &str) -> Self {
        Self::in_front_of(PostgresServer::shared().unwrap(), pool_mode)
    }

    pub fn in_front_of(server: &PostgresServer, pool_mode: &str) -> Self {
        Self::with(server, pool_mode, "auth_type = any", "")
    }

    /// With other settings, among them how clients authenticate, and a file of users.
    pub fn with(server: &PostgresServer, pool_mode: &str, settings: &str, users: &str) -> Self {
        Self::of_program(&program(pool_mode), server, pool_mode, settings, users)
    }

    pub fn of_program(
        program: &Path,
        server: &PostgresServer,
        pool_mode: &str,
        settings: &str,
        users: &str,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = directory.path().display();
        let statements = if follows_statements(program) {
            "max_prepared_statements = 100"
        } else {
            ""
        };
        fs::write(directory.path().join("users"), users).unwrap();
        let settings = format!(
            "[databases]\n* = host={} port={} user=postgres\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {path}\n{settings}\n\
             auth_file = {path}/users\n\
             logfile = {path}/log\npool_mode = {pool_mode}\nmax_client_conn = 200\n\
             default_pool_size = {SERVER_CONNECTIONS}\n{statements}\n",
            server.socket_dir().display(),
            server.port(),
        );
        Self::run(program, server, directory, &settings)
    }

    /// Runs the program for a mode with a whole configuration, whose socket is in the directory.
    pub fn configured(
        server: &PostgresServer,
        pool_mode: &str,
        directory: TempDir,
        settings: &str,
    ) -> Self {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self::run(&program(pool_mode), server, directory, settings)
    }

    fn run(program: &Path, server: &PostgresServer, directory: TempDir, settings: &str) -> Self {
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        // The shell ends it when its input ends: at the latest with this process, which does not
        // drop what is static.
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("\"$0\" --quiet \"$1\" & trap 'kill -KILL $!; wait' EXIT; cat")
            .arg(program)
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // It refuses to run as root, as the server does.
        let owner = fs::metadata(server.data_dir()).unwrap();
        if owner.uid() != fs::metadata(&file).unwrap().uid() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let process = command.spawn().unwrap();
        let bouncer = Self { process, directory };
        let started = Instant::now();
        while UnixStream::connect(bouncer.directory.path().join(".s.PGSQL.6432")).is_err() {
            let log = fs::read_to_string(bouncer.directory.path().join("log"));
            assert!(started.elapsed() < Duration::from_secs(20), "{log:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        bouncer
    }

    /// The directory of its socket, percent-encoded as the host of a URL.
    pub fn host(&self) -> String {
        let directory = self.directory.path().display();
        directory.to_string().replace('/', "%2F")
    }

    pub fn url(&self, database: &TestDatabase) -> String {
        let host = self.host();
        format!("postgres://postgres@{host}:6432/{}", database.name())
    }

    pub fn config(&self, database: &TestDatabase) -> Config {
        // A loaded machine takes its time.
        Config::new(&self.url(database))
            .unwrap()
            .acquire_timeout(Duration::from_secs(60))
            .connect_timeout(Duration::from_secs(60))
    }
}

/// The environment variable under which the contracts of the repositories run behind a PgBouncer:
/// its pool mode.
pub const BEHIND: &str = "WUNDR_DB_TESTS_BEHIND";

/// The configuration of the contracts for a database.
pub fn config_of(database: &TestDatabase, url: &str) -> Config {
    static SHARED: OnceLock<PgBouncer> = OnceLock::new();
    match std::env::var(BEHIND) {
        Err(_) => Config::new(url).unwrap(),
        Ok(mode) => {
            let bouncer = SHARED.get_or_init(|| PgBouncer::start(&mode));
            bouncer.config(database).behind_pgbouncer()
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
