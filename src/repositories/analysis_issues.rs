//! `analysis.analysis_issues`.

use diesel::prelude::{ExpressionMethods, NullableExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::{Changes as _, NewRow as _};
use crate::models::access::ProjectFacts;
use crate::models::partitions::unsigned;
use crate::schema::analysis::analysis_issues;
use crate::sql::access::FactsOfProjects;
use crate::sql::analysis_issues::{
    SettleMatching, in_order_of_index, is_in_order_of_index, page_of_analyses,
};
use crate::sql::tracking::{Track, Tracked};
use crate::sql::{CountBy, delete_by_id, exists_by_id, find_by_id, is_one_of};
use crate::sql::{columns_of, delete_matching, parent_id, update_matching};
use crate::{
    Access, AnalysisId, AnalysisIssue, AnalysisIssueChanges, AnalysisIssueFilter, AnalysisIssueId,
    AnalysisIssueOrder, Error, IssueSeverity, IssueStatus, IssueType, NewAnalysisIssue, Page,
    Paged, ProjectRole, Result, Tracking, UserId,
};

mod verdicts;

/// Stores and finds the issues that analyses report.
#[repository]
pub trait AnalysisIssueRepository: Send + Sync {
    /// Creates an issue.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such analysis or user
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewAnalysisIssue) -> Result<AnalysisIssue>;

    /// Creates any number of issues, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewAnalysisIssue]) -> Result<u64>;

    /// Returns the issue with this id. Returns `None` if there is none.
    async fn find(&self, id: AnalysisIssueId) -> Result<Option<AnalysisIssue>>;

    /// Returns the issues with these ids, in the order of `ids`, with one query. An id without a
    /// row gets `None`.
    async fn find_many(&self, ids: &[AnalysisIssueId]) -> Result<Vec<Option<AnalysisIssue>>>;

    /// Checks whether there is an issue with this id.
    async fn exists(&self, id: AnalysisIssueId) -> Result<bool>;

    /// Returns the access of a user to the project of an issue, with one query. Returns `None` if
    /// the user cannot see the project, or if there is no such issue.
    ///
    /// The rule is that of [`ProjectRepository::access`]. The cache has no part in it: PostgreSQL
    /// answers each call.
    ///
    /// ```no_run
    /// # async fn example(db: wundr_db::Db, user: wundr_db::UserId, id: wundr_db::AnalysisIssueId) -> wundr_db::Result<()> {
    /// use wundr_db::{AnalysisIssueRepository, Error, ProjectRole};
    ///
    /// let access = db.analysis_issues().access(user, id).await?;
    /// if access.is_none_or(|access| access.role < ProjectRole::Contributor) {
    ///     return Err(Error::NotFound { what: "AnalysisIssue" });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    async fn access(
        &self,
        user_id: UserId,
        id: AnalysisIssueId,
    ) -> Result<Option<Access<ProjectRole>>>;

    /// Returns one page of the issues that the filter matches.
    ///
    /// If the filter names analyses or a project, a page reads issues of these alone. In the
    /// default order it reads them worst first until it has its rows of each analysis: without a
    /// condition beside those on the severity, at most its own number. In another order, or with a
    /// condition on the rule, the path or the user, it may read all of them.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Paged<AnalysisIssue>>;

    /// Returns one page for each analysis: its issues that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Vec<Paged<AnalysisIssue>>>;

    /// Streams the issues that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisIssueFilter) -> RowStream<'a, AnalysisIssue>;

    /// Counts the issues that the filter matches.
    async fn count(&self, filter: &AnalysisIssueFilter) -> Result<u64>;

    /// Updates an issue and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such issue
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn update(
        &self,
        id: AnalysisIssueId,
        changes: AnalysisIssueChanges,
    ) -> Result<AnalysisIssue>;

    /// Marks an issue as resolved, and records when and by which user. An issue that is already
    /// resolved keeps its first time and user.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such issue
    /// - [`Error::MissingReference`] if there is no such user
    async fn resolve(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue>;

    /// Marks an issue as ignored, and records when and by which user, as [`resolve`](Self::resolve)
    /// does.
    ///
    /// # Errors
    /// The same as [`resolve`](Self::resolve).
    async fn ignore(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue>;

    /// Marks an issue as a false positive, and records when and by which user, as
    /// [`resolve`](Self::resolve) does.
    ///
    /// # Errors
    /// The same as [`resolve`](Self::resolve).
    async fn mark_false_positive(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue>;

    /// Reopens an issue of any status.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such issue
    async fn reopen(&self, id: AnalysisIssueId) -> Result<AnalysisIssue>;

    /// Resolves every issue that the filter matches and that is not resolved, and returns their
    /// number.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such user
    async fn resolve_many(&self, filter: &AnalysisIssueFilter, by: UserId) -> Result<u64>;

    /// Gives a status to every issue that the filter matches and that does not have it, all or
    /// none, and returns their number. Records when and by which user, as
    /// [`resolve`](Self::resolve) does; an issue that is opened again has neither.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such user
    /// - [`Error::InvalidInput`] if the status is one that this version of the crate does not have
    async fn settle_many(
        &self,
        filter: &AnalysisIssueFilter,
        status: IssueStatus,
        by: UserId,
    ) -> Result<u64>;

    /// Updates every issue that the filter matches, all or none, and returns their number. Changes
    /// without an assignment update none.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn update_many(
        &self,
        filter: &AnalysisIssueFilter,
        changes: AnalysisIssueChanges,
    ) -> Result<u64>;

    /// Compares the issues of the analysis `base` with those of `new`, a later analysis of the same
    /// project, and carries over the verdicts of users.
    ///
    /// An open issue of `new` that was ignored or a false positive in `base` gets that status with
    /// its time and user. An issue that was resolved stays open, since it is back.
    ///
    /// # Verdicts
    /// A verdict is carried over only if the issue is no worse than it was, and the two have the
    /// same code or are in the same line of the same file. Two issues without a line and code are
    /// about the file as a whole. For them the file and the whole message must be the same.
    ///
    /// So a verdict does not follow an issue without code to another line. To keep it, store the
    /// code with the issue ([`code_snippet`](crate::NewAnalysisIssue::code_snippet)).
    ///
    /// # Matching
    /// Two issues are the same if they have the same rule (without a rule, the same type) and, the
    /// stricter condition first,
    ///
    /// - have the same code and message and are in the same file;
    /// - have the same code and message, and are in two files of which each analysis names only
    ///   one;
    /// - are in the same file and have the same code, then the same message, then the same message
    ///   except for the numbers in it.
    ///
    /// White space in code does not count. A file is another's new name if only `base` names the
    /// one and only `new` the other, and no other two files have as many issues in common that
    /// nothing else has.
    ///
    /// A line is never part of an issue's identity. Lines only decide which of several equal issues
    /// belong together: first those that moved as far as the issues above them, then in their
    /// order. Each issue is matched once. Of three issues in `new` that equal two in `base`, one is
    /// new.
    ///
    /// # Repetition and concurrency
    /// A repeated call returns the same lists and changes nothing. The exception is an issue that
    /// got a verdict and was reopened since: it gets the verdict again.
    ///
    /// All of this is one statement. It sees both analyses as they were when it began; later writes
    /// count at the next call. An issue that a user settles meanwhile keeps that verdict. Of two
    /// calls for the same `new`, the second waits for the transaction of the first before it
    /// writes.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if one of the analyses does not exist
    /// - [`Error::InvalidInput`] if they are the same or of different projects
    /// - [`Error::Serialization`] if the transaction is `REPEATABLE READ` or `SERIALIZABLE` and
    ///   conflicts with another
    async fn track(&self, base: AnalysisId, new: AnalysisId) -> Result<Tracking>;

    /// Counts the issues that the filter matches by severity, worst first. A severity without an
    /// issue has the count 0.
    async fn count_by_severity(
        &self,
        filter: &AnalysisIssueFilter,
    ) -> Result<Vec<(IssueSeverity, u64)>>;

    /// Counts the issues that the filter matches by type, in the order of [`IssueType::ALL`]. A
    /// type without an issue has the count 0.
    async fn count_by_type(&self, filter: &AnalysisIssueFilter) -> Result<Vec<(IssueType, u64)>>;

    /// Counts the issues that the filter matches by rule, largest count first, up to `limit` rules.
    /// Issues without a rule do not count.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if `limit` is 0
    async fn count_by_rule(
        &self,
        filter: &AnalysisIssueFilter,
        limit: u32,
    ) -> Result<Vec<(String, u64)>>;

    /// Deletes an issue, and returns whether it existed.
    async fn delete(&self, id: AnalysisIssueId) -> Result<bool>;

    /// Deletes every issue that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &AnalysisIssueFilter) -> Result<u64>;
}

/// The [`AnalysisIssueRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct AnalysisIssues<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the issues.
    pub fn analysis_issues(&self) -> AnalysisIssues<'static> {
        AnalysisIssues(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the issues within this transaction.
    pub fn analysis_issues(&self) -> AnalysisIssues<'_> {
        AnalysisIssues(self.executor())
    }
}

#[repository(observed)]
impl AnalysisIssueRepository for AnalysisIssues<'_> {
    async fn create(&self, new: NewAnalysisIssue) -> Result<AnalysisIssue> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewAnalysisIssue]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: AnalysisIssueId) -> Result<Option<AnalysisIssue>> {
        self.0.first(find_by_id::<AnalysisIssue>(id)).await
    }

    async fn find_many(&self, ids: &[AnalysisIssueId]) -> Result<Vec<Option<AnalysisIssue>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn exists(&self, id: AnalysisIssueId) -> Result<bool> {
        self.0.one(exists_by_id::<AnalysisIssue>(id)).await
    }

    async fn access(
        &self,
        user_id: UserId,
        id: AnalysisIssueId,
    ) -> Result<Option<Access<ProjectRole>>> {
        let facts = FactsOfProjects::new(user_id, id);
        let facts = self.0.first::<_, ProjectFacts>(facts).await?;
        Ok(facts.and_then(|facts| facts.access()))
    }

    async fn list(
        &self,
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Paged<AnalysisIssue>> {
        let Some(analyses) = filter.analyses() else {
            let mut rows = filter.query().select(columns_of::<AnalysisIssue>());
            if filter.analysis_id.is_some()
                && let Some(condition) = in_order_of_index(filter, page)
            {
                rows = rows.filter(condition);
            }
            let is_right = filter.analysis_id.is_some() && is_in_order_of_index(filter, page);
            let total = filter.query().count();
            return page_by_reusable_plan(&self.0, page, is_right, rows, total).await;
        };
        let rows = analysis_issues::table
            .select(columns_of::<AnalysisIssue>())
            .into_boxed();
        let rows = page_of_analyses(filter, analyses, page, rows)?;
        read_page(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Vec<Paged<AnalysisIssue>>> {
        let mut rows = filter
            .query_of_some_analyses()
            .filter(analysis_issues::analysis_id.eq(parent_id(analysis_issues::analysis_id)))
            .select(columns_of::<AnalysisIssue>());
        if let Some(condition) = in_order_of_index(filter, page) {
            rows = rows.filter(condition);
        }
        let children = filter
            .query_of_some_analyses()
            .filter(is_one_of(analysis_issues::analysis_id, ids))
            .select(analysis_issues::analysis_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.analysis_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisIssueFilter) -> RowStream<'a, AnalysisIssue> {
        self.0
            .stream(filter.query().select(columns_of::<AnalysisIssue>()))
    }

    async fn count(&self, filter: &AnalysisIssueFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: AnalysisIssueId,
        changes: AnalysisIssueChanges,
    ) -> Result<AnalysisIssue> {
        updated_row_uncached(&self.0, "AnalysisIssue", id, &changes).await
    }

    async fn resolve(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue> {
        self.settle(id, IssueStatus::Resolved, by).await
    }

    async fn ignore(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue> {
        self.settle(id, IssueStatus::Ignored, by).await
    }

    async fn mark_false_positive(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue> {
        self.settle(id, IssueStatus::FalsePositive, by).await
    }

    async fn reopen(&self, id: AnalysisIssueId) -> Result<AnalysisIssue> {
        self.open_again(id).await
    }

    async fn resolve_many(&self, filter: &AnalysisIssueFilter, by: UserId) -> Result<u64> {
        self.settle_many(filter, IssueStatus::Resolved, by).await
    }

    async fn settle_many(
        &self,
        filter: &AnalysisIssueFilter,
        status: IssueStatus,
        by: UserId,
    ) -> Result<u64> {
        if let IssueStatus::Unknown(_) = status {
            return Err(Error::invalid("status", "is unknown to this version"));
        }
        let others = filter
            .query()
            .filter(analysis_issues::status.ne(status))
            .select(analysis_issues::id);
        let statement = SettleMatching::new(others, status, by);
        self.0.execute(statement).await
    }

    async fn update_many(
        &self,
        filter: &AnalysisIssueFilter,
        changes: AnalysisIssueChanges,
    ) -> Result<u64> {
        changes.check()?;
        if changes.is_empty() {
            return Ok(0);
        }
        let ids = filter.query().select(analysis_issues::id);
        self.0.execute(update_matching(&changes, ids)).await
    }

    async fn track(&self, base: AnalysisId, new: AnalysisId) -> Result<Tracking> {
        let statement = Track::new(base, new)?;
        let tracked: Option<Tracked> = steady_first_uncached(&self.0, || statement.clone()).await?;
        Tracking::read(tracked.ok_or(Error::NotFound { what: "row" })?)
    }

    async fn count_by_severity(
        &self,
        filter: &AnalysisIssueFilter,
    ) -> Result<Vec<(IssueSeverity, u64)>> {
        let keys = filter.query().select(analysis_issues::severity);
        let counts: Vec<(IssueSeverity, i64)> = self.0.load(CountBy::new(keys)).await?;
        Ok(count_of_each(IssueSeverity::ALL, counts))
    }

    async fn count_by_type(&self, filter: &AnalysisIssueFilter) -> Result<Vec<(IssueType, u64)>> {
        let keys = filter.query().select(analysis_issues::r#type);
        let counts: Vec<(IssueType, i64)> = self.0.load(CountBy::new(keys)).await?;
        Ok(count_of_each(IssueType::ALL, counts))
    }

    async fn count_by_rule(
        &self,
        filter: &AnalysisIssueFilter,
        limit: u32,
    ) -> Result<Vec<(String, u64)>> {
        if limit == 0 {
            return Err(Error::invalid("limit", "is 0"));
        }
        let keys = filter
            .query()
            .filter(analysis_issues::rule_id.is_not_null())
            .select(analysis_issues::rule_id.assume_not_null());
        let statement = CountBy::most_frequent(keys, limit.into());
        let counts: Vec<(String, i64)> = self.0.load(statement).await?;
        let counts = counts.into_iter();
        Ok(counts
            .map(|(rule, count)| (rule, unsigned(count)))
            .collect())
    }

    async fn delete(&self, id: AnalysisIssueId) -> Result<bool> {
        match self.0.execute(delete_by_id::<AnalysisIssue>(id)).await? {
            0 => not_deleted("AnalysisIssue", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &AnalysisIssueFilter) -> Result<u64> {
        let ids = filter.query().select(analysis_issues::id);
        self.0
            .execute(delete_matching(analysis_issues::table, ids))
            .await
    }
}
