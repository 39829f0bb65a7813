//! The servers that a URL names.

use std::net::IpAddr;
use std::path::PathBuf;

use super::files;
use super::url::Given;
use crate::{Error, Result};

/// A server as the URL names it.
#[derive(Clone)]
pub(crate) struct Host {
    /// A name, an address, or the directory of a socket; empty if only `hostaddr` is given.
    pub(crate) name: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) password: Option<String>,
}

impl Host {
    /// Checks whether the connection uses a Unix socket, which has no TLS.
    ///
    /// `hostaddr` takes precedence over `host`.
    pub(crate) fn is_local(&self) -> bool {
        self.address.is_none() && is_path(&self.name)
    }
}

/// Formats the host for error messages, without user and password.
impl std::fmt::Display for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let port = self.port;
        match self.address {
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:{port}"),
            Some(address) if self.name.is_empty() || is_path(&self.name) => {
                write!(formatter, "{address}:{port}")
            }
            _ if self.name.contains(':') => write!(formatter, "[{}]:{port}", self.name),
            _ => write!(formatter, "{}:{port}", self.name),
        }
    }
}

fn is_path(name: &str) -> bool {
    name.starts_with(['/', '@'])
}

/// Returns the servers that a URL names, with their passwords.
pub(super) fn hosts(
    given: &Given,
    user: &str,
    database: &str,
    reads_home: bool,
) -> Result<Vec<Host>> {
    let list = |name| {
        given
            .text(name)
            .map(|text| text.split(',').collect::<Vec<_>>())
    };
    let origin = |name| {
        given.get(name).map_or("url", |value| match value.origin {
            origin if origin == name => "url",
            origin => origin,
        })
    };
    let (names, addresses) = (list("host"), list("hostaddr"));
    let count = match (&names, &addresses) {
        (Some(names), Some(addresses)) if names.len() != addresses.len() => {
            let reason = format!(
                "{} host names do not match {} hostaddr values",
                names.len(),
                addresses.len()
            );
            return Err(Error::invalid(origin("hostaddr"), reason));
        }
        (Some(list), _) | (None, Some(list)) => list.len(),
        (None, None) => 1,
    };
    let ports = list("port").unwrap_or_default();
    if ports.len() > 1 && ports.len() != count {
        let reason = format!("{} ports do not match {count} hosts", ports.len());
        return Err(Error::invalid(origin("port"), reason));
    }
    let lines = if given.text("password").is_some() {
        Vec::new()
    } else {
        let file = given.text("passfile").map(PathBuf::from);
        let usual = || {
            if reads_home {
                files::at_home(".pgpass")
            } else {
                None
            }
        };
        file.or_else(usual)
            .map(|file| files::password_lines(&file))
            .unwrap_or_default()
    };
    (0..count)
        .map(|index| {
            let at = |list: &Option<Vec<&str>>| {
                let found = list.as_ref().and_then(|list| list.get(index).copied());
                found.unwrap_or_default().to_owned()
            };
            let (mut name, address) = (at(&names), at(&addresses));
            let address = match &*address {
                "" => None,
                address => Some(address.parse().map_err(|_| {
                    Error::invalid(origin("hostaddr"), "hostaddr is not an IP address")
                })?),
            };
            // Only the name of an abstract socket begins with an @. Another @ may belong to a
            // password, which must not be sent to a name server.
            if name.chars().skip(1).any(|character| character == '@') {
                return Err(Error::invalid(origin("host"), "a host contains an @"));
            }
            if name.is_empty() && address.is_none() {
                name = files::socket_directory().to_owned();
            }
            let port = match ports.get(index).or(ports.first()).copied() {
                None | Some("") => 5432,
                Some(port) => port
                    .trim_matches([' ', '\t', '\n', '\r'])
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| {
                        // The text may be a part of a password that contains a slash.
                        let reason =
                            "a port is not a number from 1 to 65535; in a password / is written %2F";
                        Error::invalid(origin("port"), reason)
                    })?,
            };
            let mut host = Host {
                name,
                address,
                port,
                password: given.text("password").map(str::to_owned),
            };
            if host.password.is_none() {
                host.password = password_from_file(&lines, &host, user, database);
            }
            Ok(host)
        })
        .collect()
}

fn password_from_file(lines: &[String], host: &Host, user: &str, database: &str) -> Option<String> {
    let address = host.address.map(|address| address.to_string());
    let name = match &*host.name {
        "" => address.as_deref().unwrap_or("localhost"),
        name if name == files::socket_directory() => "localhost",
        name => name,
    };
    files::password_for(lines, [name, &host.port.to_string(), database, user])
}
