use super::*;

use std::time::Duration;

use wundr_db::admin::AfterRestoreOptions;
use wundr_db::migrations::Rights;
use wundr_db::testing::migrated_database;
use wundr_db::{AnalysisType, Config, NewAnalysis, NewProject, NewUser, Table};

const HOUR: Duration = Duration::from_secs(3600);
const TYPES: [AnalysisType; 1] = [AnalysisType::Quality];

/// Creates a pending analysis.
#[both_engines]
async fn pending(db: &Db) -> AnalysisId {
    let ada = NewUser::new("ada@example.org", "Ada");
    let ada = db.users().create(ada).await.unwrap();
    let project = NewProject::new("Project", ada.id);
    let project = db.projects().create(project).await.unwrap();
    let analysis = NewAnalysis::new(project.id, AnalysisType::Quality, ada.id);
    db.analyses().create(analysis).await.unwrap().id
}

#[both_engines]
#[case]
async fn a_worker_that_outlived_the_restore_writes_nothing_and_its_fence_is_not_given_out_again() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let id = pending(&db).await;
    let claim = db
        .analyses()
        .claim(&TYPES, "one", HOUR)
        .await
        .unwrap()
        .unwrap();
    let done = admin::after_restore(&db, &AfterRestoreOptions::new())
        .await
        .unwrap();
    assert_eq!((done.requeued, done.leases), (1, 0));
    let late = db.analyses().renew(&claim.lease, HOUR, None).await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    let next = db
        .analyses()
        .claim(&TYPES, "two", HOUR)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(next.analysis.id, id);
    assert!(
        next.lease.fence > claim.lease.fence + (1 << 20),
        "{next:?} {claim:?}"
    );
    assert!(done.fences_after > 1 << 20);
}

#[both_engines]
#[case]
async fn what_a_restore_loses_is_there_again_and_a_second_call_finds_nothing_to_do() {
    let database = migrated_database().unwrap();
    let name = database.name();
    let role = format!("{name}_app");
    let mut observer = Observer::of(&database.url());
    let month = observer.ask(
        "SELECT pg_catalog.format('audit.%I', relname) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
         WHERE inhparent = 'audit.system_logs'::regclass AND pg_get_expr(relpartbound, inhrelid) <> 'DEFAULT' \
         ORDER BY relname DESC LIMIT 1",
    );
    let owner = Config::new(&database.url()).unwrap();
    audit::watch(&owner, Table::Users, &["name"]).await.unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let left = pending(&db).await;
    // A lease whose run has ended, as a trigger that was disabled leaves it.
    observer.run(&format!(
        "INSERT INTO analysis.analysis_leases (analysis_id, worker, expires_at) \
             VALUES ('{left}', 'one', now() + INTERVAL '1 day'); \
         CREATE ROLE {role}; ALTER DATABASE {name} RESET search_path; DROP TABLE {month}; \
         GRANT EXECUTE ON FUNCTION audit.record_change(), analysis.end_lease(), \
             audit.record_update_of_public_users() TO PUBLIC"
    ));
    let options = AfterRestoreOptions::new().grant(&role, Rights::Application);
    let done = admin::after_restore(&db, &options).await.unwrap();
    assert_eq!((done.partitions, done.requeued, done.leases), (1, 0, 1));
    assert_eq!(observer.count("analysis.analysis_leases"), 0);
    let search_path = "public, analysis, setup, audit, cache";
    assert_eq!(done.search_path.as_deref(), Some(search_path));
    assert_eq!(
        done.revoked,
        [
            "analysis.end_lease()",
            "audit.record_change()",
            "audit.record_update_of_public_users()"
        ]
    );
    assert_eq!(done.granted, std::slice::from_ref(&role));
    assert!(!done.cache);
    assert!(
        done.unanalyzed.contains(&"public.users".to_owned()),
        "{done:?}"
    );
    let may = format!("has_table_privilege('{role}', 'public.users', 'INSERT')");
    assert_eq!(observer.ask(&may), "true");
    observer.run("ANALYZE");
    let again = admin::after_restore(&db, &options).await.unwrap();
    assert_eq!((again.partitions, again.requeued, again.leases), (0, 0, 0));
    assert!(
        again.revoked.is_empty() && again.unanalyzed.is_empty(),
        "{again:?}"
    );
    assert_eq!(again.search_path, done.search_path);
    observer.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The role that is to get rights is not there. All else could have been done before.
#[both_engines]
#[case]
async fn after_an_error_nothing_was_done_but_the_partitions() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    pending(&db).await;
    let claim = db.analyses().claim(&TYPES, "one", HOUR).await;
    let lease = claim.unwrap().unwrap().lease;
    let mut observer = Observer::of(&database.url());
    let fences = "pg_sequence_last_value('analysis.analysis_leases_fence_seq')";
    let before = observer.ask(fences);
    let options = AfterRestoreOptions::new().grant("nobody_of_this_name", Rights::Application);
    let refused = admin::after_restore(&db, &options).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(observer.ask(fences), before);
    db.analyses().renew(&lease, HOUR, None).await.unwrap();
}

#[both_engines]
#[case]
async fn a_role_that_owns_nothing_is_refused_and_nothing_is_done() {
    let database = migrated_database().unwrap();
    let role = format!("{}_other", database.name());
    let mut observer = Observer::of(&database.url());
    observer.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA analysis, audit TO {role}; \
         GRANT ALL ON ALL TABLES IN SCHEMA analysis TO {role}; \
         GRANT EXECUTE ON FUNCTION audit.record_change() TO PUBLIC"
    ));
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let db = Db::connect_to(&url).await.unwrap();
    let fences = "COALESCE(pg_sequence_last_value('analysis.analysis_leases_fence_seq'), 0)";
    let before = observer.ask(fences);
    let refused = admin::after_restore(&db, &AfterRestoreOptions::new()).await;
    assert!(matches!(refused, Err(Error::Other { .. })), "{refused:?}");
    assert_eq!(observer.ask(fences), before);
    drop(db);
    observer.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[both_engines]
#[case]
async fn everything_that_was_cached_is_invalid() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let cached = Cached::new(db, crate::cache()).unwrap();
    let ada = NewUser::new("ada@example.org", "Ada");
    let ada = cached.users().create(ada).await.unwrap();
    // Nothing is cached while transactions of the server run that were begun before.
    while cached.metrics().hits == 0 {
        cached.users().find(ada.id).await.unwrap();
    }
    // As a restore changes it: no writer of this crate does.
    Observer::of(&database.url()).run("UPDATE public.users SET name = 'Restored'");
    let found = cached.users().find(ada.id).await.unwrap().unwrap();
    assert_eq!(found.name, "Ada", "it was not cached");
    let done = admin::after_restore(&cached, &AfterRestoreOptions::new())
        .await
        .unwrap();
    assert!(done.cache);
    let found = cached.users().find(ada.id).await.unwrap().unwrap();
    assert_eq!(found.name, "Restored");
}
