//! Settings from outside: from the environment, and from a configuration file through serde.
//!
//! Both give names and values. `Config::set` and the cache's are the only places that have the
//! names.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Config, Keepalives, Recycling};
use crate::{Error, Result};

/// The prefix of the variables that [`Config::from_env`] reads.
const PREFIX: &str = "WUNDR_DATABASE_";

/// The names of all settings. Those of the feature `tracing` are refused without it.
#[cfg(test)]
pub(crate) const NAMES: &[&str] = &[
    "url",
    "application_name",
    "max_connections",
    "min_idle",
    "acquire_timeout",
    "connect_timeout",
    "statement_timeout",
    "idle_in_transaction_timeout",
    "idle_timeout",
    "max_lifetime",
    "response_timeout",
    "health_timeout",
    "unacknowledged_timeout",
    "heartbeat",
    "recycling",
    "prepared_statements",
    "keepalives",
    "require_primary",
    "behind_pgbouncer",
    "search_path",
    "slow_call",
    "span_level",
];

/// A value from outside.
///
/// Errors about it never repeat it: it may be a secret in the wrong place.
pub(crate) enum Given {
    Text(String),
    Number(u64),
    Switch(bool),
    List(Vec<String>),
}

impl Given {
    pub(crate) fn text(self, name: &str) -> Result<String> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(refused(name, "must be text")),
        }
    }

    pub(crate) fn number<N: TryFrom<u64>>(self, name: &str) -> Result<N> {
        let number = match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| refused(name, "must be a whole number within the bounds"))
    }

    pub(crate) fn switch(self, name: &str) -> Result<bool> {
        match self {
            Self::Switch(is_on) => Ok(is_on),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            _ => Err(refused(name, "must be true or false")),
        }
    }

    /// Returns the values of a list, or of a text in which commas separate them.
    pub(crate) fn list(self, name: &str) -> Result<Vec<String>> {
        match self {
            Self::List(values) => Ok(values),
            Self::Text(text) => {
                let values = text.split(',').map(str::trim);
                let values = values.filter(|value| !value.is_empty());
                Ok(values.map(str::to_owned).collect())
            }
            _ => Err(refused(name, "must be a list of texts")),
        }
    }

    /// Returns a time such as `500ms`, `5s`, `10min`, `1h` or `2d`.
    pub(crate) fn time(self, name: &str) -> Result<Duration> {
        let text = self.text(name).unwrap_or_default();
        time_of(text.trim())
            .ok_or_else(|| refused(name, "must be a time such as 500ms, 5s or 10min"))
    }

    /// Returns a time, or `None` for the text `none`.
    pub(crate) fn limit(self, name: &str) -> Result<Option<Duration>> {
        let text = self.text(name).unwrap_or_default();
        match text.trim() {
            "none" => Ok(None),
            text => match time_of(text) {
                Some(time) => Ok(Some(time)),
                None => Err(refused(
                    name,
                    "must be a time such as 500ms, 5s or 10min, or none",
                )),
            },
        }
    }
}

pub(crate) fn refused(name: &str, reason: &'static str) -> Error {
    Error::invalid(name.to_owned(), reason)
}

fn time_of(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit.trim_start() {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Parses `none`, or the first probe's time, the interval and the number: `5s 2s 3`.
fn keepalives_of(value: Given) -> Result<Option<Keepalives>> {
    let reason = "must be none, or two times and a number such as 5s 2s 3";
    let text = value.text("keepalives").unwrap_or_default();
    if text.trim() == "none" {
        return Ok(None);
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    let parsed = match parts[..] {
        [idle, interval, count] => match (time_of(idle), time_of(interval), count.parse()) {
            (Some(idle), Some(interval), Ok(count)) => Some(Keepalives::new(idle, interval, count)),
            _ => None,
        },
        _ => None,
    };
    parsed
        .map(Some)
        .ok_or_else(|| refused("keepalives", reason))
}

impl Config {
    /// Creates the settings from the environment.
    ///
    /// The URL is `WUNDR_DATABASE_URL`, or else `DATABASE_URL`. Each other setting has a variable
    /// of its own, with the prefix `WUNDR_DATABASE_` and the name of the method in capital letters:
    /// `WUNDR_DATABASE_MAX_CONNECTIONS=20`. A configuration file has the same names and values, as
    /// `Config` implements `Deserialize`:
    ///
    /// | setting | form |
    /// |---|---|
    /// | `url` | the URL of [`Config::new`] |
    /// | `application_name` | text |
    /// | `max_connections`, `min_idle`, `prepared_statements` | a number |
    /// | `acquire_timeout`, `health_timeout`, `heartbeat` | a time |
    /// | `connect_timeout`, `statement_timeout`, `idle_in_transaction_timeout`, `idle_timeout`, `max_lifetime`, `response_timeout`, `unacknowledged_timeout` | a time, or `none` |
    /// | `recycling` | `fast` or `verified` |
    /// | `keepalives` | two times and a number such as `5s 2s 3`, or `none` |
    /// | `require_primary`, `behind_pgbouncer` | `true` or `false` |
    /// | `search_path` | names of schemas: a list, or separated by commas in a variable |
    /// | `slow_call` (feature `tracing`) | a time, or `none` |
    /// | `span_level` (feature `tracing`) | `error`, `warn`, `info`, `debug` or `trace` |
    ///
    /// A time is a whole number with its unit: `500ms`, `5s`, `10min`, `1h`, `2d`. The methods of
    /// `Config` have the bounds and the defaults. All variables are read once, by this function.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] with the variable or the setting, if there is no URL, if a
    ///   variable with the prefix is not a setting, or if a value is not valid. The message does
    ///   not contain values.
    pub fn from_env() -> Result<Self> {
        Self::of_variables(variables(PREFIX)?, super::files::variable("DATABASE_URL")?)
    }

    fn of_variables(given: Vec<(String, Given)>, url: Option<String>) -> Result<Self> {
        let has_url = given.iter().any(|(name, _)| name == "url");
        let url = url.filter(|_| !has_url);
        let url = url.map(|url| ("url".to_owned(), Given::Text(url)));
        if !has_url && url.is_none() {
            return Err(Error::invalid("DATABASE_URL", "is not set"));
        }
        of_environment(
            PREFIX,
            Self::of_given(given.into_iter().chain(url).collect()),
        )
    }

    fn of_given(mut given: Vec<(String, Given)>) -> Result<Self> {
        let Some(place) = given.iter().position(|(name, _)| name == "url") else {
            return Err(Error::invalid("url", "is not set"));
        };
        let (_, url) = given.swap_remove(place);
        let mut config = Self::new(&url.text("url")?)?;
        for (name, value) in given {
            config = config.set(&name, value)?;
        }
        config.check()?;
        Ok(config)
    }

    fn set(self, name: &str, value: Given) -> Result<Self> {
        Ok(match name {
            "application_name" => self.application_name(value.text(name)?),
            "max_connections" => self.max_connections(value.number(name)?),
            "min_idle" => self.min_idle(value.number(name)?),
            "prepared_statements" => self.prepared_statements(value.number(name)?),
            "acquire_timeout" => self.acquire_timeout(value.time(name)?),
            "health_timeout" => self.health_timeout(value.time(name)?),
            "heartbeat" => self.heartbeat(value.time(name)?),
            "connect_timeout" => self.connect_timeout(value.limit(name)?),
            "statement_timeout" => self.statement_timeout(value.limit(name)?),
            "idle_in_transaction_timeout" => self.idle_in_transaction_timeout(value.limit(name)?),
            "idle_timeout" => self.idle_timeout(value.limit(name)?),
            "max_lifetime" => self.max_lifetime(value.limit(name)?),
            "response_timeout" => self.response_timeout(value.limit(name)?),
            "unacknowledged_timeout" => self.unacknowledged_timeout(value.limit(name)?),
            "recycling" => match value.text(name)?.as_str() {
                "fast" => self.recycling(Recycling::Fast),
                "verified" => self.recycling(Recycling::Verified),
                _ => return Err(refused(name, "must be fast or verified")),
            },
            "keepalives" => self.keepalives(keepalives_of(value)?),
            "require_primary" => match value.switch(name)? {
                true => self.require_primary(),
                false => self,
            },
            "behind_pgbouncer" => match value.switch(name)? {
                true => self.behind_pgbouncer(),
                false => self,
            },
            "search_path" => self.search_path(value.list(name)?),
            #[cfg(feature = "tracing")]
            "slow_call" => self.slow_call(value.limit(name)?),
            #[cfg(feature = "tracing")]
            "span_level" => {
                let level = match value.text(name)?.as_str() {
                    "error" => tracing::Level::ERROR,
                    "warn" => tracing::Level::WARN,
                    "info" => tracing::Level::INFO,
                    "debug" => tracing::Level::DEBUG,
                    "trace" => tracing::Level::TRACE,
                    _ => return Err(refused(name, "must be error, warn, info, debug or trace")),
                };
                self.span_level(level)
            }
            #[cfg(not(feature = "tracing"))]
            "slow_call" | "span_level" => {
                return Err(refused(name, "needs the feature tracing"));
            }
            _ => return Err(refused(name, "is not a setting")),
        })
    }
}

/// Returns the variables with a prefix, by the names of their settings.
pub(crate) fn variables(prefix: &str) -> Result<Vec<(String, Given)>> {
    variables_among(prefix, std::env::vars_os())
}

fn variables_among(
    prefix: &str,
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, Given)>> {
    let mut found: Vec<(String, Given)> = Vec::new();
    for (name, value) in all {
        let Some(setting) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            return Err(refused(&format!("{prefix}{setting}"), "is not UTF-8"));
        };
        let name = setting.to_ascii_lowercase();
        if found.iter().any(|(known, _)| *known == name) {
            // The environment has no order that could decide.
            let name = format!("{prefix}{}", name.to_ascii_uppercase());
            return Err(refused(
                &name,
                "is set twice, in capital and in small letters",
            ));
        }
        found.push((name, Given::Text(value)));
    }
    Ok(found)
}

/// Names the variable in an error about a setting.
pub(crate) fn of_environment<T>(prefix: &str, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| match error {
        Error::InvalidInput { field, reason } => Error::InvalidInput {
            field: format!("{prefix}{}", field.to_ascii_uppercase()).into(),
            reason,
        },
        other => other,
    })
}

/// Reads the names and the values of settings from a map. A name that occurs twice is refused.
pub(crate) fn from_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, Given)>, D::Error> {
    struct Settings;

    impl<'de> Visitor<'de> for Settings {
        type Value = Vec<(String, Given)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a map of settings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut given: Vec<(String, Given)> = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                let value = map.next_value::<Given>();
                let value =
                    value.map_err(|error| de::Error::custom(format_args!("{name}: {error}")))?;
                if given.iter().any(|(known, _)| *known == name) {
                    return Err(de::Error::custom(format_args!("{name}: is set twice")));
                }
                given.push((name, value));
            }
            Ok(given)
        }
    }

    deserializer.deserialize_map(Settings)
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Value;

        impl<'de> Visitor<'de> for Value {
            type Value = Given;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text, a whole number, true, false, or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
                Ok(Given::Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Given, E> {
                Ok(Given::Number(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Given, E> {
                let number = u64::try_from(number);
                number
                    .map(Given::Number)
                    .map_err(|_| E::custom("a number is negative"))
            }

            // Otherwise the error would repeat the value.
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Given, E> {
                Err(E::custom("a number is not whole"))
            }

            fn visit_bool<E: de::Error>(self, is_on: bool) -> Result<Given, E> {
                Ok(Given::Switch(is_on))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Given, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = values.next_element()? {
                    list.push(value);
                }
                Ok(Given::List(list))
            }
        }

        deserializer.deserialize_any(Value)
    }
}

/// The names and the values are those of [`Config::from_env`], without the prefix and in small
/// letters. `url` is required; a name that is not a setting is refused.
///
/// ```
/// use wundr_db::Config;
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let config: Config = serde_json::from_str(
///     r#"{"url": "postgres://app@db.example/wundr", "max_connections": 20, "statement_timeout": "5s"}"#,
/// )?;
///
/// let refused = serde_json::from_str::<Config>(r#"{"url": "postgres://h/d", "max_pool": 20}"#);
/// assert!(refused.unwrap_err().to_string().starts_with("max_pool: is not a setting"));
/// # Ok(())
/// # }
/// ```
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_given(from_map(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "postgres://ada:secret@h/d";

    fn read(settings: Value) -> Result<Config, String> {
        serde_json::from_value(settings).map_err(|error| error.to_string())
    }

    /// A value of each setting that is not its default, as a file and as a variable.
    fn values() -> Vec<(&'static str, Value, &'static str)> {
        vec![
            ("application_name", json!("ada"), "ada"),
            ("max_connections", json!(33), "33"),
            ("min_idle", json!(3), "3"),
            ("acquire_timeout", json!("500ms"), "500ms"),
            ("connect_timeout", json!("7s"), "7s"),
            ("statement_timeout", json!("10min"), "10min"),
            ("idle_in_transaction_timeout", json!("none"), "none"),
            ("idle_timeout", json!("2h"), "2h"),
            ("max_lifetime", json!("2d"), "2d"),
            ("response_timeout", json!("9s"), "9s"),
            ("health_timeout", json!("1s"), "1s"),
            ("unacknowledged_timeout", json!("3s"), "3s"),
            ("heartbeat", json!("1s"), "1s"),
            ("recycling", json!("verified"), "verified"),
            ("prepared_statements", json!(17), "17"),
            ("keepalives", json!("7s 3s 4"), "7s 3s 4"),
            ("require_primary", json!(true), "true"),
            ("behind_pgbouncer", json!(true), "true"),
            ("search_path", json!(["app", "lib"]), "app, lib"),
            ("slow_call", json!("100ms"), "100ms"),
            ("span_level", json!("info"), "info"),
        ]
    }

    /// All settings as text, to be compared.
    fn shown(config: &Config) -> String {
        let mut shown = format!(
            "{config:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            config.min_idle,
            config.acquire_timeout,
            config.connect_timeout,
            config.statement_timeout,
            config.idle_in_transaction_timeout,
            config.idle_timeout,
            config.max_lifetime,
            config.response_timeout,
            config.health_timeout,
            config.unacknowledged_timeout,
            config.heartbeat,
            config.recycling,
            config.prepared_statements,
            config.keepalives,
            config.target.session_is_given,
            config.behind_pgbouncer,
            config.search_path,
            config.application_name,
        );
        #[cfg(feature = "tracing")]
        shown.push_str(&format!(" {:?} {:?}", config.slow_call, config.span_level));
        shown.push(' ');
        shown
    }

    fn from_variables(name: &str, value: &str) -> Result<Config> {
        let given = vec![(name.to_owned(), Given::Text(value.to_owned()))];
        Config::of_variables(given, Some(URL.to_owned()))
    }

    #[test]
    fn each_setting_has_the_same_value_in_a_file_and_in_a_variable() {
        let plain = shown(&Config::new(URL).unwrap());
        let mut seen = vec!["url"];
        for (name, in_file, in_variable) in values() {
            seen.push(name);
            if cfg!(not(feature = "tracing")) && matches!(name, "slow_call" | "span_level") {
                continue;
            }
            let file = read(json!({"url": URL, name: in_file})).unwrap();
            let variable = from_variables(name, in_variable).unwrap();
            assert_eq!(shown(&file), shown(&variable), "{name}");
            assert_ne!(shown(&file), plain, "{name}");
        }
        seen.sort_unstable();
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        assert_eq!(seen, names);
    }

    /// Every method that changes a setting has a name from outside.
    #[test]
    fn each_method_that_sets_is_a_setting() {
        let sources = [
            include_str!("../config.rs"),
            include_str!("limits.rs"),
            include_str!("timeouts.rs"),
        ];
        let mut methods = 0;
        for line in sources.iter().flat_map(|source| source.lines()) {
            let Some(method) = line.trim().strip_prefix("pub fn ") else {
                continue;
            };
            let (name, rest) = method.split_once(['(', '<']).unwrap();
            if !(rest.contains("self") && line.ends_with("-> Self {")) {
                continue;
            }
            methods += 1;
            assert!(NAMES.contains(&name), "{name}");
        }
        assert_eq!(methods, NAMES.len() - 1);
    }

    #[test]
    fn an_unknown_setting_is_refused_with_its_name_and_without_its_value() {
        let refused = read(json!({"url": URL, "passphrase": "secret"})).unwrap_err();
        assert_eq!(refused, "passphrase: is not a setting");
        let refused = from_variables("max_pool", "secret").unwrap_err();
        let expected = "WUNDR_DATABASE_MAX_POOL: is not a setting";
        assert_eq!(refused.to_string(), expected);
        for settings in [
            json!({"max_connections": 1}),
            json!({"url": 1}),
            json!({"url": URL, "max_connections": "secret"}),
            json!({"url": URL, "max_connections": 0}),
            json!({"url": URL, "max_connections": -1}),
            json!({"url": URL, "statement_timeout": 5}),
            json!({"url": URL, "statement_timeout": "secret"}),
            json!({"url": URL, "acquire_timeout": "none"}),
            json!({"url": URL, "heartbeat": "5 weeks"}),
            json!({"url": URL, "recycling": "secret"}),
            json!({"url": URL, "keepalives": "5s secret 3"}),
            json!({"url": URL, "behind_pgbouncer": "secret"}),
            json!({"url": URL, "search_path": 3}),
            json!({"url": "secret"}),
        ] {
            let refused = read(settings.clone()).unwrap_err();
            assert!(!refused.contains("secret"), "{settings}: {refused}");
        }
        for (value, reason) in [
            ("-1", "a number is negative"),
            ("1.5", "a number is not whole"),
        ] {
            let settings = format!(r#"{{"url": "{URL}", "max_connections": {value}}}"#);
            let refused = serde_json::from_str::<Config>(&settings).unwrap_err();
            let expected = format!("max_connections: {reason}");
            assert!(refused.to_string().starts_with(&expected), "{refused}");
        }
        let twice = format!(r#"{{"url": "{URL}", "min_idle": 1, "min_idle": 2}}"#);
        let refused = serde_json::from_str::<Config>(&twice).unwrap_err();
        assert!(refused.to_string().contains("min_idle: is set twice"));
    }

    #[test]
    fn a_variable_in_capital_and_in_small_letters_is_refused() {
        let given = |names: &[&str]| {
            let name = |name: &&str| (format!("{PREFIX}{name}").into(), "7".into());
            variables_among(PREFIX, names.iter().map(name)).map(drop)
        };
        assert!(given(&["MIN_IDLE", "MAX_CONNECTIONS"]).is_ok());
        let refused = given(&["MIN_IDLE", "MAX_CONNECTIONS", "min_idle"]).unwrap_err();
        let expected = "WUNDR_DATABASE_MIN_IDLE: is set twice, in capital and in small letters";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn the_url_with_the_prefix_takes_precedence() {
        let config = from_variables("url", "postgres://h/other").unwrap();
        assert_eq!(config.target.database, "other");
        let error = Config::of_variables(Vec::new(), None).unwrap_err();
        assert_eq!(error.to_string(), "DATABASE_URL: is not set");
        assert!(!format!("{:?}", Config::new(URL).unwrap()).contains("secret"));
    }
}
