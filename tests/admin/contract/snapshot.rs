use super::*;

use wundr_db::NewUser;
use wundr_db::admin::Aspect;
use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};

/// Two databases with the same rows: the second is a copy of the first.
struct Copied {
    db: Db,
    copy: Db,
    original: Observer,
    observer: Observer,
    _databases: (TestDatabase, CopyOf),
}

/// A database that is a copy of another by `CREATE DATABASE ... TEMPLATE`.
struct CopyOf(String, String);

impl Drop for CopyOf {
    fn drop(&mut self) {
        Observer::of(&self.0).run(&format!("DROP DATABASE {} WITH (FORCE)", self.1));
    }
}

#[both_engines]
async fn copied() -> Copied {
    let database = migrated_database().unwrap();
    let name = format!("{}_copy", database.name());
    let maintenance = PostgresServer::shared().unwrap().url("postgres");
    let mut observer = Observer::of(&maintenance);
    Observer::of(&database.url()).run(
        "INSERT INTO public.users (email, name) SELECT 'user' || n || '@example.org', 'N' || n \
            FROM generate_series(1, 50) AS n; \
         INSERT INTO public.organizations (name, slug) VALUES ('Lab', 'lab'); \
         INSERT INTO audit.audit_logs (action, resource_type) SELECT 'read', 'user' FROM generate_series(1, 20); \
         ALTER DEFAULT PRIVILEGES IN SCHEMA setup GRANT SELECT ON TABLES TO pg_monitor; \
         GRANT SELECT ON public.users TO pg_monitor",
    );
    observer.run(&format!(
        "CREATE DATABASE {name} TEMPLATE {}",
        database.name()
    ));
    observer.run(&format!(
        "ALTER DATABASE {name} SET search_path = public, analysis, setup, audit, cache"
    ));
    let url = PostgresServer::shared().unwrap().url(&name);
    Copied {
        db: Db::connect_to(&database.url()).await.unwrap(),
        copy: Db::connect_to(&url).await.unwrap(),
        original: Observer::of(&database.url()),
        observer: Observer::of(&url),
        _databases: (database, CopyOf(maintenance, name)),
    }
}

/// The differences of the copy, by aspect and name.
#[both_engines]
async fn differences(copied: &Copied) -> Vec<(Aspect, String)> {
    let snapshot = admin::snapshot(&copied.db).await.unwrap();
    let digests = snapshot.digests().await.unwrap();
    let comparison = admin::compare(&copied.copy, &digests).await.unwrap();
    let differences = comparison.differences.iter();
    differences
        .map(|difference| (difference.aspect, difference.name.clone()))
        .collect()
}

#[both_engines]
#[case]
async fn a_copy_is_equal() {
    let copied = copied().await;
    let snapshot = admin::snapshot(&copied.db).await.unwrap();
    let digests = snapshot.digests().await.unwrap();
    let comparison = admin::compare(&copied.copy, &digests).await.unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    assert_eq!(digests.tables["public.users"].rows, 50);
    assert_eq!(digests.tables["audit.audit_logs"].rows, 20);
    assert!(
        comparison.tables >= 25 && comparison.objects > 500,
        "{comparison}"
    );
    assert!(digests.definitions[&Aspect::Migration].len() > 40);
}

#[both_engines]
#[case]
async fn a_row_that_is_missing_changed_or_added_is_a_difference_of_its_table() {
    let mut copied = copied().await;
    for (change, table) in [
        (
            "DELETE FROM public.users WHERE email = 'user7@example.org'",
            "public.users",
        ),
        (
            "UPDATE public.organizations SET description = 'x'",
            "public.organizations",
        ),
        (
            "INSERT INTO audit.audit_logs (action, resource_type) VALUES ('read', 'user')",
            "audit.audit_logs",
        ),
    ] {
        copied.observer.run(change);
        let found = differences(&copied).await;
        assert!(
            found.contains(&(Aspect::Rows, table.to_owned())),
            "{change}: {found:?}"
        );
    }
    assert_eq!(differences(&copied).await.len(), 3);
}

#[both_engines]
#[case]
async fn what_a_restore_loses_is_named() {
    use Aspect::*;
    let mut copied = copied().await;
    let traps = [
        (
            "ALTER TABLE public.projects DROP CONSTRAINT projects_organization_id_fkey",
            Constraint,
            "public.projects: projects_organization_id_fkey",
        ),
        (
            "ALTER TABLE public.users DISABLE TRIGGER trg_users_updated_at",
            Trigger,
            "public.users: trg_users_updated_at",
        ),
        (
            "ALTER TABLE public.user_sessions DISABLE TRIGGER ALL",
            Trigger,
            "public.user_sessions: foreign keys",
        ),
        (
            "REVOKE SELECT ON public.users FROM pg_monitor",
            Grant,
            "public.users to pg_monitor",
        ),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA setup REVOKE SELECT ON TABLES FROM pg_monitor",
            DefaultPrivilege,
            "postgres in setup for r to pg_monitor",
        ),
        (
            "DROP INDEX public.idx_users_role",
            Index,
            "public.idx_users_role",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.idx_users_active'::regclass",
            Index,
            "public.idx_users_active",
        ),
        (
            "DELETE FROM public.__diesel_schema_migrations WHERE version = '20250102000900'",
            Migration,
            "20250102000900",
        ),
        (
            "GRANT EXECUTE ON FUNCTION audit.record_change() TO PUBLIC",
            Grant,
            "audit.record_change() to PUBLIC",
        ),
        (
            "CREATE TABLE public.staging (id INTEGER)",
            Table,
            "public.staging",
        ),
        (
            "ALTER TABLE setup.tools SET (fillfactor = 50)",
            Table,
            "setup.tools",
        ),
        (
            "ALTER TABLE setup.tools ALTER COLUMN metadata DROP NOT NULL",
            Column,
            "setup.tools.metadata",
        ),
        (
            "ALTER TABLE public.projects ADD CONSTRAINT late CHECK (name <> 'x') NOT VALID",
            Constraint,
            "public.projects: late",
        ),
    ];
    for (change, aspect, name) in traps {
        copied.observer.run(change);
        let found = differences(&copied).await;
        assert!(
            found.contains(&(aspect, name.to_owned())),
            "{change}: {found:?}"
        );
    }
    let setting = format!("ALTER DATABASE {} RESET search_path", copied._databases.1.1);
    copied.observer.run(&setting);
    let found = differences(&copied).await;
    assert!(
        found.contains(&(Setting, "search_path".to_owned())),
        "{found:?}"
    );
    let month = copied.observer.ask(
        "SELECT pg_catalog.format('audit.%I', relname) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'audit.system_logs'::regclass ORDER BY 1 LIMIT 1",
    );
    copied.observer.run(&format!(
        "ALTER TABLE audit.system_logs DETACH PARTITION {month}"
    ));
    let found = differences(&copied).await;
    assert!(found.contains(&(Partition, month)), "{found:?}");
}

#[both_engines]
#[case]
async fn a_sequence_that_went_on_is_none_and_one_that_lags_is() {
    let mut copied = copied().await;
    copied
        .observer
        .run("SELECT nextval('analysis.analysis_leases_fence_seq')");
    assert_eq!(differences(&copied).await, []);
    copied
        .original
        .run("SELECT setval('analysis.analysis_leases_fence_seq', 7)");
    let found = differences(&copied).await;
    let name = "analysis.analysis_leases_fence_seq".to_owned();
    assert_eq!(found, [(Aspect::SequenceValue, name)]);
}

#[both_engines]
#[case]
async fn the_digests_are_those_of_the_snapshot_while_others_write() {
    let mut copied = copied().await;
    let snapshot = admin::snapshot(&copied.db).await.unwrap();
    copied
        .db
        .users()
        .create(NewUser::new("later@example.org", "Later"))
        .await
        .unwrap();
    // The tables are locked before any of them is read.
    let refusal = copied
        .original
        .refusal("SET lock_timeout = '50ms'; TRUNCATE public.organizations CASCADE");
    assert!(refusal.unwrap().contains("lock timeout"));
    let digests = snapshot.digests().await.unwrap();
    let comparison = admin::compare(&copied.copy, &digests).await.unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    let mut observer = Observer::of(&copied._databases.0.url());
    observer.run(&format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{}'",
        snapshot.id()
    ));
    assert_eq!(observer.count("public.users"), 50);
}

const OPEN: &str = "(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
     AND application_name = 'wundr-db admin' AND xact_start IS NOT NULL)";

#[both_engines]
#[case]
async fn a_snapshot_that_ends_or_is_dropped_leaves_no_transaction_open() {
    let mut copied = copied().await;
    for is_dropped in [true, false] {
        let snapshot = admin::snapshot(&copied.db).await.unwrap();
        assert_eq!(copied.original.ask(OPEN), "1");
        match is_dropped {
            true => drop(snapshot),
            false => snapshot.end().await.unwrap(),
        }
        until(&copied._databases.0, &format!("{OPEN} = 0")).await;
    }
    // The connections of the database itself are free.
    assert_eq!(
        copied.db.users().count(&Default::default()).await.unwrap(),
        50
    );
}

#[both_engines]
#[case]
async fn a_role_that_sees_a_part_of_the_rows_gets_no_digests() {
    let mut copied = copied().await;
    let role = format!("{}_reader", copied._databases.0.name());
    copied.original.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT pg_read_all_data TO {role}; \
         ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY"
    ));
    let url = copied
        ._databases
        .0
        .url()
        .replace("postgres@", &format!("{role}@"));
    let db = Db::connect_to(&url).await.unwrap();
    let snapshot = admin::snapshot(&db).await.unwrap();
    let error = snapshot.digests().await.unwrap_err();
    assert!(error.to_string().contains("row-level security"), "{error}");
    drop((snapshot, db));
    until(&copied._databases.0, &format!("{OPEN} = 0")).await;
    copied
        .original
        .run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
