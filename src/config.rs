//! How to reach the database, and how many connections to keep.

use std::fmt;
use std::time::Duration;

use crate::{Error, Result};

mod files;
// Each engine needs a part of it.
#[cfg_attr(
    not(all(feature = "async", feature = "blocking", feature = "tls")),
    allow(dead_code)
)]
mod target;
mod url;

#[cfg_attr(
    not(all(feature = "async", feature = "blocking", feature = "tls")),
    allow(unused_imports)
)]
pub(crate) use target::{
    ChannelBinding, Host, Root, Session, Target, TlsMode, TlsSettings, TlsVersion,
};

/// Makes a server that writes its messages in another language write them in English, where the role may choose: what
/// went wrong is told by the message, see [`Error`].
pub(crate) const UNDERSTOOD_MESSAGES: &str = "SELECT pg_catalog.set_config('lc_messages', 'C', false) \
     WHERE pg_catalog.current_setting('lc_messages') NOT IN ('C', 'POSIX', 'en_US.UTF-8', 'en_US.utf8') \
     AND pg_catalog.has_parameter_privilege('lc_messages', 'SET')";

/// What [`Config::restoring`] runs whatever the settings are: at last, as a connection is set up.
const RESTORING: &str = "SET CONSTRAINTS ALL IMMEDIATE; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; \
     CLOSE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_catalog.pg_advisory_unlock_all(); \
     DO LANGUAGE plpgsql $$ DECLARE named pg_catalog.text; BEGIN \
         FOR named IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql LOOP \
             EXECUTE pg_catalog.format('DEALLOCATE %I', named); \
         END LOOP; \
     END $$; \
     SET client_encoding = 'UTF8'; SET TIME ZONE 'UTC'";

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

/// Settings of a [`Db`](crate::Db), with safe defaults. Both engines read the same URL and settings, and read them
/// alike.
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
/// A setting out of its range is refused with [`Error::InvalidInput`] where the settings are used:
/// [`Db::lazy`](crate::Db::lazy), [`Db::connect`](crate::Db::connect), [`Live::follow`](crate::Live::follow) and the
/// migrations.
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
    /// `None` if it follows from the statement timeout.
    response_timeout: Option<Option<Duration>>,
    pub(crate) health_timeout: Duration,
    pub(crate) prepared_statements: u32,
    pub(crate) keepalives: Option<Keepalives>,
    pub(crate) unacknowledged_timeout: Option<Duration>,
    pub(crate) heartbeat: Duration,
    search_path: Vec<String>,
}

/// How the system finds out that the server behind an idle connection has gone.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::{Config, Keepalives};
///
/// # fn main() -> wundr_db::Result<()> {
/// let seconds = Duration::from_secs;
/// let config = Config::new("postgres://app@db.example/wundr")?
///     .keepalives(Keepalives::new(seconds(30), seconds(5), 3));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalives {
    pub(crate) idle: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    pub(crate) count: Option<u32>,
}

impl Keepalives {
    /// Creates settings by which the system sends a probe after `idle`, repeats it every `interval`, and ends the
    /// connection when `count` of them are not answered. The times must be whole seconds between 1 s and 32767 s, the
    /// count must be between 1 and 127.
    #[must_use]
    pub const fn new(idle: Duration, interval: Duration, count: u32) -> Self {
        Self {
            idle: Some(idle),
            interval: Some(interval),
            count: Some(count),
        }
    }
}

/// Idle 5 s, interval 2 s, count 3.
impl Default for Keepalives {
    fn default() -> Self {
        Self::new(Duration::from_secs(5), Duration::from_secs(2), 3)
    }
}

/// The longest time that a setting takes. A server counts its timeouts in milliseconds of 31 bits.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);

impl Config {
    /// Creates settings from a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`.
    ///
    /// The URL means what it means to libpq, in both engines. It may name several hosts
    /// (`postgres://app@a.example,b.example/wundr`); they are tried [as described there](Self::require_primary). A
    /// password may contain an @; its `/` is written `%2F`, its `?` is written `%3F`, its `%` is written `%25`. Elsewhere an @ is
    /// written `%40`.
    ///
    /// The parameters are those of libpq 15 and `load_balance_hosts`:
    ///
    /// - the server: `host`, `hostaddr`, `port`, `target_session_attrs`, `load_balance_hosts`
    /// - the role: `user`, `password`, `passfile`, `channel_binding`, `krbsrvname`
    /// - the session: `dbname`, `options`, `application_name`, `fallback_application_name`
    /// - TLS: `sslmode` (default `prefer`), `sslrootcert`, `sslcert`, `sslkey`, `sslpassword`, `sslcrl`, `sslcrldir`,
    ///   `sslsni`, `ssl_min_protocol_version`, `ssl_max_protocol_version`, and `ssl=true` for `sslmode=require`
    /// - the network: `connect_timeout`, `keepalives`, `keepalives_idle` and `keepalives_interval` in seconds,
    ///   `keepalives_count`, `tcp_user_timeout` in milliseconds; zero and less means none, or the system's
    /// - `service`, whose file gives the values that the URL does not
    ///
    /// What one engine alone could follow is refused in both: `gssencmode=require`, `requirepeer`, `replication`, a
    /// `client_encoding` other than UTF8.
    ///
    /// What the URL does not give comes from the environment, as for libpq: `PGHOST`, `PGHOSTADDR`, `PGPORT`,
    /// `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGAPPNAME`, `PGOPTIONS`, `PGCONNECT_TIMEOUT`, `PGTARGETSESSIONATTRS`,
    /// `PGLOADBALANCEHOSTS`, `PGCHANNELBINDING`, `PGSSLMODE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`, `PGSSLCRL`,
    /// `PGSSLCRLDIR`, `PGSSLSNI`, `PGSSLMINPROTOCOLVERSION`, `PGSSLMAXPROTOCOLVERSION`, `PGGSSENCMODE`,
    /// `PGREQUIREPEER`, `PGKRBSRVNAME`, `PGSERVICE` and `PGPASSFILE`; and from the files `~/.pgpass`,
    /// `~/.pg_service.conf` and `~/.postgresql/`. They are read once, here. Use
    /// [`without_environment`](Self::without_environment) to read none of them.
    ///
    /// In the blocking engine diesel's default instrumentation receives what libpq is given, the password among it, with
    /// the event that a connection is being established; it does not receive the values of statements.
    ///
    /// Settings in `options`, such as `-c statement_timeout=5s`, win over those made here, but for the
    /// [`search_path`](Self::search_path). `sslmode` says nothing about
    /// Unix sockets, which have no TLS. Without a host the server's socket in `/var/run/postgresql` is used, or in
    /// `/tmp` where there is no such directory.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is no such URL, has a parameter that is unknown, or a value that is none of the
    /// parameter's. The message repeats nothing that may be a part of a password.
    pub fn new(url: &str) -> Result<Self> {
        let mut given = url::parse(url)?;
        if given.get("service").is_none()
            && let Some(service) = files::variable("PGSERVICE")?
        {
            given.set("service", service);
        }
        files::read_service(&mut given)?;
        given.complete(files::variable)?;
        Self::of(&given, true)
    }

    /// Creates settings from a URL alone: neither the environment nor a file in the home directory adds to it.
    ///
    /// # Errors
    /// As [`Config::new`].
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
            health_timeout: Duration::from_secs(2),
            prepared_statements: 256,
            keepalives,
            unacknowledged_timeout: target::time(given, "tcp_user_timeout", milliseconds)?
                .unwrap_or(Some(Duration::from_secs(10))),
            heartbeat: Duration::from_secs(5),
            search_path: Vec::new(),
        };
        config.check()?;
        Ok(config)
    }

    /// Creates settings from the URL in the environment variable `DATABASE_URL`.
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

    /// The largest number of connections. Default: 10. Must be between 1 and 10,000.
    pub fn max_connections(self, number: u32) -> Self {
        Self {
            max_connections: number,
            ..self
        }
    }

    /// The number of connections that are kept open while they are not needed. Default: 0. Must be between 0 and
    /// [`max_connections`](Self::max_connections).
    pub fn min_idle(self, number: u32) -> Self {
        Self {
            min_idle: number,
            ..self
        }
    }

    /// The time for which a call waits for a connection of the pool. Default: 10 s. Must be between 1 ms and 24 days.
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        Self {
            acquire_timeout: timeout,
            ..self
        }
    }

    /// The time that connecting to one host may take: to resolve its name, connect, authenticate, and ask for what
    /// [`require_primary`](Self::require_primary) needs. Default: 3 s, or the URL's. Must be between 1 ms and 24 days, or
    /// `None` for no limit. libpq, and so the blocking engine, counts in whole seconds, at least 2, and allows that
    /// time for each address that the host's name has.
    pub fn connect_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            connect_timeout: timeout.into(),
            ..self
        }
    }

    /// The time that the server works on one statement before it ends it with [`Error::Timeout`]. Default: 30 s. Must be
    /// between 1 ms and 24 days, or `None` for no limit.
    pub fn statement_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            statement_timeout: timeout.into(),
            ..self
        }
    }

    /// The time for which the server keeps a transaction open whose client sends nothing. Default: 60 s. Must be
    /// between 1 ms and 24 days, or `None` for no limit.
    pub fn idle_in_transaction_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            idle_in_transaction_timeout: timeout.into(),
            ..self
        }
    }

    /// How long the server may say nothing while an answer of it is due. Default: the statement timeout and 5 s; none
    /// if that is `None`. `None` for no limit.
    ///
    /// A server that is stopped, or that a network has cut off, ends neither a statement nor a connection. In the async
    /// engine the statement fails then with [`Error::Connection`] and its connection is closed. Each part of an answer
    /// begins the time anew: a stream or a COPY may take longer than this. The error comes within an eighth of the
    /// limit after it.
    ///
    /// A transaction that raises its own `statement_timeout`, and a role behind a PgBouncer that has a longer one, need
    /// a longer limit here.
    ///
    /// In the blocking engine nothing can end the wait of a thread but the network's own limits. The pool counts a
    /// connection whose statement has taken longer than this as lost and, when no other is free, opens new ones in its
    /// place, so that other calls go on.
    pub fn response_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            response_timeout: Some(timeout.into()),
            ..self
        }
    }

    /// How long [`Db::health`](crate::Db::health) waits, for a connection and for its answer together. Default: 2 s.
    pub fn health_timeout(self, timeout: Duration) -> Self {
        Self {
            health_timeout: timeout,
            ..self
        }
    }

    /// How many statements each connection keeps prepared on the server, from 1 to 65,536. Default: 256.
    ///
    /// A call whose statement is not among them prepares it, which takes a round trip. When there are too many, the async
    /// engine closes the one whose last use is longest ago; its driver keeps up to three more, which ask for types. The
    /// blocking engine closes all and begins anew; behind a
    /// PgBouncer it closes the connection.
    pub fn prepared_statements(self, number: u32) -> Self {
        Self {
            prepared_statements: number,
            ..self
        }
    }

    /// The time for which an unused connection stays open. Default: 10 minutes. Must be between 1 ms and 24 days, or
    /// `None` for no limit.
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            idle_timeout: timeout.into(),
            ..self
        }
    }

    /// The greatest age of a connection. Default: 30 minutes. Must be between 1 ms and 24 days, or `None` for no limit.
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

    /// The system's probes of a connection on which nothing is sent. Default: after 5 s, every 2 s, 3 times, or the
    /// URL's. `None` for no probes. See [`Keepalives::new`] for the bounds.
    pub fn keepalives(self, keepalives: impl Into<Option<Keepalives>>) -> Self {
        Self {
            keepalives: keepalives.into(),
            ..self
        }
    }

    /// The time after which the system ends a connection whose data the server's system does not acknowledge.
    /// Default: 10 s, or the URL's. Must be between 1 ms and 24 days, or `None` for the system's, which may be 15
    /// minutes. It has an effect on Linux.
    pub fn unacknowledged_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self {
            unacknowledged_timeout: timeout.into(),
            ..self
        }
    }

    /// The time after which [`Live`](crate::Live) asks its server for a sign of life, and for which it waits for one. Default:
    /// 5 s. Must be between 1 ms and 24 days.
    ///
    /// A server that has gone without a word is noticed after twice this time at most. What takes the server longer to
    /// answer, such as counting the findings of many analyses, has twice this time too.
    pub fn heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat, ..self }
    }

    /// Takes only servers that take writes, as `target_session_attrs=read-write` does. Default: if the URL names several
    /// hosts and no `target_session_attrs`.
    ///
    /// Set it for one host as well if its name or address may lead to a standby for a while, as it does during a
    /// failover. It costs no round trip.
    ///
    /// Of several hosts the async engine tries the first, and another one every 250 ms and whenever one fails; it takes
    /// the first that answers and fits. The blocking engine tries one after the other. In both, the host that was taken
    /// last is tried first, and one that failed within the last 5 s is tried last.
    pub fn require_primary(mut self) -> Self {
        self.target.session = Session::ReadWrite;
        self.target.session_is_given = true;
        self
    }

    /// The URL leads to a PgBouncer. It refuses the timeouts as startup parameters: set them on the role instead
    /// (`ALTER ROLE app SET statement_timeout = '30s'`). The same is true of the `search_path`: set
    /// `ALTER ROLE app SET search_path = pg_catalog, pg_temp`, unless no other role may create in a schema of the path
    /// that the role has. In transaction mode it has to be PgBouncer 1.21 or later, with
    /// `max_prepared_statements` > 0. An older one works in session mode; in transaction mode it mixes up the prepared
    /// statements of its clients.
    pub fn behind_pgbouncer(self) -> Self {
        Self {
            behind_pgbouncer: true,
            ..self
        }
    }

    /// Schemas in which statements of the application's own find what they name without a schema: those on
    /// [`connection_mut`](crate::Tx::connection_mut). Default: none.
    ///
    /// Every connection has the `search_path` `pg_catalog`, then these, then `pg_temp`, whatever the URL's `options`,
    /// the role and the database say. Name only schemas in which no other role may create: such a role can make a
    /// function or an operator there that fits the types of an argument better than PostgreSQL's own, and that a
    /// statement then runs.
    ///
    /// It has no effect [behind PgBouncer](Self::behind_pgbouncer).
    pub fn search_path<S: Into<String>>(self, schemas: impl IntoIterator<Item = S>) -> Self {
        Self {
            search_path: schemas.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// The `search_path` of every connection, as the value of an option on a command line.
    fn pinned_path(&self) -> String {
        let quoted = |schema: &String| format!("\"{}\"", schema.replace('"', "\"\""));
        let path: Vec<String> = std::iter::once("pg_catalog".to_owned())
            .chain(self.search_path.iter().map(quoted))
            .chain(std::iter::once("pg_temp".to_owned()))
            .collect();
        path.join(",").replace('\\', "\\\\").replace(' ', "\\ ")
    }

    /// Checks the ranges of all settings.
    pub(crate) fn check(&self) -> Result<()> {
        in_range("acquire_timeout", self.acquire_timeout)?;
        in_range("heartbeat", self.heartbeat)?;
        self.check_limits()?;
        for (name, time) in [
            ("connect_timeout", self.connect_timeout),
            ("statement_timeout", self.statement_timeout),
            (
                "idle_in_transaction_timeout",
                self.idle_in_transaction_timeout,
            ),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("unacknowledged_timeout", self.unacknowledged_timeout),
        ] {
            time.map_or(Ok(()), |time| in_range(name, time))?;
        }
        if !(1..=10_000).contains(&self.max_connections) {
            let reason = "must be between 1 and 10,000";
            return Err(Error::invalid("max_connections", reason));
        }
        if self.min_idle > self.max_connections {
            let reason = "is greater than max_connections";
            return Err(Error::invalid("min_idle", reason));
        }
        if let Some(Keepalives {
            idle,
            interval,
            count,
        }) = self.keepalives
        {
            let is_time =
                |time: Duration| time.subsec_nanos() == 0 && (1..=32_767).contains(&time.as_secs());
            if ![idle, interval].into_iter().flatten().all(is_time) {
                let reason = "idle and interval must be whole seconds between 1 s and 32767 s";
                return Err(Error::invalid("keepalives", reason));
            }
            if !count.is_none_or(|count| (1..=127).contains(&count)) {
                return Err(Error::invalid(
                    "keepalives",
                    "count must be between 1 and 127",
                ));
            }
        }
        Ok(())
    }

    /// The limit of the server's silence.
    pub(crate) fn response_limit(&self) -> Option<Duration> {
        match self.response_timeout {
            Some(timeout) => timeout,
            None => self
                .effective_statement_timeout()
                .map(|timeout| timeout.saturating_add(Duration::from_secs(5)).min(LONGEST)),
        }
    }

    /// The statement timeout, or that in the URL's `options`, which wins; `None` if that is not understood.
    fn effective_statement_timeout(&self) -> Option<Duration> {
        match self.target.options.rsplit_once("statement_timeout") {
            Some((_, value)) => duration_of(value),
            None => self.statement_timeout,
        }
    }

    fn check_limits(&self) -> Result<()> {
        if !(1..=65_536).contains(&self.prepared_statements) {
            return Err(Error::invalid(
                "prepared_statements",
                "is not between 1 and 65,536",
            ));
        }
        for (name, timeout) in [
            ("response_timeout", self.response_limit()),
            ("health_timeout", Some(self.health_timeout)),
        ] {
            timeout.map_or(Ok(()), |timeout| in_range(name, timeout))?;
        }
        Ok(())
    }

    /// Checks whether the URL's `options` ask for read-only transactions.
    pub(crate) fn asks_for_read_only(&self) -> bool {
        let value = self
            .target
            .options
            .rsplit_once("default_transaction_read_only");
        let value = value.map(|(_, value)| value.trim_start_matches([' ', '=']));
        value.is_some_and(|value| !value.starts_with("off") && !value.starts_with("false"))
    }

    /// Takes back what a caller that was lent a connection may have left on it, and fails in a transaction that has
    /// failed. To be run before the commit: behind a PgBouncer in transaction mode the session is another client's after
    /// it.
    ///
    /// What the commit would do runs first, as the role and with the settings that the caller has set.
    pub(crate) fn restoring(&self) -> String {
        let name = self
            .application_name
            .replace('\\', r"\\")
            .replace('\'', "''");
        let messages = match self.behind_pgbouncer {
            true => String::new(),
            false => format!("; {UNDERSTOOD_MESSAGES}"),
        };
        format!("{RESTORING}; SET application_name = E'{name}'{messages}")
    }

    /// The settings of the session that are sent at its start.
    pub(crate) fn options(&self) -> String {
        if self.behind_pgbouncer {
            return self.target.options.clone();
        }
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
                let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis());
                format!("-c {name}={milliseconds}")
            })
            .collect();
        if !self.target.options.is_empty() {
            options.push(self.target.options.clone());
        }
        options.push(format!("-c search_path={}", self.pinned_path()));
        options.join(" ")
    }
}

/// A time as PostgreSQL writes it, from an equals sign to the next space; `None` for 0, which is no limit.
fn duration_of(setting: &str) -> Option<Duration> {
    let value = setting.trim_start_matches([' ', '=', '\'']);
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = value.split_at(digits);
    let unit = unit.split([' ', '\'']).next().unwrap_or_default();
    let milliseconds = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    (number > 0).then(|| Duration::from_millis(number.saturating_mul(milliseconds)))
}

/// Checks a time that has to be neither none nor endless.
pub(crate) fn in_range(name: &'static str, time: Duration) -> Result<()> {
    if time < Duration::from_millis(1) || time > LONGEST {
        return Err(Error::invalid(name, "must be between 1 ms and 24 days"));
    }
    Ok(())
}

/// Shows neither user nor password.
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
