//! A project at a glance.

use diesel::prelude::{ExpressionMethods, JoinOnDsl, QueryDsl};

use super::*;
use crate::schema::public::{project_members, users};
use crate::{
    Analysis, Dashboard, DashboardMember, DashboardOptions, IssueSeverity, MetricTrend,
    NewestOfTypes, OpenIssues, ProjectId, Result,
};

/// Reads a project at a glance.
///
/// Every method may return [`Error::Pool`](crate::Error::Pool), [`Error::Connection`](crate::Error::Connection) and
/// [`Error::Timeout`](crate::Error::Timeout); named below is what else.
#[repository]
pub trait DashboardRepository: Send + Sync {
    /// The project with its members, its numbers, its latest analyses, what is open in them and the trends of its
    /// metrics; `None` if there is no such project.
    ///
    /// Six statements on one connection. The async engine sends them all before it waits for the first answer, so that
    /// they take one round trip; the blocking one sends them one after the other. Each sees what is committed when it
    /// begins; for one moment's view, ask inside a transaction with
    /// [`Isolation::RepeatableRead`](crate::Isolation::RepeatableRead).
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if the number of members is not within 0 and 100.
    async fn of_project(
        &self,
        project_id: ProjectId,
        options: &DashboardOptions,
    ) -> Result<Option<Dashboard>>;
}

/// The [`DashboardRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Dashboards<'a>(Source<'a>);

impl Db {
    /// Projects at a glance.
    pub fn dashboard(&self) -> Dashboards<'static> {
        Dashboards(self.source())
    }
}

impl Tx {
    /// Projects at a glance, inside this transaction.
    pub fn dashboard(&self) -> Dashboards<'_> {
        Dashboards(self.source())
    }
}

#[repository]
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

        let connection = self.0.hold().await?;
        let source = connection.source();
        let projects = Projects(source.clone());
        let statistics = ProjectStatsView(source.clone());
        let trends = Trends(source.clone());
        let ((project, members), ((statistics, latest), (open_issues, trends))) = at_once(
            at_once(
                projects.find(project_id),
                source.load::<_, DashboardMember>(members),
            ),
            at_once(
                at_once(
                    statistics.find(project_id),
                    source.load::<_, Analysis>(NewestOfTypes::new(project_id)),
                ),
                at_once(
                    source.load::<_, (IssueSeverity, i64)>(OpenIssues(project_id)),
                    trends.of_metrics(project_id, &metric_names, options.days),
                ),
            ),
        )
        .await;

        let (project, members, statistics) = (project?, members?, statistics?);
        let (latest_analyses, open_issues, trends) = (latest?, open_issues?, trends?);
        let names = options.metric_names.iter().cloned();
        Ok(project.map(|project| Dashboard {
            project,
            members,
            statistics,
            latest_analyses,
            open_issues: count_of_each!(IssueSeverity::ALL, open_issues),
            trends: names
                .zip(trends)
                .map(|(name, points)| MetricTrend::new(name, points))
                .collect(),
        }))
    }
}
