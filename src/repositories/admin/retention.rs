//! The retention of analyses, and of dependency graphs without an analysis.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::prelude::{ExpressionMethods, QueryDsl};
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::super::analyses::{LATEST, Latest};
use super::super::{Executor, UnitOfWork};
use super::{AnalysisRetention, Db, RetainedAnalyses, repository};
use crate::schema::analysis::{analyses, analysis_issues, analysis_results};
use crate::sql::admin::retention::{
    BEGIN_REMOVAL, BEGUN, EXAMINE, Examined, JUDGE, Key, LOCK, PAGE, REMOVE_GRAPHS,
    SET_LOCK_TIMEOUT, SLICE_OF_ISSUES, SLICE_OF_RESULTS, Setting,
};
use crate::sql::cacheable;
use crate::{AnalysisId, Error, Result};

/// Deletes the analyses that the policy does not keep, and returns their number.
///
/// Any number of processes may call it at any time. They do not wait for each other: an analysis
/// that another transaction has locked is left to the next call. Each transaction deletes about
/// [`batch`](AnalysisRetention::batch) issues and results: several small analyses, or a part of a
/// large one. A call that was interrupted, or ended by a bound of the policy, is continued by the
/// next one.
///
/// An analysis with more rows than a batch is removed in several transactions. Meanwhile it has a
/// part of its issues, cannot be pinned, and is not found as the base of
/// [`track`](crate::AnalysisIssueRepository::track) or a gate. The next call ends a removal that
/// was interrupted, whatever its policy.
///
/// Behind the cache, the deletions are fenced as those of the repository are.
///
/// Needs the rights of [`Rights::Application`](crate::migrations::Rights::Application).
///
/// # Errors
/// - [`Error::InvalidInput`] if a setting of the policy is out of its bounds.
///
/// The transactions before an error are committed.
///
/// # Cancel safety
/// If the future is dropped, the transactions that were committed stay, and the others leave
/// nothing.
#[repository]
pub async fn retain_analyses(db: &Db, policy: &AnalysisRetention) -> Result<RetainedAnalyses> {
    policy.check()?;
    let mut call = Call::new(db.executor(), policy);
    if !call.end_removals().await? {
        return Ok(call.done);
    }
    let mut page = None;
    loop {
        let examined = call.examine(page, i64::from(policy.batch) + 1).await?;
        let mut batch = Vec::new();
        let mut rows = 0;
        for analysis in examined.iter().filter(|analysis| analysis.is_doomed()) {
            if rows + analysis.rows() > u64::from(policy.batch) && !batch.is_empty() {
                if !call.delete(&batch, rows).await? {
                    return Ok(call.done);
                }
                batch.clear();
                rows = 0;
            }
            batch.push(analysis.id);
            rows += analysis.rows();
        }
        if !batch.is_empty() && !call.delete(&batch, rows).await? {
            return Ok(call.done);
        }
        call.done.pinned += pinned(&examined);
        page = match next(&examined) {
            Some(page) => Some(page),
            None => break,
        };
        if call.is_over() {
            return Ok(call.done);
        }
    }
    call.done.is_complete = true;
    Ok(call.done)
}

/// Returns what [`retain_analyses`] would delete, and deletes nothing.
///
/// The number of rows does not end it; the time does.
///
/// # Errors
/// - [`Error::InvalidInput`] if a setting of the policy is out of its bounds.
#[repository]
pub async fn plan_retained_analyses(
    db: &Db,
    policy: &AnalysisRetention,
) -> Result<RetainedAnalyses> {
    policy.check()?;
    let mut call = Call::new(db.executor(), policy);
    let mut page = None;
    loop {
        let examined = call.examine(page, i64::MAX).await?;
        for analysis in examined.iter().filter(|analysis| analysis.is_doomed()) {
            call.done.analyses += 1;
            call.done.issues += crate::models::partitions::unsigned(analysis.issues);
            call.done.results += crate::models::partitions::unsigned(analysis.results);
        }
        call.done.pinned += pinned(&examined);
        page = match next(&examined) {
            Some(page) => Some(page),
            None => break,
        };
        if call.is_out_of_time() {
            return Ok(call.done);
        }
    }
    call.done.is_complete = true;
    Ok(call.done)
}

/// Deletes up to `limit` dependency graphs without an analysis, and returns their number.
///
/// A graph loses its analysis when that is deleted. The newest graph of each project is kept, with
/// an analysis or without. An application that stores graphs without an analysis cannot use it: the
/// two kinds are the same in the table.
///
/// Concurrent callers do not wait for each other. Call it until it returns less than `limit`. Needs
/// the rights of [`Rights::Application`](crate::migrations::Rights::Application).
///
/// # Errors
/// - [`Error::InvalidInput`] if `limit` is not within 1 and 10,000.
#[repository]
pub async fn remove_orphaned_graphs(db: &Db, limit: u32) -> Result<u64> {
    if !(1..=10_000).contains(&limit) {
        let reason = format_args!("{limit} is not within 1 and 10,000");
        return Err(Error::invalid("limit", reason));
    }
    let statement = sql_query(REMOVE_GRAPHS).bind::<BigInt, _>(i64::from(limit));
    let executor = db.executor();
    executor.execute(cacheable(statement)).await
}

/// The position after a page.
type Position = (DateTime<Utc>, AnalysisId);

/// Returns the position after a page, unless it is the last one.
fn next(examined: &[Examined]) -> Option<Position> {
    let last = examined.last().filter(|_| examined.len() == PAGE)?;
    Some((last.created_at, last.id))
}

/// Returns the number of analyses that only a pin keeps.
fn pinned(examined: &[Examined]) -> u64 {
    let kept = examined
        .iter()
        .filter(|one| one.is_pinned && one.is_surplus);
    kept.count() as u64
}

/// Returns a time in milliseconds. The policy is checked: it fits.
fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The outcome of a transaction.
struct Deleted {
    analyses: u64,
    issues: u64,
    results: u64,
    /// True if the analyses are gone. False after a slice of a large one.
    is_end: bool,
}

/// A call that deletes, and its progress.
struct Call<'p> {
    executor: Executor<'static>,
    policy: &'p AnalysisRetention,
    began: Instant,
    done: RetainedAnalyses,
}

impl<'p> Call<'p> {
    fn new(executor: Executor<'static>, policy: &'p AnalysisRetention) -> Self {
        Self {
            executor,
            policy,
            began: Instant::now(),
            done: RetainedAnalyses::default(),
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.policy
            .within
            .is_some_and(|within| self.began.elapsed() >= within)
    }

    /// Checks whether a bound of the policy has ended the call.
    fn is_over(&self) -> bool {
        let rows = self.done.issues + self.done.results;
        self.is_out_of_time() || self.policy.most_rows.is_some_and(|most| rows >= most)
    }

    fn newest(&self) -> i32 {
        i32::try_from(self.policy.newest).unwrap_or(i32::MAX)
    }
}

#[repository]
impl Call<'_> {
    /// Returns a page of analyses, each judged. Counts up to `most` issues and results of each.
    #[unboxed]
    async fn examine(&self, after: Option<Position>, most: i64) -> Result<Vec<Examined>> {
        let query = sql_query(EXAMINE)
            .bind::<Integer, _>(self.newest())
            .bind::<BigInt, _>(milliseconds(self.policy.younger_than))
            .bind::<BigInt, _>(milliseconds(self.policy.tracked_within))
            .bind::<Nullable<Timestamptz>, _>(after.map(|(time, _)| time))
            .bind::<SqlUuid, _>(after.map_or(Uuid::nil(), |(_, id)| id.into()))
            .bind::<Nullable<SqlUuid>, _>(self.policy.project_id)
            .bind::<BigInt, _>(most);
        self.executor.load(cacheable(query)).await
    }

    /// Ends the removals that have begun. Returns false if a bound has ended the call.
    #[unboxed]
    async fn end_removals(&mut self) -> Result<bool> {
        let begun: Vec<Key> = self.executor.load(cacheable(sql_query(BEGUN))).await?;
        for removal in begun {
            if !self.delete(&[removal.id], u64::MAX).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes analyses that have so many rows. Returns false if a bound has ended the call.
    #[unboxed]
    async fn delete(&mut self, ids: &[AnalysisId], rows: u64) -> Result<bool> {
        let is_large = rows > u64::from(self.policy.batch);
        loop {
            if self.is_over() {
                return Ok(false);
            }
            let unit = UnitOfWork::begin(&self.executor).await?;
            let outcome = self.delete_some(&unit.executor(), ids, is_large).await;
            match unit.end(outcome).await {
                Ok(deleted) => {
                    self.done.analyses += deleted.analyses;
                    self.done.issues += deleted.issues;
                    self.done.results += deleted.results;
                    if deleted.is_end {
                        let left = (ids.len() as u64).saturating_sub(deleted.analyses);
                        self.done.skipped += left;
                        return Ok(true);
                    }
                }
                // Other transactions hold locks of issues. Nothing of this batch was deleted.
                Err(Error::Timeout(_) | Error::Deadlock) => {
                    self.done.skipped += ids.len() as u64;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes analyses with their rows, or a slice of the rows of a large one.
    #[unboxed]
    async fn delete_some(
        &self,
        executor: &Executor<'_>,
        ids: &[AnalysisId],
        is_large: bool,
    ) -> Result<Deleted> {
        let _: Setting = executor.one(cacheable(sql_query(SET_LOCK_TIMEOUT))).await?;
        let lock = sql_query(LOCK).bind::<Array<SqlUuid>, _>(ids);
        let locked: Vec<Key> = executor.load(cacheable(lock)).await?;
        let locked: Vec<AnalysisId> = locked.iter().map(|key| key.id).collect();
        let judge = sql_query(JUDGE)
            .bind::<Integer, _>(self.newest())
            .bind::<BigInt, _>(milliseconds(self.policy.younger_than))
            .bind::<BigInt, _>(milliseconds(self.policy.tracked_within))
            .bind::<Array<SqlUuid>, _>(locked);
        let doomed: Vec<Key> = executor.load(cacheable(judge)).await?;
        let doomed: Vec<AnalysisId> = doomed.iter().map(|key| key.id).collect();
        let mut deleted = Deleted {
            analyses: 0,
            issues: 0,
            results: 0,
            is_end: true,
        };
        if is_large && let [id] = doomed[..] {
            let begin = sql_query(BEGIN_REMOVAL).bind::<SqlUuid, _>(id);
            executor.execute(cacheable(begin)).await?;
            let most = u64::from(self.policy.batch);
            deleted.issues = slice(executor, SLICE_OF_ISSUES, id, most).await?;
            let most = most.saturating_sub(deleted.issues);
            deleted.results = slice(executor, SLICE_OF_RESULTS, id, most).await?;
            if deleted.results == most {
                deleted.is_end = false;
                return Ok(deleted);
            }
        }
        let issues = analysis_issues::table.filter(analysis_issues::analysis_id.eq_any(&doomed));
        deleted.issues += executor.execute(diesel::delete(issues)).await?;
        let results = analysis_results::table.filter(analysis_results::analysis_id.eq_any(&doomed));
        deleted.results += executor.execute(diesel::delete(results)).await?;
        let rows = analyses::table.filter(analyses::id.eq_any(&doomed));
        let latest: Vec<Latest> = executor
            .load(diesel::delete(rows).returning(LATEST))
            .await?;
        executor.record_write(&latest);
        deleted.analyses = latest.len() as u64;
        Ok(deleted)
    }
}

/// Deletes up to `most` rows of an analysis, and returns their number.
#[repository]
async fn slice(
    executor: &Executor<'_>,
    statement: &'static str,
    id: AnalysisId,
    most: u64,
) -> Result<u64> {
    let statement = sql_query(statement)
        .bind::<SqlUuid, _>(id)
        .bind::<BigInt, _>(i64::try_from(most).unwrap_or(i64::MAX));
    executor.execute(cacheable(statement)).await
}
