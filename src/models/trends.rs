//! `analysis.get_analysis_trends`: the values of a project's metric from day to day.

use bigdecimal::BigDecimal;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::TrendDirection;

/// A metric on one day: a row of the design's function `get_analysis_trends`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct TrendPoint {
    /// The day, in UTC.
    pub date: NaiveDate,
    /// The mean of the metric's values in the analyses that were completed on that day.
    #[serde(deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub average: BigDecimal,
    /// The comparison with the mean of the previous day that has one. Greater is `Improving` and
    /// smaller is `Declining`, whatever the metric means. The first day is `Stable`.
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
