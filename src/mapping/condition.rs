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
pub struct Condition<'a> {
    part: Box<dyn SqlPart + Send + 'a>,
    by: By,
}

/// The way to find the rows that meet a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Any index that serves it.
    Index,
    /// The other conditions of the query, which select few rows.
    OtherConditions,
}

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
        Self {
            part: Box::new(part),
            by: By::Index,
        }
    }

    /// Returns the condition for a query that finds its rows in this way.
    ///
    /// With [`By::OtherConditions`] it is `(... IS TRUE)`, which no index serves, and which
    /// PostgreSQL expects to be met as often. Otherwise PostgreSQL may read all entries that an
    /// index has of a value, of which the other conditions leave few.
    pub(crate) fn found(self, by: By) -> Self {
        Self { by, ..self }
    }
}

impl QueryFragment<Pg> for Condition<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self.by {
            By::Index => self.part.walk(out),
            By::OtherConditions => {
                out.push_sql("((");
                self.part.walk(out.reborrow())?;
                out.push_sql(") IS TRUE)");
                Ok(())
            }
        }
    }
}

impl Expression for Condition<'_> {
    type SqlType = Bool;
}

impl<T> AppearsOnTable<T> for Condition<'_> {}

impl<G> ValidGrouping<G> for Condition<'_> {
    type IsAggregate = is_aggregate::No;
}
