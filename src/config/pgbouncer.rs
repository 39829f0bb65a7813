//! A configuration of PgBouncer that fits an application of this crate.
//!
//! # What leaks in transaction mode
//!
//! PgBouncer gives a server connection to another client after each transaction. What a session
//! keeps beyond a transaction then reaches that client:
//!
//! - `SET` without `LOCAL`. PgBouncer restores only the parameters that the server reports:
//!   `client_encoding`, `datestyle`, `timezone`, `standard_conforming_strings` and
//!   `application_name`. `server_reset_query` runs in session mode alone.
//! - `SET ROLE` and `SET SESSION AUTHORIZATION`.
//! - Advisory locks of the session (`pg_advisory_lock`), temporary tables, `WITH HOLD` cursors, and
//!   statements of SQL `PREPARE`.
//! - `LISTEN`: notifications reach no client.
//!
//! This crate uses none of them behind PgBouncer. An application that is lent a connection with
//! `Tx::connection_mut` must not either; what it sets is restored before the commit.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Root, TlsMode};
use crate::{Config, Error, Result};

/// The mode in which PgBouncer assigns server connections to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PoolMode {
    /// For a transaction. Needs PgBouncer 1.21 or newer.
    #[default]
    Transaction,
    /// For a session of the client.
    Session,
}

/// The values of a configuration that [`Config`] does not have.
#[derive(Debug, Clone)]
#[must_use]
pub struct Options {
    mode: PoolMode,
    listen: (String, u16),
    socket_directory: Option<String>,
    auth_role: String,
    auth_schema: String,
    auth_file: String,
    server_connections: u32,
    client_connections: u32,
    tls: Option<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: PoolMode::default(),
            listen: ("127.0.0.1".to_owned(), 6432),
            socket_directory: None,
            auth_role: "pgbouncer_auth".to_owned(),
            auth_schema: "pgbouncer".to_owned(),
            auth_file: "/etc/pgbouncer/userlist.txt".to_owned(),
            server_connections: 20,
            client_connections: 1_000,
            tls: None,
        }
    }
}

impl Options {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the mode. Default: [`PoolMode::Transaction`].
    pub fn mode(self, mode: PoolMode) -> Self {
        Self { mode, ..self }
    }

    /// Sets the address and the port on which PgBouncer listens. Default: 127.0.0.1 and 6432. An
    /// empty address means that it listens on a Unix socket alone.
    pub fn listen(self, address: impl Into<String>, port: u16) -> Self {
        Self {
            listen: (address.into(), port),
            ..self
        }
    }

    /// Sets the directory of PgBouncer's Unix socket. Default: PgBouncer's own.
    pub fn socket_directory(self, directory: impl Into<String>) -> Self {
        Self {
            socket_directory: Some(directory.into()),
            ..self
        }
    }

    /// Sets the role that looks up passwords. Default: `pgbouncer_auth`.
    pub fn auth_role(self, role: impl Into<String>) -> Self {
        Self {
            auth_role: role.into(),
            ..self
        }
    }

    /// Sets the schema of the function that looks up passwords. Default: `pgbouncer`.
    pub fn auth_schema(self, schema: impl Into<String>) -> Self {
        Self {
            auth_schema: schema.into(),
            ..self
        }
    }

    /// Sets the path of the file with the password of the [`auth_role`](Self::auth_role). Default:
    /// `/etc/pgbouncer/userlist.txt`.
    pub fn auth_file(self, path: impl Into<String>) -> Self {
        Self {
            auth_file: path.into(),
            ..self
        }
    }

    /// Sets the largest number of connections to the server. Default: 20. Must be at least 1.
    pub fn server_connections(self, number: u32) -> Self {
        Self {
            server_connections: number,
            ..self
        }
    }

    /// Sets the largest number of clients. Default: 1,000. Must be at least 1.
    pub fn client_connections(self, number: u32) -> Self {
        Self {
            client_connections: number,
            ..self
        }
    }

    /// Requires TLS of clients, with this key and certificate. Default: no TLS.
    pub fn tls(self, key_file: impl Into<String>, certificate_file: impl Into<String>) -> Self {
        Self {
            tls: Some((key_file.into(), certificate_file.into())),
            ..self
        }
    }
}

/// The texts of a configuration. None of them contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Files {
    /// The content of `pgbouncer.ini`.
    pub ini: String,
    /// The SQL that creates the role and the function that look up passwords. A superuser executes
    /// it in the database, once. It can be repeated.
    pub auth_sql: String,
    /// The SQL with the settings of the application's role. Its owner or a superuser executes it.
    pub role_sql: String,
}

/// Returns a configuration of PgBouncer for the server, the database and the role of `config`.
///
/// The application connects to PgBouncer with the same database, role and password, and
/// [`Config::behind_pgbouncer`].
///
/// PgBouncer authenticates clients by SCRAM with the passwords that PostgreSQL has. It looks them
/// up by a function, as a role of its own, whose password is the only one in the `auth_file`:
///
/// ```text
/// "pgbouncer_auth" "its password"
/// ```
///
/// The function returns no superuser, no role for replication and no expired password.
///
/// A client reaches no other database. If the database's name has other characters than ASCII
/// letters, digits, `_`, `.` and `-`, every name that a client asks for leads to it.
///
/// # Errors
/// - [`Error::InvalidInput`] if a name contains a control character or is longer than 63 bytes, if
///   the database is called `pgbouncer`, if a number is 0, or if `config` has several hosts:
///   PgBouncer does not find the one that takes writes
///
/// # Examples
///
/// ```
/// use wundr_db::Config;
/// use wundr_db::admin::pgbouncer;
///
/// # fn main() -> wundr_db::Result<()> {
/// let config = Config::without_environment("postgres://app@db.example/wundr")?;
/// let files = pgbouncer::config(&config, &pgbouncer::Options::new())?;
/// assert!(files.ini.contains("pool_mode = transaction"));
/// assert!(files.role_sql.contains("ALTER ROLE \"app\" SET statement_timeout"));
/// # Ok(())
/// # }
/// ```
pub fn config(config: &Config, options: &Options) -> Result<Files> {
    let target = &config.target;
    let [host] = target.hosts.as_slice() else {
        return Err(Error::invalid(
            "host",
            "has several servers; PgBouncer does not find the one that takes writes",
        ));
    };
    let names = [
        ("dbname", &target.database),
        ("user", &target.user),
        ("auth_role", &options.auth_role),
        ("auth_schema", &options.auth_schema),
    ];
    for (field, name) in names {
        if name.is_empty() || name.len() > 63 {
            return Err(Error::invalid(field, "must have between 1 and 63 bytes"));
        }
        one_line(field, name)?;
    }
    if target.database == "pgbouncer" {
        return Err(Error::invalid(
            "dbname",
            "is the name of PgBouncer's console",
        ));
    }
    for (field, number) in [
        ("server_connections", options.server_connections),
        ("client_connections", options.client_connections),
    ] {
        if number == 0 {
            return Err(Error::invalid(field, "must be at least 1"));
        }
    }
    let address = match host.address {
        Some(address) => address.to_string(),
        None => host.name.clone(),
    };
    one_line("host", &address)?;
    Ok(Files {
        ini: ini(config, options, &address, host.port)?,
        auth_sql: auth_sql(options),
        role_sql: role_sql(config),
    })
}

/// Checks that a value can stand on a line of a configuration.
fn one_line(field: &'static str, value: &str) -> Result<()> {
    match value.chars().any(char::is_control) {
        true => Err(Error::invalid(field, "contains a control character")),
        false => Ok(()),
    }
}

fn ini(config: &Config, options: &Options, address: &str, port: u16) -> Result<String> {
    let database = &config.target.database;
    // PgBouncer reads no other name here, whatever its documentation says about quotes. An asterisk
    // stands for every name that a client asks for. Each of them leads to the one database.
    let is_plain = database
        .chars()
        .all(|next| next.is_ascii_alphanumeric() || matches!(next, '_' | '.' | '-'));
    let entry = if is_plain { database } else { "*" };
    let value = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (listen, listen_port) = &options.listen;
    one_line("listen", listen)?;
    one_line("auth_file", &options.auth_file)?;
    let mut ini = format!(
        "; The clients, and the servers that they reach. Contains no password.\n\
         [databases]\n\
         {entry} = host={} port={port} dbname={} auth_user={}\n\
         \n\
         [pgbouncer]\n\
         listen_addr = {listen}\n\
         listen_port = {listen_port}\n",
        value(address),
        value(database),
        value(&options.auth_role),
    );
    let mut line = |name: &str, text: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(ini, "{name} = {text}");
    };
    if let Some(directory) = &options.socket_directory {
        one_line("socket_directory", directory)?;
        line("unix_socket_dir", directory);
    }
    line("auth_type", "scram-sha-256");
    line("auth_file", &options.auth_file);
    let schema = identifier(&options.auth_schema);
    let query = format!("SELECT username, password FROM {schema}.get_auth($1)");
    line("auth_query", &query);
    match options.mode {
        PoolMode::Transaction => {
            line("pool_mode", "transaction");
            // A connection of an application has up to this number of prepared statements. With a
            // smaller one, PgBouncer prepares them again and again.
            let statements = config.prepared_statements.max(200);
            line("max_prepared_statements", &statements.to_string());
        }
        PoolMode::Session => {
            line("pool_mode", "session");
            line("server_reset_query", "DISCARD ALL");
        }
    }
    let connections = options.server_connections.to_string();
    line("default_pool_size", &connections);
    line("max_db_connections", &connections);
    line("max_client_conn", &options.client_connections.to_string());
    // The client gives up at the same time.
    let patience = whole_seconds(config.acquire_timeout);
    line("query_wait_timeout", &patience.to_string());
    line("server_idle_timeout", "300");
    // By default, PgBouncer waits 15 s after a login that failed. Clients would have given up.
    line("server_login_retry", "1");
    line("server_lifetime", "1800");
    // `options` must not be ignored: PgBouncer would drop timeouts without a word.
    line("ignore_startup_parameters", "extra_float_digits");
    if let Some((key, certificate)) = &options.tls {
        one_line("tls", key)?;
        one_line("tls", certificate)?;
        line("client_tls_sslmode", "require");
        line("client_tls_key_file", key);
        line("client_tls_cert_file", certificate);
    }
    let tls = &config.target.tls;
    line("server_tls_sslmode", tls.mode.as_str());
    if let (TlsMode::VerifyCa | TlsMode::VerifyFull, Root::File(path)) = (tls.mode, &tls.root) {
        let path = path.display().to_string();
        one_line("sslrootcert", &path)?;
        line("server_tls_ca_file", &path);
    }
    Ok(ini)
}

fn auth_sql(options: &Options) -> String {
    let role = identifier(&options.auth_role);
    let schema = identifier(&options.auth_schema);
    let role_name = literal(&options.auth_role);
    let schema_name = literal(&options.auth_schema);
    format!(
        "BEGIN;\n\
         SET LOCAL search_path = pg_catalog, pg_temp;\n\
         DO $block$ BEGIN\n    \
             IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {role_name}) THEN\n        \
                 CREATE ROLE {role} LOGIN;\n    \
             END IF;\n    \
             IF EXISTS (SELECT FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner\n            \
                     WHERE n.nspname = {schema_name} AND NOT r.rolsuper) THEN\n        \
                 RAISE EXCEPTION 'the schema of the function belongs to a role that is no superuser';\n    \
             END IF;\n\
         END $block$;\n\
         CREATE SCHEMA IF NOT EXISTS {schema};\n\
         REVOKE ALL ON SCHEMA {schema} FROM PUBLIC;\n\
         GRANT USAGE ON SCHEMA {schema} TO {role};\n\
         CREATE OR REPLACE FUNCTION {schema}.get_auth(name pg_catalog.text)\n    \
             RETURNS TABLE (username pg_catalog.text, password pg_catalog.text)\n    \
             LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp\n    \
             AS $function$\n        \
                 SELECT rolname::pg_catalog.text, rolpassword FROM pg_catalog.pg_authid\n        \
                 WHERE rolname = name AND rolcanlogin AND NOT rolsuper AND NOT rolreplication\n            \
                     AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())\n    \
             $function$;\n\
         REVOKE ALL ON FUNCTION {schema}.get_auth(pg_catalog.text) FROM PUBLIC;\n\
         GRANT EXECUTE ON FUNCTION {schema}.get_auth(pg_catalog.text) TO {role};\n\
         COMMIT;\n"
    )
}

fn role_sql(config: &Config) -> String {
    let role = identifier(&config.target.user);
    let milliseconds = |timeout: Option<Duration>| timeout.map_or(0, |timeout| timeout.as_millis());
    let path: Vec<_> = config.path().map(identifier).collect();
    format!(
        "BEGIN;\n\
         ALTER ROLE {role} SET search_path = {};\n\
         ALTER ROLE {role} SET statement_timeout = {};\n\
         ALTER ROLE {role} SET idle_in_transaction_session_timeout = {};\n\
         COMMIT;\n",
        path.join(", "),
        milliseconds(config.statement_timeout),
        milliseconds(config.idle_in_transaction_timeout),
    )
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, options: &Options) -> Result<Files> {
        super::config(&Config::without_environment(url).unwrap(), options)
    }

    #[test]
    fn no_text_contains_a_secret() {
        let files = of("postgres://app:pa55word@db.example/wundr", &Options::new()).unwrap();
        for text in [&files.ini, &files.auth_sql, &files.role_sql] {
            assert!(!text.contains("pa55word"), "{text}");
        }
    }

    #[test]
    fn names_that_would_begin_another_line_are_rejected() {
        let url = "postgres://app@db.example/a%0Ab";
        assert!(matches!(
            of(url, &Options::new()),
            Err(Error::InvalidInput { .. })
        ));
        let options = Options::new().auth_role("a\nadmin_users = x");
        let refused = of("postgres://app@db.example/wundr", &options);
        assert!(matches!(refused, Err(Error::InvalidInput { .. })));
        for options in [
            Options::new().listen("a\nb", 1),
            Options::new().auth_file("a\nb"),
            Options::new().socket_directory("a\nb"),
            Options::new().tls("a\nb", "c"),
            Options::new().server_connections(0),
            Options::new().client_connections(0),
        ] {
            let refused = of("postgres://app@db.example/wundr", &options);
            assert!(
                matches!(refused, Err(Error::InvalidInput { .. })),
                "{options:?}"
            );
        }
    }

    #[test]
    fn several_hosts_and_the_name_of_the_console_are_rejected() {
        for url in ["postgres://app@a,b/wundr", "postgres://app@a/pgbouncer"] {
            let refused = of(url, &Options::new());
            assert!(matches!(refused, Err(Error::InvalidInput { .. })), "{url}");
        }
    }
}
