//! The maintenance of a database by one call.
//!
//! Each transaction that deletes takes a lock of its step, if it is free: of several processes, one
//! works on a step, and the others skip it. The locks end with their transactions. The steps about
//! partitions are transactions that any number of processes may run: each of them takes the lock of
//! `audit.create_monthly_partition`, and does nothing if it finds its work done.

use std::fmt;
use std::time::Instant;

use chrono::{Months, NaiveTime, Utc};
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

use super::super::{
    AnalysisRepository as _, Executor, PartitionRepository as _, UnitOfWork,
    UserSessionRepository as _,
};
use super::log_archive::{LogPart, detach_part, drop_part, hold, is_attached, write_archive};
use super::{
    ArchivedMonth, Db, MaintenanceReport, MaintenanceStep, OldMonths, Output, PlannedStep, Policy,
    Progress, StepReport, drain_default_until, patient, plan_retained_analyses,
    remove_orphaned_graphs, repository, retain_analyses,
};
use crate::models::partitions::{month_of, unsigned};
use crate::sql::admin::log_archive::Count;
use crate::sql::admin::maintenance::{
    ABANDONED_RUNS, DELETE_EXCHANGED_TOKENS, EXCHANGED_TOKENS, EXPIRED_SESSIONS, MOST_PLANNED,
    TRY_LOCK,
};
use crate::sql::partitions::Exists;
use crate::{Error, LogTable, Partition, Result};

/// The place that old months of the logs are archived to.
///
/// Its methods are called for each month: `open`, then writes to the output, then `finish`. Only
/// after `finish` has returned `Ok` is the month dropped.
pub trait LogArchive: Send {
    /// Creates the output of a partition, for example a file of its name. An output of this name
    /// that is there was left by an interrupted call, and is replaced.
    ///
    /// # Errors
    /// Any error ends the step, and the month is kept.
    fn open(&mut self, log: LogTable, partition: &str) -> Result<Output<'static>>;

    /// Makes what was written durable, for example by `File::sync_all`. The output was shut down
    /// and dropped before.
    ///
    /// # Errors
    /// Any error ends the step, and the month is kept.
    fn finish(&mut self, log: LogTable, archived: &ArchivedMonth) -> Result<()>;
}

/// Receives each step when it has ended, with the number of steps that are done and of all.
type OnStep<'m> = dyn FnMut(&StepReport, usize, usize) + Send + 'm;

/// The maintenance of a database, with an archive and a report of its progress.
#[must_use = "nothing is done until `run` is called"]
pub struct Maintenance<'m> {
    db: Db,
    policy: Policy,
    archive: Option<&'m mut dyn LogArchive>,
    on_step: Box<OnStep<'m>>,
}

impl fmt::Debug for Maintenance<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Maintenance")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl<'m> Maintenance<'m> {
    /// Creates the maintenance of a database.
    pub fn new(db: &Db, policy: &Policy) -> Self {
        Self {
            db: Db::clone(db),
            policy: Policy::clone(policy),
            archive: None,
            on_step: Box::new(|_, _, _| {}),
        }
    }

    /// Sets the place that old months are archived to. [`OldMonths::Archive`] needs it.
    pub fn archive(mut self, archive: &'m mut dyn LogArchive) -> Self {
        self.archive = Some(archive);
        self
    }

    /// Sets a callback that receives the report of each step, its number from 1 on, and the number
    /// of steps.
    pub fn on_step(mut self, report: impl FnMut(&StepReport, usize, usize) + Send + 'm) -> Self {
        self.on_step = Box::new(report);
        self
    }
}

#[repository]
impl Db {
    /// Maintains the database as the policy says, and reports what each step did.
    ///
    /// Call it daily, from any number of processes: of those that run at the same time, one works
    /// on a step. Each step works in short transactions and begins none after
    /// [`step_time`](Policy::step_time); the next call continues. A step that fails does not stop
    /// the others. The role is the owner of the logs; `docs/operations.md` says what each step
    /// locks.
    ///
    /// [`Maintenance`] has an archive for old months, and a callback. With the feature `tracing`
    /// each step is an event with the target `wundr_db::maintenance`.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a setting of the policy is out of its bounds. Errors of the
    ///   steps are in the report.
    ///
    /// # Cancel safety
    /// If the future is dropped, the transactions that were committed stay, and the others leave
    /// nothing.
    pub async fn maintenance(&self, policy: &Policy) -> Result<MaintenanceReport> {
        Maintenance::new(self, policy).run().await
    }

    /// Returns what [`maintenance`](Self::maintenance) would do, and changes nothing.
    ///
    /// At most 100,000 rows of a kind are counted. Analyses are counted for at most
    /// [`step_time`](Policy::step_time).
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a setting of the policy is out of its bounds
    pub async fn plan(&self, policy: &Policy) -> Result<Vec<PlannedStep>> {
        policy.check()?;
        let mut plan = Vec::new();
        for step in policy.steps() {
            plan.push(plan_step(self, policy, step).await?);
        }
        Ok(plan)
    }
}

#[repository]
impl<'m> Maintenance<'m> {
    /// Runs the steps: see [`Db::maintenance`].
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a setting of the policy is out of its bounds, or months are to
    ///   be archived and there is no archive
    pub async fn run(mut self) -> Result<MaintenanceReport> {
        self.policy.check()?;
        let logs = [LogTable::AuditLogs, LogTable::SystemLogs];
        let mut olds = logs.iter().filter_map(|&log| self.policy.old_months(log));
        if self.archive.is_none() && olds.any(|(_, older)| older == OldMonths::Archive) {
            return Err(Error::invalid(
                "archive",
                "is missing, and months are to be archived",
            ));
        }
        let steps = self.policy.steps();
        let mut report = MaintenanceReport::default();
        for (number, &step) in steps.iter().enumerate() {
            let began = Instant::now();
            let mut progress = Progress::default();
            let outcome = match self.run_step(step, began, &mut progress).await {
                // Two processes that change the partitions of a log at the same time.
                Err(Error::Deadlock) => {
                    progress.is_unfinished = true;
                    Ok(())
                }
                outcome => outcome,
            };
            if outcome.is_ok() && !progress.is_busy {
                count_left(&self.db, &self.policy, step, &mut progress).await;
            }
            let done = progress.report(step, outcome, began.elapsed());
            emit(&done);
            (self.on_step)(&done, number + 1, steps.len());
            report.steps.push(done);
        }
        Ok(report)
    }

    async fn run_step(
        &mut self,
        step: MaintenanceStep,
        began: Instant,
        progress: &mut Progress,
    ) -> Result<()> {
        let db = Db::clone(&self.db);
        match step {
            MaintenanceStep::PartitionsAhead(log) => {
                let made = db
                    .partitions()
                    .ensure(log, self.policy.months_ahead)
                    .await?;
                progress.done = made;
            }
            MaintenanceStep::DefaultPartition(log) => {
                let end = began.checked_add(self.policy.step_time);
                match drain_default_until(&db, log, end).await {
                    Ok(drained) => {
                        let months = drained.months.iter();
                        let months = months.filter_map(|&month| log.partition(month).ok());
                        progress.partitions = months.chain(drained.adopted_as).collect();
                        progress.done =
                            u64::try_from(progress.partitions.len()).unwrap_or(u64::MAX);
                        progress.is_unfinished = !drained.is_empty;
                    }
                    Err(error) if is_of_another_session(&error) => progress.is_busy = true,
                    Err(error) => return Err(error),
                }
            }
            MaintenanceStep::OldMonthsOf(log) => {
                self.remove_old_months(log, began, progress).await?;
            }
            MaintenanceStep::ExpiredSessions
            | MaintenanceStep::ExchangedTokens
            | MaintenanceStep::AbandonedRuns => {
                self.run_batches(step, began, progress).await?;
            }
            MaintenanceStep::OldAnalyses => {
                if let Some(retention) = self.policy.bounded_retention() {
                    let retained = retain_analyses(&db, &retention).await?;
                    progress.done = retained.analyses;
                    progress.is_unfinished = !retained.is_complete || retained.skipped > 0;
                }
            }
            MaintenanceStep::OrphanedGraphs => loop {
                let removed = remove_orphaned_graphs(&db, self.policy.rows).await?;
                progress.done += removed;
                if removed < u64::from(self.policy.rows) {
                    break;
                }
                if began.elapsed() >= self.policy.step_time {
                    progress.is_unfinished = true;
                    break;
                }
            },
        }
        Ok(())
    }

    /// Deletes rows in transactions of their own until there are no more.
    async fn run_batches(
        &mut self,
        step: MaintenanceStep,
        began: Instant,
        progress: &mut Progress,
    ) -> Result<()> {
        loop {
            let unit = UnitOfWork::begin(&self.db.executor()).await?;
            let outcome = self.run_batch(&unit, step).await;
            let Some(done) = unit.end(outcome).await? else {
                progress.is_busy = true;
                return Ok(());
            };
            progress.done += done;
            // All abandoned runs are queued at once: there are as many as workers that have died.
            let limit = u64::from(self.policy.rows);
            if done < limit || step == MaintenanceStep::AbandonedRuns {
                return Ok(());
            }
            if began.elapsed() >= self.policy.step_time {
                progress.is_unfinished = true;
                return Ok(());
            }
        }
    }

    /// Deletes rows, and returns their number. Returns `None` if another process has the lock of
    /// the step.
    async fn run_batch(
        &mut self,
        unit: &UnitOfWork<'_>,
        step: MaintenanceStep,
    ) -> Result<Option<u64>> {
        let executor = unit.executor();
        if !try_lock(&executor, step).await? {
            return Ok(None);
        }
        let Some(tx) = executor.tx() else {
            return Ok(None);
        };
        let done = match step {
            MaintenanceStep::ExpiredSessions => {
                tx.user_sessions().delete_expired(self.policy.rows).await?
            }
            MaintenanceStep::ExchangedTokens => {
                let limit = i64::from(self.policy.rows);
                let statement = sql_query(DELETE_EXCHANGED_TOKENS)
                    .into_boxed()
                    .bind::<BigInt, _>(limit);
                executor.execute(statement).await?
            }
            MaintenanceStep::AbandonedRuns => match self.policy.attempts {
                Some(attempts) => tx.analyses().requeue_abandoned(attempts).await?.len() as u64,
                None => 0,
            },
            _ => 0,
        };
        Ok(Some(done))
    }

    /// Detaches, archives or drops the months of a log that are not kept, oldest first.
    async fn remove_old_months(
        &mut self,
        log: LogTable,
        began: Instant,
        progress: &mut Progress,
    ) -> Result<()> {
        let Some((_, older)) = self.policy.old_months(log) else {
            return Ok(());
        };
        let db = patient(&self.db)?;
        for part in old_months(&self.db, &self.policy, log).await? {
            if began.elapsed() >= self.policy.step_time {
                progress.is_unfinished = true;
                return Ok(());
            }
            let unit = UnitOfWork::begin_that_may_pause(&db.executor()).await?;
            let archive = self.archive.as_deref_mut();
            let outcome = remove_month(&unit, (log, older), &part, archive).await;
            match unit.end(outcome).await? {
                Removed::Yes => {
                    progress.done += 1;
                    progress.partitions.push(part.name);
                }
                Removed::Before => {}
                Removed::Elsewhere => {
                    progress.is_busy = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// The outcome of the removal of a month.
enum Removed {
    Yes,
    /// Another process has removed it.
    Before,
    /// Another process has the lock of the step.
    Elsewhere,
}

/// Detaches, archives or drops a month.
#[repository]
async fn remove_month(
    unit: &UnitOfWork<'_>,
    (log, older): (LogTable, OldMonths),
    part: &LogPart,
    archive: Option<&mut (dyn LogArchive + '_)>,
) -> Result<Removed> {
    let executor = unit.executor();
    if !try_lock(&executor, MaintenanceStep::OldMonthsOf(log)).await? {
        return Ok(Removed::Elsewhere);
    }
    if !is_attached(&executor, log, &part.name).await? {
        return Ok(Removed::Before);
    }
    match (older, archive) {
        (OldMonths::Detach, _) => detach_part(&executor, log, &part.name).await?,
        (OldMonths::Drop, _) => drop_part(&executor, log, &part.name).await?,
        (OldMonths::Archive, Some(archive)) => archive_part(unit, log, part, archive).await?,
        // Checked before the first step.
        (OldMonths::Archive, None) => return Ok(Removed::Elsewhere),
    }
    Ok(Removed::Yes)
}

/// Archives a partition, and drops it when its archive is durable. Its writers wait from the first
/// row on, so that the archive has all rows of the partition that is dropped.
///
/// The output is opened after the lock of the step is taken: no other process writes to it.
#[repository]
async fn archive_part(
    unit: &UnitOfWork<'_>,
    log: LogTable,
    part: &LogPart,
    archive: &mut (dyn LogArchive + '_),
) -> Result<()> {
    hold(unit, part).await?;
    let output = archive.open(log, &part.name)?;
    let archived = write_archive(unit, log, part, output).await?;
    archive.finish(log, &archived)?;
    drop_part(&unit.executor(), log, &part.name).await
}

/// Takes the lock of a step until the end of the transaction. Returns `false` if another process
/// has it.
#[repository]
async fn try_lock(executor: &Executor<'_>, step: MaintenanceStep) -> Result<bool> {
    let lock = sql_query(TRY_LOCK)
        .into_boxed()
        .bind::<Text, _>(step.as_str());
    Ok(executor.one::<_, Exists>(lock).await?.yes)
}

/// Returns the partitions of a log that are not kept, oldest first.
#[repository]
async fn old_months(db: &Db, policy: &Policy, log: LogTable) -> Result<Vec<LogPart>> {
    let kept_from = policy.old_months(log).and_then(|(months, _)| {
        month_of(Utc::now().date_naive()).checked_sub_months(Months::new(months))
    });
    let Some(kept_from) = kept_from else {
        return Ok(Vec::new());
    };
    let kept_from = kept_from.and_time(NaiveTime::MIN).and_utc();
    let partitions = db.partitions().list(log).await?;
    let old = partitions.into_iter().filter_map(|partition: Partition| {
        let before = partition.before.filter(|&before| before <= kept_from)?;
        Some(LogPart {
            name: partition.name,
            from: partition.from,
            before,
        })
    });
    Ok(old.collect())
}

/// Returns what a step would do.
#[repository]
async fn plan_step(db: &Db, policy: &Policy, step: MaintenanceStep) -> Result<PlannedStep> {
    let mut planned = PlannedStep {
        step,
        amount: None,
        is_exact: true,
        partitions: Vec::new(),
    };
    let counted = |sql: &'static str| sql_query(sql).into_boxed().bind::<BigInt, _>(MOST_PLANNED);
    let query = match step {
        MaintenanceStep::PartitionsAhead(log) => {
            let partitions = db.partitions().list(log).await?;
            let this_month = month_of(Utc::now().date_naive());
            let months = (0..=policy.months_ahead)
                .filter_map(|ahead| this_month.checked_add_months(Months::new(ahead)))
                .filter(|&month| !partitions.iter().any(|partition| partition.covers(month)));
            let names = months.filter_map(|month| log.partition(month).ok());
            planned.partitions = names.collect();
            planned.amount = u64::try_from(planned.partitions.len()).ok();
            return Ok(planned);
        }
        MaintenanceStep::DefaultPartition(log) => {
            let health = db.partitions().health(log).await?;
            planned.amount = Some(health.rows_in_default);
            planned.is_exact = health.rows_are_exact;
            return Ok(planned);
        }
        MaintenanceStep::OldMonthsOf(log) => {
            let old = old_months(db, policy, log).await?;
            planned.partitions = old.into_iter().map(|part| part.name).collect();
            planned.amount = u64::try_from(planned.partitions.len()).ok();
            return Ok(planned);
        }
        MaintenanceStep::OldAnalyses => {
            if let Some(retention) = policy.bounded_retention() {
                let retained = plan_retained_analyses(db, &retention).await?;
                planned.amount = Some(retained.analyses);
                planned.is_exact = retained.is_complete;
            }
            return Ok(planned);
        }
        MaintenanceStep::OrphanedGraphs => return Ok(planned),
        MaintenanceStep::ExpiredSessions => counted(EXPIRED_SESSIONS),
        MaintenanceStep::ExchangedTokens => counted(EXCHANGED_TOKENS),
        MaintenanceStep::AbandonedRuns => counted(ABANDONED_RUNS),
    };
    let number = db.executor().one::<_, Count>(query).await?.number;
    planned.amount = Some(unsigned(number));
    planned.is_exact = number < MOST_PLANNED;
    Ok(planned)
}

/// Counts what a step has left for the next call.
///
/// A step that deletes rows passes over those that other transactions have locked. So these are
/// counted in any case; the other steps report by themselves whether something is left.
#[repository]
async fn count_left(db: &Db, policy: &Policy, step: MaintenanceStep, progress: &mut Progress) {
    let is_counted = matches!(
        step,
        MaintenanceStep::ExpiredSessions
            | MaintenanceStep::ExchangedTokens
            | MaintenanceStep::AbandonedRuns
    );
    if !progress.is_unfinished && !is_counted {
        return;
    }
    // The work is committed. That it cannot be counted is no error of the step.
    let Ok(left) = plan_step(db, policy, step).await else {
        return;
    };
    progress.is_unfinished |= left.amount.is_some_and(|amount| amount > 0);
    progress.left = progress.is_unfinished.then_some(left);
}

/// Checks whether another session did the same at the same time.
fn is_of_another_session(error: &Error) -> bool {
    matches!(error, Error::Other { sqlstate: Some(state), .. } if state.as_str() == "55000")
}

/// Emits the event of a step.
#[cfg(feature = "tracing")]
fn emit(done: &StepReport) {
    use crate::models::admin::StepOutcome;
    let (step, took) = (done.step.as_str(), done.took.as_secs_f64());
    match &done.outcome {
        StepOutcome::Failed(error) => tracing::warn!(
            target: "wundr_db::maintenance", step, done = done.done, took, error = %error,
            "a step of the maintenance failed"
        ),
        outcome => tracing::info!(
            target: "wundr_db::maintenance", step, done = done.done, took,
            is_complete = matches!(outcome, StepOutcome::Complete),
            "a step of the maintenance ended"
        ),
    }
}

#[cfg(not(feature = "tracing"))]
fn emit(_: &StepReport) {}
