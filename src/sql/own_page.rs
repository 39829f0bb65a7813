//! A page of an application's own query, with the total or without it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Record};

use super::{Identity, Sql, Statement};
use crate::mapping::condition::{Condition, SqlPart};
use crate::mapping::keyset::ListOrder;

/// `SELECT ... ORDER BY ... LIMIT`: the rows of a page, read as the SQL type `S`.
///
/// The order and the limit follow the query, so that the total does not have them.
pub struct OwnPage<Q, S> {
    query: Q,
    begins_at_cursor: Arc<AtomicBool>,
    order: ListOrder,
    limit: i64,
    sql_type: PhantomData<fn() -> S>,
}

/// `SELECT ARRAY(rows), (total)`: the rows of a page, and the number of all rows.
pub struct OwnPageWithTotal<Q, S>(OwnPage<Q, S>);

/// The condition that a page begins at its cursor. It is left out of the total, which is counted by
/// the same query.
struct AtCursor {
    condition: Condition<'static>,
    is_on: Arc<AtomicBool>,
}

impl SqlPart for AtCursor {
    fn walk<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if self.is_on.load(Ordering::Relaxed) {
            return self.condition.walk_ast(out);
        }
        out.push_sql("TRUE");
        Ok(())
    }
}

/// Returns the page of a query. `filter` adds the condition that the page begins at its cursor.
pub(crate) fn own_page<Q, S>(
    query: Q,
    condition: Option<Condition<'static>>,
    order: ListOrder,
    limit: i64,
    filter: impl FnOnce(Q, Condition<'static>) -> Q,
) -> OwnPage<Q, S> {
    let begins_at_cursor = Arc::new(AtomicBool::new(true));
    let query = match condition {
        Some(condition) => {
            let is_on = Arc::clone(&begins_at_cursor);
            filter(query, Condition::new(AtCursor { condition, is_on }))
        }
        None => query,
    };
    OwnPage {
        query,
        begins_at_cursor,
        order,
        limit,
        sql_type: PhantomData,
    }
}

impl<Q, S> OwnPage<Q, S> {
    /// Returns the statement that reads the rows.
    pub(crate) fn rows(self) -> Sql<Self> {
        Sql(self)
    }

    /// Returns the statement that reads the rows and counts those of all pages.
    pub(crate) fn with_total(self) -> Sql<OwnPageWithTotal<Q, S>> {
        Sql(OwnPageWithTotal(self))
    }
}

impl<Q: QueryFragment<Pg>, S> Statement for OwnPage<Q, S> {
    type SqlType = S;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(" ORDER BY ");
        self.order.walk_ast(out.reborrow())?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

impl<Q: QueryFragment<Pg>, S: 'static> Statement for OwnPageWithTotal<Q, S> {
    type SqlType = (Array<Record<S>>, BigInt);
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ARRAY(SELECT record FROM (");
        self.0.push(out.reborrow())?;
        out.push_sql(") AS record), (SELECT pg_catalog.count(*) FROM (");
        // A statement is written by one task at a time.
        self.0.begins_at_cursor.store(false, Ordering::Relaxed);
        let counted = self.0.query.walk_ast(out.reborrow());
        self.0.begins_at_cursor.store(true, Ordering::Relaxed);
        counted?;
        out.push_sql(") AS counted)");
        Ok(())
    }
}
