//! `cache.project_stats`: each active project in numbers.

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

/// A project in numbers: a row of the design's view `project_stats`, which has the active projects.
///
/// The view is computed as it is read: one row costs what the project's own analyses and members cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable, Identifiable)]
#[diesel(table_name = project_stats, check_for_backend(Pg))]
#[non_exhaustive]
pub struct ProjectStats {
    /// The project.
    pub id: ProjectId,
    /// The project's name.
    pub name: String,
    /// How many analyses it has, whatever their status.
    pub total_analyses: i64,
    /// How many of them are completed.
    pub completed_analyses: i64,
    /// When the last analysis ended, well or not.
    #[serde(with = "crate::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub last_analysis_at: Option<DateTime<Utc>>,
    /// The mean of `overallScore` in the summaries of completed analyses; a score that is no number does not count.
    #[serde(default, deserialize_with = "crate::decimal::read")]
    pub avg_quality_score: Option<BigDecimal>,
    /// How many members it has.
    pub member_count: i64,
}

/// Which projects are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct ProjectStatsFilter {
    /// Of this organization.
    pub organization_id: Option<OrganizationId>,
    /// With this text in the name, without regard to case.
    pub search: Option<String>,
}

impl ProjectStatsFilter {
    /// The projects themselves: counting them needs none of their numbers.
    pub(crate) fn projects(&self) -> projects::BoxedQuery<'_, Pg> {
        let mut query = projects::table
            .filter(projects::status.eq(ProjectStatus::Active))
            .into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(projects::organization_id.eq(organization_id));
        }
        if let Some(search) = &self.search {
            let pattern = crate::text::containing(search);
            query = query.filter(crate::text::matches_text!(projects::name, pattern));
        }
        query
    }

    pub(crate) fn query(&self) -> project_stats::BoxedQuery<'_, Pg> {
        project_stats::table
            .filter(project_stats::id.eq_any(self.projects().select(projects::id)))
            .into_boxed()
    }
}

/// The numbers of some projects, by one pass through what they have.
///
/// A plan for any ids counts on ten of them, and leaves the work to one process. Where there are `MANY`, PostgreSQL is
/// to make a plan for these each time, as it does where one for any values is dearer: that is to count to a number in
/// vain, which without the values of a call it takes for a thousand, three times over, and which is [`ONE`].
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
    /// In which order projects' numbers are listed. Whatever the order, a page costs what all projects that the filter
    /// matches cost: name an organization where there are many.
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
