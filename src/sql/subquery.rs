//! Several queries in one statement, which sees one moment and takes one round trip.

use diesel::expression::{
    AppearsOnTable, SelectableExpression, TypedExpressionType, ValidGrouping, is_aggregate,
};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Record, SqlType};
use diesel::{Expression, QueryResult};

/// All rows of a query, in its order, as one value of another: an array of records.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct ArraySubquery<Q>(pub(crate) Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for ArraySubquery<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("ARRAY(SELECT record FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS record)");
        Ok(())
    }
}

impl<Q: Query> Expression for ArraySubquery<Q>
where
    Array<Record<Q::SqlType>>: SqlType + TypedExpressionType,
{
    type SqlType = Array<Record<Q::SqlType>>;
}

impl<Q, T> AppearsOnTable<T> for ArraySubquery<Q> where Self: Expression {}
impl<Q, T> SelectableExpression<T> for ArraySubquery<Q> where Self: Expression {}
impl<Q, G> ValidGrouping<G> for ArraySubquery<Q> {
    type IsAggregate = is_aggregate::No;
}

/// The only row of a query of one column, as a value of another.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct ScalarSubquery<Q>(pub(crate) Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for ScalarSubquery<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}

impl<Q: Query<SqlType: SqlType + TypedExpressionType>> Expression for ScalarSubquery<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, T> AppearsOnTable<T> for ScalarSubquery<Q> where Self: Expression {}
impl<Q, T> SelectableExpression<T> for ScalarSubquery<Q> where Self: Expression {}
impl<Q, G> ValidGrouping<G> for ScalarSubquery<Q> {
    type IsAggregate = is_aggregate::No;
}
