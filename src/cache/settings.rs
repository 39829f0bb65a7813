//! The settings of the cache from the environment and from a configuration file.

use serde::de::{self, Deserialize, Deserializer};

use super::config::{CacheConfig, Unfenced};
use super::kinds::CachedKind;
use crate::config::given::{Given, from_map, of_environment, refused, variables};
use crate::{Error, Result};

/// The prefix of the variables that [`CacheConfig::from_env`] reads.
const PREFIX: &str = "WUNDR_CACHE_";

impl CacheConfig {
    /// Creates the settings from the environment.
    ///
    /// Each setting has a variable with the prefix `WUNDR_CACHE_` and its name in capital letters:
    /// `WUNDR_CACHE_URL=redis://localhost`. A configuration file has the same names and values, as
    /// `CacheConfig` implements `Deserialize`:
    ///
    /// | setting | form |
    /// |---|---|
    /// | `url` | the URL of [`CacheConfig::new`], or that of the primary for [`CacheConfig::sentinel`] |
    /// | `sentinels`, `sentinel_name` | URLs of Sentinels, and the name of the primary |
    /// | `cluster` | URLs of [`CacheConfig::cluster`], in place of `url` |
    /// | `prefix` | text |
    /// | `shards`, `max_value_bytes` | a number |
    /// | `connect_timeout`, `response_timeout`, `retry_after`, `negative_ttl`, `lease`, `lease_wait` | a time |
    /// | `unfenced` | `fail_before_commit` or `proceed` |
    /// | `lifetime_KIND` | a time, or `none` for [`CacheConfig::without`]; `lifetime_user`, `lifetime_standing`, `lifetime_session`, `lifetime_organization`, `lifetime_organization_member`, `lifetime_project`, `lifetime_project_member`, `lifetime_configurations`, `lifetime_setup_profile`, `lifetime_tool`, `lifetime_latest_analysis`, `lifetime_project_stats`, `lifetime_trend` |
    /// | `early_refresh` | `true` or `false` |
    /// | `near_entries`, `near_staleness` | a number and a time; both or neither |
    /// | `root_certificates` | certificates as PEM |
    /// | `key` | 32 bytes as 64 hexadecimal digits |
    ///
    /// A time is a whole number with its unit: `500ms`, `5s`, `10min`, `1h`, `2d`. Lists are
    /// separated by commas in a variable. The methods of `CacheConfig` have the bounds and the
    /// defaults.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] with the variable or the setting, if no server is named, if a
    ///   variable with the prefix is not a setting, or if a value is not valid. The message does
    ///   not contain values.
    pub fn from_env() -> Result<Self> {
        of_environment(PREFIX, Self::of_given(variables(PREFIX)?))
    }

    fn of_given(mut given: Vec<(String, Given)>) -> Result<Self> {
        let mut taken = |wanted: &str| {
            let place = given.iter().position(|(name, _)| name == wanted)?;
            Some(given.swap_remove(place).1)
        };
        let (url, cluster) = (taken("url"), taken("cluster"));
        let (sentinels, name) = (taken("sentinels"), taken("sentinel_name"));
        let (entries, staleness) = (taken("near_entries"), taken("near_staleness"));
        let mut config = match (url, cluster, sentinels, name) {
            (Some(url), None, None, None) => Self::new(&url.text("url")?),
            (None, Some(urls), None, None) => {
                let urls = urls.list("cluster")?;
                Self::cluster(&urls.iter().map(String::as_str).collect::<Vec<_>>())
            }
            (Some(url), None, Some(urls), Some(name)) => {
                let urls = urls.list("sentinels")?;
                let urls: Vec<_> = urls.iter().map(String::as_str).collect();
                Self::sentinel(&urls, &name.text("sentinel_name")?, &url.text("url")?)
            }
            _ => {
                let reason = "must be given alone or with sentinels and sentinel_name, or cluster in its place";
                Err(refused("url", reason))
            }
        }
        .map_err(|error| match error {
            Error::InvalidInput { reason, .. } => Error::invalid("url", reason),
            other => other,
        })?;
        match (entries, staleness) {
            (Some(entries), Some(staleness)) => {
                let entries = entries.number("near_entries")?;
                config = config.near(entries, staleness.time("near_staleness")?);
            }
            (None, None) => {}
            _ => {
                return Err(refused(
                    "near_entries",
                    "needs near_staleness, and the reverse",
                ));
            }
        }
        for (name, value) in given {
            config = config.set(&name, value)?;
        }
        config.check()?;
        Ok(config)
    }

    fn set(self, name: &str, value: Given) -> Result<Self> {
        Ok(match name {
            "prefix" => self.prefix(value.text(name)?),
            "shards" => self.shards(value.number(name)?),
            "max_value_bytes" => self.max_value_bytes(value.number(name)?),
            "connect_timeout" => self.connect_timeout(value.time(name)?),
            "response_timeout" => self.response_timeout(value.time(name)?),
            "retry_after" => self.retry_after(value.time(name)?),
            "negative_ttl" => self.negative_ttl(value.time(name)?),
            "lease" => self.lease(value.time(name)?),
            "lease_wait" => self.lease_wait(value.time(name)?),
            "unfenced" => match value.text(name)?.as_str() {
                "fail_before_commit" => self.unfenced(Unfenced::FailBeforeCommit),
                "proceed" => self.unfenced(Unfenced::Proceed),
                _ => return Err(refused(name, "must be fail_before_commit or proceed")),
            },
            "early_refresh" => self.early_refresh(value.switch(name)?),
            "root_certificates" => self.root_certificates(value.text(name)?),
            "key" => {
                let key = key_of(&value.text(name)?);
                self.key(key.ok_or_else(|| refused(name, "must be 64 hexadecimal digits"))?)
            }
            _ => {
                let kind = name.strip_prefix("lifetime_");
                let kind = kind
                    .and_then(|word| CachedKind::ALL.into_iter().find(|kind| kind.word() == word));
                let kind = kind.ok_or_else(|| refused(name, "is not a setting"))?;
                match value.limit(name)? {
                    Some(lifetime) => self.lifetime(kind, lifetime),
                    None => self.without(kind),
                }
            }
        })
    }
}

fn key_of(text: &str) -> Option<[u8; 32]> {
    let digits = text.trim().as_bytes();
    let mut key = [0; 32];
    if digits.len() != 2 * key.len() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |place: usize| char::from(*pair.get(place)?).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(key)
}

/// The names and the values are those of [`CacheConfig::from_env`], without the prefix and in small
/// letters. A name that is not a setting is refused.
///
/// ```
/// use wundr_db::cache::CacheConfig;
///
/// # fn main() -> Result<(), serde_json::Error> {
/// let config: CacheConfig = serde_json::from_str(
///     r#"{"url": "redis://localhost", "lifetime_tool": "1h", "lifetime_trend": "none"}"#,
/// )?;
/// # Ok(())
/// # }
/// ```
impl<'de> Deserialize<'de> for CacheConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of_given(from_map(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "redis://ada:secret@localhost";

    fn read(settings: Value) -> Result<CacheConfig, String> {
        serde_json::from_value(settings).map_err(|error| error.to_string())
    }

    fn shown(config: &CacheConfig) -> String {
        let lifetimes = CachedKind::ALL.map(|kind| config.lifetime_of(kind));
        format!(
            "{config:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {lifetimes:?}",
            config.shards,
            config.connect_timeout,
            config.response_timeout,
            config.retry_after,
            config.negative_ttl,
            config.max_value_bytes,
            config.lease,
            config.lease_wait,
            config.early_refresh,
            config.near,
            config.root_certificates,
            config.key,
        )
    }

    #[test]
    fn each_setting_has_the_same_value_in_a_file_and_in_a_variable() {
        let plain = shown(&CacheConfig::new(URL).unwrap());
        let key = "0f".repeat(32);
        let mut settings = vec![
            ("prefix".to_owned(), json!("web"), "web"),
            ("shards".to_owned(), json!(3), "3"),
            ("max_value_bytes".to_owned(), json!(1024), "1024"),
            ("connect_timeout".to_owned(), json!("1s"), "1s"),
            ("response_timeout".to_owned(), json!("1s"), "1s"),
            ("retry_after".to_owned(), json!("1s"), "1s"),
            ("negative_ttl".to_owned(), json!("1s"), "1s"),
            ("lease".to_owned(), json!("1s"), "1s"),
            ("lease_wait".to_owned(), json!("1s"), "1s"),
            ("unfenced".to_owned(), json!("proceed"), "proceed"),
            ("early_refresh".to_owned(), json!(false), "false"),
            ("root_certificates".to_owned(), json!("PEM"), "PEM"),
            ("key".to_owned(), json!(key), &*key),
        ];
        for kind in CachedKind::ALL {
            settings.push((format!("lifetime_{}", kind.word()), json!("none"), "none"));
        }
        for (name, in_file, in_variable) in settings {
            let file = read(json!({"url": URL, &name: in_file})).unwrap();
            let url = ("url".to_owned(), Given::Text(URL.to_owned()));
            let given = vec![(name.clone(), Given::Text(in_variable.to_owned())), url];
            let variable = CacheConfig::of_given(given).unwrap();
            assert_eq!(shown(&file), shown(&variable), "{name}");
            assert_ne!(shown(&file), plain, "{name}");
        }
        let near = json!({"url": URL, "near_entries": 9, "near_staleness": "2s"});
        let near = read(near).unwrap().near.unwrap();
        assert_eq!((near.entries, near.staleness), (9, Duration::from_secs(2)));
        let cluster = read(json!({"cluster": ["redis://a", "redis://b"]})).unwrap();
        assert_eq!(cluster.shards, 64);
        let sentinels = json!({"url": URL, "sentinels": ["redis://a"], "sentinel_name": "main"});
        assert!(read(sentinels).is_ok());
    }

    #[test]
    fn an_unknown_setting_is_refused_with_its_name_and_without_its_value() {
        let refused = read(json!({"url": URL, "passphrase": "secret"})).unwrap_err();
        assert_eq!(refused, "passphrase: is not a setting");
        for settings in [
            json!({}),
            json!({"prefix": "secret"}),
            json!({"url": "secret"}),
            json!({"url": URL, "cluster": ["redis://a"]}),
            json!({"url": URL, "sentinels": ["redis://secret"]}),
            json!({"url": URL, "lifetime_person": "secret"}),
            json!({"url": URL, "lifetime_user": "secret"}),
            json!({"url": URL, "near_entries": 9}),
            json!({"url": URL, "key": "secret"}),
            json!({"url": URL, "unfenced": "secret"}),
            json!({"url": URL, "negative_ttl": "2min"}),
        ] {
            let refused = read(settings.clone()).unwrap_err();
            assert!(!refused.contains("secret"), "{settings}: {refused}");
        }
        assert!(!shown_by_debug(&CacheConfig::new(URL).unwrap()).contains("secret"));
    }

    fn shown_by_debug(config: &CacheConfig) -> String {
        format!("{config:?}")
    }

    /// Returns the setting that a check refuses.
    fn refused(config: &CacheConfig) -> Option<String> {
        match config.check() {
            Ok(()) => None,
            Err(Error::InvalidInput { field, .. }) => Some(field.into_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_time_has_its_bounds() {
        type Set = fn(CacheConfig, Duration) -> CacheConfig;
        let (zero, step) = (Duration::ZERO, Duration::from_nanos(1));
        let shortest = Duration::from_millis(1);
        let longest = crate::config::LONGEST;
        let minute = Duration::from_secs(60);
        let settings: [(&str, Set, Duration, Duration); 8] = [
            (
                "connect_timeout",
                CacheConfig::connect_timeout,
                shortest,
                longest,
            ),
            (
                "response_timeout",
                CacheConfig::response_timeout,
                shortest,
                longest,
            ),
            ("negative_ttl", CacheConfig::negative_ttl, shortest, minute),
            ("lease", CacheConfig::lease, shortest, longest),
            (
                "lifetime",
                |config, time| config.lifetime(CachedKind::User, time),
                shortest,
                longest,
            ),
            (
                "near",
                |config, time| config.near(9, time),
                shortest,
                longest,
            ),
            ("retry_after", CacheConfig::retry_after, zero, longest),
            ("lease_wait", CacheConfig::lease_wait, zero, longest),
        ];
        let config = || CacheConfig::new(URL).unwrap();
        for (name, set, first, last) in settings {
            for time in [first, last] {
                assert_eq!(refused(&set(config(), time)), None, "{name} {time:?}");
            }
            let wrong = [first.checked_sub(step), Some(last + step)];
            for time in wrong.into_iter().flatten() {
                let refused = refused(&set(config(), time));
                assert_eq!(refused.as_deref(), Some(name), "{time:?}");
            }
        }
    }

    #[test]
    fn a_prefix_cannot_change_the_slot_of_a_key() {
        for prefix in ["", "a{b", "a}b", "a b", "a\nb"] {
            let config = CacheConfig::new(URL).unwrap().prefix(prefix);
            assert_eq!(refused(&config).as_deref(), Some("prefix"), "{prefix:?}");
        }
    }
}
