//! `analysis.analysis_results`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::schema::analysis::analysis_results;
use crate::sql::{
    columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id, is_one_of, parent_id,
};
use crate::{
    AnalysisId, AnalysisResult, AnalysisResultChanges, AnalysisResultFilter, AnalysisResultId,
    AnalysisResultOrder, NewAnalysisResult, Page, Paged, Result,
};

/// Stores and finds the results of analyses for single files.
#[repository]
pub trait AnalysisResultRepository: Send + Sync {
    /// Creates a file result.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such analysis
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewAnalysisResult) -> Result<AnalysisResult>;

    /// Creates any number of file results, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewAnalysisResult]) -> Result<u64>;

    /// Returns the file result with this id. Returns `None` if there is none.
    async fn find(&self, id: AnalysisResultId) -> Result<Option<AnalysisResult>>;

    /// Returns the file results with these ids, in the order of `ids`, with one query. An id
    /// without a row gets `None`.
    async fn find_many(&self, ids: &[AnalysisResultId]) -> Result<Vec<Option<AnalysisResult>>>;

    /// Checks whether there is a file result with this id.
    async fn exists(&self, id: AnalysisResultId) -> Result<bool>;

    /// Returns one page of the file results that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Paged<AnalysisResult>>;

    /// Returns one page for each analysis: its results that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Vec<Paged<AnalysisResult>>>;

    /// Streams the file results that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisResultFilter) -> RowStream<'a, AnalysisResult>;

    /// Counts the file results that the filter matches.
    async fn count(&self, filter: &AnalysisResultFilter) -> Result<u64>;

    /// Updates a file result and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such file result
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn update(
        &self,
        id: AnalysisResultId,
        changes: AnalysisResultChanges,
    ) -> Result<AnalysisResult>;

    /// Deletes a file result, and returns whether it existed.
    async fn delete(&self, id: AnalysisResultId) -> Result<bool>;

    /// Deletes every file result that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &AnalysisResultFilter) -> Result<u64>;
}

/// The [`AnalysisResultRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct AnalysisResults<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the file results.
    pub fn analysis_results(&self) -> AnalysisResults<'static> {
        AnalysisResults(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the file results within this transaction.
    pub fn analysis_results(&self) -> AnalysisResults<'_> {
        AnalysisResults(self.executor())
    }
}

#[repository(observed)]
impl AnalysisResultRepository for AnalysisResults<'_> {
    async fn create(&self, new: NewAnalysisResult) -> Result<AnalysisResult> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewAnalysisResult]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: AnalysisResultId) -> Result<Option<AnalysisResult>> {
        self.0.first(find_by_id::<AnalysisResult>(id)).await
    }

    async fn find_many(&self, ids: &[AnalysisResultId]) -> Result<Vec<Option<AnalysisResult>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn exists(&self, id: AnalysisResultId) -> Result<bool> {
        self.0.one(exists_by_id::<AnalysisResult>(id)).await
    }

    async fn list(
        &self,
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Paged<AnalysisResult>> {
        let rows = filter.query().select(columns_of::<AnalysisResult>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Vec<Paged<AnalysisResult>>> {
        let rows = filter
            .query_of_some_analyses()
            .filter(analysis_results::analysis_id.eq(parent_id(analysis_results::analysis_id)))
            .select(columns_of::<AnalysisResult>());
        let children = filter
            .query_of_some_analyses()
            .filter(is_one_of(analysis_results::analysis_id, ids))
            .select(analysis_results::analysis_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.analysis_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisResultFilter) -> RowStream<'a, AnalysisResult> {
        self.0
            .stream(filter.query().select(columns_of::<AnalysisResult>()))
    }

    async fn count(&self, filter: &AnalysisResultFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: AnalysisResultId,
        changes: AnalysisResultChanges,
    ) -> Result<AnalysisResult> {
        updated_row_uncached(&self.0, "AnalysisResult", id, &changes).await
    }

    async fn delete(&self, id: AnalysisResultId) -> Result<bool> {
        match self.0.execute(delete_by_id::<AnalysisResult>(id)).await? {
            0 => not_deleted("AnalysisResult", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &AnalysisResultFilter) -> Result<u64> {
        let ids = filter.query().select(analysis_results::id);
        self.0
            .execute(delete_matching(analysis_results::table, ids))
            .await
    }
}
