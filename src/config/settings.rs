//! The settings of the database from the environment and from a configuration file.
//!
//! `Config::set` is the only place that has their names.

use serde::de::{self, Deserialize, Deserializer};

use super::given::{Given, from_map, of_environment, refused, time_of, variables};
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

    use super::super::given::variables_among;
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

    #[test]
    fn each_word_of_a_setting_has_its_meaning() {
        let plain = shown(&Config::new(URL).unwrap());
        for name in ["require_primary", "behind_pgbouncer"] {
            let file = read(json!({"url": URL, name: false})).unwrap();
            assert_eq!(shown(&file), plain, "{name}");
            let variable = from_variables(name, "false").unwrap();
            assert_eq!(shown(&variable), plain, "{name}");
        }
        let none = from_variables("keepalives", "none").unwrap();
        assert_eq!(none.keepalives, None);
        let none = from_variables("idle_timeout", "none").unwrap();
        assert_eq!(none.idle_timeout, None);
        for (word, recycling) in [("fast", Recycling::Fast), ("verified", Recycling::Verified)] {
            let config = from_variables("recycling", word).unwrap();
            assert_eq!(config.recycling, recycling);
        }
        #[cfg(feature = "tracing")]
        for word in ["error", "warn", "info", "debug", "trace"] {
            let config = from_variables("span_level", word).unwrap();
            let level: tracing::Level = word.parse().unwrap();
            assert_eq!(config.span_level, level);
        }
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
