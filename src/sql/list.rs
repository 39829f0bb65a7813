//! Lists of values, whose length does not matter for the plan.
//!
//! The server makes a plan for given values at each of the first five calls. It goes on so if a
//! plan for any values seems dearer. A list of unknown length is taken for ten values, so that a
//! statement with a shorter one is planned at each call, which takes longer than its work. The list
//! is therefore a subquery: its length is unknown in plans of both kinds.

use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{Array, Bool, Uuid};
use diesel::{Expression, QueryResult};

/// Pushes a list as an expression: `(SELECT $1)`.
pub(crate) fn push_list<'b, ST, T>(out: &mut AstPass<'_, 'b, Pg>, values: &'b T) -> QueryResult<()>
where
    Pg: diesel::sql_types::HasSqlType<ST>,
    T: ToSql<ST, Pg>,
{
    out.push_sql("(SELECT ");
    out.push_bind_param::<ST, T>(values)?;
    out.push_sql(")");
    Ok(())
}

/// Pushes the right side of a comparison with each of the ids: `ANY ((SELECT $1)::uuid[])`.
pub(crate) fn push_any_of<'b, T>(out: &mut AstPass<'_, 'b, Pg>, ids: &'b T) -> QueryResult<()>
where
    T: ToSql<Array<Uuid>, Pg>,
{
    out.push_sql("ANY (");
    push_list::<Array<Uuid>, T>(out, ids)?;
    // Without the cast, ANY would compare with the rows of the subquery.
    out.push_sql("::pg_catalog.uuid[])");
    Ok(())
}

/// Returns the condition for rows whose column is one of the ids.
pub(crate) fn is_one_of<C, T>(column: C, ids: &[T]) -> IsOneOf<C, &[T]> {
    IsOneOf { column, ids }
}

/// As [`is_one_of`], for a query that outlives the ids of the caller.
pub(crate) fn is_one_of_owned<C, T>(column: C, ids: Vec<T>) -> IsOneOf<C, Vec<T>> {
    IsOneOf { column, ids }
}

/// The condition for rows whose column is one of the ids.
#[derive(Debug, Clone, Copy)]
pub struct IsOneOf<C, L> {
    column: C,
    ids: L,
}

impl<C: QueryId, L> QueryId for IsOneOf<C, L> {
    type QueryId = IsOneOf<C::QueryId, ()>;
    const HAS_STATIC_QUERY_ID: bool = C::HAS_STATIC_QUERY_ID;
}

impl<C, L> QueryFragment<Pg> for IsOneOf<C, L>
where
    C: QueryFragment<Pg>,
    L: ToSql<Array<Uuid>, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" = ");
        push_any_of(&mut out, &self.ids)?;
        out.push_sql(")");
        Ok(())
    }
}

impl<C: Expression, L> Expression for IsOneOf<C, L> {
    type SqlType = Bool;
}

impl<C: AppearsOnTable<T>, L, T> AppearsOnTable<T> for IsOneOf<C, L> {}
impl<C: SelectableExpression<T>, L, T> SelectableExpression<T> for IsOneOf<C, L> {}
impl<C, L, G> ValidGrouping<G> for IsOneOf<C, L> {
    type IsAggregate = is_aggregate::No;
}
