//! `analysis.analyses`.

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::lifecycle::{Step, Transition};
use crate::schema::analysis::analyses;
use crate::statement::{Changes as _, NewRow as _, delete_matching, insert, update};
use crate::{
    Analysis, AnalysisChanges, AnalysisFilter, AnalysisId, AnalysisOrder, AnalysisStatus,
    AnalysisSummary, AnalysisType, Error, MAX_LIMIT, NewAnalysis, NewestOfProjects, Page, Paged,
    ProjectId, Result,
};

/// Stores and finds analyses, and takes them through their lives.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait AnalysisRepository: Send + Sync {
    /// Creates an analysis.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] without project or user, [`Error::InvalidInput`] if a value cannot be stored,
    /// [`Error::Check`] if status, progress, times and duration do not go together.
    async fn create(&self, new: NewAnalysis) -> Result<Analysis>;

    /// Creates any number of analyses, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewAnalysis]) -> Result<usize>;

    /// The analysis with this id.
    async fn find(&self, id: AnalysisId) -> Result<Option<Analysis>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[AnalysisId]) -> Result<Vec<Option<Analysis>>>;

    /// The newest analysis of a project that has this type, whatever its status.
    async fn latest(&self, project_id: ProjectId, r#type: AnalysisType)
    -> Result<Option<Analysis>>;

    /// The newest analysis of a project that has this type and is completed.
    async fn latest_completed(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>>;

    /// The newest analyses of each project, at most `each` of them and newest first, by one query: one list for each
    /// id, in their order.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if `each` is not within 1 and 100.
    async fn of_projects(&self, ids: &[ProjectId], each: u32) -> Result<Vec<Vec<Analysis>>>;

    /// Whether there is such an analysis.
    async fn exists(&self, id: AnalysisId) -> Result<bool>;

    /// One page of the analyses that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Paged<Analysis>>;

    /// One page of the analyses of each project that the filter matches: one answer for each id, in their order, by one
    /// query. Totals, if the page asks for them, take a second query at the same time.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Vec<Paged<Analysis>>>;

    /// All analyses that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisFilter) -> RowStream<'a, Analysis>;

    /// How many analyses the filter matches.
    async fn count(&self, filter: &AnalysisFilter) -> Result<i64>;

    /// Changes an analysis; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] if a value cannot be stored.
    async fn update(&self, id: AnalysisId, changes: AnalysisChanges) -> Result<Analysis>;

    /// Starts a pending analysis now.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] if it is not pending.
    async fn start(&self, id: AnalysisId) -> Result<Analysis>;

    /// Notes that a running analysis has come this far, in percent. A report that comes late, after a greater one,
    /// does not take it back.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] if it is not running; [`Error::InvalidInput`] for what is
    /// not within 0 and 100.
    async fn progress(&self, id: AnalysisId, percent: i32) -> Result<Analysis>;

    /// Completes a running analysis now, with its summary. The duration is rounded to seconds and at least 1, since
    /// the design does not take 0; a run whose start was never noted counts as started a second ago.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] if it is not running; [`Error::InvalidInput`] if the summary
    /// cannot be stored.
    async fn complete(&self, id: AnalysisId, summary: AnalysisSummary) -> Result<Analysis>;

    /// Ends a running analysis that failed, with the reason. `completed_at` and `duration_seconds` tell when it ended
    /// as [`complete`](Self::complete) does, unless its start was never noted: the design has no end without one.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    async fn fail(&self, id: AnalysisId, message: &str) -> Result<Analysis>;

    /// Ends a pending or running analysis that is no longer wanted. One that was started gets its end as by
    /// [`fail`](Self::fail), a pending one gets none.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] if it has ended already.
    async fn cancel(&self, id: AnalysisId) -> Result<Analysis>;

    /// Deletes an analysis with its results, issues, metrics and duplicates, and tells whether it was there. Its
    /// dependency graphs are kept.
    async fn delete(&self, id: AnalysisId) -> Result<bool>;

    /// Deletes every analysis that the filter matches, all or none, and tells how many.
    async fn delete_many(&self, filter: &AnalysisFilter) -> Result<usize>;
}

/// The [`AnalysisRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Analyses<'a>(Source<'a>);

impl Db {
    /// The analyses.
    pub fn analyses(&self) -> Analyses<'static> {
        Analyses(self.source())
    }
}

impl Tx {
    /// The analyses, inside this transaction.
    pub fn analyses(&self) -> Analyses<'_> {
        Analyses(self.source())
    }
}

#[repository]
impl Analyses<'_> {
    /// Takes a step, or tells why that cannot be.
    async fn take(&self, id: AnalysisId, step: Step) -> Result<Analysis> {
        step.check()?;
        loop {
            if let Some(analysis) = self.0.first(Transition::new(id, &step)).await? {
                return Ok(analysis);
            }
            let status = analyses::table.find(id).select(analyses::status);
            match self.0.first(status).await? {
                None => return Err(Error::NotFound { what: "Analysis" }),
                Some(status) if !step.from().contains(&status) => {
                    return Err(Error::illegal_transition("Analysis", status, step.to()));
                }
                // It came there since the step was tried. States only go forward, so this ends.
                Some(_) => {}
            }
        }
    }
}

#[repository]
impl AnalysisRepository for Analyses<'_> {
    async fn create(&self, new: NewAnalysis) -> Result<Analysis> {
        new.check()?;
        self.0.one(insert(&new)).await
    }

    async fn create_many(&self, new: &[NewAnalysis]) -> Result<usize> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: AnalysisId) -> Result<Option<Analysis>> {
        self.0
            .first(analyses::table.find(id).select(Analysis::as_select()))
            .await
    }

    async fn find_many(&self, ids: &[AnalysisId]) -> Result<Vec<Option<Analysis>>> {
        let query = analyses::table
            .filter(analyses::id.eq_any(ids))
            .select(Analysis::as_select());
        Ok(in_order_of!(ids, self.0.load::<_, Analysis>(query).await?))
    }

    async fn latest(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>> {
        let query = analyses::table
            .filter(analyses::project_id.eq(project_id))
            .filter(analyses::r#type.eq(r#type))
            .order((analyses::created_at.desc(), analyses::id.desc()))
            .limit(1)
            .select(Analysis::as_select());
        self.0.first(query).await
    }

    async fn latest_completed(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>> {
        let query = analyses::table
            .filter(analyses::project_id.eq(project_id))
            .filter(analyses::r#type.eq(r#type))
            .filter(analyses::status.eq(AnalysisStatus::Completed))
            .order((analyses::created_at.desc(), analyses::id.desc()))
            .limit(1)
            .select(Analysis::as_select());
        self.0.first(query).await
    }

    async fn of_projects(&self, ids: &[ProjectId], each: u32) -> Result<Vec<Vec<Analysis>>> {
        if !(1..=MAX_LIMIT).contains(&each) {
            return Err(Error::invalid(
                "each",
                format_args!("{each} is not within 1 and {MAX_LIMIT}"),
            ));
        }
        let rows: Vec<Analysis> = self.0.load(NewestOfProjects::new(ids, each)).await?;
        Ok(in_groups_of!(ids, project_id, rows))
    }

    async fn exists(&self, id: AnalysisId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                analyses::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Paged<Analysis>> {
        list!(self, Analysis, filter, page)
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Vec<Paged<Analysis>>> {
        list_of!(self, Analysis, analyses::project_id, ids, filter, page)
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisFilter) -> RowStream<'a, Analysis> {
        self.0.stream(filter.query().select(Analysis::as_select()))
    }

    async fn count(&self, filter: &AnalysisFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(&self, id: AnalysisId, changes: AnalysisChanges) -> Result<Analysis> {
        update!(self, "Analysis", id, changes)
    }

    async fn start(&self, id: AnalysisId) -> Result<Analysis> {
        self.take(id, Step::Start).await
    }

    async fn progress(&self, id: AnalysisId, percent: i32) -> Result<Analysis> {
        self.take(id, Step::Progress(percent)).await
    }

    async fn complete(&self, id: AnalysisId, summary: AnalysisSummary) -> Result<Analysis> {
        self.take(id, Step::Complete(summary.into())).await
    }

    async fn fail(&self, id: AnalysisId, message: &str) -> Result<Analysis> {
        self.take(id, Step::Fail(message.to_owned())).await
    }

    async fn cancel(&self, id: AnalysisId) -> Result<Analysis> {
        self.take(id, Step::Cancel).await
    }

    async fn delete(&self, id: AnalysisId) -> Result<bool> {
        Ok(self
            .0
            .execute(diesel::delete(analyses::table.find(id)))
            .await?
            == 1)
    }

    async fn delete_many(&self, filter: &AnalysisFilter) -> Result<usize> {
        let ids = filter.query().select(analyses::id);
        self.0.execute(delete_matching(analyses::table, ids)).await
    }
}
