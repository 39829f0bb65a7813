//! Keyset pagination: the order of a list, and the condition for the rows after a cursor's row.
//!
//! The sort column and the id are compared as one record. An index on both finds the position
//! however far into the list it is, and however many rows share the sort column's value.

use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::expression::{
    AppearsOnTable, Expression, SelectableExpression, ValidGrouping,
    expression_types::NotSelectable, is_aggregate,
};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::serialize::ToSql;
use diesel::sql_types::{self, HasSqlType};
use uuid::Uuid;

use super::condition::{Condition, SqlPart};
use crate::Result;
use crate::pagination::{Cursor, Key, SortKey};

/// A part of a query, without its type.
pub type Part = &'static (dyn SqlPart + Sync);

/// The column that a list is sorted by. Rows with the same value are sorted by id.
pub struct SortColumn {
    /// The table's and the column's name, as a cursor has it.
    pub name: &'static str,
    /// The table.
    pub table: Part,
    /// The column.
    pub column: Part,
    /// The key.
    pub id: Part,
    /// The type of the column.
    pub key: KeyType,
    /// True if the list ascends.
    pub is_ascending: bool,
}

/// What depends on the type of a sort column.
pub struct KeyType {
    bind: fn(&Key) -> Option<Box<dyn SqlPart + Send>>,
    is_last: fn(&Key) -> bool,
}

impl KeyType {
    /// Returns the type of a row's field, whose column has the SQL type `S`.
    pub fn of<S, R, K>(_: fn(&R) -> &K) -> Self
    where
        S: 'static,
        Pg: HasSqlType<S>,
        K: SortKey<Bound: ToSql<S, Pg> + Send + 'static>,
    {
        Self {
            bind: |key| {
                let bound: KeyBind<S, _> = KeyBind(K::from_key(key)?, PhantomData);
                Some(Box::new(bound))
            },
            is_last: K::is_last,
        }
    }
}

impl SortColumn {
    /// Returns the condition for the rows of a page that begins at a cursor, and the order of its
    /// rows.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the cursor is of another list
    pub(crate) fn page(
        &self,
        cursor: Option<&Cursor>,
        is_backward: bool,
    ) -> Result<(Option<Condition<'static>>, ListOrder)> {
        let ascends = self.is_ascending != is_backward;
        let condition = cursor.map(|cursor| self.rows_after(cursor, ascends));
        let order = ListOrder {
            column: self.column,
            id: self.id,
            ascends,
        };
        Ok((condition.transpose()?, order))
    }

    /// Returns the sort column, named `key`, and the id.
    pub(crate) fn keys(&self) -> SortKeys {
        SortKeys {
            column: self.column,
            id: self.id,
        }
    }

    fn rows_after(&self, cursor: &Cursor, ascends: bool) -> Result<Condition<'static>> {
        let key = cursor.key_of(self.name)?;
        let bound = (self.key.bind)(key).ok_or_else(Cursor::mistyped)?;
        if (self.key.is_last)(key) {
            return Ok(Condition::new(Beyond {
                table: self.table,
                column: self.column,
                name: self.name.rsplit('.').next().unwrap_or(self.name),
                id: cursor.id(),
                ascends,
            }));
        }
        Ok(Condition::new(Following {
            column: self.column,
            id_column: self.id,
            key: bound,
            id: cursor.id(),
            ascends,
        }))
    }
}

/// The value of a sort column, as it is bound.
struct KeyBind<S, B>(B, PhantomData<fn() -> S>);

impl<S, B> QueryFragment<Pg> for KeyBind<S, B>
where
    Pg: HasSqlType<S>,
    B: ToSql<S, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<S, B>(&self.0)
    }
}

/// The order of the rows of a list.
pub struct ListOrder {
    column: Part,
    id: Part,
    ascends: bool,
}

impl ListOrder {
    /// Checks whether the rows are in ascending order.
    pub(crate) const fn ascends(&self) -> bool {
        self.ascends
    }
}

impl Expression for ListOrder {
    type SqlType = NotSelectable;
}

impl<T> AppearsOnTable<T> for ListOrder {}

impl QueryFragment<Pg> for ListOrder {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let direction = if self.ascends { " ASC" } else { " DESC" };
        self.column.walk(out.reborrow())?;
        out.push_sql(direction);
        out.push_sql(", ");
        self.id.walk(out.reborrow())?;
        out.push_sql(direction);
        Ok(())
    }
}

/// A sort column, named `key`, and the id: the columns of a query whose rows are merged with others
/// by another query.
pub(crate) struct SortKeys {
    column: Part,
    id: Part,
}

impl Expression for SortKeys {
    type SqlType = NotSelectable;
}

impl<T> AppearsOnTable<T> for SortKeys {}
impl<T> SelectableExpression<T> for SortKeys {}
impl<G> ValidGrouping<G> for SortKeys {
    type IsAggregate = is_aggregate::No;
}

impl QueryFragment<Pg> for SortKeys {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.column.walk(out.reborrow())?;
        out.push_sql(" AS key, ");
        self.id.walk(out.reborrow())
    }
}

/// A condition for the rows on one side of a row.
///
/// The values are subqueries: the server then has the same estimate of the rows in a plan for given
/// values as in one for any values. Otherwise, it would make a plan for each of the first pages of
/// a list.
struct Following {
    column: Part,
    id_column: Part,
    key: Box<dyn SqlPart + Send>,
    id: Uuid,
    ascends: bool,
}

impl QueryFragment<Pg> for Following {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("((");
        self.column.walk(out.reborrow())?;
        out.push_sql(", ");
        self.id_column.walk(out.reborrow())?;
        out.push_sql(if self.ascends {
            ") > ((SELECT "
        } else {
            ") < ((SELECT "
        });
        self.key.walk(out.reborrow())?;
        out.push_sql("), (SELECT ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        out.push_sql(")))");
        Ok(())
    }
}

/// A condition for the rows on one side of a row whose time is later than those of `chrono`.
///
/// The cursor contains the latest time of `chrono` instead, as the row does. The condition
/// therefore looks up the row's time: otherwise, rows after such a row would be repeated or
/// skipped. The time of a row that has since been deleted counts as `infinity`.
pub(crate) struct Beyond {
    pub(crate) table: Part,
    pub(crate) column: Part,
    /// The column's name, without the table's.
    pub(crate) name: &'static str,
    pub(crate) id: Uuid,
    pub(crate) ascends: bool,
}

impl QueryFragment<Pg> for Beyond {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(");
        self.column.walk(out.reborrow())?;
        out.push_sql(", ");
        self.table.walk(out.reborrow())?;
        out.push_sql(if self.ascends { ".id) > (" } else { ".id) < (" });
        out.push_sql("COALESCE((SELECT place.");
        out.push_identifier(self.name)?;
        out.push_sql(" FROM ");
        self.table.walk(out.reborrow())?;
        out.push_sql(" AS place WHERE place.id = ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        out.push_sql(" AND place.");
        out.push_identifier(self.name)?;
        out.push_sql(" >= '262142-12-31 23:59:59.999999+00'), 'infinity'), ");
        out.push_bind_param::<sql_types::Uuid, _>(&self.id)?;
        out.push_sql(")");
        Ok(())
    }
}
