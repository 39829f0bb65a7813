//! Opens the connections of the blocking engine.

use std::fmt::Write as _;
use std::path::Path;

use diesel::Connection as _;
use diesel::connection::{
    DebugQuery, Instrumentation, InstrumentationEvent, SimpleConnection as _, StrQueryHelper,
    get_default_instrumentation,
};
use diesel::pg::PgConnection;
use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::host_order::{HostOrder, refused, rounds};
use crate::config::{Host, Root, Session, UNDERSTOOD_MESSAGES};
use crate::error::recorded_reason;
use crate::{Config, Error, Result};

/// The settings of every connection of a pool.
pub(crate) struct Connector {
    config: Config,
    order: HostOrder,
}

impl Connector {
    /// # Errors
    /// - [`Error::InvalidInput`] if a setting is out of its range
    pub(crate) fn new(config: &Config) -> Result<Self> {
        config.check()?;
        config.target.check()?;
        Ok(Self {
            order: HostOrder::new(&config.target),
            config: config.clone(),
        })
    }

    /// Connects to the first host that answers and is what is asked for.
    pub(crate) fn connect(&self) -> Result<PgConnection> {
        let target = &self.config.target;
        let mut refusals = Vec::new();
        'rounds: for &session in rounds(target.session) {
            refusals.clear();
            for index in self.order.hosts() {
                let Some(host) = target.hosts.get(index) else {
                    continue;
                };
                match self.open(host, session) {
                    Ok(connection) => {
                        self.order.taken(index);
                        return Ok(connection);
                    }
                    Err(error) => {
                        let is_lasting = error.is_lasting_refusal();
                        if !is_lasting {
                            self.order.failed(index);
                        }
                        refusals.push((host.to_string(), error));
                        // As libpq, which tries the next host only after one that could not be
                        // reached or is starting.
                        if is_lasting {
                            break 'rounds;
                        }
                    }
                }
            }
        }
        Err(refused(refusals))
    }

    fn open(&self, host: &Host, session: Session) -> Result<PgConnection> {
        let parameters = self.parameters(host, session);
        let mut connection = PgConnection::establish(&parameters).map_err(Error::connection)?;
        if let Some(listener) = default_instrumentation() {
            connection.set_instrumentation(listener);
        }
        let mut settings = self.config.settings();
        if !self.config.behind_pgbouncer {
            settings.push_str("; ");
            settings.push_str(UNDERSTOOD_MESSAGES);
        }
        if let Err(error) = connection.batch_execute(&settings) {
            return Err(Error::connection(with_reason(&mut connection, error)));
        }
        Ok(connection)
    }

    /// Returns all that libpq would otherwise take from the environment or the home directory, so
    /// that it takes nothing else.
    fn parameters(&self, host: &Host, session: Session) -> String {
        let (config, target) = (&self.config, &self.config.target);
        let tls = &target.tls;
        let mut parameters = Parameters::default();
        parameters.add("host", &host.name);
        let address = host.address.map(|address| address.to_string());
        parameters.add("hostaddr", address.as_deref().unwrap_or_default());
        parameters.add("port", &host.port.to_string());
        parameters.add("user", &target.user);
        parameters.add("password", host.password.as_deref().unwrap_or_default());
        parameters.add("passfile", NO_FILE);
        parameters.add("dbname", &target.database);
        parameters.add("options", &config.options());
        parameters.add("application_name", &config.application_name);
        parameters.add("client_encoding", "UTF8");
        parameters.add("target_session_attrs", session.as_str());
        parameters.add("channel_binding", target.channel_binding.as_str());
        parameters.add("gssencmode", "disable");
        parameters.add("krbsrvname", &target.kerberos_service);
        parameters.add("requirepeer", "");

        // In whole seconds, of which libpq makes at least two.
        let timeout = config.connect_timeout.map_or(0, |timeout| {
            timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0)
        });
        parameters.add("connect_timeout", &timeout.to_string());
        match config.keepalives {
            None => parameters.add("keepalives", "0"),
            Some(keepalives) => {
                parameters.add("keepalives", "1");
                let seconds = |time: std::time::Duration| time.as_secs().to_string();
                for (name, value) in [
                    ("keepalives_idle", keepalives.idle.map(seconds)),
                    ("keepalives_interval", keepalives.interval.map(seconds)),
                    (
                        "keepalives_count",
                        keepalives.count.map(|count| count.to_string()),
                    ),
                ] {
                    if let Some(value) = value {
                        parameters.add(name, &value);
                    }
                }
            }
        }
        let unacknowledged = config.unacknowledged_timeout.unwrap_or_default();
        parameters.add("tcp_user_timeout", &unacknowledged.as_millis().to_string());

        parameters.add("sslmode", tls.mode.as_str());
        let path = |path: &Option<std::path::PathBuf>| match path {
            Some(path) => path.to_string_lossy().into_owned(),
            None => NO_FILE.to_owned(),
        };
        parameters.add(
            "sslrootcert",
            &match &tls.root {
                Root::File(file) => file.to_string_lossy().into_owned(),
                Root::System => system_certificates(),
                Root::None => NO_FILE.to_owned(),
            },
        );
        parameters.add("sslcert", &path(&tls.certificate));
        parameters.add("sslkey", &path(&tls.key));
        parameters.add(
            "sslpassword",
            tls.key_password.as_deref().unwrap_or_default(),
        );
        parameters.add("sslcrl", &path(&tls.revoked));
        if let Some(directory) = &tls.revoked_directory {
            parameters.add("sslcrldir", &directory.to_string_lossy());
        } else {
            parameters.add("sslcrldir", "");
        }
        parameters.add("sslsni", if tls.names_server { "1" } else { "0" });
        parameters.add("sslcompression", "0");
        parameters.add("ssl_min_protocol_version", tls.oldest.as_str());
        let newest = tls.newest.map_or("", |newest| newest.as_str());
        parameters.add("ssl_max_protocol_version", newest);
        let is_set = |variable: &str| std::env::var_os(variable).is_some();
        for (name, value) in newer_parameters(is_set, is_known) {
            parameters.add(name, value);
        }
        parameters.0
    }
}

/// The parameters that libpq has only from version 16, 17 or 18 on: variable, name and the value
/// that is libpq's default.
const NEWER_PARAMETERS: &[(&str, &str, &str)] = &[
    ("PGREQUIREAUTH", "require_auth", ""),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts", "disable"),
    ("PGSSLCERTMODE", "sslcertmode", "allow"),
    ("PGGSSDELEGATION", "gssdelegation", "0"),
    ("PGSSLNEGOTIATION", "sslnegotiation", "postgres"),
    ("PGMINPROTOCOLVERSION", "min_protocol_version", "3.0"),
    ("PGMAXPROTOCOLVERSION", "max_protocol_version", "3.0"),
];

/// Returns the newer parameters that have to be given: libpq has them, and would otherwise take
/// their values from the environment.
fn newer_parameters(
    is_set: impl Fn(&str) -> bool,
    is_known: impl Fn(&str) -> bool,
) -> Vec<(&'static str, &'static str)> {
    let newer = NEWER_PARAMETERS.iter();
    let needed = newer.filter(|(variable, name, _)| is_set(variable) && is_known(name));
    needed.map(|&(_, name, value)| (name, value)).collect()
}

/// Checks whether this libpq has a parameter.
///
/// libpq rejects an unknown parameter before it connects. The host is a directory that does not
/// exist, so that nothing is connected to if the parameter is known.
fn is_known(parameter: &str) -> bool {
    let parameters = format!("host={NO_FILE} hostaddr='' user=u dbname=d {parameter}=''");
    match PgConnection::establish(&parameters) {
        Ok(_) => true,
        Err(error) => !error.to_string().contains(&format!("\"{parameter}\"")),
    }
}

/// Returns the error of a connection that was closed, with the reason that the server or PgBouncer
/// sent before.
///
/// When libpq prepares a statement or sends a text, it returns the last of several errors: that the
/// connection is closed. The reason came before. libpq keeps all of them until the next statement,
/// and returns them when it cannot read notifications.
pub(crate) fn with_reason(connection: &mut PgConnection, error: DieselError) -> DieselError {
    let DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _) = error else {
        return error;
    };
    let record = match connection.notifications_iter().next() {
        Some(Err(DieselError::DatabaseError(_, record))) => record,
        _ => return error,
    };
    match recorded_reason(record.message()) {
        Some(reason) => DieselError::DatabaseError(
            DatabaseErrorKind::ClosedConnection,
            Box::new(reason.to_owned()),
        ),
        None => error,
    }
}

/// Returns diesel's default instrumentation, which receives no value of a statement.
pub(crate) fn default_instrumentation() -> Option<Box<dyn Instrumentation>> {
    get_default_instrumentation()
        .map(|listener| -> Box<dyn Instrumentation> { Box::new(WithoutValues(listener)) })
}

/// Passes on what happens on a connection, but no value of a statement, as the async engine does.
struct WithoutValues(Box<dyn Instrumentation>);

impl Instrumentation for WithoutValues {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                let sql = without_values(query);
                let query = StrQueryHelper::new(&sql);
                let event = InstrumentationEvent::start_query(&query);
                self.0.on_connection_event(event);
            }
            InstrumentationEvent::FinishQuery { query, error, .. } => {
                let sql = without_values(query);
                let query = StrQueryHelper::new(&sql);
                let event = InstrumentationEvent::finish_query(&query, error);
                self.0.on_connection_event(event);
            }
            other => self.0.on_connection_event(other),
        }
    }
}

/// Returns the text before the values, as diesel shows the two.
fn without_values(query: &dyn DebugQuery) -> String {
    let mut text = query.to_string();
    if let Some(at) = text.find(" -- binds:") {
        text.truncate(at);
    }
    text
}

/// libpq takes an empty name for its default, and goes on without a file that is not there.
const NO_FILE: &str = "/dev/null/none";

/// Parameters as libpq reads them: each value quoted.
#[derive(Default)]
struct Parameters(String);

impl Parameters {
    fn add(&mut self, name: &str, value: &str) {
        let value = value.replace('\\', r"\\").replace('\'', r"\'");
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}='{value}' ");
    }
}

/// Returns the place where OpenSSL finds the certificates that the system trusts. libpq has the
/// word from version 16 on.
fn system_certificates() -> String {
    const USUAL: [&str; 5] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let named = std::env::var("SSL_CERT_FILE").ok();
    let usual = USUAL.iter().map(|&file| file.to_owned());
    named
        .into_iter()
        .chain(usual)
        .find(|file| Path::new(file).is_file())
        .unwrap_or_else(|| "system".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parameters(config: &Config) -> String {
        let connector = Connector::new(config).unwrap();
        let host = connector.config.target.hosts[0].clone();
        connector.parameters(&host, connector.config.target.session)
    }

    #[test]
    fn times_have_libpqs_units() {
        let url = "postgres://u@h/d?tcp_user_timeout=2000&keepalives_idle=7&keepalives_interval=0\
             &keepalives_count=4&connect_timeout=9";
        let config = Config::without_environment(url).unwrap();
        let of_url = parameters(&config);
        for part in [
            "tcp_user_timeout='2000'",
            "keepalives='1'",
            "keepalives_idle='7'",
            "keepalives_count='4'",
            "connect_timeout='9'",
        ] {
            assert!(of_url.contains(part), "no {part} in {of_url}");
        }
        assert!(!of_url.contains("keepalives_interval"), "{of_url}");
        #[cfg(feature = "async")]
        {
            let driver = crate::engine::connection::connect::driver(&config);
            let user_timeout = driver.get_tcp_user_timeout().copied();
            assert_eq!(user_timeout, Some(Duration::from_secs(2)));
            assert_eq!(driver.get_keepalives_idle(), Duration::from_secs(7));
            assert_eq!(driver.get_keepalives_interval(), None);
            assert_eq!(driver.get_keepalives_retries(), Some(4));
        }
        let usual = parameters(&Config::without_environment("postgres://u@h/d").unwrap());
        for part in [
            "tcp_user_timeout='10000'",
            "keepalives_idle='5'",
            "keepalives_interval='2'",
            "keepalives_count='3'",
            "connect_timeout='3'",
        ] {
            assert!(usual.contains(part), "no {part} in {usual}");
        }
        let off = Config::without_environment("postgres://u@h/d").unwrap();
        let off = off
            .keepalives(None)
            .unacknowledged_timeout(None)
            .connect_timeout(None);
        let off = parameters(&off);
        for part in [
            "keepalives='0'",
            "tcp_user_timeout='0'",
            "connect_timeout='0'",
        ] {
            assert!(off.contains(part), "no {part} in {off}");
        }
    }

    #[test]
    fn libpq_is_asked_which_parameters_it_has() {
        assert!(is_known("requirepeer"));
        assert!(is_known("application_name"));
        assert!(!is_known("no_such_parameter"));
        let none = newer_parameters(|_| false, |_| true);
        assert_eq!(none, []);
        let is_set = |variable: &str| ["PGREQUIREAUTH", "PGLOADBALANCEHOSTS"].contains(&variable);
        assert_eq!(newer_parameters(is_set, |_| false), []);
        let needed = newer_parameters(is_set, |_| true);
        assert_eq!(
            needed,
            [("require_auth", ""), ("load_balance_hosts", "disable")]
        );
    }

    #[test]
    fn a_value_ends_where_it_should() {
        let mut written = Parameters::default();
        written.add("password", r"it's \ here");
        assert_eq!(written.0, r"password='it\'s \\ here' ");
    }
}
