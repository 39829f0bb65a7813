//! JSONB columns: documents that are kept as text, and types for those that have a known shape.
//!
//! PostgreSQL stores numbers of any size and documents of any depth. A parsed tree stores neither.
//! Which numbers it keeps also depends on features of `serde_json` that any crate of a program can
//! enable. A [`Document`] is therefore the JSON text itself. It is parsed when a caller requests a
//! value of it, and written back unchanged.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::storable::Storable;
use crate::{Change, Error, Result, Secret};

mod finite;
mod read;
mod text;

/// The fields of a JSON object by name. Every number keeps all its digits.
pub type Fields = BTreeMap<String, Document>;

/// A JSON document as text, with every digit of its numbers, at any depth.
///
/// A `serde_json` value is converted by `into()`, and text by `parse()`. A document is checked
/// before it is written. One that nests deeper than [`MAX_DEPTH`](Self::MAX_DEPTH), or contains
/// what PostgreSQL cannot store, fails with an [`Error::InvalidInput`] that names the column.
/// Documents that other clients have written are read at any depth and with any number.
///
/// Two documents are equal if their values are. The order of fields, white space and the notation
/// of a number (`1.10`, `11e-1`) do not matter.
///
/// In human-readable formats of serde it is serialized as JSON, in others as a string. `serde_json`
/// keeps every digit. Other human-readable formats keep what an `f64` or a 64-bit integer can hold.
///
/// ```
/// use serde_json::json;
/// use wundr_db::Document;
///
/// let document = Document::from(json!({"theme": "dark", "zoom": 1.5}));
/// assert_eq!(document.field::<String>("theme")?.as_deref(), Some("dark"));
/// assert_eq!(document.field::<bool>("beta")?, None);
/// assert_eq!(document, json!({"zoom": 1.5, "theme": "dark"}));
///
/// let exact: Document = r#"{"price": 1.10, "big": 12345678901234567890123}"#.parse()?;
/// assert_eq!(exact.get("big").unwrap().text(), "12345678901234567890123");
/// # Ok::<(), wundr_db::Error>(())
/// ```
#[derive(Clone, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub struct Document(Box<RawValue>);

impl Document {
    /// The greatest nesting depth of arrays and objects that is written.
    pub const MAX_DEPTH: usize = 100;

    /// Creates the document of a value.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the value has no JSON form: it contains a number that is not
    ///   finite, a field twice, or a map whose keys are not strings
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        text::of(value)
            .and_then(|text| RawValue::from_string(text).map_err(|error| error.to_string()))
            .map(Self)
            .map_err(|reason| Error::invalid("json", reason))
    }

    /// Returns the JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Deserializes the document as a value of type `T`.
    ///
    /// # Errors
    /// - [`Error::Decode`] if the document has another shape, or `T` cannot hold one of its numbers
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.text()).map_err(|error| Error::Decode {
            what: std::any::type_name::<T>().into(),
            id: None,
            column: None,
            reason: error.to_string(),
        })
    }

    /// Parses the document as a tree. Numbers beyond 64-bit integers become the nearest `f64`.
    ///
    /// # Errors
    /// - [`Error::Decode`] if the document nests deeper than 127 levels or contains a number beyond
    ///   `f64`
    pub fn value(&self) -> Result<Value> {
        self.read()
    }

    /// Returns the field with this name.
    ///
    /// `None` if there is none, or if the document is not an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Self> {
        self.fields()?.remove(name)
    }

    /// Deserializes the field with this name as a value of type `T`; `None` if it is absent or
    /// null.
    ///
    /// # Errors
    /// The same as [`read`](Self::read).
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.get(name) {
            Some(field) => field.read(),
            None => Ok(None),
        }
    }

    /// Returns the fields of an object, or `None` for another document.
    #[must_use]
    pub fn fields(&self) -> Option<Fields> {
        serde_json::from_str(self.text()).ok()
    }

    /// Returns the elements of an array, or `None` for another document.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Self>> {
        serde_json::from_str(self.text()).ok()
    }

    /// Checks whether the document is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.text().starts_with('{')
    }

    /// Returns the reason why the document cannot be stored, if there is one.
    pub(crate) fn objection(&self) -> Option<String> {
        text::objection(self.text(), Self::MAX_DEPTH)
    }

    /// Returns an array that contains only this document.
    pub(crate) fn in_array(&self) -> Self {
        Self(raw(format!("[{}]", self.text())))
    }
}

/// Removes a field from an object and deserializes it.
pub(crate) fn take<T: DeserializeOwned, E: serde::de::Error>(
    fields: &mut Fields,
    name: &str,
) -> Result<Option<T>, E> {
    let field = fields.remove(name);
    let field = field.map(|field| serde_json::from_str(field.text()));
    field
        .transpose()
        .map_err(|error| E::custom(format_args!("{name}: {error}")))
}

/// Wraps JSON text that is known to be well-formed.
fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The default document is `null`.
impl Default for Document {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self(raw(text::of_value(&value)))
    }
}

/// Implements `From` through `Value`. Not for `f64`, which has numbers that JSON lacks; see
/// [`Document::of`].
macro_rules! from_json_values {
    ($($type:ty),* $(,)?) => {$(
        impl From<$type> for Document {
            fn from(value: $type) -> Self {
                Value::from(value).into()
            }
        }
    )*};
}
from_json_values!(
    bool, i32, i64, u32, u64, usize, &str, String, Vec<Value>, Map<String, Value>,
);

impl FromStr for Document {
    type Err = Error;

    /// Parses JSON text. If a field occurs twice, the last one counts.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = serde_json::from_str(text);
        parsed
            .map(Self)
            .map_err(|error| Error::invalid("json", error))
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text() || text::same(self.text(), other.text())
    }
}

impl PartialEq<Value> for Document {
    fn eq(&self, other: &Value) -> bool {
        text::same(self.text(), &text::of_value(other))
    }
}

impl PartialEq<Document> for Value {
    fn eq(&self, other: &Document) -> bool {
        other == self
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            serializer.serialize_str(self.text())
        } else if std::any::type_name::<S>().contains("serde_json::") {
            self.0.serialize(serializer)
        } else {
            // Other formats do not support serde_json's way of passing raw text.
            let value: Value = serde_json::from_str(self.text()).map_err(ser::Error::custom)?;
            value.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            read::embedded(deserializer).map(|text| Self(raw(text)))
        } else {
            let text = String::deserialize(deserializer)?;
            RawValue::from_string(text)
                .map(Self)
                .map_err(serde::de::Error::custom)
        }
    }
}

impl FromSql<Jsonb, Pg> for Document {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(document(&value)?)?))
    }
}

impl ToSql<Jsonb, Pg> for Document {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[1])?;
        out.write_all(self.text().as_bytes())?;
        Ok(IsNull::No)
    }
}

/// Returns the JSON text in a value in JSONB's binary format.
fn document<'v>(value: &'v PgValue<'_>) -> deserialize::Result<&'v [u8]> {
    match value.as_bytes() {
        [1, document @ ..] => Ok(document),
        _ => Err("not version 1 of JSONB's binary format".into()),
    }
}

impl From<Value> for Secret<Document> {
    fn from(value: Value) -> Self {
        Self::new(value.into())
    }
}

impl From<Value> for Change<Secret<Document>> {
    fn from(value: Value) -> Self {
        Self::Set(value.into())
    }
}

impl From<Value> for Change<Document> {
    fn from(value: Value) -> Self {
        Self::Set(value.into())
    }
}

/// A JSON document that has the shape `T`, or any other shape.
///
/// A document of another shape does not make its row unreadable. It is [`Raw`](Json::Raw), and is
/// written back unchanged. This crate's types keep fields that they do not have in `extra`,
/// unchanged.
#[derive(Debug, Clone, PartialEq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Jsonb)]
pub enum Json<T> {
    /// A document of the expected shape.
    Typed(T),
    /// Any other document.
    Raw(Document),
}

impl<T> Json<T> {
    /// Returns the document if it has the expected shape.
    pub fn typed(&self) -> Option<&T> {
        match self {
            Self::Typed(document) => Some(document),
            Self::Raw(_) => None,
        }
    }

    /// Returns the document if it has the expected shape, consuming the wrapper.
    pub fn into_typed(self) -> Option<T> {
        match self {
            Self::Typed(document) => Some(document),
            Self::Raw(_) => None,
        }
    }
}

impl<T: Serialize> Json<T> {
    /// Returns the document, whatever its shape.
    ///
    /// # Errors
    /// The same as [`Document::of`].
    pub fn to_document(&self) -> Result<Document> {
        match self {
            Self::Typed(document) => Document::of(document),
            Self::Raw(document) => Ok(document.clone()),
        }
    }

    /// Parses the document as a tree, whatever its shape.
    ///
    /// # Errors
    /// The same as [`Document::of`] and [`Document::value`].
    pub fn to_value(&self) -> Result<Value> {
        self.to_document()?.value()
    }

    /// Returns the reason why the document cannot be stored, if there is one.
    pub(crate) fn objection(&self) -> Option<String> {
        match self {
            Self::Typed(document) => match text::of(document) {
                Ok(text) => text::objection(&text, Document::MAX_DEPTH),
                Err(reason) => Some(reason),
            },
            Self::Raw(document) => document.objection(),
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

impl From<Map<String, Value>> for Json<Fields> {
    fn from(fields: Map<String, Value>) -> Self {
        let fields = fields.into_iter();
        Self::Typed(fields.map(|(name, value)| (name, value.into())).collect())
    }
}

impl From<Vec<Value>> for Json<Vec<Document>> {
    fn from(elements: Vec<Value>) -> Self {
        Self::Typed(elements.into_iter().map(Into::into).collect())
    }
}

impl<T: Serialize> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Raw(document) => document.serialize(serializer),
            Self::Typed(document) if serializer.is_human_readable() => {
                document.serialize(serializer)
            }
            Self::Typed(document) => {
                let text = serde_json::to_string(document).map_err(ser::Error::custom)?;
                serializer.serialize_str(&text)
            }
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Json<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Document::deserialize(deserializer)?;
        let typed = serde_json::from_str(document.text());
        Ok(typed.map_or(Self::Raw(document), Self::Typed))
    }
}

impl<T: DeserializeOwned> FromSql<Jsonb, Pg> for Json<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let text = document(&value)?;
        match serde_json::from_slice(text) {
            Ok(typed) => Ok(Self::Typed(typed)),
            Err(_) => Ok(Self::Raw(Document(serde_json::from_slice(text)?))),
        }
    }
}

impl<T: Serialize + fmt::Debug> ToSql<Jsonb, Pg> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        match self {
            Self::Typed(document) => {
                out.write_all(&[1])?;
                serde_json::to_writer(out, document)?;
                Ok(IsNull::No)
            }
            Self::Raw(document) => ToSql::<Jsonb, Pg>::to_sql(document, out),
        }
    }
}

impl Storable for Document {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        self.objection()
    }
}

impl<T: serde::Serialize> Storable for Json<T> {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        self.objection()
    }
}

#[cfg(test)]
mod tests;
