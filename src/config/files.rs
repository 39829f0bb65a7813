//! The sources that libpq reads besides the URL: the environment, the service file, the password
//! file and the home directory.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::url::Given;
use crate::{Error, Result};

/// Returns an environment variable. An empty variable counts as set, as for libpq.
pub(super) fn variable(name: &'static str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::invalid(name, "is not UTF-8")),
    }
}

fn path_in(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Returns the fields of the current user's line in `/etc/passwd`.
fn account() -> Option<Vec<String>> {
    let user = fs::metadata("/proc/self").ok()?.uid().to_string();
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users
        .lines()
        .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&user))
}

/// Returns the name of the user that runs this process.
pub(super) fn system_user() -> Option<String> {
    let listed = account().and_then(|fields| fields.into_iter().next());
    // A user of a directory service is not in `/etc/passwd`.
    listed.or_else(|| {
        std::env::var("USER")
            .or_else(|_| std::env::var("LOGNAME"))
            .ok()
    })
}

/// Returns the path of a file in the home directory.
pub(super) fn at_home(name: &str) -> Option<PathBuf> {
    let home = path_in("HOME").or_else(|| account()?.get(5).map(PathBuf::from))?;
    Some(home.join(name))
}

/// Returns the directory of the local server's socket: that of Debian and Red Hat, or libpq's
/// default.
pub(super) fn socket_directory() -> &'static str {
    const PACKAGED: &str = "/var/run/postgresql";
    if Path::new(PACKAGED).is_dir() {
        PACKAGED
    } else {
        "/tmp"
    }
}

/// Fills parameters that have no value from the definition of the requested service.
pub(super) fn read_service(given: &mut Given) -> Result<()> {
    let Some(service) = given.get("service").cloned() else {
        return Ok(());
    };
    let user_file = path_in("PGSERVICEFILE").or_else(|| at_home(".pg_service.conf"));
    let system_directory =
        path_in("PGSYSCONFDIR").unwrap_or_else(|| "/etc/postgresql-common".into());
    let files = user_file
        .into_iter()
        .chain([system_directory.join("pg_service.conf")]);
    for file in files {
        let Ok(content) = fs::read_to_string(&file) else {
            continue;
        };
        let mut is_inside = false;
        let mut is_found = false;
        for line in content.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(section) = line.strip_prefix('[') {
                is_inside = !is_found && section.split(']').next() == Some(&service.text);
                is_found |= is_inside;
            } else if is_inside {
                let known = line.split_once('=').is_some_and(|(name, value)| {
                    name != "service" && given.set_default(name, value.to_owned())
                });
                if !known {
                    return Err(Error::invalid(
                        service.origin,
                        "the definition has a line that is not a parameter",
                    ));
                }
            }
        }
        if is_found {
            return Ok(());
        }
    }
    Err(Error::invalid(service.origin, "is not defined"))
}

/// Returns the lines of a password file that only its owner can access.
///
/// As libpq does, ignores a file that its group or others can access.
pub(super) fn password_lines(file: &Path) -> Vec<String> {
    let readable =
        fs::metadata(file).is_ok_and(|about| about.is_file() && about.mode() & 0o077 == 0);
    let content = if readable {
        fs::read_to_string(file).ok()
    } else {
        None
    };
    content
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Returns the password of the first matching line of the form `host:port:database:user:password`.
pub(super) fn password_for(lines: &[String], wanted: [&str; 4]) -> Option<String> {
    lines.iter().find_map(|line| {
        let mut rest = &**line;
        for wanted in wanted {
            let (field, after) = next_field(rest)?;
            if rest.strip_prefix("*:").is_none() && field != wanted {
                return None;
            }
            rest = after;
        }
        let (password, _) = next_field(rest).unwrap_or_else(|| (unescaped(rest), ""));
        Some(password)
    })
}

/// Splits text at the first unescaped colon, into the unescaped field and the rest.
///
/// A backslash escapes the character after it.
fn next_field(text: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = text.char_indices().find_map(|(at, character)| {
        let ends = !is_escaped && character == ':';
        is_escaped = !is_escaped && character == '\\';
        ends.then_some(at)
    })?;
    Some((unescaped(&text[..end]), &text[end + 1..]))
}

fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::new();
    while let Some(character) = characters.next() {
        let next = if character == '\\' {
            characters.next()
        } else {
            None
        };
        plain.push(next.unwrap_or(character));
    }
    plain
}
