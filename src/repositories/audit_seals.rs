//! Seals of months of the audit log.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, TimeDelta, Utc};
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Date, Integer, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::*;
use crate::sql::audit_seals::{
    ANONYMIZED, AnonymizedRow, ENTRIES_OF_PAGE, FIND, IS_CLOSED, IS_INTACT, SEAL, SEAL_PAGE,
    SEES_ALL, SealRow, SealedPage, VERIFY_PAGE, VerifiedPage,
};
use crate::sql::cacheable;
use crate::sql::partitions::Exists;
use crate::{AnonymizedMonth, AuditDifference, AuditSeal, AuditVerdict, Error, LogTable, Result};

/// A month in UTC.
struct Month {
    first: NaiveDate,
    from: DateTime<Utc>,
    before: DateTime<Utc>,
}

impl Month {
    fn of(day: NaiveDate) -> Result<Self> {
        LogTable::AuditLogs.partition(day)?;
        let out_of_range = || Error::invalid("month", format_args!("{day} is out of range"));
        let first = day.with_day(1).ok_or_else(out_of_range)?;
        let next = first.checked_add_months(Months::new(1));
        let begin = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        Ok(Self {
            first,
            from: begin(first),
            before: begin(next.ok_or_else(out_of_range)?),
        })
    }

    /// Returns what stands for the hash of the page before the first.
    fn beginning(&self) -> Vec<u8> {
        format!("wundr-db audit seal 1 {}", self.first).into_bytes()
    }

    fn seal(&self, row: SealRow) -> AuditSeal {
        AuditSeal {
            month: self.first,
            entries: crate::models::partitions::unsigned(row.entries),
            hash: hexadecimal(&row.hash),
            sealed_at: row.sealed_at,
        }
    }
}

/// Checks that the role sees the whole log.
#[repository]
pub(super) async fn check_sight(executor: &Executor<'_>) -> Result<()> {
    let sees_all = cacheable(sql_query(SEES_ALL));
    match executor.one::<_, Exists>(sees_all).await?.yes {
        true => Ok(()),
        false => Err(Error::invalid(
            "role",
            "sees the entries of one organization only",
        )),
    }
}

/// Seals a month.
#[repository]
pub(super) async fn seal(executor: &Executor<'_>, day: NaiveDate) -> Result<AuditSeal> {
    let month = Month::of(day)?;
    check_sight(executor).await?;
    let is_closed = sql_query(IS_CLOSED).bind::<Timestamptz, _>(month.before);
    if !executor.one::<_, Exists>(cacheable(is_closed)).await?.yes {
        return Err(Error::invalid(
            "month",
            format_args!(
                "{} is not closed: it can be sealed a day after its end",
                month.first
            ),
        ));
    }
    let unit = UnitOfWork::begin(executor).await?;
    let outcome = write_pages(&unit.executor(), &month).await;
    unit.end(outcome).await
}

#[repository]
async fn write_pages(executor: &Executor<'_>, month: &Month) -> Result<AuditSeal> {
    let mut hash = month.beginning();
    // Before the first entry that the month can have.
    let mut after = (month.from - TimeDelta::microseconds(1), Uuid::max());
    let mut entries = 0;
    for page in 0.. {
        let statement = sql_query(SEAL_PAGE)
            .bind::<Date, _>(month.first)
            .bind::<Integer, _>(page)
            .bind::<Timestamptz, _>(after.0)
            .bind::<SqlUuid, _>(after.1)
            .bind::<Timestamptz, _>(month.before)
            .bind::<Binary, _>(hash.clone());
        let written: SealedPage = executor.one(cacheable(statement)).await?;
        entries += written.entries;
        let (Some(created_at), Some(id), Some(of_page)) =
            (written.created_at, written.id, written.hash)
        else {
            break;
        };
        hash = of_page;
        after = (created_at, id);
        if written.entries < ENTRIES_OF_PAGE {
            break;
        }
    }
    let statement = sql_query(SEAL)
        .bind::<Date, _>(month.first)
        .bind::<BigInt, _>(entries)
        .bind::<Binary, _>(hash);
    Ok(month.seal(executor.one(cacheable(statement)).await?))
}

/// Compares a month with its seal.
#[repository]
pub(super) async fn verify(executor: &Executor<'_>, day: NaiveDate) -> Result<AuditVerdict> {
    let month = Month::of(day)?;
    check_sight(executor).await?;
    let find = sql_query(FIND).bind::<Date, _>(month.first);
    let found: Option<SealRow> = executor.first(cacheable(find)).await?;
    let seal = month.seal(found.ok_or(Error::NotFound { what: "AuditSeal" })?);
    let mut hash = month.beginning();
    let mut from = (month.from, Uuid::nil());
    let mut entries = 0;
    for page in 0.. {
        let statement = sql_query(VERIFY_PAGE)
            .bind::<Date, _>(month.first)
            .bind::<Integer, _>(page)
            .bind::<Timestamptz, _>(from.0)
            .bind::<SqlUuid, _>(from.1)
            .bind::<Timestamptz, _>(month.before)
            .bind::<Binary, _>(hash.clone())
            .bind::<Timestamptz, _>(month.from);
        let verified: VerifiedPage = executor.one(cacheable(statement)).await?;
        if verified.is_chained == Some(false) {
            return Ok(AuditVerdict::Broken(seal));
        }
        if let (Some(id), Some(difference)) = (verified.id, verified.difference) {
            let difference = match difference.as_str() {
                "removed" => AuditDifference::Removed,
                "added" => AuditDifference::Added,
                _ => AuditDifference::Changed,
            };
            return Ok(AuditVerdict::Differs {
                seal,
                id: id.into(),
                difference,
            });
        }
        entries += verified.entries.unwrap_or(0);
        hash = verified.hash.unwrap_or(hash);
        match (verified.next_created_at, verified.next_id) {
            (Some(created_at), Some(id)) => from = (created_at, id),
            _ => break,
        }
    }
    let is_intact = sql_query(IS_INTACT)
        .bind::<Date, _>(month.first)
        .bind::<BigInt, _>(entries)
        .bind::<Binary, _>(hash);
    let is_intact: Option<Exists> = executor.first(cacheable(is_intact)).await?;
    if !is_intact.is_some_and(|is_intact| is_intact.yes) {
        return Ok(AuditVerdict::Broken(seal));
    }
    let anonymized = anonymized(executor, vec![month.first]).await?;
    Ok(match anonymized.into_iter().next() {
        Some(anonymized) => AuditVerdict::Anonymized { seal, anonymized },
        None => AuditVerdict::Intact(seal),
    })
}

/// Returns what was anonymized in these months after they were sealed.
#[repository]
pub(super) async fn anonymized(
    executor: &Executor<'_>,
    months: Vec<NaiveDate>,
) -> Result<Vec<AnonymizedMonth>> {
    let query = sql_query(ANONYMIZED).bind::<Array<Date>, _>(months);
    let rows: Vec<AnonymizedRow> = executor.load(cacheable(query)).await?;
    let months = rows.into_iter().map(|row| AnonymizedMonth {
        month: row.month,
        entries: crate::models::partitions::unsigned(row.entries),
        hash: hexadecimal(&row.hash),
    });
    Ok(months.collect())
}

fn hexadecimal(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
