//! The decoding of rows, and the errors of rows that cannot be decoded.
//!
//! diesel reports the column in some of its errors, but not for an unexpected NULL, and never the
//! table or the row. The column is the one that was read last. The rows of the async engine record
//! it. A row of the blocking engine that could not be decoded is decoded a second time by a wrapper
//! that does so.

use std::any::TypeId;
use std::borrow::Cow;
use std::cell::Cell;
use std::error::Error as StdError;
use std::num::NonZeroU32;
use std::ops::Range;

use diesel::QueryResult;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::result::Error::DeserializationError;
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use diesel::sql_types::{Array, Record as SqlRecord};
use uuid::Uuid;

use crate::Table;
use crate::error::{Undecodable, innermost};
use crate::mapping::TableRow as _;
use crate::models::*;

/// Decodes a row. With the feature `tracing`, a row that cannot be decoded is logged.
#[cfg(feature = "blocking")]
pub(crate) fn decoded<'r, S, R>(row: &impl Row<'r, Pg>) -> QueryResult<R>
where
    R: FromSqlRow<S, Pg> + 'static,
{
    R::build_from_row(row)
        .map_err(|cause| Undecodable::of(Record::of(row), RowType::of::<S, R>(), &*cause).logged())
}

/// A row that records the field that was read last.
#[cfg(feature = "async")]
pub(crate) trait RecordingRow<'r>: Row<'r, Pg> {
    /// Returns the index of the field that was read last.
    fn last_read(&self) -> Option<usize>;
}

/// Decodes a row. With the feature `tracing`, a row that cannot be decoded is logged.
#[cfg(feature = "async")]
pub(crate) fn decoded_once<'r, S, R>(row: &impl RecordingRow<'r>) -> QueryResult<R>
where
    R: FromSqlRow<S, Pg> + 'static,
{
    R::build_from_row(row).map_err(|cause| undecodable(row, TypeId::of::<R>(), &*cause).logged())
}

#[cfg(feature = "async")]
#[cold]
fn undecodable<'r>(
    row: &impl RecordingRow<'r>,
    decoded_as: TypeId,
    cause: &(dyn StdError + 'static),
) -> Undecodable {
    let decoded_as = RowType {
        id: decoded_as,
        last_read: LastRead::Field(row.last_read()),
    };
    Undecodable::of(Record::of(row), decoded_as, cause)
}

/// The type as which a row is decoded, without the type: what follows a failure is then compiled
/// once.
#[derive(Clone, Copy)]
struct RowType {
    id: TypeId,
    last_read: LastRead,
}

/// The field that was read last.
#[derive(Clone, Copy)]
enum LastRead {
    /// A field that the row has recorded.
    #[cfg(feature = "async")]
    Field(Option<usize>),
    /// It is found by decoding the row again.
    Again(fn(&Record<'_>)),
}

impl RowType {
    fn of<S, R>() -> Self
    where
        R: FromSqlRow<S, Pg> + 'static,
    {
        Self {
            id: TypeId::of::<R>(),
            last_read: LastRead::Again(|record| drop(R::build_from_row(record))),
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
        let last_read = match decoded_as.last_read {
            #[cfg(feature = "async")]
            LastRead::Field(index) => index,
            LastRead::Again(decode) => {
                row.last_read.set(None);
                decode(&row);
                row.last_read.get()
            }
        };
        let table = Table::of(decoded_as.id);
        let name = last_read.and_then(|index| row.names.get(index));
        let column = name
            .filter(|name| !name.is_empty())
            .map(|name| name.to_string());
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
#[cfg(feature = "blocking")]
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

/// Tries to decode a row and discards the result.
#[cfg(feature = "async")]
pub(crate) fn tried_once<'r, S, R>(row: &impl RecordingRow<'r>) -> Tried
where
    R: FromSqlRow<S, Pg> + 'static,
{
    let refused = R::build_from_row(row).err();
    let refused = refused.map(|cause| undecodable(row, TypeId::of::<R>(), &*cause));
    Tried {
        id: Record::of(row).key(),
        refused,
    }
}

/// The rows of a query that another one returns as one value, by
/// [`ArraySubquery`](super::ArraySubquery).
#[derive(Debug, FromSqlRow)]
pub struct Rows<T>(pub(crate) Vec<T>);

impl<T, S> FromSql<Array<SqlRecord<S>>, Pg> for Rows<T>
where
    T: FromSqlRow<S, Pg> + 'static,
{
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let mut records = Records::of(value.as_bytes())?;
        let mut rows = Vec::with_capacity(records.remaining);
        let mut record = Record::default();
        while records.read(&mut record)? {
            match T::build_from_row(&record) {
                Ok(row) => rows.push(row),
                Err(cause) => {
                    let columns = Table::of(TypeId::of::<T>()).map(Table::columns);
                    record.name(columns.unwrap_or_default());
                    let row = Undecodable::of(record, RowType::of::<S, T>(), &*cause);
                    return Err(Box::new(row));
                }
            }
        }
        Ok(Self(rows))
    }
}

const TRUNCATED: &str = "the value is truncated";

fn take(bytes: &mut &[u8]) -> deserialize::Result<i32> {
    let (number, rest) = bytes.split_first_chunk().ok_or(TRUNCATED)?;
    *bytes = rest;
    Ok(i32::from_be_bytes(*number))
}

fn take_number(bytes: &mut &[u8]) -> deserialize::Result<NonZeroU32> {
    let number = NonZeroU32::new(take(bytes)?.cast_unsigned());
    Ok(number.ok_or("a type has the OID zero")?)
}

/// Splits off a value with its length before it. `None` stands for NULL, whose length is -1.
fn take_value<'b>(bytes: &mut &'b [u8]) -> deserialize::Result<Option<&'b [u8]>> {
    let Ok(length) = usize::try_from(take(bytes)?) else {
        return Ok(None);
    };
    let (value, rest) = bytes.split_at_checked(length).ok_or(TRUNCATED)?;
    *bytes = rest;
    Ok(Some(value))
}

/// The records of an array, in PostgreSQL's binary form.
struct Records<'v> {
    bytes: &'v [u8],
    remaining: usize,
}

impl<'v> Records<'v> {
    fn of(mut bytes: &'v [u8]) -> deserialize::Result<Self> {
        let dimensions = take(&mut bytes)?;
        let _has_nulls = take(&mut bytes)?;
        let _type_of_records = take(&mut bytes)?;
        let remaining = match dimensions {
            0 => 0,
            1 => {
                let count = usize::try_from(take(&mut bytes)?)?;
                take(&mut bytes)?;
                // A record has four bytes for its length: a false number reserves no memory.
                count.min(bytes.len() / 4)
            }
            _ => return Err("an array of rows has one dimension".into()),
        };
        Ok(Self { bytes, remaining })
    }

    /// Reads the next record, and returns whether there was one.
    fn read(&mut self, record: &mut Record<'v>) -> deserialize::Result<bool> {
        record.fields.clear();
        if self.remaining == 0 {
            return Ok(false);
        }
        self.remaining -= 1;
        let mut bytes = take_value(&mut self.bytes)?.ok_or("a row is NULL")?;
        let count = take(&mut bytes)?;
        for _ in 0..count {
            record.fields.push(RecordField {
                number: take_number(&mut bytes)?,
                value: take_value(&mut bytes)?.map(Cow::Borrowed),
            });
        }
        Ok(true)
    }
}

/// A row or a value of a composite type, which records the field that was read last.
#[derive(Default)]
struct Record<'v> {
    fields: Vec<RecordField<'v>>,
    /// The names of the first fields, as far as they are known.
    names: Vec<Cow<'static, str>>,
    last_read: Cell<Option<usize>>,
}

struct RecordField<'v> {
    number: NonZeroU32,
    value: Option<Cow<'v, [u8]>>,
}

impl Record<'_> {
    /// Copies a row.
    fn of<'r>(row: &impl Row<'r, Pg>) -> Self {
        let mut record = Self::default();
        for field in (0..row.field_count()).filter_map(|index| row.get(index)) {
            let value = field.value();
            record.push(field.field_name(), value);
        }
        record
    }

    fn push(&mut self, name: Option<&str>, value: Option<PgValue<'_>>) {
        let name = name.unwrap_or_default().to_owned();
        self.names.push(Cow::Owned(name));
        self.fields.push(RecordField {
            number: value.as_ref().map_or(NonZeroU32::MIN, PgValue::get_oid),
            value: value.map(|value| Cow::Owned(value.as_bytes().to_vec())),
        });
    }

    /// Names the fields.
    fn name(&mut self, names: &[&'static str]) {
        self.names = names.iter().map(|&name| Cow::Borrowed(name)).collect();
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
        self.names.iter().position(|field| field == name)
    }
}

impl<'a> Row<'a, Pg> for Record<'_> {
    type InnerPartialRow = Self;
    type Field<'f>
        = RecordValue<'f>
    where
        'a: 'f,
        Self: 'f;

    fn field_count(&self) -> usize {
        self.fields.len()
    }

    fn get<'f, I>(&'f self, index: I) -> Option<RecordValue<'f>>
    where
        'a: 'f,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        self.last_read.set(Some(index));
        Some(RecordValue {
            name: self.names.get(index).map(AsRef::as_ref),
            field: self.fields.get(index)?,
        })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

/// A field of a [`Record`].
struct RecordValue<'f> {
    name: Option<&'f str>,
    field: &'f RecordField<'f>,
}

impl<'f> Field<'f, Pg> for RecordValue<'f> {
    fn field_name(&self) -> Option<&str> {
        self.name
    }

    fn value(&self) -> Option<PgValue<'_>> {
        let value = self.field.value.as_deref()?;
        Some(PgValue::new(value, &self.field.number))
    }
}

macro_rules! rows_of_tables {
    ($($schema:ident.$table:ident: $name:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
        impl Table {
            /// Returns the table whose rows are read as this type, alone or as a page with its
            /// total.
            pub(crate) fn of(row: TypeId) -> Option<Self> {
                $(
                    if row == TypeId::of::<$row>() || row == TypeId::of::<(Rows<$row>, i64)>() {
                        return Some(Self::$name);
                    }
                )*
                (row == TypeId::of::<Claim>()).then_some(Self::Analyses)
            }

            /// Returns the names of the columns, in the order of the row's fields.
            pub(crate) fn columns(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => $row::COLUMNS,)*
                }
            }
        }
    };
}
crate::__for_each_table!(rows_of_tables);
