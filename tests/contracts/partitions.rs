use super::*;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use wundr_db::{AuditAction, AuditLogFilter, Error, LogTable, NewAuditLog};

const LOGS: [LogTable; 2] = [LogTable::AuditLogs, LogTable::SystemLogs];

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[both_engines]
#[case]
async fn months_are_made_once_and_in_advance() {
    let (db, _database) = database().await;
    let partitions = db.partitions();
    for log in LOGS {
        partitions.ensure(log, 0).await.unwrap();
        let before = partitions.health(log).await.unwrap();
        assert_eq!((before.gaps.len(), before.rows_in_default), (0, 0));
        let missing = 12 - before.months_ahead as usize;

        assert_eq!(partitions.ensure(log, 12).await.unwrap(), missing);
        assert_eq!(partitions.ensure(log, 12).await.unwrap(), 0);

        assert_eq!(partitions.health(log).await.unwrap().months_ahead, 12);
        let listed = partitions.list(log).await.unwrap();
        assert_eq!(listed.len(), 14);
        for (this, next) in listed.iter().zip(&listed[1..13]) {
            assert_eq!(this.before, next.from, "{} and {}", this.name, next.name);
        }
        let first = listed[0].from.unwrap();
        assert_eq!((first.day(), first.time()), (1, chrono::NaiveTime::MIN));
        let name = format!("{}{}", log.as_str(), first.format("_%Y_%m"));
        assert_eq!(listed[0].name, name);
        let last = &listed[13];
        assert_eq!((&last.from, &last.before), (&None, &None));
        assert!(last.name.ends_with("_default") && last.bytes > 0);
    }
    assert!(matches!(
        partitions.ensure(LogTable::AuditLogs, 121).await,
        Err(Error::InvalidInput { .. })
    ));
}

#[both_engines]
#[case]
async fn a_month_takes_its_rows_out_of_the_default_partition() {
    let (db, _database) = database().await;
    let (partitions, log) = (db.partitions(), LogTable::AuditLogs);
    for time in [
        "2024-01-31T23:59:59Z",
        "2024-02-01T00:00:00Z",
        "2024-02-29T12:00:00Z",
    ] {
        let time: DateTime<Utc> = time.parse().unwrap();
        let entry = NewAuditLog::new(AuditAction::Read, "project").created_at(time);
        db.audit_logs().create(entry).await.unwrap();
    }
    let rows = async || partitions.health(log).await.unwrap().rows_in_default;
    assert_eq!(rows().await, 3);

    assert!(partitions.create(log, day("2024-02-15")).await.unwrap());
    assert!(!partitions.create(log, day("2024-02-01")).await.unwrap());

    assert_eq!(rows().await, 1);
    let all = db.audit_logs().count(&AuditLogFilter::new()).await.unwrap();
    assert_eq!(all, 3);
    let health = partitions.health(log).await.unwrap();
    let after = day("2024-02-01")
        .checked_add_months(Months::new(1))
        .unwrap();
    assert_eq!(health.gaps.first(), Some(&after));
    assert!(matches!(
        partitions.create(log, NaiveDate::MAX).await,
        Err(Error::InvalidInput { .. })
    ));
}

#[both_engines]
#[case]
async fn a_month_is_detached_with_its_rows_and_dropped() {
    let (db, _database) = database().await;
    let (partitions, log) = (db.partitions(), LogTable::AuditLogs);
    let (january, february) = (day("2024-01-01"), day("2024-02-01"));
    let everything = AuditLogFilter::new();
    for month in [january, february] {
        partitions.create(log, month).await.unwrap();
        let time = month.and_hms_opt(12, 0, 0).unwrap().and_utc();
        let entry = NewAuditLog::new(AuditAction::Read, "project").created_at(time);
        db.audit_logs().create(entry).await.unwrap();
    }

    assert!(partitions.detach(log, january).await.unwrap());
    assert!(!partitions.detach(log, january).await.unwrap());
    assert_eq!(db.audit_logs().count(&everything).await.unwrap(), 1);
    let taken = partitions.create(log, january).await;
    assert!(matches!(taken, Err(Error::Other { .. })), "{taken:?}");

    for month in [january, february] {
        assert!(partitions.drop(log, month).await.unwrap());
        assert!(!partitions.drop(log, month).await.unwrap());
    }
    assert_eq!(db.audit_logs().count(&everything).await.unwrap(), 0);
    assert!(partitions.create(log, january).await.unwrap());
}

#[both_engines]
#[case]
async fn a_change_that_would_wait_for_long_is_given_up() {
    let (db, database) = database().await;
    let other = Db::connect_to(&database.url()).await.unwrap();
    let month = day("2024-01-01");
    let time = month.and_hms_opt(12, 0, 0).unwrap().and_utc();

    let refused = db.transaction(async |tx| {
        tx.audit_logs()
            .create(NewAuditLog::new(AuditAction::Read, "project").created_at(time))
            .await?;
        let refused = other.partitions().create(LogTable::AuditLogs, month).await;
        Ok::<_, Error>(refused)
    });
    let refused = refused.await.unwrap();
    // Not the end of the statement's time, which is far longer.
    assert!(
        matches!(&refused, Err(Error::Timeout(why)) if why.contains("lock timeout")),
        "{refused:?}"
    );
    let made = db.partitions().create(LogTable::AuditLogs, month).await;
    assert!(made.unwrap());
}
