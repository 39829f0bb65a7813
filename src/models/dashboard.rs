//! An overview of a project.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    Analysis, Error, IssueSeverity, MAX_LIMIT, Project, ProjectRole, ProjectStats, Result,
    TrendPoint, UserId,
};

/// An overview of a project, as configured by [`DashboardOptions`].
///
/// It has rows of the design's tables `projects`, `project_members`, `users`, `analyses` and
/// `analysis_issues`, of its view `project_stats` and of its function `get_analysis_trends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
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
    /// The number of open issues of each severity, worst first. It is the sum over the newest
    /// completed analysis of each type. All severities are listed.
    pub open_issues: Vec<(IssueSeverity, u64)>,
    /// The metrics of the options, in their order.
    pub trends: Vec<MetricTrend>,
}

/// A member of a project, with data of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Queryable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
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
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub added_at: DateTime<Utc>,
}

/// The values of a project's metric from day to day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
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

    /// Sets the period of the trends: the last `days` × 24 hours. Default: 30. For 0 or less the
    /// trends are empty.
    #[must_use]
    pub fn days(self, days: i32) -> Self {
        Self { days, ..self }
    }

    /// Sets the greatest number of members that are included. Default: 20. Must be between 0 and
    /// 100, which is checked when the dashboard is read.
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
            crate::validation::check(name, "metric_names", None)?;
        }
        Ok(())
    }
}
