//! Conditions of queries, without their types.
//!
//! The type of a diesel expression names each of its parts. A query that gets its conditions at run
//! time is boxed, but each of its methods would still be compiled for each condition, with all that
//! the condition consists of in its name.

use diesel::expression::{AppearsOnTable, Expression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Bool, BoolOrNullableBool};
use diesel::{QueryResult, QuerySource};

/// A part of a statement, as a trait object.
///
/// `dyn QueryFragment` would do as well. Its table of methods has four more for each type, which
/// all walk the part.
pub trait SqlPart {
    /// Writes the part's text and its binds.
    fn walk<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

impl<E: QueryFragment<Pg>> SqlPart for E {
    fn walk<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk_ast(out)
    }
}

/// A condition of a boxed query.
pub struct Condition<'a>(Box<dyn SqlPart + Send + 'a>);

/// Returns the condition without its type. The compiler checks that its columns are of the table.
pub(crate) fn condition<'a, T, E>(_: T, condition: E) -> Condition<'a>
where
    T: QuerySource,
    E: AppearsOnTable<T> + Expression<SqlType: BoolOrNullableBool> + QueryFragment<Pg> + Send + 'a,
{
    Condition::new(condition)
}

impl<'a> Condition<'a> {
    /// Returns a condition that is in place in any query that it is used in.
    pub(crate) fn new(part: impl SqlPart + Send + 'a) -> Self {
        Self(Box::new(part))
    }
}

impl QueryFragment<Pg> for Condition<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk(out)
    }
}

impl Expression for Condition<'_> {
    type SqlType = Bool;
}

impl<T> AppearsOnTable<T> for Condition<'_> {}

impl<G> ValidGrouping<G> for Condition<'_> {
    type IsAggregate = is_aggregate::No;
}
