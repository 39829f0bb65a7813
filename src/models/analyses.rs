//! `analysis.analyses`: runs that analyze a project.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::analysis::analyses;
use crate::types::timestamp::AnyTime;
use crate::{
    AnalysisId, AnalysisStatus, AnalysisType, Change, Document, Fields, Json, Project, ProjectId,
    User, UserId,
};

/// A run that analyzes a project: a row of the design's `analyses`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = analyses)]
#[diesel(belongs_to(Project, foreign_key = project_id))]
#[diesel(belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct Analysis {
    /// Primary key.
    pub id: AnalysisId,
    /// The project that is analyzed.
    pub project_id: ProjectId,
    /// The kind of analysis.
    pub r#type: AnalysisType,
    /// The state of the run.
    pub status: AnalysisStatus,
    /// The progress in percent, 0 to 100. It is 100 if the run is completed.
    pub progress: i32,
    /// Settings of the run, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub configuration: Document,
    /// The results, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub results: Option<Document>,
    /// A summary of the results.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<AnalysisSummary>))]
    pub summary: Option<Json<AnalysisSummary>>,
    /// The reason of the failure.
    pub error_message: Option<String>,
    /// The time at which the run began.
    #[serde(with = "crate::types::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub started_at: Option<DateTime<Utc>>,
    /// The time at which the run ended, successfully or not. It is `None` without `started_at`, and
    /// never before it.
    #[serde(with = "crate::types::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub completed_at: Option<DateTime<Utc>>,
    /// The duration of the run in seconds, at least 1. It is set if `completed_at` is.
    pub duration_seconds: Option<i32>,
    /// The user that requested the run.
    pub created_by: UserId,
    /// The time at which the row was created.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A summary of an analysis's results.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct AnalysisSummary {
    /// `overallScore`: the quality of the project, on the application's own scale. The mean of the
    /// scores of a project's completed analyses is its
    /// [`avg_quality_score`](crate::ProjectStats::avg_quality_score).
    #[serde(rename = "overallScore", skip_serializing_if = "Option::is_none")]
    pub overall_score: Option<f64>,
    /// All other fields.
    #[serde(flatten)]
    #[cfg_attr(feature = "utoipa", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub extra: Fields,
}

/// Not derived: with `flatten`, a derived implementation would read numbers through types that do
/// not hold all digits.
impl<'de> Deserialize<'de> for AnalysisSummary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut extra = Fields::deserialize(deserializer)?;
        let overall_score = crate::types::json::take(&mut extra, "overallScore")?;
        Ok(Self {
            overall_score: overall_score.unwrap_or_default(),
            extra,
        })
    }
}

impl AnalysisSummary {
    /// Creates a summary with this score and no other field.
    #[must_use]
    pub fn scored(overall_score: f64) -> Self {
        Self {
            overall_score: Some(overall_score),
            extra: Fields::new(),
        }
    }
}

/// An analysis to be created.
///
/// Fields of a run that has begun or ended are for importing history.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analyses, row = Analysis)]
#[row(body(AnalysisBody: type, configuration))]
#[non_exhaustive]
pub struct NewAnalysis {
    /// Primary key. Default: [`AnalysisId::new`].
    #[row(default = AnalysisId::new())]
    pub id: AnalysisId,
    /// The project that is analyzed.
    pub project_id: ProjectId,
    /// The kind of analysis.
    pub r#type: AnalysisType,
    /// The state of the run. Default: `pending`.
    #[row(or = "'pending'")]
    pub status: Option<AnalysisStatus>,
    /// The progress in percent, 0 to 100. Default: `0`. A completed analysis needs 100.
    #[row(or = "0")]
    pub progress: Option<i32>,
    /// Settings of the run, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// The results, in the application's own format.
    pub results: Option<Document>,
    /// A summary of the results.
    pub summary: Option<Json<AnalysisSummary>>,
    /// The reason of the failure.
    pub error_message: Option<String>,
    /// The time at which the run began.
    pub started_at: Option<DateTime<Utc>>,
    /// The time at which the run ended. Requires `started_at` and `duration_seconds`.
    pub completed_at: Option<DateTime<Utc>>,
    /// The duration in seconds, at least 1. Requires `completed_at`.
    pub duration_seconds: Option<i32>,
    /// The user that requested the run.
    pub created_by: UserId,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

impl NewAnalysis {
    /// Makes it a completed run between these times, for importing history.
    ///
    /// Sets status, progress, both times and the duration. The duration is rounded and at least 1
    /// second.
    #[must_use]
    pub fn completed(mut self, started_at: DateTime<Utc>, completed_at: DateTime<Utc>) -> Self {
        let seconds = (completed_at - started_at).as_seconds_f64().round();
        self.status = Some(AnalysisStatus::Completed);
        self.progress = Some(100);
        self.started_at = Some(started_at);
        self.completed_at = Some(completed_at);
        // Saturates if there are more seconds than the column can hold.
        self.duration_seconds = Some((seconds as i32).max(1));
        self
    }
}

/// Changes to an analysis. A field that is not set keeps its value.
///
/// Status, progress and times are changed by [`start`](crate::AnalysisRepository::start) and the
/// other methods for the states of a run.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = analyses, row = Analysis, id = AnalysisId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisChanges {
    /// New settings, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub configuration: Option<Document>,
    /// New results, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub results: Change<Document>,
    /// New summary, which replaces the old one.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<AnalysisSummary>))]
    pub summary: Change<Json<AnalysisSummary>>,
    /// New reason of the failure.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub error_message: Change<String>,
}

/// A filter for analyses. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisFilter {
    /// Only rows of this project.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub project_id: Option<ProjectId>,
    /// Only analyses of this type.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub r#type: Option<AnalysisType>,
    /// Only rows with this status.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub status: Option<AnalysisStatus>,
    /// Only analyses that this user requested.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub created_by: Option<UserId>,
    /// Only rows created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only rows created before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// Only analyses that ended at this time or later.
    pub completed_from: Option<DateTime<Utc>>,
    /// Only analyses that ended before this time.
    pub completed_before: Option<DateTime<Utc>>,
}

impl AnalysisFilter {
    pub(crate) fn query(&self) -> analyses::BoxedQuery<'_, Pg, RowSql<Analysis>> {
        let mut query = analyses::table
            .select(columns_of::<Analysis>())
            .into_boxed();
        if let Some(project_id) = self.project_id {
            query = query.filter(condition(
                analyses::table,
                analyses::project_id.eq(project_id),
            ));
        }
        if let Some(r#type) = self.r#type {
            query = query.filter(condition(analyses::table, analyses::r#type.eq(r#type)));
        }
        if let Some(status) = self.status {
            query = query.filter(condition(analyses::table, analyses::status.eq(status)));
        }
        if let Some(created_by) = self.created_by {
            query = query.filter(condition(
                analyses::table,
                analyses::created_by.eq(created_by),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                analyses::table,
                analyses::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                analyses::table,
                analyses::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        if let Some(from) = self.completed_from {
            query = query.filter(condition(
                analyses::table,
                analyses::completed_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.completed_before {
            query = query.filter(condition(
                analyses::table,
                analyses::completed_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which analyses are listed.
    AnalysisOrder of Analysis in analyses {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}

crate::write_set::touches!(Analysis, NewAnalysis => |analysis| crate::write_set::Key::LatestAnalysis(analysis.project_id, analysis.r#type));
crate::write_set::touches!((ProjectId, AnalysisType) => |of| crate::write_set::Key::LatestAnalysis(of.0, of.1));
