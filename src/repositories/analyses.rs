//! `analysis.analyses`.

use std::time::Duration;

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::lifecycle::{By, Step, Transition};
use crate::models::{ClaimNext, Holder, Renew, RequeueAbandoned, lost};
use crate::schema::analysis::analyses;
use crate::sql::{Changes as _, NewRow as _, delete_matching};
use crate::touched::Key;
use crate::{
    Analysis, AnalysisChanges, AnalysisFilter, AnalysisId, AnalysisOrder, AnalysisStatus,
    AnalysisSummary, AnalysisType, Claim, Error, Lease, MAX_LIMIT, NewAnalysis, NewestOfProjects,
    Page, Paged, ProjectId, Result,
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
    /// query, with their totals if the page asks for them.
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

    /// Claims the oldest pending analysis of one of these types for a worker: starts it now, and gives the worker a lease
    /// that ends after `lease_for` unless it is [renewed](Self::renew). Oldest is by `created_at` and then by key.
    ///
    /// Any number of workers may claim at once: none waits for another, and no two get the same. `None` if there is no
    /// such analysis but what others are claiming. One statement; the walk through the queue passes by analyses of
    /// other types.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if `types` is empty ([`AnalysisType::ALL`] means any), the worker's name cannot be
    /// stored, or `lease_for` is not within 1 ms and 365 days.
    async fn claim(
        &self,
        types: &[AnalysisType],
        worker: &str,
        lease_for: Duration,
    ) -> Result<Option<Claim>>;

    /// Lets a lease end `lease_for` from now, by the database's clock, and notes how far the analysis is, as
    /// [`progress`](Self::progress) does. A lease that has expired can be renewed until the analysis was requeued.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the analysis has ended, was requeued or is another worker's by now;
    /// [`Error::NotFound`] if it was deleted; [`Error::InvalidInput`] for a time or a percentage out of bounds.
    async fn renew(
        &self,
        lease: &Lease,
        lease_for: Duration,
        progress: Option<i32>,
    ) -> Result<Lease>;

    /// [`complete`](Self::complete) by the worker that holds the lease, and by nobody else.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] and [`Error::NotFound`] as in [`renew`](Self::renew); [`Error::InvalidInput`] if the summary
    /// cannot be stored.
    async fn complete_claimed(&self, lease: &Lease, summary: AnalysisSummary) -> Result<Analysis>;

    /// [`fail`](Self::fail) by the worker that holds the lease, and by nobody else.
    ///
    /// # Errors
    /// As [`complete_claimed`](Self::complete_claimed).
    async fn fail_claimed(&self, lease: &Lease, message: &str) -> Result<Analysis>;

    /// Gives a claimed analysis back to the queue, pending and without progress, at its old place: for a worker that
    /// is to stop.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] and [`Error::NotFound`] as in [`renew`](Self::renew).
    async fn release(&self, lease: &Lease) -> Result<Analysis>;

    /// Puts every running analysis whose lease has expired back into the queue, pending and without progress, and
    /// tells which: each as it is now, with the lease that was lost, oldest first. Any process may do this at any time,
    /// several at once too. An analysis that was [started](Self::start) without a claim has no lease and is left alone.
    ///
    /// One that was left like this `attempts` times is failed instead, with an `error_message` that names its last worker:
    /// it may be what its workers die of. Those that were [released](Self::release) do not count.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if `attempts` is 0.
    async fn requeue_abandoned(&self, attempts: u32) -> Result<Vec<Claim>>;

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

impl<'a> Analyses<'a> {
    pub(super) fn source(&self) -> Source<'a> {
        self.0.clone()
    }
}

#[repository]
impl Analyses<'_> {
    /// Takes a step, or tells why that cannot be.
    async fn take(&self, id: AnalysisId, step: Step) -> Result<Analysis> {
        step.check()?;
        for _ in 0..MOST_TRIES {
            let taken =
                steady!(self, source => source.first(Transition::new(By::Anybody(id), &step)));
            if let Some(analysis) = taken? {
                return Ok(analysis);
            }
            let status = analyses::table.find(id).select(analyses::status);
            match self.0.first(status).await? {
                None => return Err(Error::NotFound { what: "Analysis" }),
                Some(status) if !step.from().contains(&status) => {
                    let (from, to) = (status.as_str(), step.to().as_str());
                    return Err(Error::illegal_transition("Analysis", from, to, step.name()));
                }
                // It came there since the step was tried: another step was taken, unless this one is suppressed.
                Some(_) => {}
            }
        }
        Err(Error::Suppressed { what: "Analysis" })
    }

    /// Takes a step as the worker that holds the lease.
    async fn take_held(&self, lease: &Lease, step: Step) -> Result<Analysis> {
        step.check()?;
        let taken =
            steady!(self, source => source.first(Transition::new(By::Holder(lease), &step)));
        match taken? {
            Some(analysis) => Ok(analysis),
            None => Err(lost(self.0.first(Holder(lease.analysis_id)).await?)),
        }
    }
}

#[repository]
impl AnalysisRepository for Analyses<'_> {
    async fn create(&self, new: NewAnalysis) -> Result<Analysis> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert(&new).await;
        write.finish(outcome).await
    }

    async fn create_many(&self, new: &[NewAnalysis]) -> Result<usize> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
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
        Ok(in_order_of(
            ids,
            self.0.load::<_, Analysis>(query).await?,
            |row| row.id,
        ))
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
        Ok(grouped_by(ids, rows, |row| row.project_id))
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
        changes.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().update(id, &changes).await;
        match write.finish(outcome).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "Analysis",
                &changes,
                self.exists(id).await?,
            )),
        }
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

    async fn claim(
        &self,
        types: &[AnalysisType],
        worker: &str,
        lease_for: Duration,
    ) -> Result<Option<Claim>> {
        let claim = ClaimNext::new(types, worker, lease_for)?;
        steady!(self, source => source.first(claim.clone()))
    }

    async fn renew(
        &self,
        lease: &Lease,
        lease_for: Duration,
        progress: Option<i32>,
    ) -> Result<Lease> {
        let renewal = Renew::new(lease, lease_for, progress)?;
        let id = lease.analysis_id;
        match steady!(self, source => renew(&source, renewal, id), _renewed => &true)? {
            Some(lease) => Ok(lease),
            None => Err(lost(self.0.first(Holder(lease.analysis_id)).await?)),
        }
    }

    async fn complete_claimed(&self, lease: &Lease, summary: AnalysisSummary) -> Result<Analysis> {
        self.take_held(lease, Step::Complete(summary.into())).await
    }

    async fn fail_claimed(&self, lease: &Lease, message: &str) -> Result<Analysis> {
        self.take_held(lease, Step::Fail(message.to_owned())).await
    }

    async fn release(&self, lease: &Lease) -> Result<Analysis> {
        self.take_held(lease, Step::Release).await
    }

    async fn requeue_abandoned(&self, attempts: u32) -> Result<Vec<Claim>> {
        let statement = RequeueAbandoned::new(attempts)?;
        steady!(self, source => source.load(statement.clone()))
    }

    async fn delete(&self, id: AnalysisId) -> Result<bool> {
        let statement = diesel::delete(analyses::table.find(id)).returning(LATEST);
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().first(statement).await;
        let deleted: Option<Latest> = write.finish(outcome).await?;
        Ok(deleted.is_some())
    }

    async fn delete_many(&self, filter: &AnalysisFilter) -> Result<usize> {
        let ids = filter.query().select(analyses::id);
        let statement = delete_matching(analyses::table, ids).returning(LATEST);
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().load(statement).await;
        let deleted: Vec<Latest> = write.finish(outcome).await?;
        Ok(deleted.len())
    }
}

/// What is read of an analysis that is deleted, and the columns of that.
type Latest = (ProjectId, AnalysisType);
const LATEST: (analyses::project_id, analyses::r#type) = (analyses::project_id, analyses::r#type);

/// Renews a lease, and notes whose progress may have changed with it.
#[repository]
async fn renew(source: &Source<'_>, renewal: Renew<'_>, id: AnalysisId) -> Result<Option<Lease>> {
    let lease = source.first(renewal).await?;
    if source.takes_notes() {
        let of = analyses::table
            .find(id)
            .select((analyses::project_id, analyses::r#type));
        let of: Option<(ProjectId, AnalysisType)> = source.first(of).await?;
        source.touch(&of.map(|(project, r#type)| Key::LatestAnalysis(project, r#type)));
    }
    Ok(lease)
}
