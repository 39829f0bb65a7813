//! The faults of databases, servers and roles, tried on the administration.

use super::organization::{filled, lab};
use super::*;

use std::time::Instant;

use admin::{AfterRestoreOptions, AnalysisRetention, Input, MissingReferences, Output, Policy};
use wundr_db::migrations::Rights;
use wundr_db::testing::{Pair, Proxy, ProxyMode, migrated_database};
use wundr_db::{Config, Error, LogTable, UserId};

use crate::hostile::as_role;

const LOG: LogTable = LogTable::AuditLogs;

fn ada() -> UserId {
    "0197a000-0000-7000-8000-000000000001".parse().unwrap()
}

/// A pool of the application's role, in a database whose organizations are isolated.
#[both_engines]
async fn isolated(database: &TestDatabase) -> (Db, String) {
    let role = format!("{}_isolated", database.name());
    Observer::of(&database.url()).run(&format!("CREATE ROLE {role} LOGIN"));
    let config = Config::new(&database.url()).unwrap();
    migrations::grant(&config, &role, Rights::Application)
        .await
        .unwrap();
    migrations::isolate(&config).await.unwrap();
    let db = Db::connect_to(&as_role(&database.url(), &role))
        .await
        .unwrap();
    (db, role)
}

/// A part of the rows would be taken for all of them.
#[both_engines]
#[case]
async fn a_role_that_sees_a_part_of_the_rows_exports_and_archives_nothing() {
    let (owner, database) = filled().await;
    let (db, role) = isolated(&database).await;
    for seeing in [db.clone(), db.for_organization(lab())] {
        let exported = admin::export_user(&seeing, ada(), Output::immediate(Vec::new())).await;
        assert!(
            matches!(&exported, Err(Error::Other { .. })),
            "{exported:?}"
        );
        let exported = admin::export_organization(&seeing, lab(), Output::immediate(Vec::new()));
        let exported = exported.await;
        assert!(exported.is_err(), "{exported:?}");
    }
    admin::export_user(&owner, ada(), Output::immediate(Vec::new()))
        .await
        .unwrap();
    // A partition has no policy of its own: the role may not read it past those of its log.
    let mut observer = Observer::of(&database.url());
    let partitions = observer.ask(&format!(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit.audit_logs'::regclass \
         AND has_table_privilege('{role}', inhrelid, 'SELECT')"
    ));
    assert_eq!(partitions, "0");
    let day = chrono::Utc::now().date_naive();
    let archived = admin::archive_month(&db, LOG, day, Output::immediate(Vec::new())).await;
    assert!(archived.is_err(), "{archived:?}");
    observer.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The default partition is larger than 4 MB, so that it is read before a month is attached.
const LARGE_DEFAULT: &str = "
    INSERT INTO audit.audit_logs (action, resource_type, metadata, created_at)
        SELECT 'read', 'project', pg_catalog.jsonb_build_object('text', pg_catalog.repeat('x', 400)),
            TIMESTAMPTZ '2020-01-01 00:00:00+00' + n * INTERVAL '1 second'
        FROM pg_catalog.generate_series(1, 20000) AS n";

/// What follows a commit is no reason for an error: the next call does it.
#[both_engines]
#[case]
async fn what_was_done_is_no_error_because_of_what_follows() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let owner = Db::connect_to(&database.url()).await.unwrap();
    let january: chrono::NaiveDate = "2024-01-31".parse().unwrap();
    owner.partitions().create(LOG, january).await.unwrap();
    observer.run(
        "INSERT INTO audit.audit_logs (action, resource_type, created_at) VALUES ('read', 'x', '2024-01-15 12:00:00+00')",
    );
    let mut archive = Vec::new();
    let output = Output::immediate(&mut archive);
    let archived = admin::archive_month(&owner, LOG, january, output)
        .await
        .unwrap();
    admin::drop_archived(&owner, LOG, &archived).await.unwrap();
    observer.run(LARGE_DEFAULT);

    let proxy = Proxy::start(&database).unwrap();
    let db = Db::connect_to(&proxy.url_of(&database)).await.unwrap();
    let dropping =
        || ProxyMode::SwallowAnswerTo("DROP CONSTRAINT IF EXISTS wundr_without".to_owned());
    proxy.set(dropping()).unwrap();
    let input = Input::immediate(&archive[..]);
    let missing = MissingReferences::Refuse;
    let restored = admin::restore_month(&db, LOG, january, input, missing).await;
    assert_eq!(restored.unwrap().rows, 1);
    let march: chrono::NaiveDate = "2024-03-01".parse().unwrap();
    assert!(db.partitions().create(LOG, march).await.unwrap());
    proxy
        .set(ProxyMode::SwallowAnswerTo(
            "tablename = c.relname".to_owned(),
        ))
        .unwrap();
    let done = admin::after_restore(&db, &AfterRestoreOptions::new()).await;
    // Before the commit nothing is done, except months; after it there is no error.
    let fences = "SELECT pg_catalog.pg_sequence_last_value(\
        pg_catalog.pg_get_serial_sequence('analysis.analysis_leases', 'fence')::regclass)";
    let open = "SELECT count(*) FROM pg_proc WHERE proname = 'end_lease' AND proacl IS NULL";
    assert_eq!(observer.ask(open), "0");
    assert!(done.is_err(), "{done:?}");
    assert_eq!(observer.ask(fences), "NULL", "{done:?}");
    proxy.set(ProxyMode::Pass).unwrap();
    // Nothing is left in the way.
    let left = "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'wundr\\_without%'";
    owner.partitions().ensure(LOG, 12).await.unwrap();
    owner
        .partitions()
        .create(LOG, "2024-05-01".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(observer.ask(left), "0");
}

#[both_engines]
#[case]
async fn on_a_standby_the_reports_work_and_the_writes_are_refused() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    let primary = Db::connect_to(&database.url()).await.unwrap();
    let user = wundr_db::NewUser::new("ada@example.org", "Ada");
    let user = primary.users().create(user).await.unwrap().id;
    let lab = wundr_db::NewOrganization::new("Lab", "lab");
    let lab = primary.organizations().create(lab).await.unwrap().id;
    pair.wait_for_catch_up().unwrap();
    let db = Db::connect_to(&pair.standby_url(&database)).await.unwrap();

    let policy = AnalysisRetention::new(1, Duration::from_secs(60));
    admin::plan_retained_analyses(&db, &policy).await.unwrap();
    db.plan(&Policy::new()).await.unwrap();
    admin::lean_indexes(&db).await.unwrap();
    admin::warnings(&db, &admin::Thresholds::default())
        .await
        .unwrap();
    admin::export_user(&db, user, Output::immediate(Vec::new()))
        .await
        .unwrap();
    let output = Output::immediate(Vec::new());
    admin::export_organization(&db, lab, output).await.unwrap();
    let snapshot = admin::snapshot(&primary).await.unwrap();
    let digests = snapshot.digests().await.unwrap();
    snapshot.end().await.unwrap();
    let comparison = admin::compare(&db, &digests).await.unwrap();
    assert!(comparison.is_equal(), "{comparison}");

    let refused = |what: &str, outcome: Result<()>| {
        assert!(
            matches!(outcome, Err(Error::ReadOnly)),
            "{what}: {outcome:?}"
        );
    };
    let erased = admin::erase_user(&db, user, &admin::UserErasure::keeping()).await;
    refused("erase_user", erased.map(drop));
    let erased = admin::erase_organization(&db, lab).await;
    refused("erase_organization", erased.map(drop));
    let restored = admin::after_restore(&db, &AfterRestoreOptions::new()).await;
    refused("after_restore", restored.map(drop));
    let removed = admin::remove_orphaned_graphs(&db, 10).await;
    refused("remove_orphaned_graphs", removed.map(drop));
    let report = db.maintenance(&Policy::new()).await.unwrap();
    assert!(!report.steps.is_empty());
}

/// The end of the message: the beginning of a transaction names READ COMMITTED.
const COMMIT: &str = "COMMIT\0";

/// The connection is lost while rows are read or written.
#[both_engines]
#[case]
async fn a_server_that_is_lost_ends_each_call_with_an_error_and_leaves_nothing() {
    let (owner, database) = filled().await;
    let proxy = Proxy::start(&database).unwrap();
    let db = Db::connect_to(&proxy.url_of(&database)).await.unwrap();
    let mut archive = Vec::new();
    let output = Output::immediate(&mut archive);
    admin::export_organization(&owner, lab(), output)
        .await
        .unwrap();
    let began = Instant::now();
    for text in [
        "COPY",
        "FETCH",
        "SET LOCAL lock_timeout",
        "hashtextextended",
        COMMIT,
    ] {
        proxy
            .set(ProxyMode::SwallowAnswerTo(text.to_owned()))
            .unwrap();
        let exported = admin::export_organization(&db, lab(), Output::immediate(Vec::new())).await;
        assert_eq!(exported.is_err(), text == "COPY", "{text}: {exported:?}");
        let exported = admin::export_user(&db, ada(), Output::immediate(Vec::new())).await;
        assert_eq!(exported.is_err(), text == "FETCH", "{text}: {exported:?}");
        let digests = match admin::snapshot(&db).await {
            Ok(snapshot) => snapshot.digests().await.map(drop),
            Err(error) => Err(error),
        };
        let is_of_snapshot = ["SET LOCAL lock_timeout", "hashtextextended"].contains(&text);
        assert_eq!(digests.is_err(), is_of_snapshot, "{text}: {digests:?}");
        let erased = admin::erase_user(&db, ada(), &admin::UserErasure::keeping()).await;
        if text == COMMIT {
            let fate = erased.unwrap_err().fate();
            assert_eq!(fate, Some(wundr_db::Fate::Unknown));
            break;
        }
        // Each of the others is done once, and again.
        assert!(erased.is_ok(), "{text}: {erased:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(120));
    until(&database, crate::observer::ALL_AT_REST).await;
}

/// It runs as the owner, so that code of another role would be run with all rights.
#[both_engines]
#[case]
async fn the_administration_runs_no_code_of_a_hostile_role() {
    let database = crate::hostile::planted();
    // The rows are inserted by a session with a safe path; those of the crate have the database's.
    Observer::of(&database.url()).run(super::organization::ROWS);
    let unset = "DO $$ BEGIN EXECUTE pg_catalog.format(\
        'ALTER ROLE postgres IN DATABASE %I RESET search_path', pg_catalog.current_database()); END $$";
    Observer::of(&database.url()).run(unset);
    let db = Db::connect_to(&database.url()).await.unwrap();

    let snapshot = admin::snapshot(&db).await.unwrap();
    let digests = snapshot.digests().await.unwrap();
    snapshot.end().await.unwrap();
    let comparison = admin::compare(&db, &digests).await.unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    let policy = AnalysisRetention::new(1, Duration::from_secs(60));
    admin::plan_retained_analyses(&db, &policy).await.unwrap();
    admin::retain_analyses(&db, &policy).await.unwrap();
    admin::remove_orphaned_graphs(&db, 10).await.unwrap();
    db.plan(&Policy::new()).await.unwrap();
    let report = db.maintenance(&Policy::new()).await.unwrap();
    for step in &report.steps {
        let is_failed = matches!(step.outcome, admin::StepOutcome::Failed(_));
        assert!(!is_failed, "{step:?}");
    }
    admin::readiness(&db).await.unwrap();
    admin::activity(&db).await.unwrap();
    admin::locks(&db).await.unwrap();
    admin::tables(&db).await.unwrap();
    admin::indexes(&db).await.unwrap();
    admin::lean_indexes(&db).await.unwrap();
    admin::replication(&db).await.unwrap();
    admin::archiver(&db).await.unwrap();
    admin::warnings(&db, &admin::Thresholds::default())
        .await
        .unwrap();
    for log in [LogTable::AuditLogs, LogTable::SystemLogs] {
        admin::drain_default(&db, log).await.unwrap();
    }
    let day = chrono::Utc::now().date_naive();
    let mut month = Vec::new();
    let output = Output::immediate(&mut month);
    let archived = admin::archive_month(&db, LOG, day, output).await.unwrap();
    assert!(admin::drop_archived(&db, LOG, &archived).await.unwrap());
    let missing = MissingReferences::Clear;
    let input = Input::immediate(&month[..]);
    admin::restore_month(&db, LOG, day, input, missing)
        .await
        .unwrap();
    admin::export_user(&db, ada(), Output::immediate(Vec::new()))
        .await
        .unwrap();
    let mut archive = Vec::new();
    let output = Output::immediate(&mut archive);
    admin::export_organization(&db, lab(), output)
        .await
        .unwrap();
    admin::erase_user(&db, ada(), &admin::UserErasure::keeping())
        .await
        .unwrap();
    admin::erase_organization(&db, lab()).await.unwrap();
    let input = Input::immediate(&archive[..]);
    let policy = admin::ConflictPolicy::Keep;
    admin::import_organization(&db, input, policy)
        .await
        .unwrap();
    admin::after_restore(&db, &AfterRestoreOptions::new())
        .await
        .unwrap();
}
