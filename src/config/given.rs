//! Names and values of settings from outside: from the environment, and from a configuration file
//! through serde.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::{Error, Result};

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

/// Returns the error about a setting.
pub(crate) fn refused(name: &str, reason: &'static str) -> Error {
    Error::invalid(name.to_owned(), reason)
}

/// Parses a time such as `500ms`, `5s`, `10min`, `1h` or `2d`.
pub(super) fn time_of(text: &str) -> Option<Duration> {
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

/// Returns the variables with a prefix, by the names of their settings.
pub(crate) fn variables(prefix: &str) -> Result<Vec<(String, Given)>> {
    variables_among(prefix, std::env::vars_os())
}

pub(super) fn variables_among(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_of_its_unit() {
        for (text, milliseconds) in [
            ("0ms", 0),
            ("1500ms", 1_500),
            ("5s", 5_000),
            ("10min", 600_000),
            ("2h", 7_200_000),
            ("3d", 259_200_000),
        ] {
            let time = Duration::from_millis(milliseconds);
            assert_eq!(time_of(text), Some(time), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 weeks",
            "5S",
            "99999999999999999d",
        ] {
            assert_eq!(time_of(text), None, "{text}");
        }
    }
}
