//! Archiving the months of a log, and restoring them.

use chrono::{DateTime, Months, NaiveDate, NaiveTime, Utc};
use diesel::sql_query;
use diesel::sql_types::Text;

use super::super::partitions::is_table_of;
use super::super::{Executor, PartitionRepository as _, UnitOfWork};
use super::{
    ArchiveReader, ArchivedMonth, CopyTally, Db, Input, LogArchiveHeader, MissingReferences,
    Output, RestoredMonth, patient, repository,
};
use crate::models::admin::first_of_month;
use crate::models::partitions::{month_of, unsigned};
use crate::sql::admin::log_archive::{
    CLEARED, COLUMNS, Count, PREPARE, TableColumns, attach, clear_references, copy_in, copy_out,
    count, create, detach, drop, lock,
};
use crate::sql::partitions::Spared;
use crate::{Error, LogTable, Result};

/// A table of a log: a partition, or one that was detached.
#[derive(Debug, Clone)]
pub(super) struct LogPart {
    /// The name, with its schema, quoted.
    pub(super) name: String,
    pub(super) from: Option<DateTime<Utc>>,
    pub(super) before: DateTime<Utc>,
}

/// Writes the rows of the month that contains `day` to an output, and returns their number. The
/// month stays: [`drop_archived`] removes it.
///
/// The month is a partition, or a table that was detached. A partition of several months is
/// archived as a whole.
///
/// The archive is text of which each row is a line, in the form of `COPY`, between a line with the
/// columns and one with the number of rows. It is compressed by the output: a month of 100,000
/// entries has 30 MB of text and compresses to a tenth. The output is shut down at the end (in the
/// blocking engine: flushed).
///
/// Readers go on. Writers of rows of this month wait: these have a time in the past. Statements of
/// other transactions that change the table wait as well. The number of rows that were written is
/// compared with the number of rows in the table.
///
/// It runs in a transaction of its own, without limits of time: the output may pause. It needs
/// `SELECT` and one of the rights to change the table, which its owner has.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such month
/// - [`Error::InvalidInput`] with the field `output` if the output fails
/// - [`Error::InvalidInput`] if the year is not within 1 and 9999
/// - [`Error::Timeout`] if a writer of the month does not end within 2 seconds
///
/// # Cancel safety
/// If the future is dropped, the output has a part of an archive, which [`restore_month`] refuses.
#[repository]
pub async fn archive_month(
    db: &Db,
    log: LogTable,
    day: NaiveDate,
    output: Output<'_>,
) -> Result<ArchivedMonth> {
    let part = part_of(db, log, day).await?;
    let part = part.ok_or(Error::NotFound { what: "Partition" })?;
    let db = patient(db)?;
    let unit = UnitOfWork::begin_that_may_pause(&db.executor()).await?;
    let outcome = match hold(&unit, &part).await {
        Ok(()) => write_archive(&unit, log, &part, output).await,
        Err(error) => Err(error),
    };
    unit.end(outcome).await
}

/// Drops a month that was archived, and returns whether it was there.
///
/// Its rows are counted again, while its writers wait, and compared with the archive. Make the
/// archive durable before: once the month is dropped, the archive is all that is left of it.
///
/// Locks are waited for at most one second, five times. While the month is counted, readers go on.
///
/// # Errors
/// - [`Error::StaleWrite`] if the month has another number of rows than the archive
/// - [`Error::Timeout`] if other sessions hold the log for too long
/// - [`Error::Other`] with SQLSTATE 42501 if the role does not own the tables
#[repository]
pub async fn drop_archived(db: &Db, log: LogTable, archived: &ArchivedMonth) -> Result<bool> {
    if !is_there(&db.executor(), log, &archived.name).await? {
        return Ok(false);
    }
    let part = LogPart {
        name: archived.name.clone(),
        from: archived.from,
        before: archived.before,
    };
    let db = patient(db)?;
    let unit = UnitOfWork::begin(&db.executor()).await?;
    let outcome = drop_counted(&unit, log, &part, archived.rows).await;
    unit.end(outcome).await?;
    Ok(true)
}

/// Restores an archived month of a log, all of it or nothing.
///
/// The month becomes a partition with the constraints, the indexes and the triggers of the others.
/// The number of rows is compared with the archive. If the month was sealed,
/// [`verify`](crate::AuditLogRepository::verify) finds it as it was.
///
/// It runs in a transaction of its own, without limits of time. The log is locked at the end, while
/// PostgreSQL checks the references of the month's rows: writers that change a user or an
/// organization wait for that. A default partition of more than 4 MB is read before, without a lock
/// that blocks its readers; it refuses rows of the month meanwhile.
///
/// # Errors
/// - [`Error::InvalidInput`] with the field `archive` if the input is no archive of this log and
///   month, or is not complete
/// - [`Error::InvalidInput`] with the field `input` if the input fails
/// - [`Error::MissingReference`] if a user or an organization does not exist any more: see
///   [`MissingReferences`]
/// - [`Error::Other`] with SQLSTATE 42P07 if the month is there, or 42P17 if another partition
///   overlaps it
/// - [`Error::Check`] or [`Error::Other`] with SQLSTATE 23514 if the default partition has rows of
///   the month
/// - [`Error::Other`] with SQLSTATE 42501 if the role does not own the tables
#[repository]
pub async fn restore_month(
    db: &Db,
    log: LogTable,
    day: NaiveDate,
    mut input: Input<'_>,
    missing: MissingReferences,
) -> Result<RestoredMonth> {
    let mut reader = ArchiveReader::default();
    let archive = loop {
        let bytes = input.next().await?;
        if let Some(header) = reader.take_header(bytes.as_deref())? {
            break header.clone();
        }
    };
    let begin = month_of(day).and_time(NaiveTime::MIN).and_utc();
    let has_month = archive.from.is_none_or(|from| from <= begin) && begin < archive.before;
    if archive.log != log.as_str() || !has_month {
        return Err(Error::invalid(
            "archive",
            format_args!("is one of {}, not of that log and month", archive.name),
        ));
    }
    // The CHECK must be committed before it is validated.
    let spared = spared_of(log, &archive);
    let executor = patient(db)?.executor();
    if let Some(spared) = &spared {
        executor.execute(sql_query(spared.begin())).await?;
    }
    let outcome = restore(
        &executor,
        log,
        &archive,
        (reader, &mut input),
        missing,
        &spared,
    )
    .await;
    if let Some(spared) = &spared {
        // Its error is not that of the call. The next call drops a CHECK that is left, which
        // refuses no row that has a partition.
        let _ = executor.execute(sql_query(spared.end())).await;
    }
    outcome
}

/// Returns the range of an archive, of which the default partition has no row when it is attached.
/// Returns `None` if a bound is within a month.
fn spared_of(log: LogTable, archive: &LogArchiveHeader) -> Option<Spared> {
    let before = first_of_month(archive.before)?;
    match archive.from {
        Some(from) => Spared::of_range(log, Some(first_of_month(from)?), before),
        None => Spared::of_range(log, None, before),
    }
}

#[repository]
async fn restore(
    executor: &Executor<'_>,
    log: LogTable,
    archive: &LogArchiveHeader,
    from: (ArchiveReader, &mut Input<'_>),
    missing: MissingReferences,
    spared: &Option<Spared>,
) -> Result<RestoredMonth> {
    if let Some(spared) = spared {
        let unit = UnitOfWork::begin(executor).await?;
        let outcome = {
            let executor = unit.executor();
            match executor.execute(sql_query(PREPARE)).await {
                Ok(_) => executor.execute(sql_query(spared.validate())).await,
                Err(error) => Err(error),
            }
        };
        unit.end(outcome).await?;
    }
    let unit = UnitOfWork::begin_that_may_pause(executor).await?;
    let outcome = read_archive(&unit, log, archive, from, missing).await;
    unit.end(outcome).await
}

#[repository]
async fn read_archive(
    unit: &UnitOfWork<'_>,
    log: LogTable,
    archive: &LogArchiveHeader,
    (mut reader, input): (ArchiveReader, &mut Input<'_>),
    missing: MissingReferences,
) -> Result<RestoredMonth> {
    let executor = unit.executor();
    let name = &archive.name;
    executor.execute(sql_query(PREPARE)).await?;
    executor.execute(sql_query(create(log, archive))).await?;
    let sql = copy_in(name, &archive.columns);
    let tx = executor.tx().ok_or_else(no_transaction)?;
    let copied = tx.copy_in(&sql, input, &mut reader).await?;
    reader.check(copied)?;
    let stored = executor.one::<_, Count>(sql_query(count(name))).await?;
    reader.check(unsigned(stored.number))?;
    let mut cleared = 0;
    if missing == MissingReferences::Clear {
        executor
            .execute(sql_query(clear_references(log, name)))
            .await?;
        cleared = executor.one::<_, Count>(sql_query(CLEARED)).await?.number;
    }
    executor.execute(sql_query(attach(log, archive))).await?;
    Ok(RestoredMonth {
        name: name.clone(),
        rows: copied,
        cleared_references: unsigned(cleared),
    })
}

/// Returns the table that has the month of a day: a partition, or one that was detached.
#[repository]
async fn part_of(db: &Db, log: LogTable, day: NaiveDate) -> Result<Option<LogPart>> {
    let name = log.partition(day)?;
    let month = month_of(day);
    let begin = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let partitions = db.partitions().list(log).await?;
    let covering = partitions.iter().find(|partition| partition.covers(month));
    if let Some(partition) = covering
        && let Some(before) = partition.before
    {
        return Ok(Some(LogPart {
            name: partition.name.clone(),
            from: partition.from,
            before,
        }));
    }
    let next = month.checked_add_months(Months::new(1));
    match next {
        Some(next) if is_there(&db.executor(), log, &name).await? => Ok(Some(LogPart {
            name,
            from: Some(begin(month)),
            before: begin(next),
        })),
        _ => Ok(None),
    }
}

/// Checks whether there is a table of this name.
#[repository]
async fn is_there(executor: &Executor<'_>, log: LogTable, name: &str) -> Result<bool> {
    is_table_of(executor, log, name, false).await
}

/// Checks whether there is a partition of this name.
#[repository]
pub(super) async fn is_attached(
    executor: &Executor<'_>,
    log: LogTable,
    name: &str,
) -> Result<bool> {
    is_table_of(executor, log, name, true).await
}

/// Locks a table against writers, and pins the form of its rows.
#[repository]
pub(super) async fn hold(unit: &UnitOfWork<'_>, part: &LogPart) -> Result<()> {
    let executor = unit.executor();
    executor.execute(sql_query(PREPARE)).await?;
    executor.execute(sql_query(lock(&part.name))).await?;
    Ok(())
}

/// Writes the rows of a table that is held.
#[repository]
pub(super) async fn write_archive(
    unit: &UnitOfWork<'_>,
    log: LogTable,
    part: &LogPart,
    mut output: Output<'_>,
) -> Result<ArchivedMonth> {
    let executor = unit.executor();
    let query = sql_query(COLUMNS).into_boxed().bind::<Text, _>(&part.name);
    let columns: TableColumns = executor.one(query).await?;
    let columns = columns.columns.unwrap_or_default();
    let sql = copy_out(&part.name, &columns);
    let bounds = (part.from, part.before);
    let header = LogArchiveHeader::new(log.as_str(), &part.name, bounds, columns).line()?;
    output.write(header.as_bytes()).await?;
    let mut tally = CopyTally::default();
    let tx = executor.tx().ok_or_else(no_transaction)?;
    tx.copy_out(&sql, &mut output, &mut |bytes| tally.count(bytes))
        .await?;
    let stored = executor
        .one::<_, Count>(sql_query(count(&part.name)))
        .await?;
    if unsigned(stored.number) != tally.rows {
        return Err(Error::invalid(
            "archive",
            format_args!("{} rows were written of {}", tally.rows, stored.number),
        ));
    }
    let trailer = tally.trailer()?;
    output.write(trailer.as_bytes()).await?;
    output.close().await?;
    Ok(ArchivedMonth {
        name: part.name.clone(),
        from: part.from,
        before: part.before,
        rows: tally.rows,
        bytes: tally.bytes + u64::try_from(header.len() + trailer.len()).unwrap_or(0),
    })
}

/// Drops a table that has this number of rows.
#[repository]
async fn drop_counted(
    unit: &UnitOfWork<'_>,
    log: LogTable,
    part: &LogPart,
    rows: u64,
) -> Result<()> {
    hold(unit, part).await?;
    let executor = unit.executor();
    let stored = executor
        .one::<_, Count>(sql_query(count(&part.name)))
        .await?;
    if unsigned(stored.number) != rows {
        return Err(Error::StaleWrite { what: "Partition" });
    }
    executor.execute(sql_query(drop(log, &part.name))).await?;
    Ok(())
}

/// Detaches a partition.
#[repository]
pub(super) async fn detach_part(executor: &Executor<'_>, log: LogTable, name: &str) -> Result<()> {
    executor.execute(sql_query(detach(log, name))).await?;
    Ok(())
}

/// Drops a partition.
#[repository]
pub(super) async fn drop_part(executor: &Executor<'_>, log: LogTable, name: &str) -> Result<()> {
    executor.execute(sql_query(drop(log, name))).await?;
    Ok(())
}

/// A unit of work always has a transaction.
fn no_transaction() -> Error {
    Error::InUse {
        by: "no transaction",
    }
}
