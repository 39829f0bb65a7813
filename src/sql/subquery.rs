//! Several queries in one statement, which sees one moment and takes one round trip.

use diesel::deserialize::{self, FromSql, FromSqlRow, Queryable};
use diesel::expression::{
    AppearsOnTable, SelectableExpression, TypedExpressionType, ValidGrouping, is_aggregate,
};
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Record, SqlType};
use diesel::{Expression, QueryResult, Selectable};

use crate::mapping::decoding::undecodable_among;

/// Returns the columns of a row, for a query that stands in another: what `as_select` gives says of itself only whose they are.
pub(crate) fn columns_of<R: Selectable<Pg>>() -> R::SelectExpression {
    R::construct_selection()
}

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

/// The only row of a query of one column, as a value of another.
#[derive(Debug, Clone, Copy, QueryId)]
pub(crate) struct ValueOf<Q>(pub(crate) Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for ValueOf<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}

impl<Q: Query<SqlType: SqlType + TypedExpressionType>> Expression for ValueOf<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, T> AppearsOnTable<T> for ValueOf<Q> where Self: Expression {}
impl<Q, T> SelectableExpression<T> for ValueOf<Q> where Self: Expression {}
impl<Q, G> ValidGrouping<G> for ValueOf<Q> {
    type IsAggregate = is_aggregate::No;
}

/// What [`RowsOf`] a query is read into.
#[derive(Debug, FromSqlRow)]
pub(crate) struct Rows<T>(pub(crate) Vec<T>);

impl<T, S> FromSql<Array<Record<S>>, Pg> for Rows<T>
where
    T: Queryable<S, Pg> + FromSqlRow<S, Pg> + 'static,
    Vec<T::Row>: FromSql<Array<Record<S>>, Pg>,
{
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let (bytes, number) = (value.as_bytes(), value.get_oid());
        let value = PgValue::new(bytes, &number);
        let rows: deserialize::Result<Vec<T::Row>> = FromSql::from_sql(value);
        let rows = rows.and_then(|rows| rows.into_iter().map(T::build).collect());
        rows.map(Self)
            .map_err(|cause| match undecodable_among::<S, T>(bytes) {
                Some(row) => Box::new(row),
                None => cause,
            })
    }
}
