//! `analysis.analysis_issues`.

use chrono::{DateTime, Utc};
use diesel::dsl::case_when;
use diesel::prelude::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl,
    SelectableHelper,
};
use diesel::sql_types::{Nullable, Timestamptz, Uuid};

use super::*;
use crate::schema::analysis::analysis_issues;
use crate::sql::CountBy;
use crate::sql::tracking::{Track, Tracked};
use crate::sql::{Changes as _, NewRow as _, delete_matching, prepared};
use crate::{
    AnalysisId, AnalysisIssue, AnalysisIssueChanges, AnalysisIssueFilter, AnalysisIssueId,
    AnalysisIssueOrder, Error, IssueSeverity, IssueStatus, IssueType, NewAnalysisIssue, Page,
    Paged, ResolveMatching, Result, Tracking, UserId,
};

/// Stores and finds what analyses object to.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait AnalysisIssueRepository: Send + Sync {
    /// Creates an issue.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] without analysis or user, [`Error::InvalidInput`] if a value cannot be stored.
    async fn create(&self, new: NewAnalysisIssue) -> Result<AnalysisIssue>;

    /// Creates any number of issues, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewAnalysisIssue]) -> Result<usize>;

    /// The issue with this id.
    async fn find(&self, id: AnalysisIssueId) -> Result<Option<AnalysisIssue>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[AnalysisIssueId]) -> Result<Vec<Option<AnalysisIssue>>>;

    /// Whether there is such an issue.
    async fn exists(&self, id: AnalysisIssueId) -> Result<bool>;

    /// One page of the issues that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Paged<AnalysisIssue>>;

    /// One page of the issues of each analysis that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Vec<Paged<AnalysisIssue>>>;

    /// All issues that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisIssueFilter) -> RowStream<'a, AnalysisIssue>;

    /// How many issues the filter matches.
    async fn count(&self, filter: &AnalysisIssueFilter) -> Result<i64>;

    /// Changes an issue; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] if a value cannot be stored.
    async fn update(
        &self,
        id: AnalysisIssueId,
        changes: AnalysisIssueChanges,
    ) -> Result<AnalysisIssue>;

    /// Notes that an issue is gone, when and by whom. Of one that is resolved already the first time and user are
    /// kept.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ForeignKey`] without user.
    async fn resolve(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue>;

    /// Notes that an issue is to stay, when that was decided and by whom, as [`resolve`](Self::resolve) does.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    async fn ignore(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue>;

    /// Notes that an issue is none, when that was found and by whom, as [`resolve`](Self::resolve) does.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    async fn mark_false_positive(&self, id: AnalysisIssueId, by: UserId) -> Result<AnalysisIssue>;

    /// Opens an issue again, whatever has become of it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn reopen(&self, id: AnalysisIssueId) -> Result<AnalysisIssue>;

    /// Resolves every issue that the filter matches and that is not resolved yet, and tells how many.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] without user.
    async fn resolve_many(&self, filter: &AnalysisIssueFilter, by: UserId) -> Result<usize>;

    /// Finds out what became of the issues of `base`, an analysis, in `new`, a later one of the same project, and
    /// carries over what users have said: an issue of `new` that is open, and was ignored or a false positive in
    /// `base`, gets that status with its time and its user. One that was resolved stays open, since it is back.
    ///
    /// A verdict is carried over only if the issue is no worse than it was, and the two have the same code, or are in
    /// the same line of the same file. Two issues that name neither a line nor code are about the file as a whole; for
    /// them the file and the whole message have to be the same. So a verdict does not follow an issue that a tool
    /// reports without code to another line: store the code with the issue
    /// ([`code_snippet`](crate::NewAnalysisIssue::code_snippet)) to keep it.
    ///
    /// Two issues are the same if they are of one rule (without a rule, of one type) and, the stricter first,
    ///
    /// - have the same code and message and are in the same file;
    /// - have the same code and message, in two files of which each analysis names only one;
    /// - have the same code, then the same message, then the same message but for the numbers in it, in the same file.
    ///
    /// White space in code does not count. A file is another's new name if only `base` names the one, only `new` the
    /// other, and no other two files have so many issues in common that nothing else has. Lines are in no issue's
    /// identity. They only tell which of several equal issues belong together: those that moved as far as what is
    /// above them, and then in their order. Each issue is matched once: of two in `base` and three equal ones in
    /// `new`, one is new.
    ///
    /// The same call made again gives the same lists and changes nothing, unless an issue that the first has carried
    /// a verdict to was opened again meanwhile: then it gets the verdict again.
    ///
    /// All of it is one statement: both analyses are seen as they were when it began, and what is written to them
    /// meanwhile counts at the next call. An issue that somebody settles meanwhile keeps what they said. Of two calls
    /// for the same `new` the second waits for the first, and for its transaction, before it writes.
    ///
    /// # Errors
    /// [`Error::NotFound`] without one of the analyses; [`Error::InvalidInput`] if they are the same or of different
    /// projects; [`Error::Serialization`] where the transaction's isolation level brings it.
    async fn track(&self, base: AnalysisId, new: AnalysisId) -> Result<Tracking>;

    /// How many issues of each severity the filter matches, all severities, worst first.
    async fn count_by_severity(
        &self,
        filter: &AnalysisIssueFilter,
    ) -> Result<Vec<(IssueSeverity, i64)>>;

    /// How many issues of each type the filter matches, all types, in the order of [`IssueType::ALL`].
    async fn count_by_type(&self, filter: &AnalysisIssueFilter) -> Result<Vec<(IssueType, i64)>>;

    /// How many issues break each rule, the most broken first, up to `limit` rules. Issues without a rule do not
    /// count.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if `limit` is 0.
    async fn count_by_rule(
        &self,
        filter: &AnalysisIssueFilter,
        limit: u32,
    ) -> Result<Vec<(String, i64)>>;

    /// Deletes an issue and tells whether it was there.
    async fn delete(&self, id: AnalysisIssueId) -> Result<bool>;

    /// Deletes every issue that the filter matches, all or none, and tells how many.
    async fn delete_many(&self, filter: &AnalysisIssueFilter) -> Result<usize>;
}

/// The [`AnalysisIssueRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct AnalysisIssues<'a>(Source<'a>);

impl Db {
    /// The issues.
    pub fn analysis_issues(&self) -> AnalysisIssues<'static> {
        AnalysisIssues(self.source())
    }
}

impl Tx {
    /// The issues, inside this transaction.
    pub fn analysis_issues(&self) -> AnalysisIssues<'_> {
        AnalysisIssues(self.source())
    }
}

#[repository]
impl AnalysisIssues<'_> {
    /// Gives an issue a status that is not open; the time and the user stay if it has that status already.
    async fn settle(
        &self,
        id: AnalysisIssueId,
        status: IssueStatus,
        by: UserId,
    ) -> Result<AnalysisIssue> {
        let is_settled = analysis_issues::status
            .eq(status)
            .and(analysis_issues::resolved_at.is_not_null());
        let now = diesel::dsl::now.into_sql::<Timestamptz>().nullable();
        let at = case_when(is_settled, analysis_issues::resolved_at).otherwise(now);
        let user = case_when(is_settled, analysis_issues::resolved_by)
            .otherwise(by.into_sql::<Nullable<Uuid>>());
        let statement = diesel::update(analysis_issues::table.find(id))
            .set((
                analysis_issues::status.eq(status),
                analysis_issues::resolved_at.eq(at),
                analysis_issues::resolved_by.eq(user),
            ))
            .returning(AnalysisIssue::as_returning());
        self.0
            .first(prepared(statement))
            .await?
            .ok_or(Error::NotFound {
                what: "AnalysisIssue",
            })
    }
}

#[repository]
impl AnalysisIssueRepository for AnalysisIssues<'_> {
    async fn create(&self, new: NewAnalysisIssue) -> Result<AnalysisIssue> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewAnalysisIssue]) -> Result<usize> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: AnalysisIssueId) -> Result<Option<AnalysisIssue>> {
        self.0
            .first(
                analysis_issues::table
                    .find(id)
                    .select(AnalysisIssue::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[AnalysisIssueId]) -> Result<Vec<Option<AnalysisIssue>>> {
        let query = analysis_issues::table
            .filter(analysis_issues::id.eq_any(ids))
            .select(AnalysisIssue::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, AnalysisIssue>(query).await?,
            |row| row.id,
        ))
    }

    async fn exists(&self, id: AnalysisIssueId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                analysis_issues::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Paged<AnalysisIssue>> {
        list!(self, AnalysisIssue, filter, page)
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &AnalysisIssueFilter,
        page: &Page<AnalysisIssueOrder>,
    ) -> Result<Vec<Paged<AnalysisIssue>>> {
        list_of!(
            self,
            AnalysisIssue,
            analysis_issues::analysis_id,
            ids,
            filter,
            page
        )
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AnalysisIssueFilter) -> RowStream<'a, AnalysisIssue> {
        self.0
            .stream(filter.query().select(AnalysisIssue::as_select()))
    }

    async fn count(&self, filter: &AnalysisIssueFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(
        &self,
        id: AnalysisIssueId,
        changes: AnalysisIssueChanges,
    ) -> Result<AnalysisIssue> {
        changes.check()?;
        match self.0.update(id, &changes).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "AnalysisIssue",
                &changes,
                self.exists(id).await?,
            )),
        }
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
        let statement = diesel::update(analysis_issues::table.find(id))
            .set((
                analysis_issues::status.eq(IssueStatus::Open),
                analysis_issues::resolved_at.eq(None::<DateTime<Utc>>),
                analysis_issues::resolved_by.eq(None::<UserId>),
            ))
            .returning(AnalysisIssue::as_returning());
        self.0
            .first(prepared(statement))
            .await?
            .ok_or(Error::NotFound {
                what: "AnalysisIssue",
            })
    }

    async fn resolve_many(&self, filter: &AnalysisIssueFilter, by: UserId) -> Result<usize> {
        let unresolved = filter
            .query()
            .filter(analysis_issues::status.ne(IssueStatus::Resolved))
            .select(analysis_issues::id);
        self.0.execute(ResolveMatching::new(unresolved, by)).await
    }

    async fn track(&self, base: AnalysisId, new: AnalysisId) -> Result<Tracking> {
        let statement = Track::new(base, new)?;
        Tracking::read(self.0.one::<_, Tracked>(statement).await?)
    }

    async fn count_by_severity(
        &self,
        filter: &AnalysisIssueFilter,
    ) -> Result<Vec<(IssueSeverity, i64)>> {
        let keys = filter.query().select(analysis_issues::severity);
        let counts: Vec<(IssueSeverity, i64)> = self.0.load(CountBy::new(keys)).await?;
        Ok(count_of_each(IssueSeverity::ALL, counts))
    }

    async fn count_by_type(&self, filter: &AnalysisIssueFilter) -> Result<Vec<(IssueType, i64)>> {
        let keys = filter.query().select(analysis_issues::r#type);
        let counts: Vec<(IssueType, i64)> = self.0.load(CountBy::new(keys)).await?;
        Ok(count_of_each(IssueType::ALL, counts))
    }

    async fn count_by_rule(
        &self,
        filter: &AnalysisIssueFilter,
        limit: u32,
    ) -> Result<Vec<(String, i64)>> {
        if limit == 0 {
            return Err(Error::invalid("limit", "is 0"));
        }
        let keys = filter
            .query()
            .filter(analysis_issues::rule_id.is_not_null())
            .select(analysis_issues::rule_id.assume_not_null());
        self.0
            .load(CountBy::most_frequent(keys, limit.into()))
            .await
    }

    async fn delete(&self, id: AnalysisIssueId) -> Result<bool> {
        Ok(self
            .0
            .execute(diesel::delete(analysis_issues::table.find(id)))
            .await?
            == 1)
    }

    async fn delete_many(&self, filter: &AnalysisIssueFilter) -> Result<usize> {
        let ids = filter.query().select(analysis_issues::id);
        self.0
            .execute(delete_matching(analysis_issues::table, ids))
            .await
    }
}
