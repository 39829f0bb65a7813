//! How to reach the database, and how many connections to keep.

use std::fmt;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, Result};

/// Makes a server that writes its messages in another language write them in English, where the role may choose: what
/// went wrong is told by the message, see [`Error`].
pub(crate) const UNDERSTOOD_MESSAGES: &str = "SELECT pg_catalog.set_config('lc_messages', 'C', false) \
     WHERE pg_catalog.current_setting('lc_messages') NOT IN ('C', 'POSIX', 'en_US.UTF-8', 'en_US.utf8') \
     AND pg_catalog.has_parameter_privilege('lc_messages', 'SET')";

/// What is checked of an idle connection before it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recycling {
    /// Only that it is not known to be closed: no round trip. The async engine hears of a connection that the server
    /// has closed as soon as the runtime reads the news; the blocking engine hears of it at the connection's next
    /// statement, which then fails with [`Error::Connection`], once for each such connection.
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
    /// `sslrootcert`, `host` for a socket's directory, `application_name`, `connect_timeout` in seconds, `options` and
    /// so on. Settings in `options`, such as `-c statement_timeout=5s`, win over those made here.
    ///
    /// Without `sslrootcert`, `verify-ca` and `verify-full` trust the system's certificates in the async engine, and
    /// libpq's `~/.postgresql/root.crt` in the blocking one: name the file where both are used. `sslmode` says
    /// nothing about Unix sockets, which have no TLS.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is no such URL. The message does not repeat the URL, which may hold a password.
    pub fn new(url: &str) -> Result<Self> {
        let invalid = |reason: &str| Error::invalid("url", reason);
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(invalid("does not begin with postgres:// or postgresql://"));
        }
        if has_stray_percent(url) {
            return Err(invalid(
                "has a % that is not followed by two hexadecimal digits; in a password it is written %25",
            ));
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
                "connect_timeout" => {
                    config.connect_timeout = Duration::from_secs(
                        decoded
                            .parse()
                            .map_err(|_| invalid("connect_timeout is no number of seconds"))?,
                    );
                }
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
    /// (`ALTER ROLE app SET statement_timeout = '30s'`). In transaction mode it has to be PgBouncer 1.21 or later, with
    /// `max_prepared_statements` > 0. An older one works in session mode; in transaction mode it mixes up the prepared
    /// statements of its clients.
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
            let mut options: Vec<String> = timeouts
                .iter()
                .map(|(name, timeout)| {
                    let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
                    format!("-c {name}={milliseconds}")
                })
                .collect();
            parameters.retain(|(name, value)| {
                if name == "options" {
                    options.push(value.clone());
                }
                name != "options"
            });
            parameters.push(("options".to_owned(), options.join(" ")));
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

fn has_stray_percent(url: &str) -> bool {
    url.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Shows neither user nor password.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.base.rsplit_once('@') {
            Some((_, host)) => host,
            // What looks like a port but is no number may be the beginning of a password.
            None => {
                let address = self.base.rsplit_once("//").map_or("", |(_, rest)| rest);
                let authority = address.split('/').next().unwrap_or_default();
                let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
                if port.bytes().all(|byte| byte.is_ascii_digit()) {
                    address
                } else {
                    "?"
                }
            }
        };
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
