//! Emptying the default partition of a log.

use std::time::Instant;

use chrono::Utc;
use diesel::sql_query;

use super::super::{Executor, PartitionRepository as _, UnitOfWork};
use super::{Db, DrainedDefault, FreeRange, patient, repository};
use crate::sql::admin::default_partition::{
    Adoption, Outside, WORTH_ADOPTING, count_within, outside,
};
use crate::sql::partitions::{LARGE, Number};
use crate::{LogTable, Partition, Result};

/// The greatest number of months that one call creates.
const MOST_MONTHS: usize = 60;

/// Empties the default partition of a log, and returns what became of its rows.
///
/// Rows are in the default partition if their months had no partition when they were written, for
/// example in a database that was adopted. They stay visible at any moment.
///
/// - In a default partition of more than 4 MB, the largest range of months without a partition that
///   has 10,000 rows or more is not moved. The default partition becomes the partition of this
///   range, for example `audit.audit_logs_until_2026_10`, and an empty one takes its place. It is
///   read once without a lock that blocks readers or writers, and without a time limit. The
///   exchange locks the log for some 30 ms, at any size.
/// - The rows of each other month move to a partition of their own, as
///   [`create`](crate::PartitionRepository::create) does it. One call moves at most 60 months.
///
/// Before the first call, create the months ahead
/// ([`ensure`](crate::PartitionRepository::ensure)). While the default partition is read, rows are
/// refused that belong neither to a partition nor to the range.
///
/// A lock is waited for at most one second, five times. A call that fails or is interrupted leaves
/// all rows in the log, and the next call continues. Any number of processes may call it at the
/// same time. It needs the owner of the log.
///
/// # Errors
/// - [`Error::Timeout`](crate::Error::Timeout) if other sessions hold the log for too long
/// - [`Error::Other`](crate::Error::Other) with SQLSTATE 42501 if the role does not own the tables
/// - [`Error::Other`](crate::Error::Other) with SQLSTATE 55000 if another process did the same at
///   the same time
#[repository]
pub async fn drain_default(db: &Db, log: LogTable) -> Result<DrainedDefault> {
    drain_default_until(db, log, None).await
}

/// Empties the default partition as [`drain_default`] does. After a time it creates no further
/// partition, but it creates one in any case.
#[repository]
pub(super) async fn drain_default_until(
    db: &Db,
    log: LogTable,
    end: Option<Instant>,
) -> Result<DrainedDefault> {
    // A month with many rows takes longer than a request may.
    let db = patient(db)?;
    let executor = db.executor();
    let partitions = db.partitions();
    let mut drained = DrainedDefault::default();
    while drained.months.len() < MOST_MONTHS {
        let all = partitions.list(log).await?;
        let Some(default) = all.iter().find(|partition| partition.is_default) else {
            drained.is_empty = true;
            break;
        };
        let range = adoptable(&executor, default, &all).await?;
        let query = sql_query(outside(&default.name, range.as_ref()));
        let found: Outside = executor.one(query).await?;
        let is_over = end.is_some_and(|end| Instant::now() >= end) && !drained.months.is_empty();
        if is_over && (found.any || range.is_some()) {
            break;
        }
        if let Some(day) = found.month {
            let month = crate::models::partitions::month_of(day);
            // Another process may have created it since.
            if !partitions.create(log, month).await? && drained.months.last() == Some(&month) {
                break;
            }
            drained.months.push(month);
            continue;
        }
        match range {
            Some(range) if !found.any => {
                let adoption = Adoption::new(log, range);
                adopt(&executor, &adoption).await?;
                drained.adopted_as = Some(adoption.name());
            }
            _ => {
                drained.is_empty = !found.any && range.is_none();
                break;
            }
        }
    }
    Ok(drained)
}

/// Returns the range whose partition a large default partition may become.
#[repository]
async fn adoptable(
    executor: &Executor<'_>,
    default: &Partition,
    all: &[Partition],
) -> Result<Option<FreeRange>> {
    if default.bytes < LARGE.into() {
        return Ok(None);
    }
    let mut largest = None;
    for range in FreeRange::among(all, Utc::now().date_naive()) {
        let query = sql_query(count_within(&default.name, &range));
        let rows = executor.one::<_, Number>(query).await?.number;
        // Of ranges that are larger than what is counted, the newest: the older ones are moved.
        if rows >= WORTH_ADOPTING {
            largest = Some(range);
        }
    }
    Ok(largest)
}

/// Turns the default partition into the partition of a range.
#[repository]
async fn adopt(executor: &Executor<'_>, adoption: &Adoption) -> Result<()> {
    executor.execute(sql_query(adoption.begin())).await?;
    let outcome = match validate(executor, adoption).await {
        Ok(()) => executor.execute(sql_query(adoption.swap())).await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        // Otherwise rows of other months would be refused until the next call.
        let _ = executor.execute(sql_query(adoption.end())).await;
        return Err(error);
    }
    Ok(())
}

/// Validates the CHECK, which reads the whole default partition.
#[repository]
async fn validate(executor: &Executor<'_>, adoption: &Adoption) -> Result<()> {
    let unit = UnitOfWork::begin(executor).await?;
    let outcome = {
        let executor = unit.executor();
        match executor.end_time_limits().await {
            Ok(()) => executor.execute(sql_query(adoption.validate())).await,
            Err(error) => Err(error),
        }
    };
    unit.end(outcome.map(drop)).await
}
