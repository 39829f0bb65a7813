//! The types of columns.

pub(crate) mod change;
pub(crate) mod decimal;
pub(crate) mod encoding;
mod enum_order;
pub(crate) mod enums;
pub(crate) mod id_text;
pub(crate) mod ids;
pub(crate) mod json;
pub(crate) mod lenient;
pub(crate) mod openapi;
pub(crate) mod protected;
pub(crate) mod secret;
pub(crate) mod storable;
mod terminal;
pub(crate) mod timestamp;

pub use change::Change;
pub use json::{Document, Fields, Json};
pub use protected::{Protected, Sealed, SettingValue};
pub use secret::Secret;
