use super::*;

use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{AuditAction, AuditLogFilter, LogTable, NewAuditLog};

const LOG: LogTable = LogTable::AuditLogs;

/// Fills the default partition with rows of 21 months, beyond the size that is moved row by row.
const MANY_OLD_ROWS: &str = "INSERT INTO audit.audit_logs (action, resource_type, created_at) \
    SELECT 'read', 'project', TIMESTAMPTZ '2020-01-15 00:00:00+00' + n * INTERVAL '15 minutes' \
    FROM generate_series(1, 60000) AS n";

/// The name of the partition up to the month before this one, which has a partition.
const UNTIL: &str = "to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - INTERVAL '1 day', \
    '\"audit.audit_logs_until_\"YYYY_MM')";

#[both_engines]
async fn database_of(rows: &str) -> (Db, TestDatabase, Observer) {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    db.partitions().ensure(LOG, 2).await.unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run(rows);
    (db, database, observer)
}

#[both_engines]
async fn write(db: &Db, time: &str) -> wundr_db::Result<()> {
    let entry = NewAuditLog::new(AuditAction::Read, "project")
        .created_at(time.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
    db.audit_logs().create(entry).await.map(drop)
}

#[both_engines]
async fn entries(db: &Db) -> u64 {
    db.audit_logs().count(&AuditLogFilter::new()).await.unwrap()
}

#[both_engines]
#[case]
async fn a_large_default_partition_becomes_the_partition_of_all_that_is_old() {
    let (db, _database, mut observer) = database_of(MANY_OLD_ROWS).await;
    // One of the future, which moves.
    let ahead = "now() + INTERVAL '14 months'";
    observer.run(&format!(
        "INSERT INTO audit.audit_logs (action, resource_type, created_at) \
         VALUES ('read', 'project', {ahead})"
    ));
    let file = observer.ask("pg_relation_filenode('audit.audit_logs_default')");
    let health = db.partitions().health(LOG).await.unwrap();
    assert!(health.rows_in_default >= 10_000 && !health.rows_are_exact);

    let drained = admin::drain_default(&db, LOG).await.unwrap();

    let until = observer.ask(UNTIL);
    assert_eq!(drained.adopted_as.as_deref(), Some(until.as_str()));
    assert_eq!(drained.months.len(), 1);
    assert!(drained.is_empty);
    // No row was moved.
    assert_eq!(
        observer.ask(&format!("pg_relation_filenode('{until}')")),
        file
    );
    let health = db.partitions().health(LOG).await.unwrap();
    assert_eq!((health.rows_in_default, health.rows_are_exact), (0, true));
    assert_eq!(entries(&db).await, 60_001);
    // The new default partition and the old one have what each partition has.
    let shapes = "SELECT string_agg(DISTINCT shape, ' or ') FROM ( \
        SELECT (SELECT count(*) FROM pg_index WHERE indrelid = inhrelid AND indisvalid) || ' indexes, ' \
            || (SELECT string_agg(tgname, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = inhrelid \
                AND NOT tgisinternal AND tgenabled = 'O') || ', ' \
            || (SELECT string_agg(contype::text || ':' || convalidated, ' ' ORDER BY contype, confrelid::text) \
                FROM pg_constraint WHERE conrelid = inhrelid) AS shape \
        FROM pg_inherits WHERE inhparent = 'audit.audit_logs'::regclass) AS shapes";
    let shape = observer.ask(shapes);
    assert!(!shape.contains(" or "), "{shape}");
    let named = "SELECT bool_and(starts_with(i.relname, t.relname)) FROM pg_index \
        JOIN pg_class AS i ON i.oid = indexrelid JOIN pg_class AS t ON t.oid = indrelid \
        JOIN pg_inherits ON inhrelid = indrelid WHERE inhparent = 'audit.audit_logs'::regclass";
    assert_eq!(observer.ask(named), "true");
    for table in [until.as_str(), "audit.audit_logs_default"] {
        let refused = observer.refusal(&format!("TRUNCATE {table}"));
        assert!(
            refused.is_some_and(|why| why.contains("append-only")),
            "{table}"
        );
    }
    write(&db, "2019-05-05T00:00:00Z").await.unwrap();
    write(&db, "2199-05-05T00:00:00Z").await.unwrap();
    assert_eq!(
        db.partitions().health(LOG).await.unwrap().rows_in_default,
        1
    );
    // What is left is one month, which moves.
    let drained = admin::drain_default(&db, LOG).await.unwrap();
    assert_eq!((drained.months.len(), drained.adopted_as), (1, None));
    assert!(drained.is_empty);
    let again = admin::drain_default(&db, LOG).await.unwrap();
    assert!(again.is_empty && again.months.is_empty());
}

#[both_engines]
#[case]
async fn a_small_default_partition_is_moved_month_by_month() {
    let (db, _database, _observer) = database_of("SELECT").await;
    for time in [
        "2019-05-05T00:00:00Z",
        "2019-05-31T23:59:59Z",
        "2019-07-01T00:00:00Z",
        "2150-01-01T00:00:00Z",
    ] {
        write(&db, time).await.unwrap();
    }
    let drained = admin::drain_default(&db, LOG).await.unwrap();
    let months: Vec<_> = drained.months.iter().map(ToString::to_string).collect();
    assert_eq!(months, ["2019-05-01", "2019-07-01", "2150-01-01"]);
    assert!(drained.is_empty && drained.adopted_as.is_none());
    assert_eq!(entries(&db).await, 4);
    let empty = admin::drain_default(&db, LogTable::SystemLogs)
        .await
        .unwrap();
    assert!(empty.is_empty && empty.months.is_empty());
}

/// The default partition is full of rows of the future, which ATTACH would scan under its lock.
#[both_engines]
#[case]
async fn a_partition_of_many_months_is_restored_with_the_default_partition_read_before() {
    let (db, _database, mut observer) = database_of(MANY_OLD_ROWS).await;
    let drained = admin::drain_default(&db, LOG).await.unwrap();
    let until = drained.adopted_as.unwrap();
    let (mut archive, day) = (Vec::new(), "2020-03-01".parse().unwrap());
    let output = admin::Output::immediate(&mut archive);
    let archived = admin::archive_month(&db, LOG, day, output).await.unwrap();
    assert_eq!((archived.rows, archived.from), (60_000, None));
    assert!(admin::drop_archived(&db, LOG, &archived).await.unwrap());
    observer.run(
        "INSERT INTO audit.audit_logs (action, resource_type, created_at) \
         SELECT 'read', 'project', TIMESTAMPTZ '2150-01-15 00:00:00+00' + n * INTERVAL '15 minutes' \
         FROM generate_series(1, 60000) AS n",
    );
    // What is known of the default partition while the restored table is not attached yet.
    observer.run(&format!(
        "CREATE TABLE public.known (is_valid BOOLEAN); \
         CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO public.known SELECT convalidated FROM pg_constraint \
             WHERE conrelid = 'audit.audit_logs_default'::regclass AND conname LIKE 'wundr\\_without\\_%' \
                 AND to_regclass('{until}') IS NOT NULL \
                 AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('{until}')); \
         END $$; \
         CREATE EVENT TRIGGER notes ON ddl_command_start WHEN TAG IN ('ALTER TABLE') \
             EXECUTE FUNCTION public.note()"
    ));
    let input = admin::Input::immediate(archive.as_slice());
    let missing = admin::MissingReferences::Refuse;
    let restored = admin::restore_month(&db, LOG, day, input, missing)
        .await
        .unwrap();
    observer.run("DROP EVENT TRIGGER notes");
    assert_eq!((restored.name, restored.rows), (until, 60_000));
    assert_eq!(
        observer.ask("SELECT bool_and(is_valid) FROM public.known"),
        "true"
    );
    assert_eq!(entries(&db).await, 120_000);
    let left = "SELECT count(*) FROM pg_constraint \
        WHERE conrelid = 'audit.audit_logs_default'::regclass AND contype = 'c'";
    assert_eq!(observer.ask(left), "0");
    assert_eq!(observer.ask(SETTINGS), ALL_SETTINGS);
}

/// The storage settings of the partitions of both logs.
const SETTINGS: &str = "SELECT string_agg(DISTINCT settings, ' or ') FROM ( \
    SELECT COALESCE((SELECT string_agg(setting, ', ' ORDER BY setting) FROM unnest(reloptions) AS setting), 'none') \
        AS settings \
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
    WHERE inhparent IN ('audit.audit_logs'::regclass, 'audit.system_logs'::regclass)) AS partitions";

const ALL_SETTINGS: &str =
    "autovacuum_analyze_scale_factor=0.05, autovacuum_vacuum_insert_scale_factor=0.05";

/// Those of the first migrations, of the following months, and a default partition that replaces
/// another.
#[both_engines]
#[case]
async fn every_partition_has_the_storage_settings_of_a_log() {
    let (db, _database, mut observer) = database_of("SELECT").await;
    assert_eq!(observer.ask(SETTINGS), ALL_SETTINGS);
    observer.run(MANY_OLD_ROWS);
    let drained = admin::drain_default(&db, LOG).await.unwrap();
    assert!(drained.adopted_as.is_some());
    assert_eq!(observer.ask(SETTINGS), ALL_SETTINGS);
}

/// Ends every session at its `n`-th statement that changes the schema and at all later ones, as a
/// crash of the caller does.
fn die_at(observer: &mut Observer, n: i32) {
    observer.run(&format!(
        "DROP EVENT TRIGGER IF EXISTS dies; \
         CREATE OR REPLACE FUNCTION public.die() RETURNS event_trigger LANGUAGE plpgsql AS $$ \
         BEGIN IF nextval('public.deaths') >= {n} THEN PERFORM pg_terminate_backend(pg_backend_pid()); \
         END IF; END $$; \
         ALTER SEQUENCE public.deaths RESTART; \
         CREATE EVENT TRIGGER dies ON ddl_command_end EXECUTE FUNCTION public.die()"
    ));
}

#[both_engines]
#[case]
async fn a_crash_after_any_statement_leaves_a_log_that_accepts_writes_and_the_next_call_finishes() {
    let (db, _database, mut observer) = database_of(MANY_OLD_ROWS).await;
    observer.run("CREATE SEQUENCE public.deaths");
    let mut written = 60_000;
    let mut crashes = 0;
    for n in 1.. {
        die_at(&mut observer, n);
        let outcome = admin::drain_default(&db, LOG).await;
        observer.run("DROP EVENT TRIGGER dies");
        assert_eq!(entries(&db).await, written);
        write(&db, "2020-05-05T00:00:00Z").await.unwrap();
        db.audit_logs()
            .create(NewAuditLog::new(AuditAction::Read, "project"))
            .await
            .unwrap();
        written += 2;
        match outcome {
            Ok(drained) => {
                assert!(drained.adopted_as.is_some(), "{drained:?}");
                break;
            }
            Err(_) => crashes += 1,
        }
    }
    // The CHECK, its validation, and those of the exchange.
    assert!(crashes > 8, "{crashes}");
    assert_eq!(entries(&db).await, written);
    let drained = admin::drain_default(&db, LOG).await.unwrap();
    assert!(drained.is_empty, "{drained:?}");
    let left = "SELECT count(*) FROM pg_constraint JOIN pg_inherits ON inhrelid = conrelid \
        WHERE inhparent = 'audit.audit_logs'::regclass AND contype = 'c'";
    assert_eq!(observer.ask(left), "0");
}

#[both_engines]
#[case]
async fn a_call_beside_a_long_reader_gives_up_and_leaves_no_check() {
    let (db, database, mut observer) = database_of(MANY_OLD_ROWS).await;
    let other = Db::connect_to(&database.url()).await.unwrap();
    let refused = other.transaction(async |tx| {
        tx.audit_logs().count(&AuditLogFilter::new()).await?;
        Ok::<_, wundr_db::Error>(admin::drain_default(&db, LOG).await)
    });
    let refused = refused.await.unwrap();
    assert!(
        matches!(&refused, Err(wundr_db::Error::Timeout(_))),
        "{refused:?}"
    );
    let left = "SELECT count(*) FROM pg_constraint \
        WHERE conrelid = 'audit.audit_logs_default'::regclass AND contype = 'c'";
    assert_eq!(observer.ask(left), "0");
    let drained = admin::drain_default(&db, LOG).await.unwrap();
    assert!(drained.is_empty && drained.adopted_as.is_some());
}

#[both_engines]
#[case]
async fn a_past_month_is_moved_with_the_default_partition_read_before_it_is_locked() {
    let (db, _database, mut observer) = database_of(MANY_OLD_ROWS).await;
    let month = "2020-03-01".parse().unwrap();
    assert!(db.partitions().create(LOG, month).await.unwrap());
    assert_eq!(entries(&db).await, 60_000);
    let moved = observer.count("audit.audit_logs_2020_03");
    assert_eq!(moved, 31 * 24 * 4);
    let left = "SELECT count(*) FROM pg_constraint \
        WHERE conrelid = 'audit.audit_logs_default'::regclass AND contype = 'c'";
    assert_eq!(observer.ask(left), "0");
    // The function validates the CHECK after it has moved the rows, which make it true.
    observer.run(
        "ALTER TABLE audit.audit_logs_default ADD CONSTRAINT wundr_without_2020_04_to_2020_05 \
             CHECK (created_at < '2020-04-01 00:00:00+00' OR created_at >= '2020-05-01 00:00:00+00') NOT VALID; \
         SELECT audit.create_monthly_partition('audit.audit_logs', '2020-04-01')",
    );
    let validated =
        "SELECT convalidated FROM pg_constraint WHERE conname = 'wundr_without_2020_04_to_2020_05'";
    assert_eq!(observer.ask(validated), "true");
}
