//! Settings of a database: where it is, how to connect, and how many connections to keep.

use std::fmt;
use std::time::Duration;

use crate::{Error, Result};

mod files;
pub(crate) mod given;
#[cfg_attr(
    not(all(feature = "async", feature = "blocking", feature = "tls")),
    allow(dead_code)
)]
mod hosts;
mod keepalives;
mod limits;
#[cfg(all(feature = "admin", any(feature = "async", feature = "blocking")))]
pub mod pgbouncer;
mod session;
mod settings;
// Each engine uses a part of it.
#[cfg_attr(
    not(all(feature = "async", feature = "blocking", feature = "tls")),
    allow(dead_code)
)]
mod target;
mod timeouts;
mod url;

pub(crate) use hosts::Host;
pub use keepalives::Keepalives;
pub(crate) use limits::LONGEST;
#[cfg(any(feature = "async", feature = "migrations"))]
pub(crate) use limits::PROBES;
#[cfg(feature = "redis")]
pub(crate) use limits::in_range;
pub(crate) use session::UNDERSTOOD_MESSAGES;
#[cfg_attr(
    not(all(feature = "async", feature = "blocking", feature = "tls")),
    allow(unused_imports)
)]
pub(crate) use target::{ChannelBinding, Root, Session, Target, TlsMode, TlsSettings, TlsVersion};

/// The check of an idle connection before it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Recycling {
    /// Checks only that the connection is not known to be closed, without a round trip.
    ///
    /// The async engine detects a connection that the server has closed as soon as the runtime
    /// reads the end of the stream. The blocking engine detects it at the connection's next
    /// statement, which then fails with [`Error::Connection`], once for each such connection.
    /// A transaction does not fail for this reason: it begins on another connection.
    #[default]
    Fast,
    /// Checks that the server responds, with one round trip for each checkout.
    Verified,
}

/// Settings of a [`Db`](crate::Db), with safe defaults.
///
/// Both engines read the same URL and the same settings, and give them the same meaning.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::Config;
///
/// # fn main() -> wundr_db::Result<()> {
/// let config = Config::new("postgres://app@db.example/wundr?sslmode=verify-full&sslrootcert=system")?
///     .max_connections(20)
///     .statement_timeout(Duration::from_secs(10));
/// # Ok(())
/// # }
/// ```
///
/// [`Config::from_env`] reads all settings from the environment, and `Deserialize` from a
/// configuration file.
///
/// A setting that is out of its range is rejected with [`Error::InvalidInput`] where the settings
/// are used: in [`Db::lazy`](crate::Db::lazy), [`Db::connect`](crate::Db::connect),
/// [`Live::follow`](crate::Live::follow) and the migrations.
#[derive(Clone)]
#[must_use]
pub struct Config {
    pub(crate) target: Target,
    pub(crate) application_name: String,
    pub(crate) max_connections: u32,
    pub(crate) min_idle: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) idle_in_transaction_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) recycling: Recycling,
    pub(crate) behind_pgbouncer: bool,
    /// `None` if it is derived from the statement timeout.
    response_timeout: Option<Option<Duration>>,
    /// The time for which the server is silent before it is asked on another connection whether it
    /// responds. Only of connections whose statements have no time limit.
    #[allow(dead_code, reason = "some builds have no such connections")]
    pub(crate) patience: Option<Duration>,
    pub(crate) health_timeout: Duration,
    pub(crate) prepared_statements: u32,
    pub(crate) keepalives: Option<Keepalives>,
    pub(crate) unacknowledged_timeout: Option<Duration>,
    pub(crate) heartbeat: Duration,
    search_path: Vec<String>,
    /// The values of `PGDATESTYLE` and `PGGEQO`.
    date_style: Option<String>,
    geqo: Option<String>,
    #[cfg(feature = "tracing")]
    slow_call: Option<Duration>,
    #[cfg(feature = "tracing")]
    span_level: tracing::Level,
}

impl Config {
    /// Creates settings from a URL such as
    /// `postgres://user:password@host:5432/database?sslmode=verify-full`.
    ///
    /// The URL has the meaning that libpq gives it, in both engines. It may name several hosts
    /// (`postgres://app@a.example,b.example/wundr`); [`require_primary`](Self::require_primary)
    /// describes the order in which they are tried. A password may contain an @. In a password, `/`
    /// is written `%2F`, `?` is written `%3F`, and `%` is written `%25`. Elsewhere an @ is written
    /// `%40`.
    ///
    /// The parameters are those of libpq 15, and `load_balance_hosts`:
    ///
    /// - the server: `host`, `hostaddr`, `port`, `target_session_attrs`, `load_balance_hosts`
    /// - the role: `user`, `password`, `passfile`, `channel_binding`, `krbsrvname`
    /// - the session: `dbname`, `options`, `application_name`, `fallback_application_name`
    /// - TLS: `sslmode` (default `prefer`), `sslrootcert`, `sslcert`, `sslkey`, `sslpassword`,
    ///   `sslcrl`, `sslcrldir`, `sslsni`, `ssl_min_protocol_version`, `ssl_max_protocol_version`,
    ///   and `ssl=true` for `sslmode=require`
    /// - the network: `connect_timeout`, `keepalives`, `keepalives_idle` and `keepalives_interval`
    ///   in seconds, `keepalives_count`, and `tcp_user_timeout` in milliseconds; zero or less means
    ///   no limit, or the operating system's default
    /// - `service`, whose definition supplies the values that the URL does not have
    ///
    /// Values that only one engine could honor are rejected by both: `gssencmode=require`,
    /// `requirepeer`, `replication`, and a `client_encoding` other than UTF8.
    ///
    /// Values that the URL does not have are read from the environment, as by libpq: `PGHOST`,
    /// `PGHOSTADDR`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGAPPNAME`, `PGOPTIONS`,
    /// `PGCONNECT_TIMEOUT`, `PGTARGETSESSIONATTRS`, `PGLOADBALANCEHOSTS`, `PGCHANNELBINDING`,
    /// `PGSSLMODE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`, `PGSSLCRL`, `PGSSLCRLDIR`,
    /// `PGSSLSNI`, `PGSSLMINPROTOCOLVERSION`, `PGSSLMAXPROTOCOLVERSION`, `PGGSSENCMODE`,
    /// `PGREQUIREPEER`, `PGKRBSRVNAME`, `PGSERVICE`, `PGPASSFILE`, `PGDATESTYLE` and `PGGEQO`.
    /// `PGREQUIREAUTH` is rejected, as only one engine could honor it. Others come from the files
    /// `~/.pgpass`, `~/.pg_service.conf` and `~/.postgresql/`. All are read once, by this function.
    /// [`without_environment`](Self::without_environment) reads none of them.
    ///
    /// In the blocking engine, diesel's default instrumentation receives the connection string that
    /// libpq receives, including the password, in the event that starts a connection. It does not
    /// receive the values of statements.
    ///
    /// Settings in `options`, such as `-c statement_timeout=5s`, take precedence over those made
    /// here, except for the [`search_path`](Self::search_path).
    ///
    /// Every session has the time zone UTC, and the `DateStyle` of `PGDATESTYLE`, else of
    /// `options`, else `ISO, MDY`.
    ///
    /// `sslmode` has no effect on Unix sockets, which have no TLS. Without a host, the server's
    /// socket in `/var/run/postgresql` is used, or in `/tmp` if there is no such directory.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the text is not such a URL, or has an unknown parameter or an
    ///   invalid value. The message repeats nothing that may be a part of a password.
    pub fn new(url: &str) -> Result<Self> {
        let mut given = url::parse(url)?;
        if given.get("service").is_none()
            && let Some(service) = files::variable("PGSERVICE")?
        {
            given.set("service", service);
        }
        files::read_service(&mut given)?;
        given.complete(files::variable)?;
        // As libpq, which leaves a setting alone if its variable says so.
        let setting = |variable| {
            let value = files::variable(variable)?;
            Ok::<_, Error>(value.filter(|value| !value.eq_ignore_ascii_case("default")))
        };
        Ok(Self {
            date_style: setting("PGDATESTYLE")?,
            geqo: setting("PGGEQO")?,
            ..Self::of(&given, true)?
        })
    }

    /// Creates settings from a URL alone.
    ///
    /// Reads neither the environment nor a file in the home directory, except for the file of a
    /// `service` that the URL names.
    ///
    /// libpq sends `PGDATESTYLE`, `PGGEQO` and `PGTZ` nevertheless when the blocking engine
    /// connects. Each session sets these settings to its own values after that. With a value that
    /// the server rejects, the blocking engine cannot connect.
    ///
    /// # Errors
    /// The same as [`Config::new`].
    pub fn without_environment(url: &str) -> Result<Self> {
        let mut given = url::parse(url)?;
        files::read_service(&mut given)?;
        Self::of(&given, false)
    }

    fn of(given: &url::Given, reads_home: bool) -> Result<Self> {
        let seconds = Duration::from_secs(1);
        let milliseconds = Duration::from_millis(1);
        let application_name = given
            .text("application_name")
            .or_else(|| given.text("fallback_application_name"))
            .unwrap_or("wundr-db")
            .to_owned();
        let mut keepalives = Some(Keepalives::default());
        if let Some(keepalives) = &mut keepalives {
            if let Some(idle) = target::time(given, "keepalives_idle", seconds)? {
                keepalives.idle = idle;
            }
            if let Some(interval) = target::time(given, "keepalives_interval", seconds)? {
                keepalives.interval = interval;
            }
            if let Some(count) = target::number(given, "keepalives_count")? {
                keepalives.count = u32::try_from(count).ok().filter(|count| *count > 0);
            }
        }
        if target::number(given, "keepalives")? == Some(0) {
            keepalives = None;
        }
        let config = Self {
            target: Target::of(given, reads_home)?,
            application_name,
            max_connections: 10,
            min_idle: 0,
            acquire_timeout: Duration::from_secs(10),
            connect_timeout: target::time(given, "connect_timeout", seconds)?
                .unwrap_or(Some(Duration::from_secs(3))),
            statement_timeout: Some(Duration::from_secs(30)),
            idle_in_transaction_timeout: Some(Duration::from_secs(60)),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            recycling: Recycling::Fast,
            behind_pgbouncer: false,
            response_timeout: None,
            patience: None,
            health_timeout: Duration::from_secs(2),
            prepared_statements: 256,
            keepalives,
            unacknowledged_timeout: target::time(given, "tcp_user_timeout", milliseconds)?
                .unwrap_or(Some(Duration::from_secs(10))),
            heartbeat: Duration::from_secs(5),
            search_path: Vec::new(),
            date_style: None,
            geqo: None,
            #[cfg(feature = "tracing")]
            slow_call: None,
            #[cfg(feature = "tracing")]
            span_level: tracing::Level::DEBUG,
        };
        config.check()?;
        Ok(config)
    }

    /// Sets the name that `pg_stat_activity` shows. Default: the URL's, or `wundr-db`.
    pub fn application_name(self, name: impl Into<String>) -> Self {
        Self {
            application_name: name.into(),
            ..self
        }
    }

    /// Sets the largest number of connections. Default: 10. Must be between 1 and 10,000.
    pub fn max_connections(self, number: u32) -> Self {
        Self {
            max_connections: number,
            ..self
        }
    }

    /// Sets the number of connections that are kept open while they are idle.
    ///
    /// Default: 0. Must be between 0 and [`max_connections`](Self::max_connections).
    pub fn min_idle(self, number: u32) -> Self {
        Self {
            min_idle: number,
            ..self
        }
    }

    /// Sets the duration from which on a call or a transaction is logged at level WARN, with its
    /// name and its duration.
    ///
    /// Default: none, so that no call is logged.
    #[cfg(feature = "tracing")]
    pub fn slow_call(self, limit: impl Into<Option<Duration>>) -> Self {
        Self {
            slow_call: limit.into(),
            ..self
        }
    }

    /// Sets the level of the spans of calls, transactions, checkouts and `COPY`.
    ///
    /// A span of a call has the target `wundr_db::calls` and the fields that OpenTelemetry names:
    /// `db.system.name`, `db.namespace`, `db.collection.name`, `db.operation.name`,
    /// `db.query.summary` and `db.response.returned_rows`; then `outcome` and, after an error,
    /// `error.type` with the [code](Error::code). No value of a row is in it. The span of a
    /// checkout has the target `wundr_db::pool`, and the time that the caller waited in
    /// `wundr_db.wait_us`.
    ///
    /// Default: DEBUG.
    #[cfg(feature = "tracing")]
    pub fn span_level(self, level: tracing::Level) -> Self {
        Self {
            span_level: level,
            ..self
        }
    }

    /// Returns the observer of the calls of a database with these settings.
    pub(crate) fn observer(&self) -> crate::observation::CallObserver {
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        {
            crate::observation::CallObserver {}
        }
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        crate::observation::CallObserver::new(
            &self.target.database,
            #[cfg(feature = "tracing")]
            self.slow_call,
            #[cfg(feature = "tracing")]
            self.span_level,
        )
    }

    /// Sets the number of statements that each connection keeps prepared on the server.
    ///
    /// Default: 256. Must be between 1 and 65,536.
    ///
    /// A statement that is not among them is prepared first, which takes a round trip. When there
    /// are too many, the async engine closes the least recently used one. Its driver keeps up to
    /// three more, which look up types. The blocking engine closes all of them and starts again;
    /// behind PgBouncer it closes the connection.
    pub fn prepared_statements(self, number: u32) -> Self {
        Self {
            prepared_statements: number,
            ..self
        }
    }

    /// Sets the time for which an idle connection stays open.
    ///
    /// Default: 10 minutes. Must be between 1 ms and 24 days, or `None` for no limit.
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            idle_timeout: timeout.into(),
            ..self
        }
    }

    /// Sets the greatest age of a connection.
    ///
    /// Default: 30 minutes. Must be between 1 ms and 24 days, or `None` for no limit.
    pub fn max_lifetime(self, lifetime: impl Into<Option<Duration>>) -> Self {
        Self {
            max_lifetime: lifetime.into(),
            ..self
        }
    }

    /// Sets the check of an idle connection before it is handed out. Default: [`Recycling::Fast`].
    pub fn recycling(self, recycling: Recycling) -> Self {
        Self { recycling, ..self }
    }

    /// Sets the TCP keepalive probes, which the operating system sends on an idle connection.
    ///
    /// Default: the URL's, or the first after 5 s, one every 2 s, 3 in all. See [`Keepalives::new`]
    /// for the bounds. `None` for no probes.
    pub fn keepalives(self, keepalives: impl Into<Option<Keepalives>>) -> Self {
        Self {
            keepalives: keepalives.into(),
            ..self
        }
    }

    /// Sets the time after which the operating system ends a connection whose data is not
    /// acknowledged.
    ///
    /// Default: the URL's, or 10 s. Must be between 1 ms and 24 days, or `None` for the operating
    /// system's limit, which may be 15 minutes. It has an effect on Linux.
    pub fn unacknowledged_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            unacknowledged_timeout: timeout.into(),
            ..self
        }
    }

    /// Sets the interval of [`Live`](crate::Live)'s heartbeat, and the time limit for its response.
    ///
    /// Default: 5 s. Must be between 1 ms and 24 days.
    ///
    /// A lost server is detected after at most twice this time. Queries that take the server
    /// longer, such as counting the findings of many analyses, also have twice this time as their
    /// limit.
    pub fn heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat, ..self }
    }

    /// Connects only to servers that accept writes, as `target_session_attrs=read-write` does.
    ///
    /// Default: on if the URL names several hosts and no `target_session_attrs`; otherwise off.
    ///
    /// Also set it for one host if its name or address may lead to a standby for a while, as during
    /// a failover. It costs no round trip.
    ///
    /// The async engine tries the first of several hosts, and another one every 250 ms and whenever
    /// one fails. It uses the first that responds and is suitable. The blocking engine tries one
    /// host after the other. Both engines try the host that was used last first, and a host that
    /// failed within the last 5 s last.
    pub fn require_primary(mut self) -> Self {
        self.target.session = Session::ReadWrite;
        self.target.session_is_given = true;
        self
    }

    /// Declares that the URL leads to PgBouncer.
    ///
    /// PgBouncer rejects the timeouts as startup parameters. Set them on the role instead: `ALTER
    /// ROLE app SET statement_timeout = '30s'`. The same is true of the `search_path`: `ALTER ROLE
    /// app SET search_path = pg_catalog, pg_temp`. That is not necessary if no other role may
    /// create objects in a schema of the role's path.
    ///
    /// Transaction mode needs PgBouncer 1.21 or later, with `max_prepared_statements` > 0. An older
    /// version works in session mode. In transaction mode it mixes up the prepared statements of
    /// its clients.
    pub fn behind_pgbouncer(self) -> Self {
        Self {
            behind_pgbouncer: true,
            ..self
        }
    }

    /// Sets the schemas that are searched for unqualified names in the application's own
    /// statements, those on [`connection_mut`](crate::Tx::connection_mut). Default: none.
    ///
    /// Every connection has the `search_path` `pg_catalog`, then these schemas, then `pg_temp`. The
    /// URL's `options` and the settings of the role and the database do not change it.
    ///
    /// Name only schemas in which no other role may create objects. Such a role can create a
    /// function or an operator that fits the types of an argument better than PostgreSQL's own. A
    /// statement would then run it.
    ///
    /// It has no effect [behind PgBouncer](Self::behind_pgbouncer).
    pub fn search_path<S: Into<String>>(self, schemas: impl IntoIterator<Item = S>) -> Self {
        Self {
            search_path: schemas.into_iter().map(Into::into).collect(),
            ..self
        }
    }
}

/// Omits the user and the password.
impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.target.hosts.iter().map(Host::to_string).collect();
        formatter
            .debug_struct("Config")
            .field(
                "host",
                &format_args!("{}/{}", hosts.join(","), self.target.database),
            )
            .field("application_name", &self.application_name)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
