//! Rows of a table: the columns that a query selects, and the values that it returns.
//!
//! diesel selects a row as a tuple of columns, whose SQL type is a tuple of types, and decodes it
//! as a tuple of values. Each function that is generic over a query would then be compiled with
//! three lists of up to 25 types in its name. Here one type stands for all columns of a row,
//! [`Columns`], and one for their SQL types, [`RowSql`].

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;

use diesel::deserialize::{self, FromSql, FromSqlRow, SqlTypeOrSelectable};
use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, TypedExpressionType, ValidGrouping,
    is_aggregate,
};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use diesel::result::{UnexpectedEndOfRow, UnexpectedNullError};
use diesel::row::{Field, Row};
use diesel::sql_types::{SqlType, is_nullable};
use diesel::{QueryResult, QuerySource, Table};
use uuid::Uuid;

/// A row of a table. Derived.
pub trait TableRow: FromSqlRow<RowSql<Self>, Pg> + 'static {
    /// The key.
    type Id: Copy + Into<Uuid>;
    /// The table.
    type Table: Table + Default + QuerySource<FromClause: QueryFragment<Pg> + Copy + Send> + 'static;
    /// The columns, in the order of the struct's fields.
    const COLUMNS: &'static [&'static str];

    /// Returns the key of the row.
    fn id(&self) -> Self::Id;
}

/// The columns of a row, as an expression.
pub struct Columns<R: TableRow> {
    table: <R::Table as QuerySource>::FromClause,
}

/// The SQL type of the `Columns` of a row.
pub struct RowSql<R>(PhantomData<fn() -> R>);

/// Returns the columns of a row, to be selected or returned.
pub fn columns_of<R: TableRow>() -> Columns<R> {
    Columns {
        table: R::Table::default().from_clause(),
    }
}

impl<R: TableRow> Clone for Columns<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: TableRow> Copy for Columns<R> {}

impl<R: TableRow> Expression for Columns<R> {
    type SqlType = RowSql<R>;
}

impl<R: TableRow> QueryFragment<Pg> for Columns<R> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let is_qualified = !out.should_skip_from();
        for (index, column) in R::COLUMNS.iter().enumerate() {
            if index > 0 {
                out.push_sql(", ");
            }
            if is_qualified {
                self.table.walk_ast(out.reborrow())?;
                out.push_sql(".");
            }
            out.push_identifier(column)?;
        }
        Ok(())
    }
}

impl<R: TableRow> QueryId for Columns<R> {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<R, S> SelectableExpression<S> for Columns<R>
where
    R: TableRow,
    Self: AppearsOnTable<S>,
    <R::Table as Table>::PrimaryKey: SelectableExpression<S>,
{
}

impl<R, S> AppearsOnTable<S> for Columns<R>
where
    R: TableRow,
    <R::Table as Table>::PrimaryKey: AppearsOnTable<S>,
{
}

impl<R: TableRow> ValidGrouping<()> for Columns<R> {
    type IsAggregate = is_aggregate::No;
}

impl<R: 'static> SqlType for RowSql<R> {
    type IsNull = is_nullable::NotNull;
}

impl<R> TypedExpressionType for RowSql<R> {}

impl<R> SqlTypeOrSelectable for RowSql<R> {}

impl<R: TableRow> CompatibleType<R, Pg> for RowSql<R> {
    type SqlType = Self;
}

// Only diesel's blocking connection asks for it, and only if it prints what it binds.
#[cfg(feature = "blocking")]
impl<R> diesel::expression::QueryMetadata<RowSql<R>> for Pg {
    fn row_metadata(
        _: &mut <Pg as diesel::sql_types::TypeMetadata>::MetadataLookup,
        _: &mut Vec<Option<<Pg as diesel::sql_types::TypeMetadata>::TypeMetadata>>,
    ) {
    }
}

/// Decodes a field of a row.
///
/// # Errors
/// The error of the field's type.
pub fn field<'a, S, T>(row: &impl Row<'a, Pg>, index: usize) -> deserialize::Result<T>
where
    T: FromSql<S, Pg>,
{
    let Some(field) = row.get(index) else {
        return Err(Box::new(UnexpectedEndOfRow));
    };
    T::from_nullable_sql(field.value()).map_err(|error| undecodable(field.field_name(), error))
}

/// Returns the error with the name of the field. diesel recognizes an absent row by an error
/// without it.
#[cold]
fn undecodable(name: Option<&str>, cause: BoxedError) -> BoxedError {
    match name {
        Some(name) if !cause.is::<UnexpectedNullError>() => Box::new(UndecodableField {
            name: name.to_owned(),
            cause,
        }),
        _ => cause,
    }
}

type BoxedError = Box<dyn Error + Send + Sync>;

/// The error of a field that cannot be decoded.
#[derive(Debug)]
struct UndecodableField {
    name: String,
    cause: BoxedError,
}

impl fmt::Display for UndecodableField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot decode the field {:?}", self.name)
    }
}

impl Error for UndecodableField {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}
