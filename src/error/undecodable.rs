//! The error of a row that cannot be decoded.

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
