//! A change to a nullable column.

use std::fmt;

use diesel::pg::Pg;
use diesel::serialize::{IsNull, Output, Result, ToSql};
use diesel::sql_types::{Nullable, SqlType, is_nullable::NotNull};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::storable::Storable;

/// The change that an update makes to a nullable column.
///
/// Deserialized from JSON, `null` clears the column, and a missing field keeps it. The latter needs
/// `#[serde(default)]`, which all changes of this crate have.
///
/// ```
/// use wundr_db::{Change, UserChanges};
///
/// let changes = UserChanges::new().name("Ada").avatar_url(None).github_username("ada");
/// assert_eq!(changes.avatar_url, Change::Clear);
/// assert_eq!(changes.github_username, Change::Set("ada".to_owned()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Change<T> {
    /// Keep the column's value.
    #[default]
    Keep,
    /// Set the column to NULL.
    Clear,
    /// Set the column to a value.
    Set(T),
}

impl<T> Change<T> {
    /// Checks whether the column is written.
    pub fn is_set(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// Returns the value to be written, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

impl<T> From<T> for Change<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

impl<T> From<Option<T>> for Change<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Clear, Self::Set)
    }
}

impl From<&str> for Change<String> {
    fn from(value: &str) -> Self {
        Self::Set(value.to_owned())
    }
}

impl<T, S> ToSql<Nullable<S>, Pg> for Change<T>
where
    T: ToSql<S, Pg> + fmt::Debug,
    S: SqlType<IsNull = NotNull>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> Result {
        match self {
            Self::Set(value) => value.to_sql(out),
            Self::Keep | Self::Clear => Ok(IsNull::Yes),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::from)
    }
}

/// A value that is kept is null, like one that is cleared. Leave its field out:
/// `#[serde(skip_serializing_if = "...")]`.
impl<T: Serialize> Serialize for Change<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<T: Storable> Storable for Change<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.value()?.objection(characters)
    }
}
