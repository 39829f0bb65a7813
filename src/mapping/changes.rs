//! Changes to a row, as updates bind them.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::serialize::ToSql;
use diesel::{QueryResult, QuerySource, Table, sql_types};

use super::TableRow;
use crate::Result;
#[cfg(doc)]
use crate::types::encoding::Encoding;

/// A column of a set of changes.
#[derive(Debug, Clone, Copy)]
pub struct ChangedColumn {
    /// Its name.
    pub name: &'static str,
    /// [`Encoding::CAST`].
    pub cast: &'static str,
}

/// Changes to one row. Derived.
pub trait Changes: 'static {
    /// The columns that the statement returns.
    type Row: TableRow;
    /// The key.
    type Id: ToSql<sql_types::Uuid, Pg> + Copy;
    /// The table.
    type Table: Table + Default + QuerySource<FromClause: QueryFragment<Pg> + Send> + 'static;
    /// The columns that can change.
    const COLUMNS: &'static [ChangedColumn];

    /// Checks whether the column is to be set.
    fn is_set(&self, index: usize) -> bool;
    /// Binds the column's new value, or NULL.
    fn bind<'b>(&'b self, index: usize, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
    /// Returns the `updated_at` that the row must still have, where the table has that column.
    fn expected(&self) -> Option<&Option<DateTime<Utc>>>;
    /// Refuses what the database could only refuse without naming the column.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) with the column
    fn check(&self) -> Result<()>;

    /// Checks whether there is nothing to set.
    fn is_empty(&self) -> bool {
        (0..Self::COLUMNS.len()).all(|index| !self.is_set(index))
    }
}
