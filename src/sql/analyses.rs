//! The statements of `analysis.analyses`.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Uuid};

use super::list::push_list;
use super::{Sql, Statement};
use crate::mapping::{Columns, RowSql, columns_of};
use crate::{Analysis, ProjectId};

/// The newest analyses of each of several projects.
///
/// For each project, only as many rows are read as are returned, through
/// `idx_analyses_project_created_id`.
pub(crate) struct NewestOfProjects<'a> {
    project_ids: &'a [ProjectId],
    each: i64,
    columns: Columns<Analysis>,
}

impl<'a> NewestOfProjects<'a> {
    pub(crate) fn new(project_ids: &'a [ProjectId], each: u32) -> Sql<Self> {
        Sql(Self {
            project_ids,
            each: each.into(),
            columns: columns_of::<Analysis>(),
        })
    }
}

impl Statement for NewestOfProjects<'_> {
    type SqlType = RowSql<Analysis>;
    type Id = NewestOfProjects<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // DISTINCT: otherwise a project that is listed twice would return its rows twice.
        out.push_sql("SELECT newest.* FROM (SELECT DISTINCT pg_catalog.unnest(");
        push_list::<Array<Uuid>, _>(&mut out, &self.project_ids)?;
        out.push_sql(")) AS project (id) CROSS JOIN LATERAL (SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            " FROM analysis.analyses WHERE analyses.project_id = project.id \
             ORDER BY analyses.created_at DESC, analyses.id DESC LIMIT ",
        );
        push_list::<BigInt, _>(&mut out, &self.each)?;
        out.push_sql(") AS newest ORDER BY newest.created_at DESC, newest.id DESC");
        Ok(())
    }
}
