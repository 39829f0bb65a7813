//! JSONB columns whose shape the design gives.

use std::fmt;
use std::io::Write as _;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Change, Error, Result};

/// A JSON document that has the shape `T`, or that another client wrote in a shape of its own.
///
/// A document of another shape does not make its row unreadable: it is [`Raw`](Json::Raw), and is written back as
/// it was. The shapes of this crate keep the fields that they do not know in `extra`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
#[serde(untagged)]
pub enum Json<T> {
    /// A document of the expected shape.
    Typed(T),
    /// Any other document.
    Raw(Value),
}

impl<T> Json<T> {
    /// The document, if it has the expected shape.
    pub fn typed(&self) -> Option<&T> {
        match self {
            Self::Typed(document) => Some(document),
            Self::Raw(_) => None,
        }
    }

    /// The document, if it has the expected shape, by value.
    pub fn into_typed(self) -> Option<T> {
        match self {
            Self::Typed(document) => Some(document),
            Self::Raw(_) => None,
        }
    }
}

impl<T: Serialize> Json<T> {
    /// The document as raw JSON, whatever its shape.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if `T` cannot be JSON, such as a map with keys that are not text.
    pub fn to_value(&self) -> Result<Value> {
        match self {
            Self::Typed(document) => {
                serde_json::to_value(document).map_err(|error| Error::invalid("json", error))
            }
            Self::Raw(value) => Ok(value.clone()),
        }
    }
}

impl<T> From<T> for Json<T> {
    fn from(document: T) -> Self {
        Self::Typed(document)
    }
}

impl<T> From<T> for Change<Json<T>> {
    fn from(document: T) -> Self {
        Self::Set(Json::Typed(document))
    }
}

impl<T: DeserializeOwned> FromSql<Jsonb, Pg> for Json<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            [1, document @ ..] => match serde_json::from_slice(document) {
                Ok(typed) => Ok(Self::Typed(typed)),
                Err(_) => Ok(Self::Raw(serde_json::from_slice(document)?)),
            },
            _ => Err("not version 1 of JSONB's binary form".into()),
        }
    }
}

impl<T: Serialize + fmt::Debug> ToSql<Jsonb, Pg> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[1])?;
        match self {
            Self::Typed(document) => serde_json::to_writer(out, document)?,
            Self::Raw(value) => serde_json::to_writer(out, value)?,
        }
        Ok(IsNull::No)
    }
}
