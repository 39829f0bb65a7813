//! An overview of a project.

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

/// An overview of a project, as configured by [`DashboardOptions`].
///
/// It has rows of the design's tables `projects`, `project_members`, `users`, `analyses` and `analysis_issues`, of
/// its view `project_stats` and of its function `get_analysis_trends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dashboard {
    /// The project, whatever its status.
    pub project: Project,
    /// The project's members, oldest membership first.
    pub members: Vec<DashboardMember>,
    /// The project's statistics; `None` unless the project is active.
    pub statistics: Option<ProjectStats>,
    /// The newest analysis of each type, whatever its status, in the order of
    /// [`AnalysisType::ALL`](crate::AnalysisType::ALL). Types without an analysis are left out.
    pub latest_analyses: Vec<Analysis>,
    /// The number of open issues of each severity, worst first. It is the sum over the newest completed analysis of
    /// each type. All severities are listed.
    pub open_issues: Vec<(IssueSeverity, i64)>,
    /// The metrics of the options, in their order.
    pub trends: Vec<MetricTrend>,
}

/// A member of a project, with data of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Queryable)]
#[diesel(check_for_backend(Pg))]
#[non_exhaustive]
pub struct DashboardMember {
    /// The user.
    pub user_id: UserId,
    /// The user's display name.
    pub name: String,
    /// The URL of the user's picture.
    pub avatar_url: Option<String>,
    /// The user's role in the project.
    pub role: ProjectRole,
    /// The time at which the user became a member.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub added_at: DateTime<Utc>,
}

/// The values of a project's metric from day to day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricTrend {
    /// The name of the metric.
    pub metric_name: String,
    /// The values, oldest day first. A day without a value has no point.
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

/// The contents of a [`Dashboard`]. Default: 20 members and no metric.
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
    /// Creates the default options: 20 members and no metric.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            metric_names: Vec::new(),
            days: 30,
            members: crate::DEFAULT_LIMIT,
        }
    }

    /// Sets the metrics, by name, whose trends are included. Default: none.
    #[must_use]
    pub fn metrics(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let metric_names = names.into_iter().map(Into::into).collect();
        Self {
            metric_names,
            ..self
        }
    }

    /// Sets the period of the trends: the last `days` × 24 hours. Default: 30. For 0 or less the trends are empty.
    #[must_use]
    pub fn days(self, days: i32) -> Self {
        Self { days, ..self }
    }

    /// Sets the greatest number of members that are included. Default: 20. Must be between 0 and 100, which is
    /// checked when the dashboard is read.
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

/// All types of analysis with their position. A lateral query for each type uses an index, however many analyses the
/// project has.
const EACH_TYPE: &str = "pg_catalog.unnest(pg_catalog.enum_range(NULL::analysis.analysis_type)) \
                         WITH ORDINALITY AS kind (type, position)";

/// The query for the newest analysis of each type.
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

/// The query for the number of open issues of each severity in the newest completed analyses of each type.
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
