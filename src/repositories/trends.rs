//! `analysis.get_analysis_trends`.

use super::*;
use crate::{ProjectId, Result, TrendPoint, TrendsOf};

/// Reads how a project's metrics go from day to day.
///
/// Every method may return [`Error::Pool`](crate::Error::Pool), [`Error::Connection`](crate::Error::Connection) and
/// [`Error::Timeout`](crate::Error::Timeout).
#[repository]
pub trait TrendRepository: Send + Sync {
    /// A metric's days, oldest first, of the last `days_back` times 24 hours; a day without a value has no point. For
    /// 0 or less there is none.
    async fn of_metric(
        &self,
        project_id: ProjectId,
        metric_name: &str,
        days_back: i32,
    ) -> Result<Vec<TrendPoint>>;

    /// [`of_metric`](Self::of_metric) for several metrics by one query: one list for each name, in their order.
    async fn of_metrics(
        &self,
        project_id: ProjectId,
        metric_names: &[&str],
        days_back: i32,
    ) -> Result<Vec<Vec<TrendPoint>>>;
}

/// The [`TrendRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Trends<'a>(pub(super) Source<'a>);

impl Db {
    /// The metrics' trends.
    pub fn trends(&self) -> Trends<'static> {
        Trends(self.source())
    }
}

impl Tx {
    /// The metrics' trends, inside this transaction.
    pub fn trends(&self) -> Trends<'_> {
        Trends(self.source())
    }
}

#[repository]
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
        let query = TrendsOf {
            project_id,
            metric_names,
            days_back,
        };
        let rows = self.0.load(query).await?;
        Ok(TrendPoint::of_each(rows, metric_names.len()))
    }
}
