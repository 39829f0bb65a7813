//! The statements of the dashboard.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Uuid};

use super::{Sql, Statement};
use crate::mapping::expressions::EACH_TYPE;
use crate::mapping::{Columns, RowSql, columns_of};
use crate::schema::analysis::sql_types::IssueSeverity as IssueSeveritySql;
use crate::{Analysis, ProjectId};

/// The query for the newest analysis of each type.
pub(crate) struct NewestOfTypes {
    project_id: ProjectId,
    columns: Columns<Analysis>,
}

impl NewestOfTypes {
    pub(crate) fn new(project_id: ProjectId) -> Sql<Self> {
        Sql(Self {
            project_id,
            columns: columns_of::<Analysis>(),
        })
    }
}

impl Statement for NewestOfTypes {
    type SqlType = RowSql<Analysis>;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT newest.* FROM ");
        out.push_sql(EACH_TYPE);
        out.push_sql(" CROSS JOIN LATERAL (SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(" FROM analysis.analyses WHERE analyses.project_id = ");
        out.push_bind_param::<Uuid, _>(&self.project_id)?;
        out.push_sql(
            " AND analyses.type = kind.type ORDER BY analyses.created_at DESC, analyses.id DESC LIMIT 1) AS newest \
             ORDER BY kind.position",
        );
        Ok(())
    }
}

/// The query for the number of open issues of each severity in the newest completed analyses of
/// each type.
pub(crate) struct OpenIssues(pub(crate) ProjectId);

impl Statement for OpenIssues {
    type SqlType = (IssueSeveritySql, BigInt);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT counted.severity, pg_catalog.sum(counted.number)::bigint FROM ");
        out.push_sql(EACH_TYPE);
        out.push_sql(
            " CROSS JOIN LATERAL (SELECT analyses.id FROM analysis.analyses WHERE analyses.project_id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(
            " AND analyses.type = kind.type AND analyses.status = 'completed' \
             ORDER BY analyses.created_at DESC, analyses.id DESC LIMIT 1) AS newest \
             CROSS JOIN LATERAL (SELECT issue.severity, pg_catalog.count(*) AS number FROM analysis.analysis_issues AS issue \
             WHERE issue.analysis_id = newest.id AND issue.status = 'open' GROUP BY issue.severity) AS counted \
             GROUP BY counted.severity",
        );
        Ok(())
    }
}
