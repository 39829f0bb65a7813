//! `INSERT ... ON CONFLICT DO UPDATE` of one row.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};

use super::insert::{push_insert_into, push_value};
use super::target::{Target, separate};
use super::{Sql, Statement};
use crate::mapping::{Column, NewRow, Replaced, RowSql};

/// `INSERT ... ON CONFLICT (natural key) DO UPDATE ... RETURNING`, of one row. What was not given
/// is kept.
pub struct Upsert<'a, N: NewRow> {
    new: &'a N,
    target: Target<N::Table, N::Row>,
}

/// Inserts one row, or changes the one with the same natural key.
pub fn upsert<N: NewRow>(new: &N) -> Sql<Upsert<'_, N>> {
    Sql(Upsert {
        new,
        target: Target::new(),
    })
}

/// The placeholders of the first bound values: as many as a table may have columns here.
const PARAMETERS: [&str; 32] = [
    "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10", "$11", "$12", "$13", "$14", "$15",
    "$16", "$17", "$18", "$19", "$20", "$21", "$22", "$23", "$24", "$25", "$26", "$27", "$28",
    "$29", "$30", "$31", "$32",
];

/// `push_given` pushes a column's value, or NULL where none is given.
pub(super) fn push_on_conflict<'b, N: NewRow>(
    target: &'b Target<N::Table, N::Row>,
    out: &mut AstPass<'_, 'b, Pg>,
    mut push_given: impl FnMut(usize, &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>,
) -> QueryResult<()> {
    out.push_sql(" ON CONFLICT ");
    out.push_sql(N::CONFLICT.unwrap_or_default());
    out.push_sql(" DO UPDATE SET ");
    let columns = N::COLUMNS.iter().enumerate();
    let replaced = columns.filter(|(_, column)| column.replaced != Replaced::Never);
    for (position, (index, column)) in replaced.enumerate() {
        separate(out, position, ", ");
        out.push_identifier(column.name)?;
        out.push_sql(" = ");
        if column.replaced == Replaced::Always {
            push_excluded(column, out)?;
            continue;
        }
        out.push_sql("COALESCE(");
        if column.default.is_some() {
            // The inserted row does not distinguish the default from a value.
            push_given(index, out)?;
            out.push_sql(column.cast);
        } else {
            push_excluded(column, out)?;
        }
        out.push_sql(", ");
        target.table.walk_ast(out.reborrow())?;
        out.push_sql(".");
        out.push_identifier(column.name)?;
        out.push_sql(")");
    }
    Ok(())
}

fn push_excluded(column: &Column, out: &mut AstPass<'_, '_, Pg>) -> QueryResult<()> {
    out.push_sql("EXCLUDED.");
    out.push_identifier(column.name)
}

fn push_values<'b, N: NewRow>(
    new: &'b N,
    target: &'b Target<N::Table, N::Row>,
    out: &mut AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    push_insert_into::<N>(target, 0..N::COLUMNS.len(), out)?;
    out.push_sql(" VALUES (");
    for (index, column) in N::COLUMNS.iter().enumerate() {
        separate(out, index, ", ");
        push_value(new, index, column.default, out)?;
    }
    out.push_sql(")");
    Ok(())
}

impl<N: NewRow> Statement for Upsert<'_, N> {
    type SqlType = RowSql<N::Row>;
    type Id = Upsert<'static, N>;
    const IS_CACHEABLE: bool = true;
    const BINDS: usize = N::COLUMNS.len();

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_values(self.new, &self.target, &mut out)?;
        push_on_conflict::<N>(&self.target, &mut out, |index, out| {
            // Bound already, first of all and in the order of the columns.
            out.push_sql(PARAMETERS[index]);
            Ok(())
        })?;
        out.push_sql(" RETURNING ");
        self.target.returning.walk_ast(out)
    }

    fn push_binds<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        (0..N::COLUMNS.len()).try_for_each(|index| self.new.bind(index, &mut out))
    }
}
