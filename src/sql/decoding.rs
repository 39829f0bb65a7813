//! The decoding of rows, and the errors of rows that cannot be decoded.
//!
//! diesel reports the column in some of its errors, but not for an unexpected NULL, and never the
//! table or the row. A row that could not be decoded is therefore decoded a second time by a
//! wrapper that records field accesses: the column is the one that was read last.

use std::any::TypeId;
use std::borrow::Cow;
use std::cell::Cell;
use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::ops::Range;

use diesel::deserialize::{self, FromSql, FromSqlRow, Queryable};
use diesel::pg::{Pg, PgQueryBuilder, PgValue};
use diesel::query_builder::{QueryBuilder as _, QueryFragment};
use diesel::result::Error::DeserializationError;
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use diesel::sql_types::{Array, Record as SqlRecord};
use diesel::{QueryResult, Selectable};
use uuid::Uuid;

use crate::Table;
use crate::error::{Undecodable, innermost};
use crate::models::*;

/// Decodes a row. With the feature `tracing`, a row that cannot be decoded is logged.
pub(crate) fn decoded<'r, S, R>(row: &impl Row<'r, Pg>) -> QueryResult<R>
where
    R: FromSqlRow<S, Pg> + 'static,
{
    R::build_from_row(row)
        .map_err(|cause| Undecodable::of(Record::of(row), RowType::of::<S, R>(), &*cause).logged())
}

/// The type as which a row is decoded, without the type: the second decoding is then compiled once.
#[derive(Clone, Copy)]
struct RowType {
    id: TypeId,
    decode: fn(&Record<'_>),
}

impl RowType {
    fn of<S, R>() -> Self
    where
        R: FromSqlRow<S, Pg> + 'static,
    {
        Self {
            id: TypeId::of::<R>(),
            decode: |record| drop(R::build_from_row(record)),
        }
    }
}

impl Undecodable {
    #[cold]
    fn of(row: Record<'_>, decoded_as: RowType, cause: &(dyn StdError + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(cause), |&cause| cause.source());
        if let Some(found) = causes.find_map(|cause| cause.downcast_ref::<Self>()) {
            // The error is about a row within a value of this row.
            return found.clone();
        }
        row.last_read.set(None);
        (decoded_as.decode)(&row);
        let table = Table::of(decoded_as.id);
        let field = row.last_read.get().and_then(|index| row.fields.get(index));
        let column = field.and_then(|field| field.name.as_deref().map(str::to_owned));
        let is_secret = match (table, &column) {
            (Some(table), Some(column)) => table.is_secret(column),
            _ => false,
        };
        let reason = if is_secret {
            "the value of a secret column is NULL or has another type".to_owned()
        } else {
            innermost(cause)
        };
        Self {
            table,
            id: row.key(),
            column,
            reason,
        }
    }

    /// Logs the row, and returns its error.
    fn logged(self) -> diesel::result::Error {
        #[cfg(feature = "tracing")]
        self.report();
        DeserializationError(Box::new(self))
    }

    #[cfg(feature = "tracing")]
    fn report(&self) {
        tracing::warn!(
            target: "wundr_db",
            table = self.table.map(Table::as_str),
            id = self.id.map(tracing::field::display),
            column = self.column.as_deref(),
            reason = %self.reason,
            "a row cannot be decoded"
        );
    }
}

/// The result of trying to decode a row.
pub(crate) struct Tried {
    pub(crate) id: Option<Uuid>,
    pub(crate) refused: Option<Undecodable>,
}

/// Tries to decode a row and discards the result.
pub(crate) fn tried<'r, S, R>(row: &impl Row<'r, Pg>) -> Tried
where
    R: FromSqlRow<S, Pg> + 'static,
{
    let refused = R::build_from_row(row).err();
    let record = Record::of(row);
    Tried {
        id: record.key(),
        refused: refused.map(|cause| Undecodable::of(record, RowType::of::<S, R>(), &*cause)),
    }
}

/// The rows of a query that another one returns as one value, by [`ArraySubquery`](super::ArraySubquery).
#[derive(Debug, FromSqlRow)]
pub(crate) struct Rows<T>(pub(crate) Vec<T>);

impl<T, S> FromSql<Array<SqlRecord<S>>, Pg> for Rows<T>
where
    T: Queryable<S, Pg> + FromSqlRow<S, Pg> + 'static,
    Vec<T::Row>: FromSql<Array<SqlRecord<S>>, Pg>,
{
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let (bytes, number) = (value.as_bytes(), value.get_oid());
        let value = PgValue::new(bytes, &number);
        let rows: deserialize::Result<Vec<T::Row>> = FromSql::from_sql(value);
        let rows = rows.and_then(|rows| rows.into_iter().map(T::build).collect());
        rows.map(Self)
            .map_err(|cause| match undecodable_among::<S, T>(bytes) {
                Some(row) => Box::new(row),
                None => cause,
            })
    }
}

/// Returns the error of the first row in an array of records that cannot be decoded.
#[cold]
fn undecodable_among<S, R>(array: &[u8]) -> Option<Undecodable>
where
    R: FromSqlRow<S, Pg> + 'static,
{
    let names = Table::of(TypeId::of::<R>()).map(Table::columns);
    for record in Record::all(array, &names.unwrap_or_default()) {
        if let Err(cause) = R::build_from_row(&record) {
            return Some(Undecodable::of(record, RowType::of::<S, R>(), &*cause));
        }
    }
    None
}

fn take(bytes: &mut &[u8]) -> Option<i32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*number))
}

/// Splits off a value with its length before it. The inner `None` stands for NULL, whose length is
/// -1.
fn take_value<'b>(bytes: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let Ok(length) = usize::try_from(take(bytes)?) else {
        return Some(None);
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Some(value))
}

/// A row or a value of a composite type, which records the field that was read last.
struct Record<'v> {
    fields: Vec<RecordField<'v>>,
    last_read: Cell<Option<usize>>,
}

struct RecordField<'v> {
    name: Option<Cow<'v, str>>,
    number: NonZeroU32,
    value: Option<Cow<'v, [u8]>>,
}

impl<'v> Record<'v> {
    /// Copies a row.
    fn of<'r>(row: &impl Row<'r, Pg>) -> Self {
        let fields = (0..row.field_count()).filter_map(|index| {
            let field = row.get(index)?;
            let value = field.value();
            Some(RecordField {
                name: field.field_name().map(|name| Cow::Owned(name.to_owned())),
                number: value.as_ref().map_or(NonZeroU32::MIN, PgValue::get_oid),
                value: value.map(|value| Cow::Owned(value.as_bytes().to_vec())),
            })
        });
        Self::new(fields.collect())
    }

    const fn new(fields: Vec<RecordField<'v>>) -> Self {
        Self {
            fields,
            last_read: Cell::new(None),
        }
    }

    /// Reads the records of an array, as far as they can be read.
    fn all(mut array: &'v [u8], names: &'v [String]) -> Vec<Self> {
        let mut records = Vec::new();
        let mut read = || {
            let dimensions = usize::try_from(take(&mut array)?).ok()?;
            for _ in 0..2 + 2 * dimensions {
                take(&mut array)?;
            }
            while !array.is_empty() {
                let record = take_value(&mut array)??;
                records.push(Self::read(record, names)?);
            }
            Some(())
        };
        let _ = read();
        records
    }

    fn read(mut bytes: &'v [u8], names: &'v [String]) -> Option<Self> {
        let count = usize::try_from(take(&mut bytes)?).ok()?;
        let mut fields = Vec::new();
        for index in 0..count {
            fields.push(RecordField {
                name: names.get(index).map(|name| Cow::Borrowed(name.as_str())),
                number: NonZeroU32::new(take(&mut bytes)?.cast_unsigned())?,
                value: take_value(&mut bytes)?.map(Cow::Borrowed),
            });
        }
        Some(Self::new(fields))
    }

    /// Returns the key of a row that has one.
    fn key(&self) -> Option<Uuid> {
        let field = self.fields.get(RowIndex::<&str>::idx(self, "id")?)?;
        Uuid::from_slice(field.value.as_deref()?).ok()
    }
}

impl RowSealed for Record<'_> {}

impl RowIndex<usize> for Record<'_> {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.fields.len()).then_some(index)
    }
}

impl<'n> RowIndex<&'n str> for Record<'_> {
    fn idx(&self, name: &'n str) -> Option<usize> {
        let mut fields = self.fields.iter();
        fields.position(|field| field.name.as_deref() == Some(name))
    }
}

impl<'a> Row<'a, Pg> for Record<'_> {
    type InnerPartialRow = Self;
    type Field<'f>
        = &'f RecordField<'f>
    where
        'a: 'f,
        Self: 'f;

    fn field_count(&self) -> usize {
        self.fields.len()
    }

    fn get<'f, I>(&'f self, index: I) -> Option<&'f RecordField<'f>>
    where
        'a: 'f,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        self.last_read.set(Some(index));
        self.fields.get(index)
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl<'f> Field<'f, Pg> for &'f RecordField<'f> {
    fn field_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn value(&self) -> Option<PgValue<'_>> {
        Some(PgValue::new(self.value.as_deref()?, &self.number))
    }
}

macro_rules! rows_of_tables {
    ($($schema:ident.$table:ident: $name:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
        impl Table {
            /// Returns the table whose rows are read as this type, alone or as a page with its total.
            pub(crate) fn of(row: TypeId) -> Option<Self> {
                $(
                    if row == TypeId::of::<$row>() || row == TypeId::of::<(Rows<$row>, i64)>() {
                        return Some(Self::$name);
                    }
                )*
                (row == TypeId::of::<Claim>()).then_some(Self::Analyses)
            }

            /// Returns the names of the columns, in the order of the row's fields.
            pub(crate) fn columns(self) -> Vec<String> {
                match self {
                    $(Self::$name => columns::<$row>(),)*
                }
            }
        }
    };
}
crate::__for_each_table!(rows_of_tables);

/// Returns the names of a selection's columns, which are quoted and qualified in its SQL.
fn columns<R: Selectable<Pg, SelectExpression: QueryFragment<Pg>>>() -> Vec<String> {
    let mut sql = PgQueryBuilder::new();
    if R::construct_selection().to_sql(&mut sql, &Pg).is_err() {
        return Vec::new();
    }
    let sql = sql.finish();
    let columns = sql
        .split(", ")
        .filter_map(|column| column.rsplit('"').nth(1));
    columns.map(str::to_owned).collect()
}
