//! Schemas of the types of columns for OpenAPI documents.

#[cfg(feature = "utoipa")]
use utoipa::openapi::schema::{KnownFormat, Type};
#[cfg(feature = "utoipa")]
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat};

/// Returns the schema of a text that is one of these words.
#[cfg(feature = "utoipa")]
pub(crate) fn one_of<W: Into<serde_json::Value>>(
    words: impl IntoIterator<Item = W>,
) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(words)).into()
}

/// Returns the schema of a UUID.
#[cfg(feature = "utoipa")]
pub(crate) fn uuid() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .into()
}

/// Returns the schema of an object with one of these fields, a number as text.
#[cfg(feature = "utoipa")]
pub(crate) fn either<const N: usize>(fields: [&str; N]) -> RefOr<Schema> {
    let mut choice = OneOfBuilder::new();
    for field in fields {
        let number = ObjectBuilder::new().schema_type(Type::String);
        let object = ObjectBuilder::new().schema_type(Type::Object);
        choice = choice.item(object.property(field, number).required(field));
    }
    choice.into()
}

/// Implements the traits of a schema for a type without references to others.
macro_rules! schema {
    ($type:ident, $schema:expr) => {
        #[cfg(feature = "utoipa")]
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema
            }
        }

        #[cfg(feature = "utoipa")]
        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
        }
    };
}
pub(crate) use schema;
