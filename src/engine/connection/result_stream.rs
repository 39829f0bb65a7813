//! Rows of a response, as diesel reads them.

use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use diesel::QueryResult;
use diesel::pg::{Pg, PgValue};
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use futures_util::Stream;
use tokio_postgres::types::{FromSql, Type};

use super::driver::Operation;
use super::read_ahead::ResultReader;
use crate::sql::decoding::RecordingRow;

/// The type OIDs of the columns.
pub(super) type Types = Arc<[NonZeroU32]>;

/// A stream of rows. It holds the first row back until the second arrives or the statement
/// completes. In autocommit mode PostgreSQL commits after sending the rows, so a caller that reads
/// only the first row could otherwise take an uncommitted statement for done.
///
/// While other statements of the connection are awaited, the rows of this one are read ahead and
/// kept in memory.
pub struct ResultStream {
    /// `None` after the last row.
    rows: Option<ResultReader>,
    /// The first row while it is held back, then the second.
    held: Option<tokio_postgres::Row>,
    has_begun: bool,
    types: Types,
    operation: Operation,
}

impl ResultStream {
    pub(super) fn new(rows: ResultReader, types: Types, operation: Operation) -> Self {
        Self {
            rows: Some(rows),
            held: None,
            has_begun: false,
            types,
            operation,
        }
    }

    fn row(&self, row: tokio_postgres::Row) -> PgRow {
        PgRow::new(row, Arc::clone(&self.types))
    }
}

impl std::fmt::Debug for ResultStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ResultStream")
    }
}

impl Stream for ResultStream {
    type Item = QueryResult<PgRow>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while let Some(rows) = &this.rows {
            if this.has_begun && this.held.is_some() {
                break;
            }
            let next = |context: &mut Context<'_>| rows.poll_row(context);
            let row = match ready!(this.operation.poll(context, next)) {
                Some(Ok(row)) if this.has_begun => Some(row),
                Some(Ok(row)) => this.held.replace(row),
                Some(Err(error)) => {
                    (this.held, this.rows) = (None, None);
                    return Poll::Ready(Some(Err(this.operation.diesel_error(&error))));
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

/// A row.
#[derive(Debug)]
pub struct PgRow {
    row: tokio_postgres::Row,
    types: Types,
    /// The index of the field that was read last, and one more; zero if none was.
    // Atomic only to keep the row `Sync`.
    last_read: AtomicUsize,
}

impl PgRow {
    pub(super) fn new(row: tokio_postgres::Row, types: Types) -> Self {
        Self {
            row,
            types,
            last_read: AtomicUsize::new(0),
        }
    }
}

impl RecordingRow<'_> for PgRow {
    fn last_read(&self) -> Option<usize> {
        self.last_read.load(Ordering::Relaxed).checked_sub(1)
    }
}

impl RowSealed for PgRow {}

impl RowIndex<usize> for PgRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.types.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for PgRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        let mut columns = self.row.columns().iter();
        columns.position(|column| column.name() == name)
    }
}

impl<'a> Row<'a, Pg> for PgRow {
    type InnerPartialRow = Self;
    type Field<'f>
        = PgField<'f>
    where
        Self: 'f,
        'a: 'f;

    fn field_count(&self) -> usize {
        self.types.len()
    }

    fn get<'f, I>(&'f self, index: I) -> Option<PgField<'f>>
    where
        'a: 'f,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        self.last_read.store(index + 1, Ordering::Relaxed);
        Some(PgField { row: self, index })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

/// A value of a row.
#[derive(Debug)]
pub struct PgField<'r> {
    row: &'r PgRow,
    index: usize,
}

impl Field<'_, Pg> for PgField<'_> {
    fn field_name(&self) -> Option<&str> {
        Some(self.row.row.columns().get(self.index)?.name())
    }

    fn value(&self) -> Option<PgValue<'_>> {
        let Raw(value) = self.row.row.try_get(self.index).ok()?;
        Some(PgValue::new(value?, &self.row.types[self.index]))
    }
}

/// The bytes of a value of any type; `None` for NULL.
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
