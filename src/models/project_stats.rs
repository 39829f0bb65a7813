//! `cache.project_stats`: statistics of the active projects.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Filter, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::cache::project_stats;
use crate::schema::public::projects;
use crate::{OrganizationId, Project, ProjectId, ProjectStatus};

/// Statistics of a project: a row of the design's view `project_stats`, which has the active
/// projects.
///
/// The view is computed when it is read. The cost of a row depends on the number of the project's
/// analyses and members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = project_stats)]
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
    #[serde(with = "crate::types::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub last_analysis_at: Option<DateTime<Utc>>,
    /// The mean of `overallScore` in the summaries of completed analyses. A score that is not a
    /// number does not count.
    #[serde(default, deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub avg_quality_score: Option<BigDecimal>,
    /// The number of members.
    pub member_count: i64,
}

/// A filter for projects. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProjectStatsFilter {
    /// Only rows of this organization.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub organization_id: Option<OrganizationId>,
    /// Only rows with this text in the name, ignoring case.
    pub search: Option<String>,
}

impl ProjectStatsFilter {
    /// Returns the query for the projects themselves. It is enough to count them, without their
    /// statistics.
    pub(crate) fn projects(&self) -> projects::BoxedQuery<'_, Pg, RowSql<Project>> {
        let mut query = projects::table
            .select(columns_of::<Project>())
            .into_boxed()
            .filter(condition(
                projects::table,
                projects::status.eq(ProjectStatus::Active),
            ));
        if let Some(organization_id) = self.organization_id {
            query = query.filter(condition(
                projects::table,
                projects::organization_id.eq(organization_id),
            ));
        }
        if let Some(search) = &self.search {
            let pattern = crate::mapping::expressions::containing(search);
            query = query.filter(condition(
                projects::table,
                crate::mapping::expressions::matches_text!(projects::name, pattern),
            ));
        }
        query
    }
}

orders! {
    /// The order in which projects' statistics are listed.
    ///
    /// A page computes the statistics of its own projects. In an order by number, it also counts
    /// the analyses or members of all projects that the filter matches. If there are many
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
