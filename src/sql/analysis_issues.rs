//! The statement of `analysis.analysis_issues`.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::Uuid;

use super::{Identity, Sql, Statement};
use crate::UserId;

/// The statement that resolves the issues whose ids a query selects.
pub(crate) struct ResolveMatching<Q> {
    ids: Q,
    by: UserId,
}

impl<Q> ResolveMatching<Q> {
    pub(crate) const fn new(ids: Q, by: UserId) -> Sql<Self> {
        Sql(Self { ids, by })
    }
}

impl<Q: QueryFragment<Pg>> Statement for ResolveMatching<Q> {
    type SqlType = ();
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE analysis.analysis_issues \
             SET status = 'resolved', resolved_at = pg_catalog.now(), resolved_by = ",
        );
        out.push_bind_param::<Uuid, _>(&self.by)?;
        out.push_sql(" WHERE id IN (");
        self.ids.walk_ast(out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}
