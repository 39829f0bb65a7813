//! Values that are hidden from logs and serialized output.

use std::fmt;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::serialize::{self, Output, ToSql};
use serde::Deserialize;

use super::storable::Storable;

/// A value that is stored in the database, but neither printed nor serialized.
///
/// ```
/// use wundr_db::Secret;
///
/// let secret = Secret::new("hunter2".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
///
/// ```compile_fail
/// # use wundr_db::Secret;
/// serde_json::to_string(&Secret::new("hunter2".to_owned()));
/// ```
#[derive(Clone, PartialEq, Deserialize, FromSqlRow)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Returns the value, consuming the wrapper.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl<T: FromSql<S, B>, S, B: Backend> FromSql<S, B> for Secret<T> {
    fn from_sql(value: B::RawValue<'_>) -> deserialize::Result<Self> {
        T::from_sql(value).map(Self)
    }
}

impl<T: ToSql<S, B>, S, B: Backend> ToSql<S, B> for Secret<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, B>) -> serialize::Result {
        self.0.to_sql(out)
    }
}

impl<T: Storable> Storable for Secret<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.expose().objection(characters)
    }
}
