//! The maintenance of a database by one call.
//!
//! Each transaction that deletes takes a lock of its step, if it is free: of several processes, one
//! works on a step, and the others skip it. The locks end with their transactions. The steps about
//! partitions are transactions that any number of processes may run: each of them takes the lock of
//! `audit.create_monthly_partition`, and does nothing if it finds its work done.

mod old_months;
mod plan;

use std::fmt;
use std::time::Instant;

use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

use super::super::{
    AnalysisRepository as _, Executor, PartitionRepository as _, UnitOfWork,
    UserSessionRepository as _,
};
use super::{
    ArchivedMonth, Db, MaintenanceReport, MaintenanceStep, OldMonths, Output, PlannedStep, Policy,
    Progress, StepReport, drain_default_until, remove_orphaned_graphs, repository, retain_analyses,
};
use crate::sql::admin::maintenance::{DELETE_EXCHANGED_TOKENS, TRY_LOCK};
use crate::sql::partitions::Exists;
use crate::{Error, LogTable, Result};
use plan::{count_left, plan_step};

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
