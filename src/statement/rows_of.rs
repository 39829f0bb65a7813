//! Several queries in one statement, which sees one moment and takes one round trip.

use diesel::deserialize::{self, FromSql, FromSqlRow, Queryable};
use diesel::expression::{
    AppearsOnTable, SelectableExpression, TypedExpressionType, ValidGrouping, is_aggregate,
};
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Record, SqlType};
use diesel::{Expression, QueryResult};

/// All rows of a query, in its order, as one value of another: an array of records.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct RowsOf<Q>(pub(crate) Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for RowsOf<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("ARRAY(SELECT record FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS record)");
        Ok(())
    }
}

impl<Q: Query> Expression for RowsOf<Q>
where
    Array<Record<Q::SqlType>>: SqlType + TypedExpressionType,
{
    type SqlType = Array<Record<Q::SqlType>>;
}

impl<Q, T> AppearsOnTable<T> for RowsOf<Q> where Self: Expression {}
impl<Q, T> SelectableExpression<T> for RowsOf<Q> where Self: Expression {}
impl<Q, G> ValidGrouping<G> for RowsOf<Q> {
    type IsAggregate = is_aggregate::No;
}

/// What [`RowsOf`] a query is read into.
#[derive(Debug, FromSqlRow)]
pub(crate) struct Rows<T>(pub(crate) Vec<T>);

impl<T, S> FromSql<Array<Record<S>>, Pg> for Rows<T>
where
    T: Queryable<S, Pg>,
    Vec<T::Row>: FromSql<Array<Record<S>>, Pg>,
{
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let rows: Vec<T::Row> = FromSql::from_sql(value)?;
        rows.into_iter()
            .map(T::build)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
