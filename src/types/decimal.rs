//! Deserialization of numbers from JSON and similar formats.
//!
//! `bigdecimal` converts a JSON number through an `f64` and writes out all of its binary digits, so
//! that 79.9 becomes slightly more than 79.9. Here, a number that arrives as an `f64` becomes the
//! shortest decimal that is parsed as the same `f64`, which is the number as written. A number in a
//! string is parsed as it is. Both are bounded, since a few bytes can denote a number with a
//! hundred thousand digits.
//!
//! If `serde_json` has its feature `arbitrary_precision` and a value is buffered, for example in a
//! tagged enum, a number arrives as a map of one private key. That is read here, too, also for
//! integers, for which serde itself does not.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use bigdecimal::BigDecimal;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

use crate::Change;

/// The most digits on either side of the decimal point. An `f64` has no more than 324.
pub(crate) const DIGITS: u64 = 400;

/// Checks whether a number has at most [`DIGITS`] digits on either side of the point.
pub(crate) fn is_bounded(number: &BigDecimal) -> bool {
    let limit = i128::from(DIGITS);
    let decimals = i128::from(number.fractional_digit_count());
    decimals <= limit && i128::from(number.digits()) - decimals <= limit
}

/// Parses a number of at most [`DIGITS`] digits on either side of the point, without spending time
/// on a longer one.
pub(crate) fn parse(text: &str) -> Option<BigDecimal> {
    const LONGEST: usize = 2 * DIGITS as usize + 32;
    let text = (text.len() <= LONGEST && !text.contains('_')).then_some(text)?;
    text.parse().ok().filter(is_bounded)
}

/// A type that a number in serialized data can be read as.
pub(crate) trait FromNumber: Sized {
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self>;

    /// Parses a string where a number is expected.
    fn from_quoted(text: &str) -> Option<Self> {
        Self::from_text(text)
    }
}

impl FromNumber for BigDecimal {
    const EXPECTED: &'static str =
        "a number, or one as text, of at most 400 digits on either side of the point";

    fn from_text(text: &str) -> Option<Self> {
        parse(text)
    }
}

macro_rules! integers {
    ($($type:ty: $expected:literal),+) => {$(
        impl FromNumber for $type {
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                Self::from_str(text).ok()
            }

            fn from_quoted(_: &str) -> Option<Self> {
                None
            }
        }
    )+};
}
integers!(u64: "an integer from 0 to 2^64 - 1", i32: "an integer from -2^31 to 2^31 - 1");

/// The key under which `serde_json` passes the text of a number.
const NUMBER_KEY: &str = "$serde_json::private::Number";

struct NumberVisitor<T>(PhantomData<T>);

impl<T: FromNumber> NumberVisitor<T> {
    fn read<E: Error>(&self, number: &impl ToString, unexpected: Unexpected<'_>) -> Result<T, E> {
        T::from_text(&number.to_string()).ok_or_else(|| E::invalid_value(unexpected, self))
    }
}

impl<'de, T: FromNumber> Visitor<'de> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        // The error does not repeat the text, which may be long.
        T::from_quoted(text).ok_or_else(|| E::invalid_value(Unexpected::Other("text"), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.read(&number, Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.read(&number, Unexpected::Signed(number))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<T, E> {
        self.read(&number, Unexpected::Other("a large integer"))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<T, E> {
        self.read(&number, Unexpected::Other("a large integer"))
    }

    // The standard library prints the shortest decimal that is parsed as the same number, and NaN
    // and infinity as words.
    fn visit_f32<E: Error>(self, number: f32) -> Result<T, E> {
        self.read(&number, Unexpected::Float(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.read(&number, Unexpected::Float(number))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        if map.next_key::<String>()?.as_deref() != Some(NUMBER_KEY) {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        }
        let number: String = map.next_value()?;
        T::from_text(&number)
            .ok_or_else(|| A::Error::invalid_value(Unexpected::Other("number"), &self))
    }
}

/// A type of the fields that hold a number or may hold one.
pub trait NumberField: Sized {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

macro_rules! plain_fields {
    ($($type:ty),+) => {$(
        impl NumberField for $type {
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(NumberVisitor(PhantomData))
            }
        }
    )+};
}
plain_fields!(BigDecimal, u64, i32);

struct Read<T>(T);

impl<'de, T: NumberField> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

impl<T: NumberField> NumberField for Option<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|Read(number)| number))
    }
}

impl<T: NumberField> NumberField for Change<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::read(deserializer).map(Self::from)
    }
}

/// Deserializes a decimal, or an integer in a tagged enum, for `#[serde(deserialize_with)]`.
///
/// An `Option` or a [`Change`] that may be missing also needs `default`.
pub fn read<'de, D: Deserializer<'de>, T: NumberField>(deserializer: D) -> Result<T, D::Error> {
    T::read(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, MapDeserializer};

    fn number(text: &str) -> BigDecimal {
        text.parse().unwrap()
    }

    #[test]
    fn an_f64_becomes_the_shortest_decimal_that_denotes_it() {
        for value in [
            79.9,
            0.3,
            0.1 + 0.2,
            1.10005,
            -0.7,
            1e21,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
        ] {
            let deserializer = IntoDeserializer::<Error>::into_deserializer(value);
            let read: BigDecimal = read(deserializer).unwrap();
            assert_eq!(read, number(&value.to_string()), "{value}");
            assert_eq!(read.to_string().parse(), Ok(value));
        }
        let single = IntoDeserializer::<Error>::into_deserializer(79.9_f32);
        assert_eq!(read::<_, BigDecimal>(single), Ok(number("79.9")));
        for value in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
            let deserializer = IntoDeserializer::<Error>::into_deserializer(value);
            assert!(read::<_, BigDecimal>(deserializer).is_err(), "{value}");
        }
    }

    #[test]
    fn json_numbers_and_strings_are_read_as_written() {
        fn read(json: &str) -> serde_json::Result<BigDecimal> {
            super::read(&mut serde_json::Deserializer::from_str(json))
        }
        for text in ["79.9", "0.3", "-2", "0", "18446744073709551615", "1e3"] {
            assert_eq!(read(text).unwrap(), number(text), "{text}");
            assert_eq!(read(&format!("{text:?}")).unwrap(), number(text), "{text}");
        }
        let long = "9".repeat(400);
        assert_eq!(read(&format!("{long:?}")).unwrap(), number(&long));
        let longer = format!("\"{}\"", "9".repeat(801));
        let endless = format!("\"{}\"", "9".repeat(10_000_000));
        for json in [
            "\"1e131000\"",
            "\"1e-131000\"",
            "\"0e131000\"",
            "\"1e99999999999999999999\"",
            "\"1_000\"",
            &longer,
            &endless,
            "\"NaN\"",
            "\"\"",
            "\"12x\"",
            "null",
            "true",
            "[1]",
            "{}",
            "{\"a\": \"1\"}",
        ] {
            assert!(read(json).is_err(), "{}", &json[..json.len().min(40)]);
        }
    }

    #[test]
    fn the_map_that_arbitrary_precision_makes_of_a_number_is_read() {
        fn hidden<T: NumberField>(text: &str) -> Result<T, Error> {
            read(MapDeserializer::new([(NUMBER_KEY, text)].into_iter()))
        }
        assert_eq!(hidden("79.90"), Ok(number("79.9")));
        assert_eq!(hidden("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(hidden("-1"), Ok(-1_i32));
        assert!(hidden::<BigDecimal>("1e131000").is_err());
        assert!(hidden::<u64>("-1").is_err() && hidden::<i32>("1.5").is_err());
    }

    #[test]
    fn an_optional_number_may_be_null() {
        fn read<T: NumberField>(json: &str) -> T {
            super::read(&mut serde_json::Deserializer::from_str(json)).unwrap()
        }
        assert_eq!(read::<Option<BigDecimal>>("null"), None);
        assert_eq!(read::<Option<BigDecimal>>("0.3"), Some(number("0.3")));
        assert_eq!(read::<Change<BigDecimal>>("null"), Change::Clear);
        assert_eq!(
            read::<Change<BigDecimal>>("\"0.3\""),
            Change::Set(number("0.3"))
        );
    }
}
