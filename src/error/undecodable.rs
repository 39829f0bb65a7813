//! The errors of a row or a value that cannot be decoded.

use std::fmt;

use uuid::Uuid;

use crate::Table;

/// The reason why a row cannot be decoded.
#[derive(Debug, Clone)]
pub(crate) struct Undecodable {
    pub(crate) table: Option<Table>,
    pub(crate) id: Option<Uuid>,
    pub(crate) column: Option<String>,
    pub(crate) reason: String,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for Undecodable {}

/// An enum value that this version of the crate does not have.
#[derive(Debug, thiserror::Error)]
#[error("{type_name} has no value {word:?} in this version of the crate")]
pub(crate) struct UnknownWord {
    type_name: &'static str,
    word: String,
}

impl UnknownWord {
    pub(crate) fn new(type_name: &'static str, word: &[u8]) -> Self {
        Self {
            type_name,
            word: String::from_utf8_lossy(word).into_owned(),
        }
    }
}
