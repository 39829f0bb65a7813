//! `analysis.get_analysis_trends`: the values of a project's metric from day to day.

use bigdecimal::BigDecimal;
use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Date, Integer, Numeric, Text, Uuid};
use serde::{Deserialize, Serialize};

use crate::schema::analysis::sql_types::TrendDirection as TrendDirectionSql;
use crate::{ProjectId, TrendDirection};

/// A metric on one day: a row of the design's function `get_analysis_trends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrendPoint {
    /// The day, in UTC.
    pub date: NaiveDate,
    /// The mean of the metric's values in the analyses that were completed on that day.
    #[serde(deserialize_with = "crate::decimal::read")]
    pub average: BigDecimal,
    /// The comparison with the mean of the previous day that has one. Greater is `Improving` and smaller is
    /// `Declining`, whatever the metric means. The first day is `Stable`.
    pub direction: TrendDirection,
}

/// One day of one of several metrics, with the metric's position among them, counted from 1.
pub(crate) type PlacedPoint = (i64, NaiveDate, BigDecimal, TrendDirection);

impl TrendPoint {
    /// Groups the days by metric. Returns one list for each of `metrics` metrics.
    pub(crate) fn of_each(rows: Vec<PlacedPoint>, metrics: usize) -> Vec<Vec<Self>> {
        let mut trends = vec![Vec::new(); metrics];
        for (position, date, average, direction) in rows {
            let place = usize::try_from(position - 1).unwrap_or(usize::MAX);
            if let Some(trend) = trends.get_mut(place) {
                trend.push(Self {
                    date,
                    average,
                    direction,
                });
            }
        }
        trends
    }
}

/// The query for the trends of several metrics of a project. Each row has its metric's position in the list, counted
/// from 1.
pub(crate) struct TrendsOf<'a> {
    pub(crate) project_id: ProjectId,
    pub(crate) metric_names: &'a [&'a str],
    pub(crate) days_back: i32,
}

impl QueryFragment<Pg> for TrendsOf<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT metric.position, trend.date, trend.avg_value, trend.trend::analysis.trend_direction \
             FROM pg_catalog.unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.metric_names)?;
        out.push_sql(
            ") WITH ORDINALITY AS metric (name, position) \
             CROSS JOIN LATERAL analysis.get_analysis_trends(",
        );
        out.push_bind_param::<Uuid, _>(&self.project_id)?;
        out.push_sql(", metric.name, ");
        out.push_bind_param::<Integer, _>(&self.days_back)?;
        out.push_sql(") AS trend ORDER BY metric.position, trend.date");
        Ok(())
    }
}

impl QueryId for TrendsOf<'_> {
    type QueryId = TrendsOf<'static>;
}

impl Query for TrendsOf<'_> {
    type SqlType = (BigInt, Date, Numeric, TrendDirectionSql);
}

#[cfg(feature = "blocking")]
impl<C> diesel::RunQueryDsl<C> for TrendsOf<'_> {}
