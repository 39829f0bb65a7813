//! `analysis.analyses`.

use std::time::Duration;

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::models::access::ProjectFacts;
use crate::models::analysis_lifecycle::Step;
use crate::models::analysis_pins::check_reason;
use crate::schema::analysis::analyses;
use crate::sql::access::FactsOfProjects;
use crate::sql::analyses::NewestOfProjects;
use crate::sql::analysis_leases::{ClaimNext, Renew, RequeueAbandoned};
use crate::sql::{columns_of, exists_by_id, find_by_id, is_one_of, parent_id};
use crate::{
    Access, Analysis, AnalysisChanges, AnalysisFilter, AnalysisId, AnalysisOrder, AnalysisPin,
    AnalysisStatus, AnalysisSummary, AnalysisType, Claim, Lease, NewAnalysis, Page, Paged,
    ProjectId, ProjectRole, Result, UserId,
};

mod deletion;
mod newest;
mod pins;
mod transitions;

#[cfg(feature = "admin")]
pub(super) use deletion::{LATEST, Latest};
use deletion::{delete, delete_many};
use newest::newest;
pub(super) use pins::pin;
use pins::{check_limit, pins_of, pins_of_project, unpin};

/// Stores and finds analyses, and changes their status.
#[repository]
pub trait AnalysisRepository: Send + Sync {
    /// Creates an analysis.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such project or user
    /// - [`Error::InvalidInput`] if a value cannot be stored
    /// - [`Error::Check`] if status, progress, times and duration do not go together
    async fn create(&self, new: NewAnalysis) -> Result<Analysis>;

    /// Creates any number of analyses, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewAnalysis]) -> Result<u64>;

    /// Returns the analysis with this id. Returns `None` if there is none.
    async fn find(&self, id: AnalysisId) -> Result<Option<Analysis>>;

    /// Returns the analyses with these ids, in the order of `ids`, with one query. An id without a
    /// row gets `None`.
    async fn find_many(&self, ids: &[AnalysisId]) -> Result<Vec<Option<Analysis>>>;

    /// Returns the newest analysis of a project that has this type, in any status.
    async fn latest(&self, project_id: ProjectId, r#type: AnalysisType)
    -> Result<Option<Analysis>>;

    /// Returns the newest completed analysis of a project that has this type.
    async fn latest_completed(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>>;

    /// Returns the newest analyses of each project, newest first, with one query.
    ///
    /// The lists are in the order of `ids`. Each has at most `each` analyses. Must be between 1 and
    /// 100.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if `each` is not within 1 and 100
    async fn of_projects(&self, ids: &[ProjectId], each: u32) -> Result<Vec<Vec<Analysis>>>;

    /// Checks whether there is an analysis with this id.
    async fn exists(&self, id: AnalysisId) -> Result<bool>;

    /// Returns the access of a user to the project of an analysis, with one query. Returns `None`
    /// if the user cannot see the project, or if there is no such analysis.
    ///
    /// The rule is that of [`ProjectRepository::access`]. The cache has no part in it: PostgreSQL
    /// answers each call.
    ///
    /// ```no_run
    /// # async fn example(db: wundr_db::Db, user: wundr_db::UserId, id: wundr_db::AnalysisId) -> wundr_db::Result<()> {
    /// use wundr_db::{AnalysisRepository, Error, ProjectRole};
    ///
    /// let access = db.analyses().access(user, id).await?;
    /// if access.is_none_or(|access| access.role < ProjectRole::Contributor) {
    ///     return Err(Error::NotFound { what: "Analysis" });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    async fn access(&self, user_id: UserId, id: AnalysisId) -> Result<Option<Access<ProjectRole>>>;

    /// Returns one page of the analyses that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Paged<Analysis>>;

    /// Returns one page for each project: its analyses that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Vec<Paged<Analysis>>>;

    /// Streams the analyses that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisFilter) -> RowStream<'a, Analysis>;

    /// Counts the analyses that the filter matches.
    async fn count(&self, filter: &AnalysisFilter) -> Result<u64>;

    /// Updates an analysis and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such analysis
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn update(&self, id: AnalysisId, changes: AnalysisChanges) -> Result<Analysis>;

    /// Starts a pending analysis now.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such analysis
    /// - [`Error::IllegalTransition`] if it is not pending
    async fn start(&self, id: AnalysisId) -> Result<Analysis>;

    /// Records the progress of a running analysis, in percent.
    ///
    /// Progress never decreases: a value below the recorded one leaves that as it is. Must be
    /// between 0 and 100.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such analysis
    /// - [`Error::IllegalTransition`] if it is not running
    /// - [`Error::InvalidInput`] for what is not within 0 and 100
    async fn progress(&self, id: AnalysisId, percent: i32) -> Result<Analysis>;

    /// Completes a running analysis now, with its summary.
    ///
    /// The duration is rounded to seconds. It is at least 1, since the schema refuses 0. A run
    /// without a recorded start counts as started one second ago.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such analysis
    /// - [`Error::IllegalTransition`] if it is not running
    /// - [`Error::InvalidInput`] if the summary cannot be stored
    async fn complete(&self, id: AnalysisId, summary: AnalysisSummary) -> Result<Analysis>;

    /// Marks a running analysis as failed, with the reason.
    ///
    /// `completed_at` and `duration_seconds` are set as by [`complete`](Self::complete). Without a
    /// recorded start they stay NULL, since the schema refuses an end without a start.
    ///
    /// # Errors
    /// The same as [`complete`](Self::complete).
    async fn fail(&self, id: AnalysisId, message: &str) -> Result<Analysis>;

    /// Cancels a pending or running analysis.
    ///
    /// If it was started, its end is recorded as by [`fail`](Self::fail). A pending analysis gets
    /// no end.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such analysis
    /// - [`Error::IllegalTransition`] if it has ended already
    async fn cancel(&self, id: AnalysisId) -> Result<Analysis>;

    /// Claims the oldest pending analysis of one of these types for a worker.
    ///
    /// The analysis starts now. The worker gets a lease, which expires after `lease_for` unless it
    /// is [renewed](Self::renew). The oldest is the first by `created_at` and then by key. Returns
    /// `None` if there is no such analysis, or other workers are claiming all of them.
    ///
    /// Any number of workers may claim at the same time. None waits for another, and no two get the
    /// same analysis. A claim is one statement, which passes over analyses of other types in the
    /// queue.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if `types` is empty ([`AnalysisType::ALL`] means any), the
    ///   worker's name cannot be stored, or `lease_for` is not within 1 ms and 365 days
    async fn claim(
        &self,
        types: &[AnalysisType],
        worker: &str,
        lease_for: Duration,
    ) -> Result<Option<Claim>>;

    /// Extends a lease to `lease_for` from now, by the database's clock, and records the progress
    /// as [`progress`](Self::progress) does.
    ///
    /// A lease that has expired can be renewed until the analysis is requeued.
    ///
    /// # Errors
    /// - [`Error::LeaseLost`] if the analysis has ended, was requeued or is another worker's by now
    /// - [`Error::NotFound`] if it was deleted
    /// - [`Error::InvalidInput`] for a time or a percentage out of bounds
    async fn renew(
        &self,
        lease: &Lease,
        lease_for: Duration,
        progress: Option<i32>,
    ) -> Result<Lease>;

    /// Completes a claimed analysis, as [`complete`](Self::complete) does. Only the worker that
    /// holds the lease can.
    ///
    /// # Errors
    /// - [`Error::LeaseLost`] and [`Error::NotFound`] as in [`renew`](Self::renew)
    /// - [`Error::InvalidInput`] if the summary cannot be stored
    async fn complete_claimed(&self, lease: &Lease, summary: AnalysisSummary) -> Result<Analysis>;

    /// Marks a claimed analysis as failed, as [`fail`](Self::fail) does. Only the worker that holds
    /// the lease can.
    ///
    /// # Errors
    /// The same as [`complete_claimed`](Self::complete_claimed).
    async fn fail_claimed(&self, lease: &Lease, message: &str) -> Result<Analysis>;

    /// Returns a claimed analysis to the queue, for a worker that is about to stop.
    ///
    /// The analysis is pending and without progress, at its old position.
    ///
    /// # Errors
    /// - [`Error::LeaseLost`] and [`Error::NotFound`] as in [`renew`](Self::renew)
    async fn release(&self, lease: &Lease) -> Result<Analysis>;

    /// Requeues every running analysis whose lease has expired, pending and without progress.
    ///
    /// Returns each as it is now, with the lease that was lost, oldest first. Leaves an analysis
    /// that another transaction has locked to the next call. Any process may call this at any time,
    /// also at the same time. An analysis that was [started](Self::start) without a claim has no
    /// lease and is not changed.
    ///
    /// An analysis that was abandoned `attempts` times is failed instead, since it may be what
    /// stops its workers. Its `error_message` names the last worker. A [release](Self::release)
    /// does not count.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if `attempts` is 0
    async fn requeue_abandoned(&self, attempts: u32) -> Result<Vec<Claim>>;

    /// Pins an analysis, so that no retention deletes it, and returns the pin.
    ///
    /// An analysis can be pinned for several reasons. If it is already pinned for this one, returns
    /// the pin as it is. The pin has the user of the [`Actor`](crate::Actor), if there is one. A
    /// pin does not keep the analysis from [`delete`](Self::delete), which deletes its pins as
    /// well.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such analysis, or its removal has begun
    /// - [`Error::InvalidInput`] if the reason is empty, longer than 255 characters, or cannot be
    ///   stored
    /// - [`Error::MissingReference`] if there is no such user as the actor names
    async fn pin(&self, id: AnalysisId, reason: &str) -> Result<AnalysisPin>;

    /// Removes the pin of an analysis that has this reason, and returns whether it existed.
    async fn unpin(&self, id: AnalysisId, reason: &str) -> Result<bool>;

    /// Returns the pins of an analysis, sorted by their reasons.
    async fn pins(&self, id: AnalysisId) -> Result<Vec<AnalysisPin>>;

    /// Returns the newest pins of a project's analyses, at most `limit` of them. Must be between 1
    /// and 100.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if `limit` is not within 1 and 100
    async fn pins_of_project(&self, project_id: ProjectId, limit: u32) -> Result<Vec<AnalysisPin>>;

    /// Deletes an analysis with its results, issues, metrics, duplicates and pins, and returns
    /// whether it existed. Its dependency graphs are kept.
    async fn delete(&self, id: AnalysisId) -> Result<bool>;

    /// Deletes every analysis that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &AnalysisFilter) -> Result<u64>;
}

/// The [`AnalysisRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Analyses<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the analyses.
    pub fn analyses(&self) -> Analyses<'static> {
        Analyses(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the analyses within this transaction.
    pub fn analyses(&self) -> Analyses<'_> {
        Analyses(self.executor())
    }
}

impl<'a> Analyses<'a> {
    pub(super) fn executor(&self) -> Executor<'a> {
        self.0.clone()
    }
}

#[repository(observed)]
impl AnalysisRepository for Analyses<'_> {
    async fn create(&self, new: NewAnalysis) -> Result<Analysis> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewAnalysis]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn find(&self, id: AnalysisId) -> Result<Option<Analysis>> {
        self.0.first(find_by_id::<Analysis>(id)).await
    }

    async fn find_many(&self, ids: &[AnalysisId]) -> Result<Vec<Option<Analysis>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn latest(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>> {
        let query = newest(project_id, r#type)
            .limit(1)
            .select(columns_of::<Analysis>());
        self.0.first(query).await
    }

    async fn latest_completed(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>> {
        let query = newest(project_id, r#type)
            .filter(analyses::status.eq(AnalysisStatus::Completed))
            .limit(1)
            .select(columns_of::<Analysis>());
        self.0.first(query).await
    }

    async fn of_projects(&self, ids: &[ProjectId], each: u32) -> Result<Vec<Vec<Analysis>>> {
        check_limit("each", each)?;
        let rows: Vec<Analysis> = self.0.load(NewestOfProjects::new(ids, each)).await?;
        Ok(grouped_by(ids, rows, |row| row.project_id))
    }

    async fn exists(&self, id: AnalysisId) -> Result<bool> {
        self.0.one(exists_by_id::<Analysis>(id)).await
    }

    async fn access(&self, user_id: UserId, id: AnalysisId) -> Result<Option<Access<ProjectRole>>> {
        let facts = FactsOfProjects::new(user_id, id);
        let facts = self.0.first::<_, ProjectFacts>(facts).await?;
        Ok(facts.and_then(|facts| facts.access()))
    }

    async fn list(
        &self,
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Paged<Analysis>> {
        let rows = filter.query().select(columns_of::<Analysis>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &AnalysisFilter,
        page: &Page<AnalysisOrder>,
    ) -> Result<Vec<Paged<Analysis>>> {
        let rows = filter
            .query()
            .filter(analyses::project_id.eq(parent_id(analyses::project_id)))
            .select(columns_of::<Analysis>());
        let children = filter
            .query()
            .filter(is_one_of(analyses::project_id, ids))
            .select(analyses::project_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.project_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisFilter) -> RowStream<'a, Analysis> {
        self.0
            .stream(filter.query().select(columns_of::<Analysis>()))
    }

    async fn count(&self, filter: &AnalysisFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(&self, id: AnalysisId, changes: AnalysisChanges) -> Result<Analysis> {
        updated_row(&self.0, "Analysis", id, &changes).await
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
        steady_first_unlocked(&self.0, || claim.clone()).await
    }

    async fn renew(
        &self,
        lease: &Lease,
        lease_for: Duration,
        progress: Option<i32>,
    ) -> Result<Lease> {
        self.renew_lease(lease, Renew::new(lease, lease_for, progress)?)
            .await
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
        steady_load(&self.0, || statement.clone()).await
    }

    async fn pin(&self, id: AnalysisId, reason: &str) -> Result<AnalysisPin> {
        check_reason(&reason.to_owned(), "reason")?;
        pin(&self.0, id, reason).await
    }

    async fn unpin(&self, id: AnalysisId, reason: &str) -> Result<bool> {
        unpin(&self.0, id, reason).await
    }

    async fn pins(&self, id: AnalysisId) -> Result<Vec<AnalysisPin>> {
        pins_of(&self.0, id).await
    }

    async fn pins_of_project(&self, project_id: ProjectId, limit: u32) -> Result<Vec<AnalysisPin>> {
        pins_of_project(&self.0, project_id, limit).await
    }

    async fn delete(&self, id: AnalysisId) -> Result<bool> {
        delete(&self.0, id).await
    }

    async fn delete_many(&self, filter: &AnalysisFilter) -> Result<u64> {
        delete_many(&self.0, filter).await
    }
}
