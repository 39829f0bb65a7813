//! `UPDATE` of what a filter matches.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};

use super::target::Target;
use super::update::push_update;
use super::{Identity, Sql, Statement};
use crate::mapping::Changes;

/// `UPDATE` of the rows whose ids a query returns. The rows are locked first. The server evaluates
/// the query again for a row that has changed meanwhile, and leaves it if the query no longer
/// matches.
///
/// The changes set at least one column.
pub struct UpdateMatching<'a, C: Changes, Q> {
    changes: &'a C,
    target: Target<C::Table, C::Row>,
    ids: Q,
}

/// Updates the rows whose ids the query returns.
pub fn update_matching<C: Changes, Q>(changes: &C, ids: Q) -> Sql<UpdateMatching<'_, C, Q>> {
    Sql(UpdateMatching {
        changes,
        target: Target::new(),
        ids,
    })
}

impl<C: Changes, Q: QueryFragment<Pg>> Statement for UpdateMatching<'_, C, Q> {
    type SqlType = ();
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_update(self.changes, &self.target, &mut out)?;
        out.push_sql(" WHERE \"id\" IN (");
        self.ids.walk_ast(out.reborrow())?;
        out.push_sql(" FOR UPDATE)");
        Ok(())
    }
}
