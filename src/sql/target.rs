//! Parts that several statements share.

use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::{QuerySource, Selectable, Table};

/// Writes `separator` before every element but the first.
pub(super) fn separate(out: &mut AstPass<'_, '_, Pg>, index: usize, separator: &str) {
    if index > 0 {
        out.push_sql(separator);
    }
}

/// The table and the columns that a statement returns. The statement owns them, since diesel's pass borrows them.
pub(crate) struct Target<T: QuerySource, R: Selectable<Pg>> {
    pub(super) table: T::FromClause,
    pub(super) returning: R::SelectExpression,
}

impl<T, R> Target<T, R>
where
    T: Table + Default,
    R: Selectable<Pg>,
{
    pub(super) fn new() -> Self {
        Self {
            table: T::default().from_clause(),
            returning: R::construct_selection(),
        }
    }
}
