//! pg_dump and pg_restore.

use std::sync::atomic::{AtomicBool, Ordering};

use wundr_db::admin::{AfterRestoreOptions, Aspect, Digests};
use wundr_db::blocking::{Db, UserRepository, admin, migrations};
use wundr_db::migrations::Rights;
use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};
use wundr_db::{Config, NewUser};

use super::{Place, command, fails, run};
use crate::observer::Observer;

/// A database that a script creates. It is dropped at the end.
pub(super) struct Named<'s>(pub(super) &'s PostgresServer, pub(super) String);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        let mut observer = Observer::of(&self.0.url("postgres"));
        observer.run(&format!(
            "DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)",
            self.1
        ));
    }
}

/// A database with rows of several kinds, and its role with rights.
fn original() -> (TestDatabase, Db, String) {
    let database = migrated_database().unwrap();
    let role = format!("{}_app", database.name());
    Observer::of(&database.url()).run(&format!(
        "CREATE ROLE {role}; \
         INSERT INTO public.users (email, name) SELECT 'user' || n || '@example.org', 'ü' FROM generate_series(1, 500) AS n; \
         INSERT INTO public.organizations (name, slug) VALUES ('Lab', 'lab'); \
         INSERT INTO public.projects (name, organization_id, created_by) SELECT 'Project ' || n, o.id, u.id \
            FROM generate_series(1, 20) AS n, public.organizations AS o, public.users AS u WHERE u.email = 'user1@example.org'; \
         INSERT INTO analysis.analyses (project_id, type, created_by) SELECT id, 'quality', created_by FROM public.projects; \
         INSERT INTO audit.audit_logs (action, resource_type, created_at) \
            SELECT 'read', 'user', now() - n * interval '1 day' FROM generate_series(1, 90) AS n; \
         SELECT setval('analysis.analysis_leases_fence_seq', 41)"
    ));
    let config = Config::new(&database.url()).unwrap();
    migrations::grant(&config, &role, Rights::Application).unwrap();
    let db = Db::connect(config).unwrap();
    (database, db, role)
}

fn drop_role(database: &TestDatabase, role: &str) {
    Observer::of(&database.url()).run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// Dumps what the snapshot sees, while another thread writes, and returns its digests.
fn dump(database: &TestDatabase, db: &Db, place: &Place, arguments: &[&str]) -> Digests {
    let server = PostgresServer::shared().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !is_over.load(Ordering::Relaxed) || written < 20 {
                let user = NewUser::new(format!("later{written}@example.org"), "Later");
                db.users().create(user).unwrap();
                written += 1;
            }
        });
        let snapshot = admin::snapshot(db).unwrap();
        run(command(server, "pg_dump")
            .args(["-Fc", "--snapshot", snapshot.id(), "-f"])
            .arg(place.path("wundr.dump"))
            .args(arguments)
            .arg(database.name()));
        let digests = snapshot.digests().unwrap();
        is_over.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        snapshot.end().unwrap();
        digests
    })
}

fn restore<'s>(
    server: &'s PostgresServer,
    database: &TestDatabase,
    place: &Place,
) -> (Named<'s>, Db) {
    let named = Named(server, format!("{}_new", database.name()));
    run(command(server, "sh")
        .arg(place.script("restore-dump.sh"))
        .arg(place.path("wundr.dump"))
        .arg(&named.1)
        .env("LOCALE", "C"));
    let db = Db::connect_to(&server.url(&named.1)).unwrap();
    (named, db)
}

#[test]
fn a_dump_of_a_database_under_writes_is_proven_equal() {
    let server = PostgresServer::shared().unwrap();
    let (database, db, role) = original();
    let place = Place::new();
    let digests = dump(&database, &db, &place, &[]);
    let (named, copy) = restore(server, &database, &place);
    // A dump without --create contains neither.
    let comparison = admin::compare(&copy, &digests).unwrap();
    let aspects: Vec<_> = comparison
        .differences
        .iter()
        .map(|found| (found.aspect, found.name.as_str()))
        .collect();
    assert_eq!(aspects, [(Aspect::Setting, "search_path")], "{comparison}");
    let done = admin::after_restore(&copy, &AfterRestoreOptions::new()).unwrap();
    assert_eq!((done.requeued, done.unanalyzed.len()), (0, 0), "{done:?}");
    let comparison = admin::compare(&copy, &digests).unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    assert_eq!(
        digests.tables["public.users"].rows,
        Observer::of(&server.url(&named.1)).count("public.users") as u64
    );
    assert!(Observer::of(&database.url()).count("public.users") >= 500 + 20);
    // The digests stay beside the dump.
    let json = serde_json::to_string(&digests).unwrap();
    let read: Digests = serde_json::from_str(&json).unwrap();
    assert!(admin::compare(&copy, &read).unwrap().is_equal());
    drop((copy, named));
    drop_role(&database, &role);
}

#[test]
fn what_a_dump_without_privileges_loses_is_named_and_after_restore_brings_it_back() {
    let server = PostgresServer::shared().unwrap();
    let (database, db, role) = original();
    let place = Place::new();
    let digests = dump(&database, &db, &place, &["--no-acl", "--no-owner"]);
    let (named, copy) = restore(server, &database, &place);
    let comparison = admin::compare(&copy, &digests).unwrap();
    let is_lost = |aspect, name: &str| {
        let mut differences = comparison.differences.iter();
        differences.any(|found| found.aspect == aspect && found.name == name)
    };
    assert!(
        is_lost(Aspect::Grant, &format!("public.users to {role}")),
        "{comparison}"
    );
    assert!(
        is_lost(Aspect::Grant, "audit.record_change() to PUBLIC"),
        "{comparison}"
    );
    assert!(is_lost(Aspect::Setting, "search_path"), "{comparison}");
    let options = AfterRestoreOptions::new().grant(&role, Rights::Application);
    let done = admin::after_restore(&copy, &options).unwrap();
    assert!(done.revoked.len() >= 8, "{done:?}");
    let comparison = admin::compare(&copy, &digests).unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    drop(copy);
    Observer::of(&server.url(&named.1)).run(&format!("DROP OWNED BY {role}"));
    drop(named);
    drop_role(&database, &role);
}

#[test]
fn what_a_restore_into_the_live_database_destroys_is_named() {
    let server = PostgresServer::shared().unwrap();
    let (database, db, role) = original();
    let place = Place::new();
    let digests = dump(&database, &db, &place, &[]);
    let mut observer = Observer::of(&database.url());
    observer.run("CREATE VIEW public.names AS SELECT id, name FROM public.projects");
    // The design's command. With it, pg_restore cannot end at the first error.
    let errors = fails(
        command(server, "pg_restore")
            .args(["--clean", "-d", database.name()])
            .arg(place.path("wundr.dump")),
    );
    assert!(errors.contains("errors ignored on restore"), "{errors}");
    let comparison = admin::compare(&db, &digests).unwrap();
    let lost = comparison
        .differences
        .iter()
        .filter(|found| found.aspect == Aspect::Constraint);
    assert!(lost.count() >= 2, "{comparison}");
    let doubled = comparison
        .differences
        .iter()
        .find(|found| found.aspect == Aspect::Rows && found.name == "public.projects");
    assert_eq!(
        doubled.unwrap().found.as_deref(),
        Some("40 rows"),
        "{comparison}"
    );
    drop_role(&database, &role);
}

#[test]
fn a_missing_row_and_a_damaged_dump_are_noticed() {
    let server = PostgresServer::shared().unwrap();
    let (database, db, role) = original();
    let place = Place::new();
    let digests = dump(&database, &db, &place, &[]);
    let (named, copy) = restore(server, &database, &place);
    let mut observer = Observer::of(&server.url(&named.1));
    observer.run("DELETE FROM public.users WHERE email = 'user250@example.org'");
    let comparison = admin::compare(&copy, &digests)
        .unwrap()
        .ignoring(Aspect::Setting);
    assert_eq!(comparison.differences.len(), 1, "{comparison}");
    assert_eq!(comparison.differences[0].name, "public.users");
    drop((copy, named));
    let file = place.path("wundr.dump");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&file, bytes).unwrap();
    let name = format!("{}_new", database.name());
    let named = Named(server, name.clone());
    fails(
        command(server, "sh")
            .arg(place.script("restore-dump.sh"))
            .arg(&file)
            .arg(name),
    );
    drop(named);
    drop_role(&database, &role);
}
