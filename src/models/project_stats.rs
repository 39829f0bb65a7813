//! `cache.project_stats`: statistics of the active projects.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use diesel::dsl::{AsSelect, SqlTypeOf};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Integer, Uuid};
use serde::{Deserialize, Serialize};
use wundr_db_macros::Filter;

use crate::page::orders;
use crate::schema::cache::project_stats;
use crate::schema::public::projects;
use crate::{OrganizationId, ProjectId, ProjectStatus};

/// Statistics of a project: a row of the design's view `project_stats`, which has the active projects.
///
/// The view is computed when it is read. The cost of a row depends on the number of the project's analyses and
/// members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable, Identifiable)]
#[diesel(table_name = project_stats, check_for_backend(Pg))]
#[non_exhaustive]
pub struct ProjectStats {
    /// The project.
    pub id: ProjectId,
    /// The project's name.
    pub name: String,
    /// The number of the project's analyses, whatever their status.
    pub total_analyses: i64,
    /// The number of completed analyses.
    pub completed_analyses: i64,
    /// The time at which the last analysis ended, successfully or not.
    #[serde(with = "crate::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub last_analysis_at: Option<DateTime<Utc>>,
    /// The mean of `overallScore` in the summaries of completed analyses. A score that is not a number does not
    /// count.
    #[serde(default, deserialize_with = "crate::decimal::read")]
    pub avg_quality_score: Option<BigDecimal>,
    /// The number of members.
    pub member_count: i64,
}

/// A filter for projects. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct ProjectStatsFilter {
    /// Only rows of this organization.
    pub organization_id: Option<OrganizationId>,
    /// Only rows with this text in the name, ignoring case.
    pub search: Option<String>,
}

impl ProjectStatsFilter {
    /// Returns the query for the projects themselves. It is enough to count them, without their statistics.
    pub(crate) fn projects(&self) -> projects::BoxedQuery<'_, Pg> {
        let mut query = projects::table
            .filter(projects::status.eq(ProjectStatus::Active))
            .into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(projects::organization_id.eq(organization_id));
        }
        if let Some(search) = &self.search {
            let pattern = crate::sql::functions::containing(search);
            query = query.filter(crate::sql::functions::matches_text!(
                projects::name,
                pattern
            ));
        }
        query
    }

    pub(crate) fn query(&self) -> project_stats::BoxedQuery<'_, Pg> {
        project_stats::table
            .filter(project_stats::id.eq_any(self.projects().select(projects::id)))
            .into_boxed()
    }
}

/// The query for the statistics of several projects, in one pass over their analyses and members.
///
/// PostgreSQL's generic plan expects ten ids and uses one process. For `MANY` ids a custom plan is better, which
/// knows their number. PostgreSQL makes a custom plan at each call if the generic one has a higher estimated cost. So
/// the text has a condition that is expensive by estimate only: the product of three series from 1 to a parameter.
/// Without the parameter's value each is estimated at 1,000 rows. The value is [`ONE`].
pub(crate) struct StatsOf<'a, const MANY: bool> {
    pub(crate) ids: &'a [ProjectId],
}

const ONE: i32 = 1;

impl<const MANY: bool> QueryFragment<Pg> for StatsOf<'_, MANY> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, name, total_analyses, completed_analyses, last_analysis_at, avg_quality_score, member_count \
             FROM cache.project_stats_of(",
        );
        out.push_bind_param::<Array<Uuid>, _>(&self.ids)?;
        out.push_sql(")");
        if MANY {
            out.push_sql(
                " WHERE (SELECT pg_catalog.count(*) FROM pg_catalog.generate_series(1, $2) AS a, \
                 pg_catalog.generate_series(1, $2) AS b, pg_catalog.generate_series(1, ",
            );
            out.push_bind_param::<Integer, _>(&ONE)?;
            out.push_sql(") AS c) > 0");
        }
        Ok(())
    }
}

impl<const MANY: bool> QueryId for StatsOf<'_, MANY> {
    type QueryId = StatsOf<'static, MANY>;
}

impl<const MANY: bool> Query for StatsOf<'_, MANY> {
    type SqlType = SqlTypeOf<AsSelect<ProjectStats, Pg>>;
}

#[cfg(feature = "blocking")]
impl<const MANY: bool, C> diesel::RunQueryDsl<C> for StatsOf<'_, MANY> {}

orders! {
    /// The order in which projects' statistics are listed.
    ///
    /// In any order, a page computes the statistics of all projects that the filter matches. If there are many
    /// projects, filter by organization.
    ProjectStatsOrder of ProjectStats in project_stats {
        /// By the project's name.
        #[default]
        Name = name asc,
        /// Most analyses first.
        MostAnalyses = total_analyses desc,
        /// Most members first.
        MostMembers = member_count desc,
    }
}
