//! Deserializes a document that is embedded in JSON or in another human-readable format.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::text;

/// The name under which `serde_json` passes raw JSON text. Other formats ignore it.
const RAW: &str = "$serde_json::private::RawValue";
/// The name under which `serde_json` passes the text of a number, if a crate has enabled
/// `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

/// Deserializes a document as its text.
pub(super) fn embedded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_newtype_struct(RAW, Text)
}

struct Text;

/// Returns the JSON text of a value.
fn of<E>(value: impl Into<Value>) -> Result<String, E> {
    Ok(text::of_value(&value.into()))
}

impl<'de> Visitor<'de> for Text {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<String, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<String, D::Error> {
        inner.deserialize_any(self)
    }

    fn visit_unit<E>(self) -> Result<String, E> {
        of(Value::Null)
    }

    fn visit_none<E>(self) -> Result<String, E> {
        of(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        of(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        of(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<String, E> {
        of(value)
    }

    fn visit_i128<E>(self, value: i128) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u128<E>(self, value: u128) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
        match Number::from_f64(value) {
            Some(number) => of(number),
            None => Err(E::invalid_value(de::Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        of(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<String, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = elements.next_element::<Value>()? {
            values.push(value);
        }
        of(values)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<String, A::Error> {
        let mut values = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if values.is_empty() && (name == RAW || name == NUMBER) {
                let text: String = fields.next_value()?;
                // The text comes from a parsed document, unless the input itself has a field of
                // this name.
                return match serde_json::from_str::<de::IgnoredAny>(&text) {
                    Ok(_) => Ok(text),
                    Err(error) => Err(de::Error::custom(error)),
                };
            }
            values.insert(name, fields.next_value()?);
        }
        of(values)
    }
}
