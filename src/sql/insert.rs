//! `INSERT` of one row and of many.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};

use super::target::{Target, separate};
use super::{Identity, Sql, Statement};
use crate::Error;
#[cfg(doc)]
use crate::mapping::ROWS_PER_STATEMENT;
use crate::mapping::{ColumnValues, NewRow, RowSql, columns};

/// Returns the columns that an insert names.
fn given<N: NewRow>(new: &N) -> impl Iterator<Item = usize> {
    (0..N::COLUMNS.len()).filter(|&index| new.is_given(index))
}

/// `INSERT ... RETURNING`, of one row. It names the columns that are given, so that the others get
/// their defaults.
pub struct Insert<'a, N: NewRow> {
    pub(super) new: &'a N,
    target: Target<N::Table, N::Row>,
}

/// `INSERT ... SELECT ... FROM UNNEST(...)`, of up to [`ROWS_PER_STATEMENT`] rows.
pub struct InsertMany<'a, N: NewRow> {
    columns: Vec<ColumnValues<'a>>,
    target: Target<N::Table, N::Row>,
}

/// Inserts one row.
pub fn insert<N: NewRow>(new: &N) -> Sql<Insert<'_, N>> {
    Sql(Insert {
        new,
        target: Target::new(),
    })
}

/// Inserts many rows.
pub fn insert_many<N: NewRow>(new: &[N]) -> Sql<InsertMany<'_, N>> {
    Sql(InsertMany {
        columns: columns(new),
        target: Target::new(),
    })
}

/// Returns the error of an insert or upsert that has returned no row.
pub(crate) fn suppressed<N: NewRow>() -> Error {
    let name = std::any::type_name::<N::Row>();
    let what = name.rsplit("::").next().unwrap_or(name);
    Error::Suppressed { what }
}

/// Writes `INSERT INTO`, the table, and the columns with these indexes.
pub(super) fn push_insert_into<'b, N: NewRow>(
    target: &'b Target<N::Table, N::Row>,
    columns: impl Iterator<Item = usize>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    out.push_sql("INSERT INTO ");
    target.table.walk_ast(out.reborrow())?;
    out.push_sql(" (");
    for (position, index) in columns.enumerate() {
        separate(out, position, ", ");
        out.push_identifier(N::COLUMNS[index].name)?;
    }
    out.push_sql(")");
    Ok(())
}

/// Writes a column's value, or `absent` where none is given.
pub(super) fn push_value<'b, N: NewRow>(
    new: &'b N,
    index: usize,
    absent: Option<&str>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    if absent.is_some() {
        out.push_sql("COALESCE(");
    }
    new.bind(index, out)?;
    out.push_sql(N::COLUMNS[index].cast);
    if let Some(absent) = absent {
        out.push_sql(", ");
        out.push_sql(absent);
        out.push_sql(")");
    }
    Ok(())
}

impl<N: NewRow> Statement for Insert<'_, N> {
    type SqlType = RowSql<N::Row>;
    type Id = Insert<'static, N>;
    const IDENTITY: Identity = Identity::Shape;
    const IS_CACHEABLE: bool = true;
    const BINDS: usize = N::COLUMNS.len();

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_insert_into::<N>(&self.target, given(self.new), &mut out)?;
        out.push_sql(" VALUES (");
        for (position, index) in given(self.new).enumerate() {
            separate(&mut out, position, ", ");
            push_value(self.new, index, None, &mut out)?;
        }
        out.push_sql(") RETURNING ");
        self.target.returning.walk_ast(out)
    }

    fn push_binds<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        given(self.new).try_for_each(|index| self.new.bind(index, &mut out))
    }

    /// Returns a bit for each column that is given a value.
    fn shape(&self) -> u64 {
        const { assert!(N::COLUMNS.len() <= 64, "a bit for each column") };
        given(self.new).map(|index| 1 << index).sum()
    }
}

impl<N: NewRow> Statement for InsertMany<'_, N> {
    type SqlType = ();
    type Id = InsertMany<'static, N>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_insert_into::<N>(&self.target, 0..N::COLUMNS.len(), &mut out)?;
        out.push_sql(" SELECT ");
        for (index, column) in N::COLUMNS.iter().enumerate() {
            separate(&mut out, index, ", ");
            if column.default.is_some() {
                out.push_sql("COALESCE(");
            }
            out.push_sql("\"new\".");
            out.push_identifier(column.name)?;
            out.push_sql(column.cast);
            if let Some(default) = column.default {
                out.push_sql(", ");
                out.push_sql(default);
                out.push_sql(")");
            }
        }
        out.push_sql(" FROM UNNEST(");
        for (index, (column, values)) in N::COLUMNS.iter().zip(&self.columns).enumerate() {
            separate(&mut out, index, ", ");
            (column.bind_array)(values, &mut out)?;
        }
        out.push_sql(") AS \"new\" (");
        for (index, column) in N::COLUMNS.iter().enumerate() {
            separate(&mut out, index, ", ");
            out.push_identifier(column.name)?;
        }
        out.push_sql(")");
        Ok(())
    }
}
