use super::*;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use wundr_db::{AuditAction, AuditLogFilter, Error, LogTable, NewAuditLog};

const LOGS: [LogTable; 2] = [LogTable::AuditLogs, LogTable::SystemLogs];

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[both_engines]
#[case]
async fn months_are_found_whatever_a_backslash_means() {
    let (_, database) = database().await;
    let url = database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    let options = "options=-c%20standard_conforming_strings%3Doff";
    let url = format!("{url}{separator}{options}");
    let db = Db::connect_to(&url).await.unwrap();
    for log in LOGS {
        db.partitions().ensure(log, 2).await.unwrap();
        let health = db.partitions().health(log).await.unwrap();
        assert!(health.months_ahead >= 2, "{health:?}");
        let listed = db.partitions().list(log).await.unwrap();
        assert!(listed[0].from.is_some(), "{listed:?}");
    }
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
        let missing = 12 - u64::from(before.months_ahead);

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

/// Fills the default partition with rows of one old month.
const MANY_OLD_ROWS: &str = "INSERT INTO audit.audit_logs (action, resource_type, created_at) \
    SELECT 'read', 'project', TIMESTAMPTZ '2020-01-15 00:00:00+00' + n * INTERVAL '1 second' \
    FROM generate_series(1, 60000) AS n";

/// Returns how often the default partition was read from its beginning, once all sessions have
/// reported.
#[both_engines]
async fn readings(db: Db, database: &TestDatabase) -> i64 {
    db.close().await;
    until(
        database,
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND backend_type = 'client backend')",
    )
    .await;
    let readings = "SELECT seq_scan FROM pg_stat_all_tables WHERE relid = 'audit.audit_logs_default'::regclass";
    Observer::of(&database.url()).ask(readings).parse().unwrap()
}

#[both_engines]
#[case]
async fn months_ahead_are_made_with_one_reading_of_a_large_default_partition() {
    let (db, database) = database().await;
    execute(&db, MANY_OLD_ROWS).await;
    let before = readings(Db::clone(&db), &database).await;

    let config = wundr_db::Config::new(&database.url()).unwrap();
    let db = Db::connect(config.clone()).await.unwrap();
    assert!(
        db.partitions()
            .ensure(LogTable::AuditLogs, 12)
            .await
            .unwrap()
            > 6
    );
    let health = db.partitions().health(LogTable::AuditLogs).await.unwrap();
    assert_eq!((health.months_ahead, health.rows_are_exact), (12, false));
    assert!(health.rows_in_default >= 10_000, "{health:?}");
    let left = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'audit.audit_logs_default'::regclass AND contype = 'c'";
    assert_eq!(Observer::of(&database.url()).ask(left), "0");
    // The CHECK, and the health, which follows an index only where the rows are many more.
    let after = readings(db, &database).await;
    assert!(after - before <= 2, "{before} and {after}");

    // What a crash has left behind goes away, and rows that came in first are moved.
    let db = Db::connect(config.clone()).await.unwrap();
    execute(
        &db,
        "INSERT INTO audit.audit_logs (action, resource_type, created_at) \
         VALUES ('read', 'project', date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + INTERVAL '14 months'); \
         ALTER TABLE audit.audit_logs_default ADD CONSTRAINT wundr_without_2020_02_to_2020_03 \
             CHECK (created_at IS NULL OR created_at < '2020-02-01 00:00:00+00') NOT VALID",
    )
    .await;
    assert_eq!(
        db.partitions()
            .ensure(LogTable::AuditLogs, 15)
            .await
            .unwrap(),
        3
    );
    let health = db.partitions().health(LogTable::AuditLogs).await.unwrap();
    assert_eq!((health.months_ahead, health.rows_are_exact), (15, false));
    assert_eq!(Observer::of(&database.url()).ask(left), "0");
}

#[both_engines]
#[case]
async fn a_partition_without_a_lower_bound_is_not_the_default_one() {
    let (db, _database) = database().await;
    let (partitions, log) = (db.partitions(), LogTable::AuditLogs);
    execute(
        &db,
        "CREATE TABLE audit.audit_logs_early PARTITION OF audit.audit_logs \
             FOR VALUES FROM (MINVALUE) TO ('2021-01-01 00:00:00+00'); \
         CREATE TABLE audit.audit_logs_quarter PARTITION OF audit.audit_logs \
             FOR VALUES FROM ('2021-01-01 00:00:00+00') TO ('2021-04-01 00:00:00+00'); \
         CREATE TABLE audit.audit_logs_late PARTITION OF audit.audit_logs \
             FOR VALUES FROM ('2120-01-01 00:00:00+00') TO (MAXVALUE); \
         INSERT INTO audit.audit_logs (action, resource_type, created_at) \
         VALUES ('read', 'project', '2019-01-01'), ('read', 'project', '2021-02-01'), ('read', 'project', '2022-01-01')",
    )
    .await;
    let listed = partitions.list(log).await.unwrap();
    let defaults: Vec<_> = listed
        .iter()
        .filter(|partition| partition.is_default)
        .collect();
    assert_eq!(defaults, [listed.last().unwrap()]);
    assert_eq!(
        (&*listed[0].name, listed[0].from, listed[0].is_default),
        ("audit.audit_logs_early", None, false)
    );
    let health = partitions.health(log).await.unwrap();
    assert_eq!(health.rows_in_default, 1);
    assert_eq!(health.gaps.first(), Some(&day("2021-04-01")));
    // Other bounds cover these.
    assert!(!partitions.create(log, day("2018-05-05")).await.unwrap());
    assert!(!partitions.create(log, day("2021-02-05")).await.unwrap());
    assert!(partitions.create(log, day("2022-01-05")).await.unwrap());
}

/// Years that dates of this machine do not have, and bounds within a month.
#[both_engines]
#[case]
async fn a_partition_may_have_any_bounds() {
    let (db, _database) = database().await;
    let (partitions, log) = (db.partitions(), LogTable::SystemLogs);
    execute(
        &db,
        "CREATE TABLE audit.of_caesar PARTITION OF audit.system_logs \
             FOR VALUES FROM ('0044-03-15 00:00:00+00 BC') TO ('2000-01-01 00:00:00+00'); \
         CREATE TABLE audit.last PARTITION OF audit.system_logs \
             FOR VALUES FROM ('294000-01-01 00:00:00+00') TO ('294276-01-01 00:00:00+00'); \
         CREATE TABLE audit.of_a_week PARTITION OF audit.system_logs \
             FOR VALUES FROM ('2019-01-03 06:45:00.123456+00') TO ('2019-01-10 00:00:00+00'); \
         CREATE TABLE audit.\"odd \"\"name' (x)\" PARTITION OF audit.system_logs \
             FOR VALUES FROM ('infinity') TO (MAXVALUE)",
    )
    .await;
    let listed = partitions.list(log).await.unwrap();
    let find = |name: &str| listed.iter().find(|one| one.name == name).unwrap();
    let last = find("audit.last");
    assert!(last.from.is_some_and(|from| from > Utc::now()), "{last:?}");
    assert_eq!(last.before, None);
    assert!(find("audit.of_caesar").from.unwrap() < find("audit.of_a_week").from.unwrap());
    find("audit.\"odd \"\"name' (x)\"");
    partitions.ensure(log, 12).await.unwrap();
    assert_eq!(partitions.ensure(log, 12).await.unwrap(), 0);
    let health = partitions.health(log).await.unwrap();
    assert!(health.months_ahead >= 12, "{}", health.months_ahead);
    assert!(health.gaps.len() <= 24_000, "{}", health.gaps.len());
    // Nothing else covers it.
    assert!(partitions.create(log, day("2018-05-05")).await.unwrap());
    // A month of which another partition covers a part.
    let overlapping = partitions.create(log, day("2019-01-05")).await;
    assert!(
        matches!(overlapping, Err(Error::Other { .. })),
        "{overlapping:?}"
    );
}
