//! How to reach the database, and how many connections to keep.

use std::fmt;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, Result};

/// What is checked of an idle connection before it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recycling {
    /// Only that it is not known to be closed: no round trip. A connection that the server has dropped a moment ago
    /// may still be handed out; its first statement then fails with [`Error::Connection`].
    #[default]
    Fast,
    /// That it answers: one round trip for each checkout.
    Verified,
}

/// Settings of a [`Db`](crate::Db), with safe defaults. Both engines read the same URL and settings.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::Config;
///
/// # fn main() -> wundr_db::Result<()> {
/// let config = Config::new("postgres://app@db.example/wundr?sslmode=verify-full")?
///     .max_connections(20)
///     .statement_timeout(Duration::from_secs(10));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Config {
    base: String,
    parameters: Vec<(String, String)>,
    pub(crate) tls: TlsMode,
    pub(crate) root_certificate: Option<String>,
    pub(crate) application_name: String,
    pub(crate) max_connections: u32,
    pub(crate) min_idle: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) idle_in_transaction_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) recycling: Recycling,
    pub(crate) behind_pgbouncer: bool,
}

/// `sslmode` as libpq understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Config {
    /// Settings for a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`.
    ///
    /// The parameters are libpq's: `sslmode` (`disable`, `prefer`, `require`, `verify-ca`, `verify-full`),
    /// `sslrootcert`, `host` for a socket's directory, `application_name`, `options` and so on.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is no such URL. The message does not repeat the URL, which may hold a password.
    pub fn new(url: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::invalid("url", reason);
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(invalid("does not begin with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut config = Self {
            base: base.to_owned(),
            parameters: Vec::new(),
            tls: TlsMode::Prefer,
            root_certificate: None,
            application_name: "wundr-db".to_owned(),
            max_connections: 10,
            min_idle: 0,
            acquire_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Some(Duration::from_secs(30)),
            idle_in_transaction_timeout: Some(Duration::from_secs(60)),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            recycling: Recycling::Fast,
            behind_pgbouncer: false,
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter
                .split_once('=')
                .ok_or_else(|| invalid("a parameter has no value"))?;
            let decoded = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| invalid("a parameter is not UTF-8"))?
                .into_owned();
            match name {
                "sslmode" => config.tls = TlsMode::parse(&decoded)?,
                "sslrootcert" => config.root_certificate = Some(decoded),
                "application_name" => config.application_name = decoded,
                _ => config.parameters.push((name.to_owned(), decoded)),
            }
        }
        Ok(config)
    }

    /// Settings for the URL in the environment variable `DATABASE_URL`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is not set or is no URL of PostgreSQL's.
    pub fn from_env() -> Result<Self> {
        let url = std::env::var("DATABASE_URL")
            .map_err(|_| Error::invalid("DATABASE_URL", "is not set"))?;
        Self::new(&url)
    }

    /// The name that `pg_stat_activity` shows. Default: `wundr-db`, or the URL's.
    pub fn application_name(self, name: impl Into<String>) -> Self {
        Self {
            application_name: name.into(),
            ..self
        }
    }

    /// The largest number of connections. Default: 10; at least 1.
    pub fn max_connections(self, number: u32) -> Self {
        Self {
            max_connections: number.max(1),
            ..self
        }
    }

    /// How many connections to keep open while nobody needs them. Default: 0.
    pub fn min_idle(self, number: u32) -> Self {
        Self {
            min_idle: number,
            ..self
        }
    }

    /// How long a call waits for a connection of the pool. Default: 10 s.
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        Self {
            acquire_timeout: timeout,
            ..self
        }
    }

    /// How long connecting to one address may take. Default: 10 s.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self {
            connect_timeout: timeout,
            ..self
        }
    }

    /// How long the server works on one statement before it gives up with [`Error::Timeout`]. Default: 30 s;
    /// `None` for no limit.
    pub fn statement_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            statement_timeout: timeout.into(),
            ..self
        }
    }

    /// How long the server keeps a transaction open whose client says nothing. Default: 60 s; `None` for no limit.
    pub fn idle_in_transaction_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            idle_in_transaction_timeout: timeout.into(),
            ..self
        }
    }

    /// How long an unused connection stays open. Default: 10 minutes.
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            idle_timeout: timeout.into(),
            ..self
        }
    }

    /// How old a connection may become. Default: 30 minutes.
    pub fn max_lifetime(self, lifetime: impl Into<Option<Duration>>) -> Self {
        Self {
            max_lifetime: lifetime.into(),
            ..self
        }
    }

    /// What is checked before an idle connection is handed out. Default: [`Recycling::Fast`].
    pub fn recycling(self, recycling: Recycling) -> Self {
        Self { recycling, ..self }
    }

    /// The URL leads to a PgBouncer. It refuses the timeouts as startup parameters: set them on the role instead
    /// (`ALTER ROLE app SET statement_timeout = '30s'`). Needs PgBouncer 1.21 with `max_prepared_statements` > 0.
    pub fn behind_pgbouncer(self) -> Self {
        Self {
            behind_pgbouncer: true,
            ..self
        }
    }

    /// The URL for an engine: everything but what that engine has to do itself.
    pub(crate) fn url(&self, tls_by_the_driver: bool) -> String {
        let mut parameters = self.parameters.clone();
        parameters.push(("application_name".to_owned(), self.application_name.clone()));
        parameters.push((
            "connect_timeout".to_owned(),
            self.connect_timeout.as_secs().max(1).to_string(),
        ));
        if !self.behind_pgbouncer {
            let timeouts = [
                ("statement_timeout", self.statement_timeout),
                (
                    "idle_in_transaction_session_timeout",
                    self.idle_in_transaction_timeout,
                ),
            ];
            let mut options = parameters
                .iter()
                .position(|(name, _)| name == "options")
                .map(|at| parameters.remove(at).1)
                .unwrap_or_default();
            for (name, timeout) in timeouts {
                let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
                options.push_str(&format!(" -c {name}={milliseconds}"));
            }
            parameters.push(("options".to_owned(), options.trim_start().to_owned()));
        }
        if tls_by_the_driver {
            parameters.push(("sslmode".to_owned(), self.tls.as_str().to_owned()));
            if let Some(certificate) = &self.root_certificate {
                parameters.push(("sslrootcert".to_owned(), certificate.clone()));
            }
        }
        let parameters: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        format!("{}?{}", self.base, parameters.join("&"))
    }
}

/// Shows neither user nor password.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.base.rsplit('@').next().unwrap_or_default();
        formatter
            .debug_struct("Config")
            .field("host", &host)
            .field("application_name", &self.application_name)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl TlsMode {
    fn parse(mode: &str) -> Result<Self> {
        Ok(match mode {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(Error::invalid(
                    "sslmode",
                    format_args!("{mode:?} is no mode of libpq's"),
                ));
            }
        })
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}
