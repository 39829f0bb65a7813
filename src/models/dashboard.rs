//! A project at a glance.

use chrono::{DateTime, Utc};
use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Uuid};
use serde::{Deserialize, Serialize};

use crate::schema::analysis::sql_types::IssueSeverity as IssueSeveritySql;
use crate::{
    Analysis, Error, IssueSeverity, MAX_LIMIT, Project, ProjectId, ProjectRole, ProjectStats,
    Result, TrendPoint, UserId,
};

/// A project at a glance, as [`DashboardOptions`] ask for it: rows of the design's tables `projects`,
/// `project_members`, `users`, `analyses` and `analysis_issues`, its view `project_stats` and its function
/// `get_analysis_trends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dashboard {
    /// The project, whatever its status.
    pub project: Project,
    /// Who works on it, those who joined first first.
    pub members: Vec<DashboardMember>,
    /// Its numbers, if it is active.
    pub statistics: Option<ProjectStats>,
    /// The newest analysis of each type that it has, whatever its status, in the order of
    /// [`AnalysisType::ALL`](crate::AnalysisType::ALL).
    pub latest_analyses: Vec<Analysis>,
    /// How many issues are open in the newest completed analysis of each type, all types together: all severities,
    /// worst first.
    pub open_issues: Vec<(IssueSeverity, i64)>,
    /// The metrics that were asked for, in their order.
    pub trends: Vec<MetricTrend>,
}

/// A member of a project and the user who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Queryable)]
#[diesel(check_for_backend(Pg))]
#[non_exhaustive]
pub struct DashboardMember {
    /// The user.
    pub user_id: UserId,
    /// The user's display name.
    pub name: String,
    /// Where the user's picture is.
    pub avatar_url: Option<String>,
    /// What the user may do in the project.
    pub role: ProjectRole,
    /// Since when.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub added_at: DateTime<Utc>,
}

/// How a metric of a project goes from day to day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricTrend {
    /// The metric.
    pub metric_name: String,
    /// Its days, oldest first; a day without a value has no point.
    pub points: Vec<TrendPoint>,
}

impl MetricTrend {
    pub(crate) const fn new(metric_name: String, points: Vec<TrendPoint>) -> Self {
        Self {
            metric_name,
            points,
        }
    }
}

/// What a [`Dashboard`] is to show: by default 20 members and no metric.
///
/// ```
/// use wundr_db::DashboardOptions;
///
/// let options = DashboardOptions::new().metrics(["coverage", "overall_score"]).days(90).members(10);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DashboardOptions {
    pub(crate) metric_names: Vec<String>,
    pub(crate) days: i32,
    pub(crate) members: u32,
}

impl Default for DashboardOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl DashboardOptions {
    /// 20 members, no metric.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            metric_names: Vec::new(),
            days: 30,
            members: crate::DEFAULT_LIMIT,
        }
    }

    /// The trends of these metrics, by name.
    #[must_use]
    pub fn metrics(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let metric_names = names.into_iter().map(Into::into).collect();
        Self {
            metric_names,
            ..self
        }
    }

    /// The trends of the last so many times 24 hours; 30 unless given. For 0 or less they are empty.
    #[must_use]
    pub fn days(self, days: i32) -> Self {
        Self { days, ..self }
    }

    /// At most so many members: 0 to 100. Checked when the dashboard is asked for.
    #[must_use]
    pub fn members(self, members: u32) -> Self {
        Self { members, ..self }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.members > MAX_LIMIT {
            return Err(Error::invalid(
                "members",
                format_args!("{} is not within 0 and {MAX_LIMIT}", self.members),
            ));
        }
        for name in &self.metric_names {
            crate::checks::check(name, "metric_names", None)?;
        }
        Ok(())
    }
}

/// Every type of analysis with its place: what is read once for each of them is found through an index, however many
/// analyses the project has.
const EACH_TYPE: &str = "pg_catalog.unnest(pg_catalog.enum_range(NULL::analysis.analysis_type)) \
                         WITH ORDINALITY AS kind (type, position)";

/// The newest analysis of each type.
pub(crate) struct NewestOfTypes {
    project_id: ProjectId,
    columns: <Analysis as Selectable<Pg>>::SelectExpression,
}

impl NewestOfTypes {
    pub(crate) fn new(project_id: ProjectId) -> Self {
        Self {
            project_id,
            columns: <Analysis as Selectable<Pg>>::construct_selection(),
        }
    }
}

impl QueryFragment<Pg> for NewestOfTypes {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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

impl QueryId for NewestOfTypes {
    type QueryId = Self;
}

impl Query for NewestOfTypes {
    type SqlType = SqlTypeOf<<Analysis as Selectable<Pg>>::SelectExpression>;
}

/// How many issues of each severity are open in the newest completed analysis of each type.
pub(crate) struct OpenIssues(pub(crate) ProjectId);

impl QueryFragment<Pg> for OpenIssues {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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

impl QueryId for OpenIssues {
    type QueryId = Self;
}

impl Query for OpenIssues {
    type SqlType = (IssueSeveritySql, BigInt);
}
