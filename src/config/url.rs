//! Splits a URL into libpq's parameters, by libpq's rules.

use percent_encoding::percent_decode_str;

use crate::{Error, Result};

/// The parameters of libpq 15 that a URL may set, and `load_balance_hosts` and `require_auth` of
/// libpq 16. Each is paired with the environment variable of its default, or with an empty string.
const PARAMETERS: &[(&str, &str)] = &[
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", ""),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("fallback_application_name", ""),
    ("gssencmode", "PGGSSENCMODE"),
    ("gsslib", ""),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("keepalives", ""),
    ("keepalives_count", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("krbsrvname", "PGKRBSRVNAME"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("replication", ""),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("service", "PGSERVICE"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcert", "PGSSLCERT"),
    ("sslcompression", ""),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslpassword", ""),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslsni", "PGSSLSNI"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("tcp_user_timeout", ""),
    ("user", "PGUSER"),
];

/// A value, and the name that errors report: the parameter's or the environment variable's.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: &'static str,
    /// True if an error may repeat the value.
    pub(super) is_plain: bool,
}

/// The parameters that have a value.
#[derive(Clone, Default)]
pub(super) struct Given(Vec<(&'static str, Value)>);

impl Given {
    pub(super) fn get(&self, parameter: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(name, _)| *name == parameter);
        found.map(|(_, value)| value)
    }

    /// Returns the value as text. As for libpq, an empty value counts as none.
    pub(super) fn text(&self, parameter: &str) -> Option<&str> {
        let value = self.get(parameter)?;
        (!value.text.is_empty()).then_some(&*value.text)
    }

    /// Sets a parameter; the last value wins. Returns false if there is no such parameter.
    pub(super) fn set(&mut self, parameter: &str, text: String) -> bool {
        let Some(&(name, _)) = PARAMETERS.iter().find(|(name, _)| *name == parameter) else {
            return false;
        };
        self.0.retain(|(other, _)| *other != name);
        self.0.push((
            name,
            Value {
                text,
                origin: name,
                is_plain: true,
            },
        ));
        true
    }

    /// Sets a parameter that has no value yet. Returns false if there is no such parameter.
    pub(super) fn set_default(&mut self, parameter: &str, text: String) -> bool {
        self.get(parameter).is_some() || self.set(parameter, text)
    }

    /// Fills parameters that have no value from the environment.
    pub(super) fn complete(
        &mut self,
        variable: impl Fn(&'static str) -> Result<Option<String>>,
    ) -> Result<()> {
        for &(name, origin) in PARAMETERS {
            if !origin.is_empty()
                && self.get(name).is_none()
                && let Some(text) = variable(origin)?
            {
                let is_plain = true;
                self.0.push((
                    name,
                    Value {
                        text,
                        origin,
                        is_plain,
                    },
                ));
            }
        }
        Ok(())
    }
}

fn invalid(reason: impl std::fmt::Display) -> Error {
    Error::invalid("url", reason)
}

/// Splits a URL. No error repeats a part of it that may belong to a password.
pub(super) fn parse(url: &str) -> Result<Given> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or_else(|| invalid("does not begin with postgres:// or postgresql://"))?;
    if has_stray_percent(url) {
        return Err(invalid(
            "has a % that is not followed by two hexadecimal digits; in a password % is written %25",
        ));
    }
    let mut given = Given::default();
    let rest = match split_user(rest) {
        None => rest,
        Some((user, rest)) => {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            for (name, value) in [("user", user), ("password", password)] {
                if !value.is_empty() {
                    given.set(name, decode(value)?);
                }
            }
            rest
        }
    };
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (servers, database) = before.split_once('/').unwrap_or((before, ""));
    let may_end_a_password = |query: &str| {
        let after = query.split_once('@').map(|(_, after)| after);
        after.is_some_and(|after| after.contains('/'))
    };
    if servers.contains('@') || database.contains('@') || may_end_a_password(query) {
        // This is probably the end of a password that contains a slash. libpq would use the parts
        // of the password as host and database.
        return Err(invalid(
            "has an @ after the host; in a user name or password / is written %2F and ? is written %3F, elsewhere @ is written %40",
        ));
    }
    let (hosts, ports) = split_servers(servers)?;
    for (name, value) in [
        ("host", hosts),
        ("port", ports),
        ("dbname", database.to_owned()),
    ] {
        if !value.is_empty() {
            given.set(name, decode(&value)?);
        }
    }
    parse_query(query, &mut given)?;
    Ok(given)
}

/// Splits off the user and the password.
///
/// They end at the last @ before the end of the host, so that a password may contain an @.
fn split_user(rest: &str) -> Option<(&str, &str)> {
    let first = rest.find(['@', '/'])?;
    if rest.as_bytes().get(first) != Some(&b'@') {
        return None;
    }
    let end = rest[first..]
        .find(['/', '?'])
        .map_or(rest.len(), |length| first + length);
    let last = rest[..end].rfind('@')?;
    Some((&rest[..last], &rest[last + 1..]))
}

/// Splits servers into hosts and ports, each joined by commas.
fn split_servers(servers: &str) -> Result<(String, String)> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    let mut rest = Some(servers);
    while let Some(servers) = rest {
        let (host, after) = match servers.strip_prefix('[') {
            Some(bracketed) => bracketed
                .split_once(']')
                .filter(|(host, _)| !host.is_empty())
                .ok_or_else(|| invalid("an IPv6 address is not closed or is empty"))?,
            None => servers.split_at(servers.find([':', ',']).unwrap_or(servers.len())),
        };
        let (port, next) = match after.split_once(',') {
            Some((port, next)) => (port, Some(next)),
            None => (after, None),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port,
            None if port.is_empty() => port,
            None => {
                return Err(invalid("an IPv6 address is not followed by a port"));
            }
        };
        hosts.push(host);
        ports.push(port);
        rest = next;
    }
    Ok((hosts.join(","), ports.join(",")))
}

fn parse_query(query: &str, given: &mut Given) -> Result<()> {
    // As in libpq, one & is allowed after the last parameter.
    let query = query
        .strip_suffix('&')
        .filter(|query| !query.is_empty())
        .unwrap_or(query);
    if query.is_empty() {
        return Ok(());
    }
    let may_hold_a_password = query.contains('@');
    for parameter in query.split('&') {
        let (name, value) = parameter
            .split_once('=')
            .ok_or_else(|| invalid("a parameter has no value"))?;
        if value.contains('=') {
            return Err(invalid(
                "a parameter has two =; in a value = is written %3D",
            ));
        }
        let (name, value) = (decode(name)?, decode(value)?);
        // Accepts the spellings of JDBC and of tokio-postgres besides those of libpq.
        let (name, value) = match (&*name, &*value) {
            ("ssl", "true") => ("sslmode", "require".to_owned()),
            ("keepalives_retries", _) => ("keepalives_count", value),
            _ => (&*name, value),
        };
        if given.set(name, value) {
            if let Some((_, value)) = given.0.last_mut() {
                value.is_plain = !may_hold_a_password;
            }
            continue;
        }
        return Err(if may_hold_a_password {
            invalid(
                "has an unknown parameter, or a password whose / or ? is not written %2F or %3F",
            )
        } else {
            invalid(format_args!("has an unknown parameter {name:?}"))
        });
    }
    Ok(())
}

fn decode(text: &str) -> Result<String> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| invalid("a part is not UTF-8"))?;
    if decoded.contains('\0') {
        return Err(invalid("contains %00"));
    }
    Ok(decoded.into_owned())
}

fn has_stray_percent(url: &str) -> bool {
    url.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
