//! `analysis.analyses`: the runs that look at a project.

use chrono::{DateTime, Utc};
use diesel::dsl::{AsSelect, SqlTypeOf};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Uuid};
use serde::{Deserialize, Deserializer, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::analysis::analyses;
use crate::{
    AnalysisId, AnalysisStatus, AnalysisType, Change, Document, Fields, Json, Project, ProjectId,
    User, UserId,
};

/// A run that looks at a project: a row of the design's `analyses`.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    Selectable,
    Identifiable,
    Associations,
)]
#[diesel(table_name = analyses, check_for_backend(Pg))]
#[diesel(belongs_to(Project, foreign_key = project_id))]
#[diesel(belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct Analysis {
    /// Key.
    pub id: AnalysisId,
    /// The project that is looked at.
    pub project_id: ProjectId,
    /// What is looked at.
    pub r#type: AnalysisType,
    /// How far the run is.
    pub status: AnalysisStatus,
    /// Percent that are done, 0 to 100; 100 if completed.
    pub progress: i32,
    /// Settings of the run, as the application writes them.
    pub configuration: Document,
    /// What was found, as the application writes it.
    pub results: Option<Document>,
    /// What was found, in short.
    pub summary: Option<Json<AnalysisSummary>>,
    /// Why the run failed.
    pub error_message: Option<String>,
    /// When the run began.
    #[serde(with = "crate::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub started_at: Option<DateTime<Utc>>,
    /// When the run ended, well or not; there only if `started_at` is, and not before it.
    #[serde(with = "crate::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub completed_at: Option<DateTime<Utc>>,
    /// How long the run took: seconds, at least 1; there if `completed_at` is.
    pub duration_seconds: Option<i32>,
    /// Who asked for the run.
    pub created_by: UserId,
    /// When the row was made.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// What an analysis found, in short.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct AnalysisSummary {
    /// `overallScore`: how good the project is, on the application's own scale. The scores of a project's completed
    /// analyses make its [`avg_quality_score`](crate::ProjectStats::avg_quality_score).
    #[serde(rename = "overallScore", skip_serializing_if = "Option::is_none")]
    pub overall_score: Option<f64>,
    /// Every other field.
    #[serde(flatten)]
    pub extra: Fields,
}

/// Not derived: a derive would read the other fields through numbers that do not hold all digits.
impl<'de> Deserialize<'de> for AnalysisSummary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut extra = Fields::deserialize(deserializer)?;
        let overall_score = crate::json::take(&mut extra, "overallScore")?;
        Ok(Self {
            overall_score: overall_score.unwrap_or_default(),
            extra,
        })
    }
}

impl AnalysisSummary {
    /// A summary with this score and no other field.
    #[must_use]
    pub fn scored(overall_score: f64) -> Self {
        Self {
            overall_score: Some(overall_score),
            extra: Fields::new(),
        }
    }
}

/// An analysis to be created. What belongs to a run that is under way or over is for importing history.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analyses, row = Analysis)]
pub struct NewAnalysis {
    /// Key; made by [`AnalysisId::new`] unless given.
    #[row(default = AnalysisId::new())]
    pub id: AnalysisId,
    /// The project that is looked at.
    pub project_id: ProjectId,
    /// What is looked at.
    pub r#type: AnalysisType,
    /// `pending` unless given.
    #[row(or = "'pending'")]
    pub status: Option<AnalysisStatus>,
    /// `0` unless given; a completed analysis needs 100.
    #[row(or = "0")]
    pub progress: Option<i32>,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// What was found, as the application writes it.
    pub results: Option<Document>,
    /// What was found, in short.
    pub summary: Option<Json<AnalysisSummary>>,
    /// Why the run failed.
    pub error_message: Option<String>,
    /// When the run began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the run ended; needs `started_at` and `duration_seconds`.
    pub completed_at: Option<DateTime<Utc>>,
    /// Seconds, at least 1; needs `completed_at`.
    pub duration_seconds: Option<i32>,
    /// Who asked for the run.
    pub created_by: UserId,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

impl NewAnalysis {
    /// Makes it a completed run between these times, for importing history: sets status, progress, both times and
    /// the duration, which is rounded and at least 1 second.
    #[must_use]
    pub fn completed(mut self, started_at: DateTime<Utc>, completed_at: DateTime<Utc>) -> Self {
        let seconds = (completed_at - started_at).as_seconds_f64().round();
        self.status = Some(AnalysisStatus::Completed);
        self.progress = Some(100);
        self.started_at = Some(started_at);
        self.completed_at = Some(completed_at);
        // Saturates where the seconds are more than the column holds.
        self.duration_seconds = Some((seconds as i32).max(1));
        self
    }
}

/// Changes to an analysis. What is not named is kept.
///
/// Status, progress and times are not among them: a run goes by [`start`](crate::AnalysisRepository::start) and the
/// methods beside it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = analyses, row = Analysis, id = AnalysisId)]
#[serde(default)]
pub struct AnalysisChanges {
    /// New settings, in place of the old.
    pub configuration: Option<Document>,
    /// New results, in place of the old.
    pub results: Change<Document>,
    /// New summary, in place of the old.
    pub summary: Change<Json<AnalysisSummary>>,
    /// New reason of the failure.
    pub error_message: Change<String>,
}

/// Which analyses are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct AnalysisFilter {
    /// Of this project.
    pub project_id: Option<ProjectId>,
    /// Of this type.
    pub r#type: Option<AnalysisType>,
    /// With this status.
    pub status: Option<AnalysisStatus>,
    /// Asked for by this user.
    pub created_by: Option<UserId>,
    /// Created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// Ended at this time or later.
    pub completed_from: Option<DateTime<Utc>>,
    /// Ended before this time.
    pub completed_before: Option<DateTime<Utc>>,
}

impl AnalysisFilter {
    pub(crate) fn query(&self) -> analyses::BoxedQuery<'_, Pg> {
        let mut query = analyses::table.into_boxed();
        if let Some(project_id) = self.project_id {
            query = query.filter(analyses::project_id.eq(project_id));
        }
        if let Some(r#type) = self.r#type {
            query = query.filter(analyses::r#type.eq(r#type));
        }
        if let Some(status) = self.status {
            query = query.filter(analyses::status.eq(status));
        }
        if let Some(created_by) = self.created_by {
            query = query.filter(analyses::created_by.eq(created_by));
        }
        if let Some(from) = self.created_from {
            query = query.filter(analyses::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(analyses::created_at.lt(before));
        }
        if let Some(from) = self.completed_from {
            query = query.filter(analyses::completed_at.ge(from));
        }
        if let Some(before) = self.completed_before {
            query = query.filter(analyses::completed_at.lt(before));
        }
        query
    }
}

/// The newest analyses of each of several projects: per project no more than it is asked for is read, through
/// `idx_analyses_project_created_id`.
pub(crate) struct NewestOfProjects<'a> {
    project_ids: &'a [ProjectId],
    each: i64,
    columns: <Analysis as Selectable<Pg>>::SelectExpression,
}

impl<'a> NewestOfProjects<'a> {
    pub(crate) fn new(project_ids: &'a [ProjectId], each: u32) -> Self {
        Self {
            project_ids,
            each: each.into(),
            columns: <Analysis as Selectable<Pg>>::construct_selection(),
        }
    }
}

impl QueryFragment<Pg> for NewestOfProjects<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // A project that is asked for twice would get its rows twice.
        out.push_sql("SELECT newest.* FROM (SELECT DISTINCT pg_catalog.unnest(");
        out.push_bind_param::<Array<Uuid>, _>(&self.project_ids)?;
        out.push_sql(")) AS project (id) CROSS JOIN LATERAL (SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            " FROM analysis.analyses WHERE analyses.project_id = project.id \
             ORDER BY analyses.created_at DESC, analyses.id DESC LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.each)?;
        out.push_sql(") AS newest ORDER BY newest.created_at DESC, newest.id DESC");
        Ok(())
    }
}

impl QueryId for NewestOfProjects<'_> {
    type QueryId = NewestOfProjects<'static>;
}

impl Query for NewestOfProjects<'_> {
    type SqlType = SqlTypeOf<AsSelect<Analysis, Pg>>;
}

#[cfg(feature = "blocking")]
impl<C> diesel::RunQueryDsl<C> for NewestOfProjects<'_> {}

orders! {
    /// In which order analyses are listed.
    AnalysisOrder of Analysis in analyses {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}

crate::touched::touches!(Analysis, NewAnalysis => |analysis| crate::touched::Key::LatestAnalysis(analysis.project_id, analysis.r#type));
crate::touched::touches!((ProjectId, AnalysisType) => |of| crate::touched::Key::LatestAnalysis(of.0, of.1));
