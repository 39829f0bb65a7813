//! `analysis.analysis_metrics`: the measurements of analyses.

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::analysis::analysis_metrics;
use crate::{Analysis, AnalysisId, AnalysisMetricId, Change, MetricCategory, TrendDirection};

/// A measurement that an analysis made of a project: a row of the design's `analysis_metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = analysis_metrics)]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct AnalysisMetric {
    /// Primary key.
    pub id: AnalysisMetricId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The name of the metric.
    pub metric_name: String,
    /// The value, with 4 decimals. It is `None`, too, if another client has stored NaN.
    #[diesel(deserialize_as = crate::types::lenient::Finite)]
    #[serde(default, deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub metric_value: Option<BigDecimal>,
    /// The value's unit.
    pub metric_unit: Option<String>,
    /// The category of the metric.
    pub category: MetricCategory,
    /// A description of the metric.
    pub description: Option<String>,
    /// The trend, as the application judges it.
    pub trend_direction: Option<TrendDirection>,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A metric to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analysis_metrics, row = AnalysisMetric)]
#[row(body(AnalysisMetricBody: metric_name, metric_value, metric_unit, category, description, trend_direction))]
#[non_exhaustive]
pub struct NewAnalysisMetric {
    /// Primary key. Default: [`AnalysisMetricId::new`].
    #[row(default = AnalysisMetricId::new())]
    pub id: AnalysisMetricId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The name of the metric, at most 255 characters.
    pub metric_name: String,
    /// The value. Its absolute value must be below 10^8. PostgreSQL rounds it to 4 decimals, half
    /// away from zero.
    #[row(precision = 12, scale = 4)]
    pub metric_value: Option<BigDecimal>,
    /// The value's unit, at most 50 characters.
    pub metric_unit: Option<String>,
    /// The category of the metric.
    pub category: MetricCategory,
    /// A description of the metric.
    pub description: Option<String>,
    /// The trend, as the application judges it.
    pub trend_direction: Option<TrendDirection>,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a metric. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = analysis_metrics, row = AnalysisMetric, id = AnalysisMetricId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisMetricChanges {
    /// New name.
    pub metric_name: Option<String>,
    /// New value, within the bounds of [`NewAnalysisMetric::metric_value`].
    #[row(precision = 12, scale = 4)]
    #[serde(default, deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub metric_value: Change<BigDecimal>,
    /// New unit.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub metric_unit: Change<String>,
    /// New category.
    pub category: Option<MetricCategory>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// New trend.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<TrendDirection>))]
    pub trend_direction: Change<TrendDirection>,
}

/// A filter for metrics. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisMetricFilter {
    /// Only rows of this analysis.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub analysis_id: Option<AnalysisId>,
    /// Only rows with this name.
    pub metric_name: Option<String>,
    /// Only metrics of this category.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub category: Option<MetricCategory>,
}

impl AnalysisMetricFilter {
    pub(crate) fn query(&self) -> analysis_metrics::BoxedQuery<'_, Pg, RowSql<AnalysisMetric>> {
        let mut query = analysis_metrics::table
            .select(columns_of::<AnalysisMetric>())
            .into_boxed();
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(condition(
                analysis_metrics::table,
                analysis_metrics::analysis_id.eq(analysis_id),
            ));
        }
        if let Some(metric_name) = &self.metric_name {
            query = query.filter(condition(
                analysis_metrics::table,
                analysis_metrics::metric_name.eq(metric_name),
            ));
        }
        if let Some(category) = self.category {
            query = query.filter(condition(
                analysis_metrics::table,
                analysis_metrics::category.eq(category),
            ));
        }
        query
    }
}

orders! {
    /// The order in which metrics are listed.
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
