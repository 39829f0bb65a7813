//! Parts that several statements share.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::{QueryResult, QuerySource, Table};

use crate::mapping::{Columns, TableRow, columns_of};

/// Writes `separator` before every element but the first.
pub(super) fn separate(out: &mut AstPass<'_, '_, Pg>, index: usize, separator: &str) {
    if index > 0 {
        out.push_sql(separator);
    }
}

/// The table and the columns that a statement returns. The statement owns them, since diesel's pass
/// borrows them.
pub(crate) struct Target<T: QuerySource, R: TableRow> {
    pub(super) table: T::FromClause,
    pub(super) returning: Columns<R>,
}

impl<T, R> Target<T, R>
where
    T: Table + Default + QuerySource<FromClause: QueryFragment<Pg>>,
    R: TableRow,
{
    pub(super) fn new() -> Self {
        Self {
            table: T::default().from_clause(),
            returning: columns_of(),
        }
    }

    /// Writes `SELECT`, the columns, `FROM`, and the table.
    pub(super) fn push_select<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.returning.walk_ast(out.reborrow())?;
        out.push_sql(" FROM ");
        self.table.walk_ast(out.reborrow())
    }
}
