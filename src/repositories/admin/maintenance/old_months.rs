//! The months of the logs that a policy does not keep: which they are, and how one is detached,
//! archived or dropped.

use std::time::Instant;

use chrono::{Months, NaiveTime, Utc};

use super::super::super::{PartitionRepository as _, UnitOfWork};
use super::super::log_archive::{
    LogPart, detach_part, drop_part, hold, is_attached, write_archive,
};
use super::super::{Db, MaintenanceStep, OldMonths, Policy, Progress, patient, repository};
use super::{LogArchive, Maintenance, try_lock};
use crate::models::partitions::month_of;
use crate::{LogTable, Partition, Result};

#[repository]
impl Maintenance<'_> {
    /// Detaches, archives or drops the months of a log that are not kept, oldest first.
    pub(super) async fn remove_old_months(
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

/// Returns the partitions of a log that are not kept, oldest first.
#[repository]
pub(super) async fn old_months(db: &Db, policy: &Policy, log: LogTable) -> Result<Vec<LogPart>> {
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
