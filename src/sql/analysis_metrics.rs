//! The statement of `analysis.analysis_metrics`.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, Text, Uuid};

use super::list::push_list;
use super::{Sql, Statement};
use crate::mapping::{Columns, RowSql, columns_of};
use crate::{AnalysisMetric, ProjectId};

/// The query that returns, for each of several names, the metric of a project's newest completed
/// analysis that has it.
///
/// The project's analyses are read newest first, through `idx_analyses_project_created_id`, until
/// one has the metric.
pub(crate) struct LatestOfProject<'a> {
    project_id: ProjectId,
    metric_names: &'a [&'a str],
    columns: Columns<AnalysisMetric>,
}

impl<'a> LatestOfProject<'a> {
    pub(crate) fn new(project_id: ProjectId, metric_names: &'a [&'a str]) -> Sql<Self> {
        Sql(Self {
            project_id,
            metric_names,
            columns: columns_of::<AnalysisMetric>(),
        })
    }
}

impl Statement for LatestOfProject<'_> {
    type SqlType = RowSql<AnalysisMetric>;
    type Id = LatestOfProject<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT latest.* FROM pg_catalog.unnest(");
        push_list::<Array<Text>, _>(&mut out, &self.metric_names)?;
        out.push_sql(") AS metric (name) CROSS JOIN LATERAL (SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            " FROM analysis.analyses \
             JOIN analysis.analysis_metrics ON analysis_metrics.analysis_id = analyses.id \
             WHERE analyses.project_id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.project_id)?;
        out.push_sql(
            " AND analyses.status = 'completed' AND analysis_metrics.metric_name = metric.name \
             ORDER BY analyses.created_at DESC, analyses.id DESC, \
             analysis_metrics.created_at DESC, analysis_metrics.id DESC LIMIT 1) AS latest",
        );
        Ok(())
    }
}
