//! The rows that the server sends.

use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use diesel::QueryResult;
use diesel::pg::{Pg, PgValue};
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use futures_util::Stream;
use tokio_postgres::types::{FromSql, Type};

use super::driver::Turn;
use super::incoming::Incoming;

/// The types of the columns, by their numbers.
pub(super) type Types = Arc<[NonZeroU32]>;

/// Rows as they come, but for the first: it is given when the second has come or the statement has ended well. One outside
/// a transaction is committed after its rows were sent, so that who is content with the first row would take for done
/// what was not.
///
/// Kept while other statements of its connection are awaited, its rows are read ahead and held in memory.
pub struct Answer {
    /// None are left to come when this is.
    rows: Option<Incoming>,
    /// The first, until that is known, and then the second.
    held: Option<tokio_postgres::Row>,
    has_begun: bool,
    types: Types,
    turn: Turn,
}

impl Answer {
    pub(super) fn new(rows: Incoming, types: Types, turn: Turn) -> Self {
        Self {
            rows: Some(rows),
            held: None,
            has_begun: false,
            types,
            turn,
        }
    }

    fn row(&self, row: tokio_postgres::Row) -> AnswerRow {
        AnswerRow::new(row, Arc::clone(&self.types))
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Answer")
    }
}

impl Stream for Answer {
    type Item = QueryResult<AnswerRow>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while let Some(rows) = &this.rows {
            if this.has_begun && this.held.is_some() {
                break;
            }
            let next = |context: &mut Context<'_>| rows.poll_row(context);
            let row = match ready!(this.turn.poll(context, next)) {
                Some(Ok(row)) if this.has_begun => Some(row),
                Some(Ok(row)) => this.held.replace(row),
                Some(Err(error)) => {
                    (this.held, this.rows) = (None, None);
                    return Poll::Ready(Some(Err(this.turn.refused(&error))));
                }
                None => {
                    this.rows = None;
                    break;
                }
            };
            if let Some(row) = row {
                this.has_begun = true;
                return Poll::Ready(Some(Ok(this.row(row))));
            }
        }
        let held = this.held.take();
        Poll::Ready(held.map(|row| Ok(this.row(row))))
    }
}

/// One row.
#[derive(Debug)]
pub struct AnswerRow {
    row: tokio_postgres::Row,
    types: Types,
}

impl AnswerRow {
    pub(super) fn new(row: tokio_postgres::Row, types: Types) -> Self {
        Self { row, types }
    }
}

impl RowSealed for AnswerRow {}

impl RowIndex<usize> for AnswerRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.types.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for AnswerRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        let mut columns = self.row.columns().iter();
        columns.position(|column| column.name() == name)
    }
}

impl<'a> Row<'a, Pg> for AnswerRow {
    type InnerPartialRow = Self;
    type Field<'f>
        = AnswerField<'f>
    where
        Self: 'f,
        'a: 'f;

    fn field_count(&self) -> usize {
        self.types.len()
    }

    fn get<'f, I>(&'f self, index: I) -> Option<AnswerField<'f>>
    where
        'a: 'f,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        Some(AnswerField { row: self, index })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

/// One value.
#[derive(Debug)]
pub struct AnswerField<'r> {
    row: &'r AnswerRow,
    index: usize,
}

impl Field<'_, Pg> for AnswerField<'_> {
    fn field_name(&self) -> Option<&str> {
        Some(self.row.row.columns().get(self.index)?.name())
    }

    fn value(&self) -> Option<PgValue<'_>> {
        let Raw(value) = self.row.row.try_get(self.index).ok()?;
        Some(PgValue::new(value?, &self.row.types[self.index]))
    }
}

/// A value's bytes, whatever its type; `None` for NULL.
struct Raw<'r>(Option<&'r [u8]>);

impl<'r> FromSql<'r> for Raw<'r> {
    fn from_sql(_: &Type, raw: &'r [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
