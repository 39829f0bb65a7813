//! `analysis.analysis_results`.

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::schema::analysis::analysis_results;
use crate::sql::{Changes as _, NewRow as _, delete_matching};
use crate::{
    AnalysisId, AnalysisResult, AnalysisResultChanges, AnalysisResultFilter, AnalysisResultId,
    AnalysisResultOrder, Error, NewAnalysisResult, Page, Paged, Result,
};

/// Stores and finds what analyses say of each file.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait AnalysisResultRepository: Send + Sync {
    /// Creates a file's result.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] without analysis, [`Error::InvalidInput`] if a value cannot be stored.
    async fn create(&self, new: NewAnalysisResult) -> Result<AnalysisResult>;

    /// Creates any number of files' results, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewAnalysisResult]) -> Result<usize>;

    /// The file's result with this id.
    async fn find(&self, id: AnalysisResultId) -> Result<Option<AnalysisResult>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[AnalysisResultId]) -> Result<Vec<Option<AnalysisResult>>>;

    /// Whether there is such a file's result.
    async fn exists(&self, id: AnalysisResultId) -> Result<bool>;

    /// One page of the files' results that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Paged<AnalysisResult>>;

    /// One page of the results of each analysis that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Vec<Paged<AnalysisResult>>>;

    /// All files' results that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisResultFilter) -> RowStream<'a, AnalysisResult>;

    /// How many files' results the filter matches.
    async fn count(&self, filter: &AnalysisResultFilter) -> Result<i64>;

    /// Changes a file's result; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] if a value cannot be stored.
    async fn update(
        &self,
        id: AnalysisResultId,
        changes: AnalysisResultChanges,
    ) -> Result<AnalysisResult>;

    /// Deletes a file's result and tells whether it was there.
    async fn delete(&self, id: AnalysisResultId) -> Result<bool>;

    /// Deletes every file's result that the filter matches, all or none, and tells how many.
    async fn delete_many(&self, filter: &AnalysisResultFilter) -> Result<usize>;
}

/// The [`AnalysisResultRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct AnalysisResults<'a>(Source<'a>);

impl Db {
    /// The files' results.
    pub fn analysis_results(&self) -> AnalysisResults<'static> {
        AnalysisResults(self.source())
    }
}

impl Tx {
    /// The files' results, inside this transaction.
    pub fn analysis_results(&self) -> AnalysisResults<'_> {
        AnalysisResults(self.source())
    }
}

#[repository]
impl AnalysisResultRepository for AnalysisResults<'_> {
    async fn create(&self, new: NewAnalysisResult) -> Result<AnalysisResult> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewAnalysisResult]) -> Result<usize> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: AnalysisResultId) -> Result<Option<AnalysisResult>> {
        self.0
            .first(
                analysis_results::table
                    .find(id)
                    .select(AnalysisResult::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[AnalysisResultId]) -> Result<Vec<Option<AnalysisResult>>> {
        let query = analysis_results::table
            .filter(analysis_results::id.eq_any(ids))
            .select(AnalysisResult::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, AnalysisResult>(query).await?,
            |row| row.id,
        ))
    }

    async fn exists(&self, id: AnalysisResultId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                analysis_results::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Paged<AnalysisResult>> {
        list!(self, AnalysisResult, filter, page)
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisResultFilter,
        page: &Page<AnalysisResultOrder>,
    ) -> Result<Vec<Paged<AnalysisResult>>> {
        list_of!(
            self,
            AnalysisResult,
            analysis_results::analysis_id,
            ids,
            filter,
            page
        )
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisResultFilter) -> RowStream<'a, AnalysisResult> {
        self.0
            .stream(filter.query().select(AnalysisResult::as_select()))
    }

    async fn count(&self, filter: &AnalysisResultFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(
        &self,
        id: AnalysisResultId,
        changes: AnalysisResultChanges,
    ) -> Result<AnalysisResult> {
        changes.check()?;
        match self.0.update(id, &changes).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "AnalysisResult",
                &changes,
                self.exists(id).await?,
            )),
        }
    }

    async fn delete(&self, id: AnalysisResultId) -> Result<bool> {
        Ok(self
            .0
            .execute(diesel::delete(analysis_results::table.find(id)))
            .await?
            == 1)
    }

    async fn delete_many(&self, filter: &AnalysisResultFilter) -> Result<usize> {
        let ids = filter.query().select(analysis_results::id);
        self.0
            .execute(delete_matching(analysis_results::table, ids))
            .await
    }
}
