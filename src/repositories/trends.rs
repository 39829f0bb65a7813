//! `analysis.get_analysis_trends`.

use super::*;
use crate::sql::Sql;
use crate::sql::trends::TrendsOf;
use crate::{ProjectId, Result, TrendPoint};

/// Reads the daily trends of a project's metrics.
#[repository]
pub trait TrendRepository: Send + Sync {
    /// Returns the points of a metric, one for each day, oldest first.
    ///
    /// They cover the last `days_back` times 24 hours. A day without a value has no point. For 0 or
    /// less there are no points.
    async fn of_metric(
        &self,
        project_id: ProjectId,
        metric_name: &str,
        days_back: i32,
    ) -> Result<Vec<TrendPoint>>;

    /// Returns the points of several metrics as [`of_metric`](Self::of_metric) does, with one
    /// query. The lists are in the order of the names.
    async fn of_metrics(
        &self,
        project_id: ProjectId,
        metric_names: &[&str],
        days_back: i32,
    ) -> Result<Vec<Vec<TrendPoint>>>;
}

/// The [`TrendRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Trends<'a>(pub(super) Executor<'a>);

impl Db {
    /// Returns the repository of the trends of metrics.
    pub fn trends(&self) -> Trends<'static> {
        Trends(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the trends of metrics within this transaction.
    pub fn trends(&self) -> Trends<'_> {
        Trends(self.executor())
    }
}

#[repository(observed)]
impl TrendRepository for Trends<'_> {
    async fn of_metric(
        &self,
        project_id: ProjectId,
        metric_name: &str,
        days_back: i32,
    ) -> Result<Vec<TrendPoint>> {
        let mut trends = self
            .of_metrics(project_id, &[metric_name], days_back)
            .await?;
        Ok(trends.pop().unwrap_or_default())
    }

    async fn of_metrics(
        &self,
        project_id: ProjectId,
        metric_names: &[&str],
        days_back: i32,
    ) -> Result<Vec<Vec<TrendPoint>>> {
        let query = Sql(TrendsOf {
            project_id,
            metric_names,
            days_back,
        });
        let rows = self.0.load(query).await?;
        Ok(TrendPoint::of_each(rows, metric_names.len()))
    }
}
