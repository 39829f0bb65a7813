//! The position in a list, and the keys by which lists are sorted.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::types::timestamp::{AnyTime, from_micros, is_too_early};
use crate::{Error, IssueSeverity, Result};

/// The longest text that is parsed as a cursor, in bytes.
const LONGEST: usize = 4_096;

/// A position in a list in one order, as opaque, URL-safe text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    sort: String,
    key: Key,
    id: Uuid,
}

/// The value of a sort column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// An integer, or a time in microseconds since 1970, which is PostgreSQL's resolution.
    Integer(i64),
    /// A text, or a value that is written as one.
    Text(String),
}

/// A type of the columns that lists can be sorted by.
#[diagnostic::on_unimplemented(
    message = "a list cannot be sorted by a column of the type `{Self}`",
    label = "not a type that a cursor can hold",
    note = "an order sorts by a column that is NOT NULL: a text, a number, a time or a severity"
)]
pub trait SortKey: Sized {
    /// The type of the value that a query compares the column with.
    type Bound;

    /// Returns the value as a cursor has it.
    fn to_key(&self) -> Key;
    /// Returns the value of a cursor, or `None` if it is of another type.
    fn from_key(key: &Key) -> Option<Self::Bound>;

    /// Checks whether the key also stands for greater keys, which a row of this crate cannot
    /// represent.
    fn is_last(_: &Key) -> bool {
        false
    }
}

impl SortKey for DateTime<Utc> {
    type Bound = AnyTime;

    fn to_key(&self) -> Key {
        Key::Integer(self.timestamp_micros())
    }

    fn from_key(key: &Key) -> Option<Self::Bound> {
        match key {
            Key::Integer(microseconds) => from_micros(*microseconds)
                .filter(|time| !is_too_early(time))
                .map(AnyTime),
            Key::Text(_) => None,
        }
    }

    fn is_last(key: &Key) -> bool {
        *key == DateTime::<Utc>::MAX_UTC.to_key()
    }
}

impl SortKey for String {
    type Bound = Self;

    fn to_key(&self) -> Key {
        Key::Text(self.clone())
    }

    fn from_key(key: &Key) -> Option<Self::Bound> {
        match key {
            // No text of a row has it, and the server's error would not name the cursor.
            Key::Text(text) if text.contains('\0') => None,
            Key::Text(text) => Some(text.clone()),
            Key::Integer(_) => None,
        }
    }
}

impl SortKey for i32 {
    type Bound = Self;

    fn to_key(&self) -> Key {
        Key::Integer((*self).into())
    }

    fn from_key(key: &Key) -> Option<Self::Bound> {
        match key {
            Key::Integer(integer) => (*integer).try_into().ok(),
            Key::Text(_) => None,
        }
    }
}

impl SortKey for i64 {
    type Bound = Self;

    fn to_key(&self) -> Key {
        Key::Integer(*self)
    }

    fn from_key(key: &Key) -> Option<Self::Bound> {
        match key {
            Key::Integer(integer) => Some(*integer),
            Key::Text(_) => None,
        }
    }
}

/// Implements [`SortKey`] for types that are represented by their text.
///
/// Cursors come from outside. The function that parses the text must bound more than its length,
/// since a few bytes can denote a number with a hundred thousand digits.
macro_rules! sorted_by_text {
    ($($type:ty: $read:expr),* $(,)?) => {$(
        impl SortKey for $type {
                type Bound = Self;

            fn to_key(&self) -> Key {
                Key::Text(self.to_string())
            }

            fn from_key(key: &Key) -> Option<Self::Bound> {
                match key {
                    Key::Text(text) => $read(text),
                    Key::Integer(_) => None,
                }
            }
        }
    )*};
}
sorted_by_text!(
    BigDecimal: crate::types::decimal::parse,
    IssueSeverity: IssueSeverity::read,
);

/// Returns the position of a row in a list that is sorted by a column.
pub fn cursor_at(sort: &'static str, key: &impl SortKey, id: impl Into<Uuid>) -> Cursor {
    Cursor::new(sort, key, id)
}

impl Cursor {
    pub(crate) fn new(sort: &str, key: &impl SortKey, id: impl Into<Uuid>) -> Self {
        Self {
            sort: sort.to_owned(),
            key: key.to_key(),
            id: id.into(),
        }
    }

    /// Returns the name of the sort column for which the cursor was made.
    #[cfg(feature = "cache-faults")]
    pub(crate) fn sort(&self) -> &str {
        &self.sort
    }

    /// Returns the id of the cursor's row, whose position is looked up.
    pub(crate) const fn id(&self) -> Uuid {
        self.id
    }

    /// Returns the key if the cursor was made for this sort column.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if it was made for another
    pub(crate) fn key_of(&self, sort: &str) -> Result<&Key> {
        if self.sort != sort {
            return Err(Error::invalid(
                "cursor",
                format_args!("made for the order {}, used for {sort}", self.sort),
            ));
        }
        Ok(&self.key)
    }

    /// Returns the error of a cursor whose key has not the type of the sort column.
    pub(crate) fn mistyped() -> Error {
        Error::invalid("cursor", "its key has the wrong type")
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json =
            serde_json::to_vec(&(&self.sort, &self.key, &self.id)).map_err(|_| fmt::Error)?;
        formatter.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// Parses a cursor of at most 4,096 bytes.
    fn from_str(text: &str) -> Result<Self> {
        if text.len() > LONGEST {
            return Err(Error::invalid(
                "cursor",
                format_args!("is longer than {LONGEST} bytes"),
            ));
        }
        let json = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|error| Error::invalid("cursor", error))?;
        let (sort, key, id) =
            serde_json::from_slice(&json).map_err(|error| Error::invalid("cursor", error))?;
        Ok(Self { sort, key, id })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
