//! The private server, the scripts, and the programs that work on it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use wundr_db::Config;
use wundr_db::blocking::{Db, migrations};
use wundr_db::testing::PostgresServer;

use super::Outcome;

const SCRIPTS: [(&str, &str); 4] = [
    ("archive.sh", include_str!("archive.sh")),
    ("restore-dump.sh", include_str!("restore-dump.sh")),
    ("swap.sh", include_str!("swap.sh")),
    ("restore-test.sh", include_str!("restore-test.sh")),
];

/// A server with the database `wundr` that archives its write-ahead log.
pub struct Tools {
    pub server: PostgresServer,
    directory: TempDir,
}

impl Tools {
    pub fn start() -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        // If this process is of root, the server runs as another user.
        let everybody = fs::Permissions::from_mode(0o777);
        let archive = directory.path().join("archive");
        fs::create_dir(&archive)?;
        for path in [directory.path(), &archive] {
            fs::set_permissions(path, everybody.clone())?;
        }
        for (name, text) in SCRIPTS {
            let path = directory.path().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, everybody.clone())?;
        }
        let script = directory.path().join("archive.sh");
        let command = format!("sh {} \"%p\" %f {}", script.display(), archive.display());
        let builder = PostgresServer::builder()
            .setting("archive_mode", "on")
            .setting("archive_command", command);
        let mut server = builder.start()?;
        if server.version() >= 17 {
            // For incremental backups, which older versions do not have.
            server = builder.setting("summarize_wal", "on").start()?;
        }
        let tools = Self { server, directory };
        tools.run("createdb", &["wundr"])?;
        migrations::up(&Config::new(&tools.server.url("wundr"))?)?;
        Ok(tools)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn db(&self, database: &str) -> Outcome<Db> {
        Ok(Db::connect_to(&self.server.url(database))?)
    }

    /// Prints a command, runs it, and returns its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        let mut command = self.command(program);
        let shown: Vec<String> = arguments
            .iter()
            .map(|argument| self.shown(argument))
            .collect();
        println!("  $ {program} {}", shown.join(" "));
        let output = command.args(arguments).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        if !output.status.success() {
            return Err(format!("{program} failed: {text}").into());
        }
        Ok(text)
    }

    /// Returns a command of the server's account that finds the server and its programs.
    pub fn command(&self, program: &str) -> Command {
        let psql = self.server.command("psql");
        let programs = Path::new(psql.get_program()).parent();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = programs
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&path));
        let mut command = Command::new(program);
        if let Ok(path) = std::env::join_paths(path) {
            command.env("PATH", path);
        }
        command
            .env("PGHOST", self.server.socket_dir())
            .env("PGPORT", self.server.port().to_string())
            .env("PGUSER", "postgres")
            .env("LOCALE", "C")
            .env("TMPDIR", self.directory.path())
            .current_dir(self.server.socket_dir());
        let owner = fs::metadata(self.server.data_dir());
        let own = fs::metadata(self.directory.path());
        if let (Ok(owner), Ok(own)) = (owner, own)
            && owner.uid() != own.uid()
        {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command
    }

    fn shown(&self, argument: &str) -> String {
        let directory = format!("{}/", self.directory.path().display());
        let argument = argument.replace(&directory, "");
        match argument.contains(' ') {
            true => format!("\"{argument}\""),
            false => argument,
        }
    }
}
