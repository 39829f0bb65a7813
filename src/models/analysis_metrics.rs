//! `analysis.analysis_metrics`: what an analysis measures.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use diesel::dsl::{AsSelect, SqlTypeOf};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Text, Uuid};
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::analysis::analysis_metrics;
use crate::{
    Analysis, AnalysisId, AnalysisMetricId, Change, MetricCategory, ProjectId, TrendDirection,
};

/// What an analysis measures of a project: a row of the design's `analysis_metrics`.
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
#[diesel(table_name = analysis_metrics, check_for_backend(Pg))]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct AnalysisMetric {
    /// Key.
    pub id: AnalysisMetricId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// What is measured.
    pub metric_name: String,
    /// The value, with 4 decimals; none too where another client has stored NaN.
    #[diesel(deserialize_as = crate::lenient::Finite)]
    #[serde(default, deserialize_with = "crate::decimal::read")]
    pub metric_value: Option<BigDecimal>,
    /// The value's unit.
    pub metric_unit: Option<String>,
    /// What the metric is about.
    pub category: MetricCategory,
    /// What the metric says.
    pub description: Option<String>,
    /// Where the metric is heading, as the application sees it.
    pub trend_direction: Option<TrendDirection>,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A metric to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analysis_metrics, row = AnalysisMetric)]
pub struct NewAnalysisMetric {
    /// Key; made by [`AnalysisMetricId::new`] unless given.
    #[row(default = AnalysisMetricId::new())]
    pub id: AnalysisMetricId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// What is measured, in at most 255 characters.
    pub metric_name: String,
    /// The value, below 10^8; PostgreSQL rounds it to 4 decimals, half away from zero.
    #[row(precision = 12, scale = 4)]
    pub metric_value: Option<BigDecimal>,
    /// The value's unit, at most 50 characters.
    pub metric_unit: Option<String>,
    /// What the metric is about.
    pub category: MetricCategory,
    /// What the metric says.
    pub description: Option<String>,
    /// Where the metric is heading.
    pub trend_direction: Option<TrendDirection>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a metric. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = analysis_metrics, row = AnalysisMetric, id = AnalysisMetricId)]
#[serde(default)]
pub struct AnalysisMetricChanges {
    /// New name.
    pub metric_name: Option<String>,
    /// New value, within the bounds of [`NewAnalysisMetric::metric_value`].
    #[row(precision = 12, scale = 4)]
    #[serde(default, deserialize_with = "crate::decimal::read")]
    pub metric_value: Change<BigDecimal>,
    /// New unit.
    pub metric_unit: Change<String>,
    /// New category.
    pub category: Option<MetricCategory>,
    /// New description.
    pub description: Change<String>,
    /// New direction.
    pub trend_direction: Change<TrendDirection>,
}

/// Which metrics are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct AnalysisMetricFilter {
    /// Of this analysis.
    pub analysis_id: Option<AnalysisId>,
    /// With this name.
    pub metric_name: Option<String>,
    /// About this.
    pub category: Option<MetricCategory>,
}

impl AnalysisMetricFilter {
    pub(crate) fn query(&self) -> analysis_metrics::BoxedQuery<'_, Pg> {
        let mut query = analysis_metrics::table.into_boxed();
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(analysis_metrics::analysis_id.eq(analysis_id));
        }
        if let Some(metric_name) = &self.metric_name {
            query = query.filter(analysis_metrics::metric_name.eq(metric_name));
        }
        if let Some(category) = self.category {
            query = query.filter(analysis_metrics::category.eq(category));
        }
        query
    }
}

/// For each of several names the metric of the newest completed analysis of a project that has it: the project's
/// analyses are walked newest first, through `idx_analyses_project_created_id`, until one has the metric.
pub(crate) struct LatestOfProject<'a> {
    project_id: ProjectId,
    metric_names: &'a [&'a str],
    columns: <AnalysisMetric as Selectable<Pg>>::SelectExpression,
}

impl<'a> LatestOfProject<'a> {
    pub(crate) fn new(project_id: ProjectId, metric_names: &'a [&'a str]) -> Self {
        Self {
            project_id,
            metric_names,
            columns: <AnalysisMetric as Selectable<Pg>>::construct_selection(),
        }
    }
}

impl QueryFragment<Pg> for LatestOfProject<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT latest.* FROM pg_catalog.unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.metric_names)?;
        out.push_sql(") AS metric (name) CROSS JOIN LATERAL (SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            " FROM analysis.analyses \
             JOIN analysis.analysis_metrics ON analysis_metrics.analysis_id = analyses.id \
             WHERE analyses.project_id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.project_id)?;
        out.push_sql(
            " AND analyses.status = 'completed' AND analysis_metrics.metric_name = metric.name \
             ORDER BY analyses.created_at DESC, analyses.id DESC, \
             analysis_metrics.created_at DESC, analysis_metrics.id DESC LIMIT 1) AS latest",
        );
        Ok(())
    }
}

impl QueryId for LatestOfProject<'_> {
    type QueryId = LatestOfProject<'static>;
}

impl Query for LatestOfProject<'_> {
    type SqlType = SqlTypeOf<AsSelect<AnalysisMetric, Pg>>;
}

#[cfg(feature = "blocking")]
impl<C> diesel::RunQueryDsl<C> for LatestOfProject<'_> {}

orders! {
    /// In which order metrics are listed.
    AnalysisMetricOrder of AnalysisMetric in analysis_metrics {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = metric_name asc,
    }
}
