//! The data directory of a server: creation, copies of a primary, and the state that a server
//! writes to it.

use std::env;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::testing::ServerError;
use crate::testing::directory::{Account, PrivateDirectory, run_as};
use crate::testing::programs::PostgresPrograms;

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

/// The state that a running server writes to `postmaster.pid` in its data directory.
pub(super) struct PostmasterFile {
    pub(super) pid: u32,
    pub(super) port: u16,
    pub(super) socket_directory: PathBuf,
    pub(super) ready: bool,
}

impl PostmasterFile {
    /// Reads the file. `None` if it does not exist or the server has not finished writing it.
    pub(super) fn read(data: &Path) -> Option<Self> {
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
pub(super) fn server_account(data: Option<&Path>) -> Option<Account> {
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

pub(super) fn command(
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
pub(super) fn copy_primary(
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

pub(super) fn run_to_end(mut command: Command, program: &Path) -> Result<(), ServerError> {
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
pub(super) fn make_data_directory(
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
pub(super) fn make_scratch_data(
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

/// Returns the FNV-1a hash, which is the same in every process and build, unlike those of the
/// standard library.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
