//! The analyses of a project, as the filters of its findings name them.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::Uuid;

use super::expressions::EACH_TYPE;
use crate::ProjectId;

/// The query for the ids of a project's analyses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnalysesOf {
    /// All analyses of the project.
    Project(ProjectId),
    /// The newest completed analysis of each type.
    Newest(ProjectId),
}

impl QueryFragment<Pg> for AnalysesOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::Project(project_id) => {
                out.push_sql(
                    "SELECT analyses.id FROM analysis.analyses WHERE analyses.project_id = ",
                );
                out.push_bind_param::<Uuid, _>(project_id)?;
            }
            Self::Newest(project_id) => {
                out.push_sql("SELECT newest.id FROM ");
                out.push_sql(EACH_TYPE);
                out.push_sql(
                    " CROSS JOIN LATERAL (SELECT analyses.id FROM analysis.analyses WHERE analyses.project_id = ",
                );
                out.push_bind_param::<Uuid, _>(project_id)?;
                out.push_sql(
                    " AND analyses.type = kind.type AND analyses.status = 'completed' \
                     ORDER BY analyses.created_at DESC, analyses.id DESC LIMIT 1) AS newest",
                );
            }
        }
        Ok(())
    }
}

/// The condition for issues of these analyses.
///
/// The ids are an array, which is computed once. PostgreSQL could join a subquery to the issues in
/// a plan that reads all of them.
pub(crate) struct OfAnalyses(pub(crate) AnalysesOf);

impl QueryFragment<Pg> for OfAnalyses {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(analysis.analysis_issues.analysis_id = ANY (ARRAY(");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(")))");
        Ok(())
    }
}
