//! The decoding of rows, and the errors of rows that cannot be decoded.
//!
//! diesel reports the column in some of its errors, but not for an unexpected NULL, and never the
//! table or the row. A row that could not be decoded is therefore decoded a second time by a
//! wrapper that records field accesses: the column is the one that was read last.

use std::cell::Cell;
use std::error::Error as StdError;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::{Pg, PgValue};
use diesel::result::Error::DeserializationError;
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use uuid::Uuid;

use crate::Table;
use crate::error::innermost;

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

impl StdError for Undecodable {}

/// Decodes a row. With the feature `tracing`, a row that cannot be decoded is logged.
pub(crate) fn decoded<'r, S, R>(row: &impl Row<'r, Pg>) -> QueryResult<R>
where
    R: FromSqlRow<S, Pg> + 'static,
{
    R::build_from_row(row).map_err(|cause| {
        let undecodable = Undecodable::of::<S, R>(row, &*cause);
        #[cfg(feature = "tracing")]
        undecodable.report();
        DeserializationError(Box::new(undecodable))
    })
}

impl Undecodable {
    #[cold]
    fn of<'r, S, R>(row: &impl Row<'r, Pg>, cause: &(dyn StdError + 'static)) -> Self
    where
        R: FromSqlRow<S, Pg> + 'static,
    {
        let mut causes = std::iter::successors(Some(cause), |&cause| cause.source());
        if let Some(found) = causes.find_map(|cause| cause.downcast_ref::<Self>()) {
            // The error is about a row within a value of this row.
            return found.clone();
        }
        let recording = RecordingRow {
            row,
            last: Cell::new(None),
        };
        let _ = R::build_from_row(&recording);
        let table = Table::of::<R>();
        let field = recording.last.get().and_then(|index| row.get(index));
        let column = field.and_then(|field| field.field_name().map(str::to_owned));
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
            id: key(row),
            column,
            reason,
        }
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

/// Returns the key of a row that has one.
fn key<'r>(row: &impl Row<'r, Pg>) -> Option<Uuid> {
    let field = row.get(RowIndex::<&str>::idx(row, "id")?)?;
    let value = field.value()?;
    Uuid::from_slice(value.as_bytes()).ok()
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
    Tried {
        id: key(row),
        refused: refused.map(|cause| Undecodable::of::<S, R>(row, &*cause)),
    }
}

/// A row that records the index of the field that was read last.
struct RecordingRow<'w, W> {
    row: &'w W,
    last: Cell<Option<usize>>,
}

impl<W> RowSealed for RecordingRow<'_, W> {}

impl<W: RowIndex<usize>> RowIndex<usize> for RecordingRow<'_, W> {
    fn idx(&self, index: usize) -> Option<usize> {
        self.row.idx(index)
    }
}

impl<'n, W: RowIndex<&'n str>> RowIndex<&'n str> for RecordingRow<'_, W> {
    fn idx(&self, name: &'n str) -> Option<usize> {
        self.row.idx(name)
    }
}

impl<'a, W: Row<'a, Pg>> Row<'a, Pg> for RecordingRow<'_, W> {
    type InnerPartialRow = Self;
    type Field<'f>
        = W::Field<'f>
    where
        'a: 'f,
        Self: 'f;

    fn field_count(&self) -> usize {
        self.row.field_count()
    }

    fn get<'f, I>(&'f self, index: I) -> Option<Self::Field<'f>>
    where
        'a: 'f,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        self.last.set(Some(index));
        self.row.get(index)
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

/// Returns the error of the first row in an array of records that cannot be decoded.
#[cold]
pub(crate) fn undecodable_among<S, R>(mut array: &[u8]) -> Option<Undecodable>
where
    R: FromSqlRow<S, Pg> + 'static,
{
    let names = Table::of::<R>().map(Table::columns).unwrap_or_default();
    let dimensions = usize::try_from(take(&mut array)?).ok()?;
    for _ in 0..2 + 2 * dimensions {
        take(&mut array)?;
    }
    while let Some(record) = take_value(&mut array)? {
        let row = Record::read(record, &names)?;
        if let Err(cause) = R::build_from_row(&row) {
            return Some(Undecodable::of::<S, R>(&row, &*cause));
        }
        if array.is_empty() {
            break;
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

/// A value of a composite type, as a row.
struct Record<'v> {
    fields: Vec<RecordField<'v>>,
}

struct RecordField<'v> {
    name: Option<&'v str>,
    number: NonZeroU32,
    value: Option<&'v [u8]>,
}

impl<'v> Record<'v> {
    fn read(mut bytes: &'v [u8], names: &'v [String]) -> Option<Self> {
        let count = usize::try_from(take(&mut bytes)?).ok()?;
        let mut fields = Vec::new();
        for index in 0..count {
            fields.push(RecordField {
                name: names.get(index).map(String::as_str),
                number: NonZeroU32::new(take(&mut bytes)?.cast_unsigned())?,
                value: take_value(&mut bytes)?,
            });
        }
        Some(Self { fields })
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
        fields.position(|field| field.name == Some(name))
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
        self.fields.get(self.idx(index)?)
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl<'f> Field<'f, Pg> for &'f RecordField<'f> {
    fn field_name(&self) -> Option<&str> {
        self.name
    }

    fn value(&self) -> Option<PgValue<'_>> {
        Some(PgValue::new(self.value?, &self.number))
    }
}
