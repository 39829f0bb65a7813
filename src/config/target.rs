//! The connection target that both engines read from a URL.

use std::path::PathBuf;
use std::time::Duration;

use super::files;
use super::hosts::{Host, hosts};
use super::url::{Given, Value};
use crate::{Error, Result};

/// The servers, the role, the database, and the TLS settings.
#[derive(Clone)]
pub(crate) struct Target {
    /// At least one.
    pub(crate) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) options: String,
    pub(crate) session: Session,
    pub(crate) session_is_given: bool,
    pub(crate) in_random_order: bool,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) kerberos_service: String,
    pub(crate) tls: TlsSettings,
}

/// The values of `sslmode`, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The values of `target_session_attrs`, as in libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsVersion {
    One,
    OneOne,
    OneTwo,
    OneThree,
}

#[derive(Clone)]
pub(crate) struct TlsSettings {
    pub(crate) mode: TlsMode,
    /// Includes libpq's default files. Such a file need not exist, as for libpq.
    pub(crate) root: Root,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) key_password: Option<String>,
    pub(crate) revoked: Option<PathBuf>,
    pub(crate) revoked_directory: Option<PathBuf>,
    pub(crate) names_server: bool,
    pub(crate) oldest: TlsVersion,
    pub(crate) newest: Option<TlsVersion>,
}

/// The certificates that a server's certificate is verified with.
#[derive(Clone)]
pub(crate) enum Root {
    File(PathBuf),
    /// The certificates that the operating system trusts.
    System,
    None,
}

/// A parameter whose value is one of a few words.
trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
    /// True if libpq ignores the case.
    const IGNORES_CASE: bool = false;

    fn of(given: &Given, parameter: &'static str, otherwise: Self) -> Result<Self> {
        let Some(value) = given.get(parameter) else {
            return Ok(otherwise);
        };
        let is = |word: &str| match Self::IGNORES_CASE {
            true => word.eq_ignore_ascii_case(&value.text),
            false => word == value.text,
        };
        let found = Self::WORDS.iter().find(|(word, _)| is(word));
        found.map(|&(_, this)| this).ok_or_else(|| {
            let words: Vec<_> = Self::WORDS.iter().map(|&(word, _)| word).collect();
            let words = words.join(", ");
            let reason = if value.is_plain {
                format!("{:?} is not one of {words}", value.text)
            } else {
                format!("is not one of {words}")
            };
            Error::invalid(value.origin, reason)
        })
    }

    fn word(self) -> &'static str
    where
        Self: PartialEq,
    {
        let found = Self::WORDS.iter().find(|&&(_, this)| this == self);
        found.map_or("", |&(word, _)| word)
    }
}

impl Word for TlsMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("disable", Self::Disable),
        ("allow", Self::Allow),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

impl Word for Session {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("any", Self::Any),
        ("read-write", Self::ReadWrite),
        ("read-only", Self::ReadOnly),
        ("primary", Self::Primary),
        ("standby", Self::Standby),
        ("prefer-standby", Self::PreferStandby),
    ];
}

impl Word for ChannelBinding {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
    ];
}

impl Word for TlsVersion {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("TLSv1", Self::One),
        ("TLSv1.1", Self::OneOne),
        ("TLSv1.2", Self::OneTwo),
        ("TLSv1.3", Self::OneThree),
    ];
    const IGNORES_CASE: bool = true;
}

impl TlsMode {
    pub(crate) fn as_str(self) -> &'static str {
        self.word()
    }

    /// Checks whether a server that cannot be verified is rejected.
    pub(crate) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

impl Session {
    pub(crate) fn as_str(self) -> &'static str {
        self.word()
    }
}

impl ChannelBinding {
    pub(crate) fn as_str(self) -> &'static str {
        self.word()
    }
}

impl TlsVersion {
    pub(crate) fn as_str(self) -> &'static str {
        self.word()
    }
}

/// Parses a number as libpq does.
///
/// Errors of a value in the URL are reported for `url`, with the parameter's name in the reason.
pub(super) fn number(given: &Given, parameter: &'static str) -> Result<Option<i32>> {
    let Some(Value { text, origin, .. }) = given.get(parameter) else {
        return Ok(None);
    };
    let number = text.trim_matches([' ', '\t', '\n', '\r']).parse();
    number.map(Some).map_err(|_| {
        let (field, reason) = match *origin == parameter {
            true => ("url", format!("{parameter} is not a whole number")),
            false => (*origin, "is not a whole number".to_owned()),
        };
        Error::invalid(field, reason)
    })
}

/// Parses a time, where zero or less means none.
pub(super) fn time(
    given: &Given,
    parameter: &'static str,
    unit: Duration,
) -> Result<Option<Option<Duration>>> {
    let number = number(given, parameter)?;
    Ok(number.map(|number| {
        let number = u32::try_from(number).unwrap_or_default();
        (number > 0).then(|| unit.saturating_mul(number).min(super::LONGEST))
    }))
}

impl Target {
    pub(super) fn of(given: &Given, reads_home: bool) -> Result<Self> {
        reject_unsupported(given)?;
        let user = given
            .text("user")
            .map(str::to_owned)
            .or_else(files::system_user)
            .ok_or_else(|| {
                Error::invalid(
                    "user",
                    "is not given, and the current user's name is unknown",
                )
            })?;
        let database = given.text("dbname").unwrap_or(&user).to_owned();
        let hosts = hosts(given, &user, &database, reads_home)?;
        let session_is_given = given.get("target_session_attrs").is_some();
        // Only one of several servers accepts writes. Without this, a pool could keep using one
        // that does not.
        let usual = if hosts.len() > 1 {
            Session::ReadWrite
        } else {
            Session::Any
        };
        let load_balance = given.get("load_balance_hosts");
        let in_random_order = match load_balance.map(|value| (&*value.text, value.origin)) {
            None | Some(("disable", _)) => false,
            Some(("random", _)) => true,
            Some((_, origin)) => {
                return Err(Error::invalid(origin, "is not one of disable, random"));
            }
        };
        Ok(Self {
            hosts,
            session: Session::of(given, "target_session_attrs", usual)?,
            session_is_given,
            in_random_order,
            channel_binding: ChannelBinding::of(given, "channel_binding", ChannelBinding::Prefer)?,
            options: given.text("options").unwrap_or_default().to_owned(),
            kerberos_service: given.text("krbsrvname").unwrap_or("postgres").to_owned(),
            tls: TlsSettings::of(given, reads_home)?,
            user,
            database,
        })
    }
}

impl Target {
    /// Checks that the certificates to verify a server with exist.
    pub(crate) fn check(&self) -> Result<()> {
        let verifies = self.tls.mode.verifies() && !self.hosts.iter().all(Host::is_local);
        let reason = match &self.tls.root {
            Root::File(file) if verifies && !file.is_file() => format!(
                "{} is not a file: give the file of the server's certificate authority, or system",
                file.display()
            ),
            Root::None if verifies => {
                "is not given: give the file of the server's certificate authority, or system"
                    .to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::invalid("sslrootcert", reason))
    }
}

/// Rejects parameters that only one engine could honor, and those that make no sense for this
/// crate.
fn reject_unsupported(given: &Given) -> Result<()> {
    let is_usual = |name: &str, usual: &[&str]| {
        let text = given.text(name).unwrap_or_default();
        usual.iter().any(|usual| usual.eq_ignore_ascii_case(text))
    };
    for (name, usual, reason) in [
        (
            "gssencmode",
            &["", "disable", "prefer"][..],
            "must not be require: the async engine has no GSS encryption",
        ),
        ("requirepeer", &[""], "is not supported by the async engine"),
        (
            "require_auth",
            &[""],
            "is not supported by the async engine",
        ),
        ("gsslib", &["", "gssapi"], "is not supported"),
        (
            "replication",
            &["", "false", "off", "no", "0"],
            "is not supported: such a connection runs no statements",
        ),
        (
            "client_encoding",
            &["", "auto", "utf8", "utf-8", "unicode"],
            "must be UTF8",
        ),
        ("sslcompression", &["", "0", "1"], "must be 0 or 1"),
        ("sslsni", &["", "0", "1"], "must be 0 or 1"),
    ] {
        if let Some(value) = given.get(name)
            && !is_usual(name, usual)
        {
            return Err(Error::invalid(value.origin, reason));
        }
    }
    Ok(())
}

impl TlsSettings {
    fn of(given: &Given, reads_home: bool) -> Result<Self> {
        let file = |name: &str, usual: &str| {
            let at_home = || match (reads_home, usual) {
                (true, usual) if !usual.is_empty() => {
                    files::at_home(".postgresql").map(|directory| directory.join(usual))
                }
                _ => None,
            };
            given.text(name).map(PathBuf::from).or_else(at_home)
        };
        let is_system = given.text("sslrootcert") == Some("system");
        let usual = if is_system {
            TlsMode::VerifyFull
        } else {
            TlsMode::Prefer
        };
        let mode = TlsMode::of(given, "sslmode", usual)?;
        if is_system && mode != TlsMode::VerifyFull {
            // Any public authority signs certificates for any name. libpq 16 rejects this, too.
            return Err(Error::invalid(
                "sslrootcert",
                "system needs sslmode=verify-full",
            ));
        }
        let root = match file("sslrootcert", "root.crt") {
            _ if is_system => Root::System,
            Some(file) => Root::File(file),
            None => Root::None,
        };
        let oldest = match given.text("ssl_min_protocol_version") {
            None => TlsVersion::OneTwo,
            Some(_) => TlsVersion::of(given, "ssl_min_protocol_version", TlsVersion::OneTwo)?,
        };
        let newest = match given.text("ssl_max_protocol_version") {
            None => None,
            Some(_) => Some(TlsVersion::of(
                given,
                "ssl_max_protocol_version",
                TlsVersion::OneThree,
            )?),
        };
        if newest.is_some_and(|newest| newest < oldest) {
            return Err(Error::invalid(
                "ssl_max_protocol_version",
                "must not be less than ssl_min_protocol_version",
            ));
        }
        Ok(Self {
            mode,
            root,
            certificate: file("sslcert", "postgresql.crt"),
            key: file("sslkey", "postgresql.key"),
            key_password: given.text("sslpassword").map(str::to_owned),
            revoked: file("sslcrl", "root.crl"),
            revoked_directory: file("sslcrldir", ""),
            names_server: given.text("sslsni") != Some("0"),
            oldest,
            newest,
        })
    }
}
