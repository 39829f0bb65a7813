//! The directories of servers, and the account that a server runs as.

use super::ServerError;
use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SHARED_MEMORY: &str = "/dev/shm";

/// The free space, in KiB, below which /dev/shm is not used: containers often have only 64 MiB of
/// it.
const ENOUGH_SHARED_MEMORY: u64 = 1 << 20;

/// The longest base directory, in bytes. A socket's path may have 107 bytes (103 on macOS); this
/// leaves room for the names below the base directory.
const LONGEST_BASE: usize = 60;

/// The account that a server runs as, if that is not the user of this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// Returns an unprivileged account that PostgreSQL accepts.
    pub(super) fn unprivileged() -> Option<Account> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| account_of(&passwd, name))
    }

    fn can_enter(self, directory: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "cd -- \"$1\" 2>/dev/null", "sh"])
            .arg(directory)
            .current_dir("/");
        run_as(&mut command, Some(self));
        command
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Makes `command` run as `account`, or as the user of this process if that is `None`.
pub(super) fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
}

fn account_of(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let mut numbers = fields.skip(1).map(|field| field.parse().ok());
        Some(Account {
            uid: numbers.next()??,
            gid: numbers.next()??,
        })
    })
}

/// A new directory that belongs to the server's account and is closed to others.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    pub(super) path: PathBuf,
    /// `None` unless this process runs as root.
    pub(super) account: Option<Account>,
    /// The user of this process.
    pub(super) user: u32,
}

/// The purpose of a server's directory.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Purpose {
    /// Temporary data, stored in memory if possible.
    Scratch,
    /// Data that must be written to a real disk.
    Disk,
}

impl PrivateDirectory {
    /// Creates a directory whose sockets have short paths.
    ///
    /// A process of root passes it to the account `as_root`, which can then enter it. With `None`,
    /// the directory and its server stay root's.
    pub(super) fn create(
        prefix: &str,
        purpose: Purpose,
        as_root: Option<Account>,
    ) -> Result<Self, ServerError> {
        let temporary = env::temp_dir();
        let mut bases = vec![temporary.clone(), PathBuf::from("/tmp")];
        if purpose == Purpose::Scratch
            && free_kibibytes(Path::new(SHARED_MEMORY)) >= ENOUGH_SHARED_MEMORY
        {
            bases.insert(0, PathBuf::from(SHARED_MEMORY));
        }
        let mut failure = None;
        for base in bases
            .iter()
            .filter(|base| base.as_os_str().len() <= LONGEST_BASE)
        {
            match Self::create_in(base, prefix, as_root) {
                Ok(directory) => return Ok(directory),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| ServerError::Io {
            action: format!("make a directory in {}", temporary.display()),
            source: std::io::ErrorKind::InvalidFilename.into(),
        }))
    }

    /// Creates a directory as [`create`](Self::create) does, in the base directory `base`.
    pub(super) fn create_in(
        base: &Path,
        prefix: &str,
        as_root: Option<Account>,
    ) -> Result<Self, ServerError> {
        let making = || ServerError::io("make a directory in", base);
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(base)
            .map_err(making())?;
        // A new directory belongs to the user of this process.
        let user = directory.path().metadata().map_err(making())?.uid();
        let account = as_root.filter(|_| user == 0);
        if let Some(account) = account {
            chown(directory.path(), Some(account.uid), Some(account.gid)).map_err(making())?;
            if !account.can_enter(directory.path()) {
                return Err(ServerError::DataDirectory {
                    path: base.to_owned(),
                    reason: format!(
                        "user {} cannot enter it, and PostgreSQL does not run as root",
                        account.uid
                    ),
                });
            }
        }
        Ok(Self {
            path: directory.keep(),
            account,
            user,
        })
    }
}

/// Returns the free space of a file system in KiB, or 0 if it is unknown.
fn free_kibibytes(directory: &Path) -> u64 {
    let output = Command::new("df")
        .arg("-Pk")
        .arg(directory)
        .stdin(Stdio::null())
        .output();
    output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| {
            let table = String::from_utf8_lossy(&output.stdout).into_owned();
            table
                .lines()
                .last()?
                .split_whitespace()
                .nth(3)?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_passwd() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/:/bin/false\nodd\n";
        assert_eq!(
            account_of(passwd, "nobody"),
            Some(Account {
                uid: 65534,
                gid: 65533
            })
        );
        assert_eq!(account_of(passwd, "odd"), None);
        assert_eq!(account_of(passwd, "postgres"), None);
    }
}
