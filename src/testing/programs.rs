//! The search for the server programs.

use super::ServerError;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest PostgreSQL that the crate supports.
const OLDEST_MAJOR: u32 = 15;

/// Directories that contain one directory for each installed version, with the text before and
/// after the version in its path.
const VERSIONED: [(&str, &str, &str); 7] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/lib", "postgresql", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// The programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub(super) struct PostgresPrograms {
    directory: PathBuf,
    pub(super) version: String,
    pub(super) major: u32,
}

impl PostgresPrograms {
    pub(super) fn find() -> Result<Self, ServerError> {
        Self::find_among(directory_variable("PG_BIN"), candidates)
    }

    fn find_among(
        chosen: Option<PathBuf>,
        candidates: impl FnOnce() -> Vec<PathBuf>,
    ) -> Result<Self, ServerError> {
        if let Some(directory) = chosen {
            return Self::inspect(&directory).map_err(|reason| ServerError::Override {
                variable: "PG_BIN",
                directory,
                reason,
                install: install_command(&POSTGRES_PACKAGES),
            });
        }
        let mut searched = vec!["pg_config --bindir, the system's directories, PATH".to_owned()];
        for directory in candidates() {
            match Self::inspect(&directory) {
                Ok(programs) => return Ok(programs),
                Err(reason) if directory.join("postgres").exists() => {
                    searched.push(format!("{}: {reason}", directory.display()));
                }
                Err(_) => {}
            }
        }
        Err(ServerError::NotInstalled {
            program: "a PostgreSQL server, version 15 or newer,",
            searched: searched.join("; "),
            install: install_command(&POSTGRES_PACKAGES),
        })
    }

    /// Checks a directory for the server's programs in a supported version. Returns the reason if
    /// it is not usable.
    fn inspect(directory: &Path) -> Result<Self, String> {
        // Follows symbolic links, as in /usr/local/bin: the programs search for each other in their
        // own directory.
        let server = fs::canonicalize(directory.join("postgres"))
            .map_err(|_| "it does not contain the program `postgres`".to_owned())?;
        let directory = server.parent().unwrap_or(directory).to_owned();
        if !directory.join("initdb").is_file() {
            return Err("it does not contain the program `initdb`".to_owned());
        }
        let output = Command::new(&server)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("its `postgres --version` does not run: {error}"))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match major_version(&version) {
            Some(major) if major >= OLDEST_MAJOR => Ok(Self {
                directory,
                version,
                major,
            }),
            Some(_) => Err(format!("its version is too old ({version})")),
            None => Err(format!("its `postgres --version` says {version:?}")),
        }
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.directory.join(program)
    }
}

/// Finds `redis-server`, or `valkey-server`, which uses the same protocol.
pub(super) fn redis_server() -> Result<PathBuf, ServerError> {
    let in_directory = |directory: &Path| {
        ["redis-server", "valkey-server"]
            .map(|program| directory.join(program))
            .into_iter()
            .find(|path| path.is_file())
    };
    if let Some(directory) = directory_variable("REDIS_BIN") {
        return in_directory(&directory).ok_or_else(|| ServerError::Override {
            variable: "REDIS_BIN",
            directory,
            reason: "it does not contain the program `redis-server`".to_owned(),
            install: install_command(&REDIS_PACKAGES),
        });
    }
    let usual = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"].map(PathBuf::from);
    search_path()
        .into_iter()
        .chain(usual)
        .find_map(|directory| in_directory(&directory))
        .ok_or_else(|| ServerError::NotInstalled {
            program: "redis-server",
            searched: "PATH, /usr/bin, /usr/local/bin, /opt/homebrew/bin".to_owned(),
            install: install_command(&REDIS_PACKAGES),
        })
}

fn directory_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn search_path() -> Vec<PathBuf> {
    env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default()
}

/// Returns the directories that may contain the PostgreSQL programs, best first.
fn candidates() -> Vec<PathBuf> {
    let mut found = Vec::new();
    // `pg_config` is often installed with the client's development files, without a server.
    if let Ok(output) = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .output()
    {
        found.push(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ));
    }
    for (parent, prefix, suffix) in VERSIONED {
        let names = fs::read_dir(parent)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        found.extend(
            newest_first(names, prefix)
                .into_iter()
                .map(|name| Path::new(parent).join(name).join(suffix)),
        );
    }
    found.push(PathBuf::from("/usr/local/pgsql/bin"));
    found.extend(search_path());
    found
}

/// Returns the names that consist of `prefix` and a version number, the highest number first.
fn newest_first(names: impl Iterator<Item = String>, prefix: &str) -> Vec<String> {
    let mut versions: Vec<(Vec<u32>, String)> = names
        .filter_map(|name| {
            let numbers = name
                .strip_prefix(prefix)?
                .split('.')
                .map(|part| part.parse().ok());
            Some((numbers.collect::<Option<Vec<u32>>>()?, name))
        })
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, name)| name).collect()
}

/// Parses the major version in the output of `postgres --version`, such as `postgres (PostgreSQL)
/// 17.2 (Debian 17.2-1)`.
fn major_version(output: &str) -> Option<u32> {
    let (_, version) = output.split_once(") ")?;
    version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The program of a package manager, and the command that installs the server with it.
type Packages = [(&'static str, &'static str); 7];

const POSTGRES_PACKAGES: Packages = [
    ("apt-get", "sudo apt-get install -y postgresql"),
    (
        "dnf",
        "sudo dnf install -y postgresql-server postgresql-contrib",
    ),
    (
        "yum",
        "sudo yum install -y postgresql-server postgresql-contrib",
    ),
    ("apk", "apk add postgresql postgresql-contrib"),
    ("pacman", "sudo pacman -S --needed postgresql"),
    (
        "zypper",
        "sudo zypper install -y postgresql-server postgresql-contrib",
    ),
    ("brew", "brew install postgresql@17"),
];

const REDIS_PACKAGES: Packages = [
    ("apt-get", "sudo apt-get install -y redis-server"),
    ("dnf", "sudo dnf install -y redis"),
    ("yum", "sudo yum install -y redis"),
    ("apk", "apk add redis"),
    ("pacman", "sudo pacman -S --needed valkey"),
    ("zypper", "sudo zypper install -y redis"),
    ("brew", "brew install redis"),
];

/// Returns the command that installs a server with this machine's package manager.
fn install_command(packages: &Packages) -> String {
    let places: Vec<PathBuf> = search_path()
        .into_iter()
        .chain(["/usr/bin", "/sbin", "/opt/homebrew/bin"].map(PathBuf::from))
        .collect();
    packages
        .iter()
        .find(|(manager, _)| {
            places
                .iter()
                .any(|directory| directory.join(manager).is_file())
        })
        .map_or("use the system's package manager", |(_, command)| command)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_versions_are_parsed_from_the_server_s_output() {
        assert_eq!(
            major_version("postgres (PostgreSQL) 15.20 (Debian 15.20-1)"),
            Some(15)
        );
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major_version(""), None);
    }

    #[test]
    fn versions_are_ordered_as_numbers() {
        let names = ["9.6", "15", "common", "10"].map(str::to_owned);
        assert_eq!(newest_first(names.into_iter(), ""), ["15", "10", "9.6"]);
        let names =
            ["postgresql@9.6", "postgresql@17", "postgres", "postgresql"].map(str::to_owned);
        assert_eq!(
            newest_first(names.into_iter(), "postgresql@"),
            ["postgresql@17", "postgresql@9.6"]
        );
    }

    #[test]
    fn the_error_of_a_machine_without_a_server_has_the_command_to_install_it() {
        let empty = tempfile::tempdir().unwrap();
        let error =
            PostgresPrograms::find_among(None, || vec![empty.path().to_owned()]).unwrap_err();
        assert!(
            matches!(&error, ServerError::NotInstalled { .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains(&install_command(&POSTGRES_PACKAGES)),
            "{error}"
        );
    }

    #[test]
    fn a_version_that_is_too_old_is_skipped_and_reported() {
        use std::os::unix::fs::PermissionsExt;
        let old = tempfile::tempdir().unwrap();
        for program in ["postgres", "initdb"] {
            let path = old.path().join(program);
            fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let error = PostgresPrograms::find_among(None, || vec![old.path().to_owned()]).unwrap_err();
        assert!(error.to_string().contains("14.9"), "{error}");
    }
}
