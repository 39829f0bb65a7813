//! Rows that this version of the crate cannot decode.

use uuid::Uuid;

use crate::Table;

/// A row that this version of the crate cannot decode, as listed by `unreadable`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The table.
    pub table: Table,
    /// The row's key, or `None` if the key itself cannot be decoded.
    pub id: Option<Uuid>,
    /// The first column that cannot be decoded.
    pub column: Option<String>,
    /// The reason. For a column that contains secrets, it does not depend on the value.
    pub reason: String,
}
