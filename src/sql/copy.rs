//! `COPY ... FROM STDIN` of new rows, in PostgreSQL's binary form.

#[cfg(feature = "async")]
use std::marker::PhantomData;

use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{AstPass, QueryBuilder as _, QueryFragment};
use diesel::result::Error::{DeserializationError, SerializationError};
use diesel::{QueryResult, QuerySource, sql_types};

use super::{Sql, Statement};
use crate::mapping::{Column, NewRow};

/// The number of rows from which on a `COPY` is worth its round trips: one for the defaults, and
/// its own.
const ROWS_WORTH_A_COPY: usize = 1_000;

/// The number of bytes that are encoded before the driver receives them.
pub(crate) const BYTES_AT_ONCE: usize = 128 * 1024;

/// Takes the rows of a `COPY … FROM STDIN` out of a stream that contains more than these.
#[cfg(feature = "admin")]
pub(crate) trait CopyData {
    /// Takes the next bytes of the stream, `None` at its end, and appends the rows among them to
    /// `rows`. Returns `true` after the last row.
    ///
    /// The first call has no bytes, for what an earlier `COPY` has left.
    fn take(&mut self, bytes: Option<&[u8]>, rows: &mut Vec<u8>) -> crate::Result<bool>;
}

/// Checks whether these rows go better by `COPY` than by `UNNEST`. Not where a column would have to
/// be cast.
pub(crate) fn is_worth_a_copy<N: NewRow>(rows: &[N]) -> bool {
    rows.len() >= ROWS_WORTH_A_COPY && N::COLUMNS.iter().all(|column| column.copied)
}

/// A check whether rows may be copied into a table, and the values of its columns that have a
/// default, in the form in which they are copied: `COPY` puts a default where a column is left out
/// of all rows, and nowhere else. The server is asked, so that `now()` is that of the transaction.
pub struct CopyProbe<N: NewRow> {
    table: <N::Table as QuerySource>::FromClause,
}

pub(crate) fn copy_probe<N: NewRow>() -> Sql<CopyProbe<N>> {
    Sql(CopyProbe {
        table: N::Table::default().from_clause(),
    })
}

impl<N: NewRow> Statement for CopyProbe<N> {
    type SqlType = sql_types::Binary;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // If one of these is false, an INSERT may still succeed, or its error gives the reason.
        out.push_sql(
            "SELECT pg_catalog.record_send(ROW(\
             pg_catalog.current_setting('transaction_read_only') = 'off' \
             AND pg_catalog.has_table_privilege(target, 'INSERT') \
             AND NOT pg_catalog.row_security_active(target)",
        );
        // Beside a NULL of the column's own type, a literal becomes a value of that type.
        for column in N::COLUMNS {
            if let Some(default) = column.default {
                out.push_sql(", COALESCE(\"none\".");
                out.push_identifier(column.name)?;
                out.push_sql(", ");
                out.push_sql(default);
                out.push_sql(")");
            }
        }
        out.push_sql(")) FROM (SELECT (NULL::");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(").*) AS \"none\", CAST('");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql("' AS pg_catalog.regclass) AS target");
        Ok(())
    }
}

/// The values of the columns that a row leaves out, by column.
pub(crate) struct Defaults(Vec<Option<Vec<u8>>>);

impl Defaults {
    /// Reads what [`CopyProbe`] has brought; `None` if the rows may not be copied.
    pub(crate) fn of(columns: &[Column], record: &[u8]) -> QueryResult<Option<Self>> {
        // The number of fields; then each with the number of its type, its length and its bytes.
        let mut rest = record.get(4..);
        let mut field = || {
            let (length, behind) = rest?.get(4..)?.split_first_chunk()?;
            let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
            let (value, behind) = behind.split_at_checked(length)?;
            rest = Some(behind);
            Some(value.to_vec())
        };
        if field() == Some(vec![0]) {
            return Ok(None);
        }
        let defaults = columns
            .iter()
            .map(|column| match column.default {
                Some(_) => field().map(Some),
                None => Some(None),
            })
            .collect::<Option<_>>();
        let defaults = defaults.ok_or("no record of defaults");
        let defaults = defaults.map_err(|error| DeserializationError(error.into()))?;
        Ok(Some(Self(defaults)))
    }
}

/// `COPY ... FROM STDIN`, which awaits rows in binary form; diesel has its own for the blocking
/// engine.
#[cfg(feature = "async")]
pub struct CopyFrom<N>(PhantomData<N>);

#[cfg(feature = "async")]
pub(crate) const fn copy_from<N: NewRow>() -> Sql<CopyFrom<N>> {
    Sql(CopyFrom(PhantomData))
}

#[cfg(feature = "async")]
impl<N: NewRow> Statement for CopyFrom<N> {
    type SqlType = ();
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("COPY ");
        out.push_sql(&copy_target::<N>()?);
        out.push_sql(" FROM STDIN (FORMAT binary)");
        Ok(())
    }
}

/// Returns the table's name.
pub(crate) fn table<N: NewRow>() -> QueryResult<String> {
    let mut sql = PgQueryBuilder::new();
    N::Table::default().from_clause().to_sql(&mut sql, &Pg)?;
    Ok(sql.finish())
}

/// Returns the table and its columns, as `COPY` wants them.
pub(crate) fn copy_target<N: NewRow>() -> QueryResult<String> {
    let mut sql = PgQueryBuilder::new();
    sql.push_sql(&table::<N>()?);
    sql.push_sql(" (");
    for (index, column) in N::COLUMNS.iter().enumerate() {
        if index > 0 {
            sql.push_sql(", ");
        }
        sql.push_identifier(column.name)?;
    }
    sql.push_sql(")");
    Ok(sql.finish())
}

/// New rows of any type, so that a `COPY` is compiled once.
pub(crate) trait CopiedRows: Sync {
    /// Collects the binds of a row, NULL for a column that is not given a value. Returns `None`
    /// after the last row.
    fn binds_of(&self, row: usize, out: &mut RawBytesBindCollector<Pg>) -> QueryResult<Option<()>>;
}

impl<N: NewRow + Sync> CopiedRows for &[N] {
    fn binds_of(&self, row: usize, out: &mut RawBytesBindCollector<Pg>) -> QueryResult<Option<()>> {
        let row = self.get(row);
        row.map(|row| AllBinds(row).collect_binds(out, &mut NothingToLookUp, &Pg))
            .transpose()
    }
}

/// Rows in the binary form of `COPY`, made as they are sent.
pub(crate) struct CopyEncoder<'r> {
    rows: &'r dyn CopiedRows,
    /// The number of rows that were encoded.
    encoded: usize,
    defaults: &'r Defaults,
    /// The values of one row. It is kept for its allocation.
    values: RawBytesBindCollector<Pg>,
    stage: Stage,
}

enum Stage {
    Header,
    Rows,
    Done,
}

impl<'r> CopyEncoder<'r> {
    pub(crate) fn new(rows: &'r dyn CopiedRows, defaults: &'r Defaults) -> Self {
        Self {
            rows,
            encoded: 0,
            defaults,
            values: RawBytesBindCollector::new(),
            stage: Stage::Header,
        }
    }

    /// Puts the next bytes behind those that are in the buffer, about [`BYTES_AT_ONCE`]; whether
    /// there were any.
    pub(crate) fn fill(&mut self, buffer: &mut Vec<u8>) -> QueryResult<bool> {
        match self.stage {
            Stage::Header => buffer.extend_from_slice(HEADER),
            Stage::Rows => {}
            Stage::Done => return Ok(false),
        }
        self.stage = Stage::Rows;
        // The last row may go beyond.
        buffer.reserve(BYTES_AT_ONCE + BYTES_AT_ONCE / 8);
        while buffer.len() < BYTES_AT_ONCE {
            if !self.encode_next(buffer)? {
                buffer.extend_from_slice(&TRAILER);
                self.stage = Stage::Done;
                break;
            }
        }
        Ok(true)
    }

    /// Encodes the next row. Returns whether there was one.
    fn encode_next(&mut self, buffer: &mut Vec<u8>) -> QueryResult<bool> {
        self.values.binds.clear();
        self.values.metadata.clear();
        let row = self.rows.binds_of(self.encoded, &mut self.values)?;
        if row.is_none() {
            return Ok(false);
        }
        self.encoded += 1;
        let columns = i16::try_from(self.values.binds.len()).map_err(too_long)?;
        buffer.extend_from_slice(&columns.to_be_bytes());
        for (value, default) in self.values.binds.iter().zip(&self.defaults.0) {
            match value.as_ref().or(default.as_ref()) {
                Some(value) => {
                    let length = i32::try_from(value.len()).map_err(too_long)?;
                    buffer.extend_from_slice(&length.to_be_bytes());
                    buffer.extend_from_slice(value);
                }
                None => buffer.extend_from_slice(&NULL),
            }
        }
        Ok(true)
    }
}

/// The signature, no flags, and no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Stands where another row would begin with its number of columns.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// The length of NULL, which has no bytes.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

fn too_long(error: std::num::TryFromIntError) -> diesel::result::Error {
    SerializationError(Box::new(error))
}

/// No value that is copied holds the number of a type that a database gives itself: see
/// [`Encoding`](crate::types::encoding::Encoding).
struct NothingToLookUp;

impl PgMetadataLookup for NothingToLookUp {
    fn lookup_type(&mut self, _: &str, _: Option<&str>) -> PgTypeMetadata {
        PgTypeMetadata::new(0, 0)
    }
}

/// The binds of a new row, NULL for a column that is not given a value.
struct AllBinds<'r, N>(&'r N);

impl<N: NewRow> QueryFragment<Pg> for AllBinds<'_, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        (0..N::COLUMNS.len()).try_for_each(|index| self.0.bind(index, &mut out))
    }
}
