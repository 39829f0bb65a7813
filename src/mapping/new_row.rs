//! New rows, as inserts, upserts and `COPY` bind them.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::{QueryResult, QuerySource, Table};

use super::TableRow;
use crate::Result;
#[cfg(doc)]
use crate::types::encoding::Encoding;

/// The largest number of rows that one statement inserts.
pub const ROWS_PER_STATEMENT: usize = 10_000;

/// A column of a new row.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// [`Encoding::CAST`].
    pub cast: &'static str,
    /// The SQL that stands in where no value is given; equal to the column's default in the
    /// database.
    pub default: Option<&'static str>,
    /// When an upsert replaces the column of an existing row.
    pub replaced: Replaced,
    /// [`Encoding::COPIED`].
    pub copied: bool,
}

/// When an upsert replaces a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Never.
    Never,
    /// Unless no value is given.
    IfGiven,
    /// Always: there is no row without a value.
    Always,
}

/// Returns a field of each row.
// Takes a function pointer, so that it is compiled for types of fields, not for each field.
pub fn column<N, T>(rows: &[N], field: fn(&N) -> &T) -> Vec<&T> {
    let mut column = Vec::with_capacity(rows.len());
    for row in rows {
        column.push(field(row));
    }
    column
}

/// A row to be inserted. Derived.
pub trait NewRow: Sized + 'static {
    /// The columns that the statement returns.
    type Row: TableRow;
    /// The table.
    type Table: Table + Default + QuerySource<FromClause: QueryFragment<Pg>>;
    /// Many rows, column by column.
    type Columns<'a>;
    /// The columns, in the order of the struct's fields.
    const COLUMNS: &'static [Column];
    /// The natural key that an upsert goes by, for example `(slug)`.
    const CONFLICT: Option<&'static str>;

    /// Turns rows into columns.
    fn columns(rows: &[Self]) -> Self::Columns<'_>;
    /// Checks whether the column has a value, or none that it could have: `false` where the
    /// database's default stands in.
    fn is_given(&self, index: usize) -> bool;
    /// Binds the value of one column.
    fn bind<'b>(&'b self, index: usize, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
    /// Binds one column of many rows, as an array.
    fn bind_column<'b>(
        columns: &'b Self::Columns<'_>,
        index: usize,
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()>;
    /// Refuses what the database could only refuse without naming the column.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) with the column.
    fn check(&self) -> Result<()>;
}
