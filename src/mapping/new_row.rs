//! New rows, as inserts, upserts and `COPY` bind them.

use std::fmt;
use std::sync::Arc;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, HasSqlType};
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
    /// Binds the column of many rows: [`bind_array`] of [`Encoding::InArray`].
    pub bind_array: BindArray,
}

/// A function that binds a column of many rows, as an array.
pub type BindArray =
    for<'b, 'v> fn(&'b ColumnValues<'v>, &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;

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

/// New rows of any type. What encodes their columns is compiled once for each type of values.
trait AnyRows: Send + Sync {
    fn count(&self) -> usize;
    /// Encodes the value of a column of a row, as within an array.
    fn encode(&self, row: usize, column: usize, out: &mut Output<'_, '_, Pg>) -> serialize::Result;
}

impl<N: NewRow> AnyRows for &[N] {
    fn count(&self) -> usize {
        self.len()
    }

    fn encode(&self, row: usize, column: usize, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
        match self.get(row) {
            Some(row) => row.encode(column, out),
            None => Ok(IsNull::Yes),
        }
    }
}

/// The values that many new rows have in one column.
pub struct ColumnValues<'r> {
    rows: Arc<dyn AnyRows + 'r>,
    column: usize,
}

/// Returns the values of new rows, column by column.
pub fn columns<N: NewRow>(rows: &[N]) -> Vec<ColumnValues<'_>> {
    let rows: Arc<dyn AnyRows + '_> = Arc::new(rows);
    let columns = 0..N::COLUMNS.len();
    columns.map(|column| column_of(&rows, column)).collect()
}

// A function of its own, so that it is compiled once.
fn column_of<'r>(rows: &Arc<dyn AnyRows + 'r>, column: usize) -> ColumnValues<'r> {
    ColumnValues {
        rows: Arc::clone(rows),
        column,
    }
}

/// Binds a column of many rows, as an array of values of the type `S`.
///
/// # Errors
/// The error of a value that cannot be encoded.
pub fn bind_array<'b, S>(
    values: &'b ColumnValues<'_>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()>
where
    S: 'static,
    Pg: HasSqlType<S> + HasSqlType<Array<S>>,
{
    out.push_bind_param::<Array<S>, _>(values)
}

impl ColumnValues<'_> {
    fn of_rows(&self) -> Vec<Value<'_>> {
        let rows = 0..self.rows.count();
        rows.map(|row| Value { values: self, row }).collect()
    }
}

impl<S> ToSql<Array<S>, Pg> for ColumnValues<'_>
where
    S: 'static,
    Pg: HasSqlType<S>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<Array<S>, Pg>::to_sql(self.of_rows().as_slice(), &mut out.reborrow())
    }
}

/// Hides the values.
impl fmt::Debug for ColumnValues<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ColumnValues")
    }
}

/// The value of one row.
struct Value<'v> {
    values: &'v ColumnValues<'v>,
    row: usize,
}

impl<S> ToSql<S, Pg> for Value<'_>
where
    Pg: HasSqlType<S>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let ColumnValues { rows, column } = self.values;
        rows.encode(self.row, *column, &mut out.reborrow())
    }
}

/// Hides the value.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Value")
    }
}

/// A row to be inserted. Derived.
pub trait NewRow: Sized + Sync + 'static {
    /// The columns that the statement returns.
    type Row: TableRow;
    /// The table.
    type Table: Table + Default + QuerySource<FromClause: QueryFragment<Pg> + Send> + 'static;
    /// The columns, in the order of the struct's fields.
    const COLUMNS: &'static [Column];
    /// The natural key that an upsert goes by, for example `(slug)`.
    const CONFLICT: Option<&'static str>;

    /// Checks whether the column has a value, or none that it could have: `false` where the
    /// database's default stands in.
    fn is_given(&self, index: usize) -> bool;
    /// Binds the value of one column.
    fn bind<'b>(&'b self, index: usize, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
    /// Encodes the value of one column, as within an array of the column of many rows.
    ///
    /// # Errors
    /// The error of a value that cannot be encoded.
    fn encode(&self, index: usize, out: &mut Output<'_, '_, Pg>) -> serialize::Result;
    /// Refuses what the database could only refuse without naming the column.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) with the column
    fn check(&self) -> Result<()>;
}
