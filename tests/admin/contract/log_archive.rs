use super::*;

use std::io::{Read as _, Write};

use admin::{Input, MissingReferences, Output};
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{AuditVerdict, Error, LogTable};

const LOG: LogTable = LogTable::AuditLogs;

fn january() -> chrono::NaiveDate {
    "2024-01-31".parse().unwrap()
}

/// Rows whose values are hard to write as text.
const ENTRIES: &str = "\
    INSERT INTO public.users (id, email, name) VALUES ('00000000-0000-7000-8000-000000000001', 'a@example.org', 'A'); \
    INSERT INTO audit.audit_logs \
        (user_id, action, resource_type, old_values, metadata, ip_address, user_agent, created_at) VALUES \
        ('00000000-0000-7000-8000-000000000001', 'update', E'a\\tb\\nc\\\\.', '{\"a\": \"\\n\"}', '{}', '10.0.0.0/8', E'\\\\N', '2024-01-01 00:00:00+00'), \
        (NULL, 'read', E'\\\\.', NULL, '[1.50, null]', '::1', '', '2024-01-15 12:34:56.123456+00'), \
        (NULL, 'read', 'é', NULL, '{}', NULL, NULL, '2024-01-31 23:59:59.999999+00')";

const ROWS: &str = "SELECT string_agg(l::text, '; ' ORDER BY created_at) FROM audit.audit_logs AS l \
    WHERE created_at < '2024-02-01 00:00:00+00'";

#[both_engines]
async fn database_of_january() -> (Db, TestDatabase, Observer) {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    db.partitions().create(LOG, january()).await.unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run(ENTRIES);
    (db, database, observer)
}

#[both_engines]
#[case]
async fn a_month_is_archived_dropped_and_restored_as_it_was() {
    let (db, _database, mut observer) = database_of_january().await;
    let seal = db.audit_logs().seal(january()).await.unwrap();
    let before = observer.ask(ROWS);

    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let output = Output::immediate(&mut compressed);
    let archived = admin::archive_month(&db, LOG, january(), output)
        .await
        .unwrap();
    let compressed = compressed.finish().unwrap();
    assert_eq!(
        (archived.rows, archived.name.as_str()),
        (3, "audit.audit_logs_2024_01")
    );
    assert_eq!(observer.ask(ROWS), before);

    assert!(admin::drop_archived(&db, LOG, &archived).await.unwrap());
    assert!(!admin::drop_archived(&db, LOG, &archived).await.unwrap());
    assert_eq!(observer.ask(ROWS), "NULL");
    let verdict = db.audit_logs().verify(january()).await.unwrap();
    assert!(
        matches!(verdict, AuditVerdict::Differs { .. }),
        "{verdict:?}"
    );

    let input = Input::immediate(flate2::read::GzDecoder::new(compressed.as_slice()));
    let missing = MissingReferences::Refuse;
    let restored = admin::restore_month(&db, LOG, january(), input, missing)
        .await
        .unwrap();
    assert_eq!((restored.rows, restored.cleared_references), (3, 0));
    assert_eq!(observer.ask(ROWS), before);
    let verdict = db.audit_logs().verify(january()).await.unwrap();
    assert!(matches!(verdict, AuditVerdict::Intact(found) if found == seal));
    for change in [
        "DELETE FROM audit.audit_logs",
        "TRUNCATE audit.audit_logs_2024_01",
        "DELETE FROM public.users",
    ] {
        assert!(observer.refusal(change).is_some(), "{change}");
    }
    let indexes =
        |table: &str| format!("SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass");
    let others = observer.ask(&indexes("audit.audit_logs_default"));
    assert_eq!(observer.ask(&indexes("audit.audit_logs_2024_01")), others);
    let checks = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'audit.audit_logs_2024_01'::regclass AND contype = 'c'";
    assert_eq!(observer.ask(checks), "0");

    // It is there already.
    let input = Input::immediate(flate2::read::GzDecoder::new(compressed.as_slice()));
    let again = admin::restore_month(&db, LOG, january(), input, missing).await;
    assert!(matches!(&again, Err(Error::Other { .. })), "{again:?}");
    assert_eq!(observer.ask(ROWS), before);
    // psql reads it, too.
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(compressed.as_slice());
    decoder.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 3 + 3);
}

#[both_engines]
async fn archive_of_january(db: &Db) -> (Vec<u8>, admin::ArchivedMonth) {
    let mut archive = Vec::new();
    let output = Output::immediate(&mut archive);
    let archived = admin::archive_month(db, LOG, january(), output)
        .await
        .unwrap();
    (archive, archived)
}

#[both_engines]
#[case]
async fn a_detached_month_is_archived_and_a_missing_one_is_not() {
    let (db, _database, _observer) = database_of_january().await;
    let (attached, _) = archive_of_january(&db).await;
    assert!(db.partitions().detach(LOG, january()).await.unwrap());
    let (detached, archived) = archive_of_january(&db).await;
    assert_eq!(attached, detached);
    assert!(admin::drop_archived(&db, LOG, &archived).await.unwrap());
    let gone = admin::archive_month(&db, LOG, january(), Output::immediate(Vec::new())).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

#[both_engines]
#[case]
async fn nothing_of_an_archive_is_restored_that_is_not_whole() {
    let (db, _database, mut observer) = database_of_january().await;
    let (archive, archived) = archive_of_january(&db).await;
    admin::drop_archived(&db, LOG, &archived).await.unwrap();
    let text = String::from_utf8(archive).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without = |number: usize| {
        let kept = lines.iter().enumerate().filter(|(line, _)| *line != number);
        kept.map(|(_, line)| *line).collect::<String>()
    };
    let odd = text.replace("\tread\t", "\tnothing\t");
    let twice = [lines[0], lines[1], lines[1], lines[2], lines[4], lines[5]].concat();
    let mut damaged: Vec<String> = (0..lines.len()).map(without).collect();
    damaged.extend([odd, twice, String::new()]);
    damaged.extend(
        (0..text.len())
            .step_by(97)
            .map(|length| text[..length].to_owned()),
    );
    for archive in damaged {
        let input = Input::immediate(archive.as_bytes());
        let missing = MissingReferences::Refuse;
        let outcome = admin::restore_month(&db, LOG, january(), input, missing).await;
        assert!(outcome.is_err(), "{archive}");
        assert_eq!(
            observer.ask("to_regclass('audit.audit_logs_2024_01')"),
            "NULL"
        );
    }
    for (log, day) in [(LOG, "2024-02-01"), (LogTable::SystemLogs, "2024-01-01")] {
        let input = Input::immediate(text.as_bytes());
        let missing = MissingReferences::Refuse;
        let day = day.parse().unwrap();
        let outcome = admin::restore_month(&db, log, day, input, missing).await;
        assert!(
            matches!(outcome, Err(Error::InvalidInput { .. })),
            "{outcome:?}"
        );
    }
    let input = Input::immediate(text.as_bytes());
    let missing = MissingReferences::Refuse;
    admin::restore_month(&db, LOG, january(), input, missing)
        .await
        .unwrap();
    assert_eq!(observer.count("audit.audit_logs"), 3);
}

#[both_engines]
#[case]
async fn a_month_with_another_number_of_rows_than_its_archive_is_kept() {
    let (db, _database, mut observer) = database_of_january().await;
    let (_, archived) = archive_of_january(&db).await;
    observer.run(
        "INSERT INTO audit.audit_logs (action, resource_type, created_at) VALUES ('read', 'late', '2024-01-02')",
    );
    let refused = admin::drop_archived(&db, LOG, &archived).await;
    assert!(
        matches!(refused, Err(Error::StaleWrite { .. })),
        "{refused:?}"
    );
    assert_eq!(observer.count("audit.audit_logs"), 4);
}

#[both_engines]
#[case]
async fn references_to_a_user_that_does_not_exist_any_more_are_refused_or_cleared() {
    let (db, _database, mut observer) = database_of_january().await;
    let (archive, archived) = archive_of_january(&db).await;
    admin::drop_archived(&db, LOG, &archived).await.unwrap();
    observer.run("DELETE FROM public.users");
    let input = || Input::immediate(archive.as_slice());
    let missing = MissingReferences::Refuse;
    let refused = admin::restore_month(&db, LOG, january(), input(), missing).await;
    assert!(
        matches!(refused, Err(Error::MissingReference(_))),
        "{refused:?}"
    );
    assert_eq!(
        observer.ask("to_regclass('audit.audit_logs_2024_01')"),
        "NULL"
    );

    let missing = MissingReferences::Clear;
    let restored = admin::restore_month(&db, LOG, january(), input(), missing)
        .await
        .unwrap();
    assert_eq!((restored.rows, restored.cleared_references), (3, 1));
    let noted =
        "SELECT metadata->>'dangling_user_id' FROM audit.audit_logs WHERE action = 'update'";
    assert_eq!(observer.ask(noted), "00000000-0000-7000-8000-000000000001");
}

/// Accepts a number of bytes, then fails.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.0.checked_sub(bytes.len());
        self.0 = room.ok_or_else(|| std::io::Error::other("no space left"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[both_engines]
#[case]
async fn an_output_that_fails_leaves_the_month_and_the_pool_as_they_are() {
    let (db, _database, mut observer) = database_of_january().await;
    for room in [0, 300, 500] {
        let failed = admin::archive_month(&db, LOG, january(), Output::immediate(Full(room))).await;
        assert!(
            matches!(&failed, Err(Error::InvalidInput { field, .. }) if field == "output"),
            "{failed:?}"
        );
    }
    observer.run(
        "INSERT INTO audit.audit_logs (action, resource_type, created_at) \
         SELECT 'read', 'many', '2024-01-02' FROM generate_series(1, 30000)",
    );
    // In the middle of the rows.
    let failed = admin::archive_month(&db, LOG, january(), Output::immediate(Full(200_000))).await;
    assert!(failed.is_err());
    let (archive, archived) = archive_of_january(&db).await;
    assert_eq!(archived.rows, 30_003);
    assert_eq!(archived.bytes, u64::try_from(archive.len()).unwrap());
}
