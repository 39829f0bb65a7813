//! A page of the rows of each of many parents.

use diesel::expression::{Expression, SqlLiteral};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::sql_types::{self, Array, SqlType};
use diesel::{QueryResult, dsl};
use uuid::Uuid;

use super::list::push_list;
use super::{Identity, Sql, Statement};
use crate::types::ids::uuids;

/// `SELECT ... FROM parents CROSS JOIN LATERAL (a page of the parent's rows)`: no more is read for
/// any parent than its page. With a limit inside, this can only be a nested loop, which keeps the
/// order of each parent's rows.
pub struct PagePerParent<Q> {
    parents: Vec<Uuid>,
    rows: Q,
}

/// Returns a page for each parent, from a query that compares its parent with [`parent_id`].
pub fn page_per_parent<I: Copy + Into<Uuid>, Q>(ids: &[I], rows: Q) -> Sql<PagePerParent<Q>> {
    let mut parents = uuids(ids);
    // One that is asked for twice would get its rows twice.
    parents.sort_unstable();
    parents.dedup();
    Sql(PagePerParent { parents, rows })
}

/// Inside [`page_per_parent`], the parent whose rows are looked for, as a value for the column.
pub fn parent_id<C: Expression<SqlType: SqlType>>(_: C) -> SqlLiteral<C::SqlType> {
    dsl::sql("parent.id")
}

impl<Q: QueryFragment<Pg> + Query> Statement for PagePerParent<Q> {
    type SqlType = Q::SqlType;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;
    // `parent_id` has one text, which diesel does not assume of SQL that is given to it.
    const IS_CACHEABLE: bool = true;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT child.* FROM pg_catalog.unnest(");
        push_list::<Array<sql_types::Uuid>, _>(&mut out, &self.parents)?;
        out.push_sql(") AS parent (id) CROSS JOIN LATERAL (");
        self.rows.walk_ast(out.reborrow())?;
        out.push_sql(") AS child");
        Ok(())
    }
}
