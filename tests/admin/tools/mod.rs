//! Backup and recovery with the real tools: each starts servers of its own.

mod dump;
mod pgbackrest;
mod physical;
mod swap;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use wundr_db::testing::PostgresServer;

/// A directory that the account of the server can use as well.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = Self(directory);
        open(place.0.path());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Creates a directory.
    fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        open(&path);
        path
    }

    /// Writes a script of the example.
    fn script(&self, name: &str) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backup");
        let path = self.path(name);
        fs::copy(source.join(name), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// A command of the server's account, that finds the server and its programs.
fn command(server: &PostgresServer, program: &str) -> Command {
    let psql = server.command("psql");
    let bin = Path::new(psql.get_program()).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(bin).chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    command
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("PGHOST", server.socket_dir())
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", "postgres")
        .current_dir(server.socket_dir());
    let owner = fs::metadata(server.data_dir()).unwrap();
    if owner.uid() != fs::metadata("/proc/self").map_or(owner.uid(), |own| own.uid()) {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    )
}

/// Runs a command, which must succeed, and returns its output.
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// Runs a command, which must fail, and returns its output.
fn fails(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// Checks that a program is installed.
fn required(program: &str, package: &str) {
    let found = Command::new(program).arg("--help").output().is_ok();
    assert!(
        found,
        "{program} is not installed: apt-get install {package}, or `sh .ci/install-servers`"
    );
}

/// Waits until a server that recovers accepts connections, which it does at the end.
fn until_ready(server: &PostgresServer) {
    while !server
        .command("pg_isready")
        .arg("-q")
        .status()
        .unwrap()
        .success()
    {
        assert!(server.pid().is_some(), "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
