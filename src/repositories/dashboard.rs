//! The dashboard of a project.

use diesel::prelude::{ExpressionMethods, JoinOnDsl, QueryDsl};

use super::*;
use crate::schema::cache::project_stats;
use crate::schema::public::{project_members, projects, users};
use crate::sql::dashboard::{NewestOfTypes, OpenIssues};
use crate::sql::trends::TrendsOf;
use crate::sql::{ArraySubquery, Rows, Sql, columns_of};
use crate::{
    Analysis, Dashboard, DashboardMember, DashboardOptions, IssueSeverity, MetricTrend,
    PlacedPoint, Project, ProjectId, ProjectStats, Result, TrendPoint,
};

/// Reads the dashboard of a project.
#[repository]
pub trait DashboardRepository: Send + Sync {
    /// Returns the project with its members, statistics, latest analyses, their open issues, and
    /// the trends of its metrics.
    ///
    /// Returns `None` if there is no such project.
    ///
    /// All of it is read by one statement: with one round trip, and from one snapshot of the
    /// database.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the number of members is not within
    ///   0 and 100
    async fn of_project(
        &self,
        project_id: ProjectId,
        options: &DashboardOptions,
    ) -> Result<Option<Dashboard>>;
}

type Answer = (
    Rows<Project>,
    Rows<DashboardMember>,
    Rows<ProjectStats>,
    Rows<Analysis>,
    Rows<(IssueSeverity, i64)>,
    Rows<PlacedPoint>,
);

/// The [`DashboardRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Dashboards<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of dashboards.
    pub fn dashboard(&self) -> Dashboards<'static> {
        Dashboards(self.executor())
    }
}

impl Tx {
    /// Returns the repository of dashboards within this transaction.
    pub fn dashboard(&self) -> Dashboards<'_> {
        Dashboards(self.executor())
    }
}

#[repository(observed = "dashboard")]
impl DashboardRepository for Dashboards<'_> {
    async fn of_project(
        &self,
        project_id: ProjectId,
        options: &DashboardOptions,
    ) -> Result<Option<Dashboard>> {
        options.check()?;
        let metric_names: Vec<&str> = options.metric_names.iter().map(String::as_str).collect();
        let members = project_members::table
            .inner_join(users::table.on(users::id.eq(project_members::user_id)))
            .filter(project_members::project_id.eq(project_id))
            .order((project_members::added_at, project_members::id))
            .limit(options.members.into())
            .select((
                project_members::user_id,
                users::name,
                users::avatar_url,
                project_members::role,
                project_members::added_at,
            ));

        let answer = diesel::select((
            ArraySubquery(
                projects::table
                    .find(project_id)
                    .select(columns_of::<Project>()),
            ),
            ArraySubquery(members),
            ArraySubquery(
                project_stats::table
                    .find(project_id)
                    .select(columns_of::<ProjectStats>()),
            ),
            ArraySubquery(NewestOfTypes::new(project_id)),
            ArraySubquery(Sql(OpenIssues(project_id))),
            ArraySubquery(Sql(TrendsOf {
                project_id,
                metric_names: &metric_names,
                days_back: options.days,
            })),
        ));
        let (
            Rows(mut projects),
            Rows(members),
            Rows(mut statistics),
            Rows(latest_analyses),
            Rows(open_issues),
            Rows(points),
        ) = self.0.one::<_, Answer>(answer).await?;
        let trends = TrendPoint::of_each(points, metric_names.len());
        let names = options.metric_names.iter().cloned();
        Ok(projects.pop().map(|project| Dashboard {
            project,
            members,
            statistics: statistics.pop(),
            latest_analyses,
            open_issues: count_of_each(IssueSeverity::ALL, open_issues),
            trends: names
                .zip(trends)
                .map(|(name, points)| MetricTrend::new(name, points))
                .collect(),
        }))
    }
}
