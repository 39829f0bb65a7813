//! What the steps of the maintenance would do, counted without a change.

use chrono::{Months, Utc};
use diesel::sql_query;
use diesel::sql_types::BigInt;

use super::super::super::PartitionRepository as _;
use super::super::{
    Db, MaintenanceStep, PlannedStep, Policy, Progress, plan_retained_analyses, repository,
};
use super::old_months::old_months;
use crate::Result;
use crate::models::partitions::{month_of, unsigned};
use crate::sql::admin::log_archive::Count;
use crate::sql::admin::maintenance::{
    ABANDONED_RUNS, EXCHANGED_TOKENS, EXPIRED_SESSIONS, MOST_PLANNED,
};

/// Returns what a step would do.
#[repository]
pub(super) async fn plan_step(
    db: &Db,
    policy: &Policy,
    step: MaintenanceStep,
) -> Result<PlannedStep> {
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
pub(super) async fn count_left(
    db: &Db,
    policy: &Policy,
    step: MaintenanceStep,
    progress: &mut Progress,
) {
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
