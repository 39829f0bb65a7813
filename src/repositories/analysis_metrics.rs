//! `analysis.analysis_metrics`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::schema::analysis::analysis_metrics;
use crate::sql::analysis_metrics::LatestOfProject;
use crate::sql::{
    columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id, is_one_of, parent_id,
};
use crate::{
    AnalysisId, AnalysisMetric, AnalysisMetricChanges, AnalysisMetricFilter, AnalysisMetricId,
    AnalysisMetricOrder, NewAnalysisMetric, Page, Paged, ProjectId, Result,
};

/// Stores and finds the metrics that analyses measure.
#[repository]
pub trait AnalysisMetricRepository: Send + Sync {
    /// Creates a metric.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such analysis
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewAnalysisMetric) -> Result<AnalysisMetric>;

    /// Creates any number of metrics, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewAnalysisMetric]) -> Result<u64>;

    /// Returns the metric with this id. Returns `None` if there is none.
    async fn find(&self, id: AnalysisMetricId) -> Result<Option<AnalysisMetric>>;

    /// Returns the metrics with these ids, in the order of `ids`, with one query. An id without a
    /// row gets `None`.
    async fn find_many(&self, ids: &[AnalysisMetricId]) -> Result<Vec<Option<AnalysisMetric>>>;

    /// Returns the metrics of each analysis, sorted by name, with one query. The lists are in the
    /// order of `ids`.
    async fn of_analyses(&self, ids: &[AnalysisId]) -> Result<Vec<Vec<AnalysisMetric>>>;

    /// Returns the newest metric of a project for each name, with one query.
    ///
    /// The newest is that of the newest completed analysis with a metric of that name. The metrics
    /// are in the order of `metric_names`, `None` for a name without one.
    async fn latest_of_project(
        &self,
        project_id: ProjectId,
        metric_names: &[&str],
    ) -> Result<Vec<Option<AnalysisMetric>>>;

    /// Checks whether there is a metric with this id.
    async fn exists(&self, id: AnalysisMetricId) -> Result<bool>;

    /// Returns one page of the metrics that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &AnalysisMetricFilter,
        page: &Page<AnalysisMetricOrder>,
    ) -> Result<Paged<AnalysisMetric>>;

    /// Returns one page for each analysis: its metrics that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisMetricFilter,
        page: &Page<AnalysisMetricOrder>,
    ) -> Result<Vec<Paged<AnalysisMetric>>>;

    /// Streams the metrics that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisMetricFilter) -> RowStream<'a, AnalysisMetric>;

    /// Counts the metrics that the filter matches.
    async fn count(&self, filter: &AnalysisMetricFilter) -> Result<u64>;

    /// Updates a metric and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such metric
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn update(
        &self,
        id: AnalysisMetricId,
        changes: AnalysisMetricChanges,
    ) -> Result<AnalysisMetric>;

    /// Deletes a metric, and returns whether it existed.
    async fn delete(&self, id: AnalysisMetricId) -> Result<bool>;

    /// Deletes every metric that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &AnalysisMetricFilter) -> Result<u64>;
}

/// The [`AnalysisMetricRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct AnalysisMetrics<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the metrics.
    pub fn analysis_metrics(&self) -> AnalysisMetrics<'static> {
        AnalysisMetrics(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the metrics within this transaction.
    pub fn analysis_metrics(&self) -> AnalysisMetrics<'_> {
        AnalysisMetrics(self.executor())
    }
}

#[repository(observed)]
impl AnalysisMetricRepository for AnalysisMetrics<'_> {
    async fn create(&self, new: NewAnalysisMetric) -> Result<AnalysisMetric> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewAnalysisMetric]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: AnalysisMetricId) -> Result<Option<AnalysisMetric>> {
        self.0.first(find_by_id::<AnalysisMetric>(id)).await
    }

    async fn find_many(&self, ids: &[AnalysisMetricId]) -> Result<Vec<Option<AnalysisMetric>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn of_analyses(&self, ids: &[AnalysisId]) -> Result<Vec<Vec<AnalysisMetric>>> {
        let query = analysis_metrics::table
            .filter(is_one_of(analysis_metrics::analysis_id, ids))
            .order((analysis_metrics::metric_name, analysis_metrics::id))
            .select(columns_of::<AnalysisMetric>());
        let rows = self.0.load::<_, AnalysisMetric>(query).await?;
        Ok(grouped_by(ids, rows, |row| row.analysis_id))
    }

    async fn latest_of_project(
        &self,
        project_id: ProjectId,
        metric_names: &[&str],
    ) -> Result<Vec<Option<AnalysisMetric>>> {
        let query = LatestOfProject::new(project_id, metric_names);
        let rows: Vec<AnalysisMetric> = self.0.load(query).await?;
        let of_name = |name: &&str| rows.iter().find(|row| row.metric_name == *name).cloned();
        Ok(metric_names.iter().map(of_name).collect())
    }

    async fn exists(&self, id: AnalysisMetricId) -> Result<bool> {
        self.0.one(exists_by_id::<AnalysisMetric>(id)).await
    }

    async fn list(
        &self,
        filter: &AnalysisMetricFilter,
        page: &Page<AnalysisMetricOrder>,
    ) -> Result<Paged<AnalysisMetric>> {
        let rows = filter.query().select(columns_of::<AnalysisMetric>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisMetricFilter,
        page: &Page<AnalysisMetricOrder>,
    ) -> Result<Vec<Paged<AnalysisMetric>>> {
        let rows = filter
            .query()
            .filter(analysis_metrics::analysis_id.eq(parent_id(analysis_metrics::analysis_id)))
            .select(columns_of::<AnalysisMetric>());
        let children = filter
            .query()
            .filter(is_one_of(analysis_metrics::analysis_id, ids))
            .select(analysis_metrics::analysis_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.analysis_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisMetricFilter) -> RowStream<'a, AnalysisMetric> {
        self.0
            .stream(filter.query().select(columns_of::<AnalysisMetric>()))
    }

    async fn count(&self, filter: &AnalysisMetricFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: AnalysisMetricId,
        changes: AnalysisMetricChanges,
    ) -> Result<AnalysisMetric> {
        updated_row_uncached(&self.0, "AnalysisMetric", id, &changes).await
    }

    async fn delete(&self, id: AnalysisMetricId) -> Result<bool> {
        match self.0.execute(delete_by_id::<AnalysisMetric>(id)).await? {
            0 => not_deleted("AnalysisMetric", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &AnalysisMetricFilter) -> Result<u64> {
        let ids = filter.query().select(analysis_metrics::id);
        self.0
            .execute(delete_matching(analysis_metrics::table, ids))
            .await
    }
}
