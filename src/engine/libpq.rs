//! Opens the connections of the blocking engine.

use std::fmt::Write as _;
use std::path::Path;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;

use super::choice::{Choice, refused, rounds};
use crate::config::{Host, Root, Session, UNDERSTOOD_MESSAGES};
use crate::{Config, Error, Result};

/// What every connection of a pool is opened with.
pub(crate) struct Connector {
    config: Config,
    choice: Choice,
}

impl Connector {
    /// # Errors
    /// [`Error::InvalidInput`] if a setting is out of its range.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        config.check()?;
        config.target.check()?;
        Ok(Self {
            choice: Choice::new(&config.target),
            config: config.clone(),
        })
    }

    /// Connects to the first host that answers and is what is asked for.
    pub(crate) fn connect(&self) -> Result<PgConnection> {
        let target = &self.config.target;
        let mut refusals = Vec::new();
        for &session in rounds(target.session) {
            refusals.clear();
            for index in self.choice.order() {
                let Some(host) = target.hosts.get(index) else {
                    continue;
                };
                match self.open(host, session) {
                    Ok(connection) => {
                        self.choice.taken(index);
                        return Ok(connection);
                    }
                    Err(error) => {
                        self.choice.failed(index);
                        refusals.push((host.to_string(), error));
                    }
                }
            }
        }
        Err(refused(refusals))
    }

    fn open(&self, host: &Host, session: Session) -> Result<PgConnection> {
        let parameters = self.parameters(host, session);
        let mut connection = PgConnection::establish(&parameters).map_err(Error::connection)?;
        if !self.config.behind_pgbouncer {
            connection
                .batch_execute(UNDERSTOOD_MESSAGES)
                .map_err(Error::connection)?;
        }
        Ok(connection)
    }

    /// All that libpq would otherwise take from the environment or the home directory, so that it takes nothing else.
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
        parameters.0
    }
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

/// Where OpenSSL finds the certificates that the system trusts. libpq knows the word from version 16 on.
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
