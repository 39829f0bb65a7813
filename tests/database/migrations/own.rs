//! The migrations of an application beside this crate's.

use std::fmt;
use std::sync::Barrier;

use diesel::migration::{
    Migration, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion, Result as Ran,
};
use diesel::pg::Pg;

use super::*;
use migrations::Runner;
use wundr_db::Table;
use wundr_db::migrations::MigrationStatus;

/// A migration by its name, its SQL and that of the way back.
#[derive(Clone, Copy)]
struct Own {
    name: &'static str,
    up: &'static str,
    down: &'static str,
    in_transaction: bool,
}

#[derive(Clone)]
struct Source(Vec<Own>);

impl MigrationSource<Pg> for Source {
    fn migrations(&self) -> Ran<Vec<Box<dyn Migration<Pg>>>> {
        let boxed = |own: &Own| Box::new(*own) as Box<dyn Migration<Pg>>;
        Ok(self.0.iter().map(boxed).collect())
    }
}

impl Migration<Pg> for Own {
    fn run(&self, connection: &mut dyn diesel::connection::BoxableConnection<Pg>) -> Ran<()> {
        Ok(connection.batch_execute(self.up)?)
    }

    fn revert(&self, connection: &mut dyn diesel::connection::BoxableConnection<Pg>) -> Ran<()> {
        Ok(connection.batch_execute(self.down)?)
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self
    }

    fn name(&self) -> &dyn MigrationName {
        self
    }
}

impl MigrationMetadata for Own {
    fn run_in_transaction(&self) -> bool {
        self.in_transaction
    }
}

impl fmt::Display for Own {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl MigrationName for Own {
    fn version(&self) -> MigrationVersion<'_> {
        let version = self.name.split('_').next().unwrap_or_default();
        version.replace('-', "").into()
    }
}

const NOTES: Own = Own {
    name: "2026-01-01-000000_notes",
    up: "CREATE SCHEMA app; CREATE TABLE app.notes (id UUID PRIMARY KEY, \
         author_id UUID NOT NULL REFERENCES public.users (id), severity analysis.issue_severity)",
    down: "DROP TABLE app.notes; DROP SCHEMA app",
    in_transaction: true,
};

const AUTHORS: Own = Own {
    name: "2026-01-02-000000_authors",
    up: "CREATE VIEW app.authors AS SELECT u.email FROM public.users AS u \
         JOIN app.notes AS n ON n.author_id = u.id",
    down: "DROP VIEW app.authors",
    in_transaction: true,
};

fn notes() -> Source {
    // In another order than that of the versions.
    Source(vec![AUTHORS, NOTES])
}

fn one(own: Own) -> Source {
    Source(vec![own])
}

fn names(status: &[MigrationStatus], is_own: bool) -> Vec<&str> {
    let chosen = status.iter().filter(|status| status.is_own == is_own);
    chosen.map(|status| status.name.as_str()).collect()
}

#[both_engines]
#[case]
async fn own_migrations_follow_the_crates_in_one_table() {
    let (config, database) = empty_database();
    migrations::status(&config).await.unwrap();
    let empty = dump(&database);
    let runner = Runner::new(&config).and(notes());
    let status = runner.status().await.unwrap();
    assert!(status.iter().all(|migration| !migration.is_applied));
    let all: Vec<_> = status.iter().map(|status| status.name.clone()).collect();
    assert_eq!(&all[all.len() - 2..], [NOTES.name, AUTHORS.name]);
    assert_eq!(names(&status, true), [NOTES.name, AUTHORS.name]);
    assert_eq!(runner.up().await.unwrap(), all);
    assert_eq!(runner.up().await.unwrap(), [""; 0]);
    let recorded = "SELECT count(*)::text AS line FROM public.__diesel_schema_migrations";
    assert_eq!(
        value(&mut connect(&database), recorded),
        all.len().to_string()
    );
    // Without them, the crate's functions see the crate's alone.
    let ours = migrations::status(&config).await.unwrap();
    assert_eq!(names(&ours, true), [""; 0]);
    assert_eq!(ours.len() + 2, all.len());
    assert_eq!(migrations::up(&config).await.unwrap(), [""; 0]);

    let newest = runner.down_by_one().await.unwrap();
    assert_eq!(newest.as_deref(), Some(AUTHORS.name));
    assert_eq!(runner.up().await.unwrap(), [AUTHORS.name]);
    let reverted = runner.down().await.unwrap();
    assert!(reverted.iter().eq(all.iter().rev()));
    assert_same("after the way back", empty.lines(), dump(&database).lines());
}

#[both_engines]
#[case]
async fn own_migrations_can_precede_the_crates() {
    let (config, database) = empty_database();
    let roles = Own {
        name: "2026-02-01-000000_early",
        up: "CREATE TABLE public.early (id INT); SET search_path = public; SET work_mem = '1MB'",
        down: "DROP TABLE public.early",
        in_transaction: true,
    };
    let runner = Runner::new(&config).and_before(one(roles)).and(notes());
    let applied = runner.up().await.unwrap();
    assert_eq!(applied.first().map(String::as_str), Some(roles.name));
    // What the first one has left of its session is in none of the others.
    let other = migrated_database().unwrap();
    Runner::new(&Config::new(&other.url()).unwrap())
        .and_before(one(roles))
        .and(notes())
        .up()
        .await
        .unwrap();
    assert_same("late", dump(&other).lines(), dump(&database).lines());
    let reverted = runner.down().await.unwrap();
    assert_eq!(reverted.last().map(String::as_str), Some(roles.name));
}

#[both_engines]
#[case]
async fn the_session_of_an_own_migration_ends_with_it() {
    let (config, database) = empty_database();
    let first = Own {
        name: "2026-01-01-000000_first",
        up: "CREATE SCHEMA app; SET search_path = app; SET TIME ZONE 'Asia/Tokyo'; SET ROLE pg_monitor",
        down: "DROP SCHEMA app",
        in_transaction: true,
    };
    let second = Own {
        name: "2026-01-02-000000_second",
        up: "CREATE TABLE app.seen AS SELECT pg_catalog.current_setting('search_path') AS path, \
             pg_catalog.current_setting('TimeZone') AS zone, current_user::text AS role",
        down: "DROP TABLE app.seen",
        in_transaction: true,
    };
    let runner = Runner::new(&config).and(Source(vec![first, second]));
    runner.up().await.unwrap();
    let seen = "SELECT path || ' ' || zone || ' ' || role AS line FROM app.seen";
    assert_eq!(
        value(&mut connect(&database), seen),
        "pg_catalog, pg_temp UTC postgres"
    );
}

#[both_engines]
#[case]
async fn an_own_migration_that_fails_is_named_and_leaves_nothing() {
    let (config, database) = empty_database();
    migrations::up(&config).await.unwrap();
    let before = dump(&database);
    let fails = Own {
        up: "CREATE SCHEMA app; CREATE TABLE app.notes (id UUID REFERENCES public.nobody (id))",
        ..NOTES
    };
    let runner = Runner::new(&config).and(one(fails));
    match runner.up().await {
        Err(Error::Migration { version, message }) => {
            assert_eq!(version, fails.name);
            assert!(message.contains("public.nobody"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_same("after a failure", before.lines(), dump(&database).lines());
    let status = runner.status().await.unwrap();
    let missing = status.iter().filter(|migration| !migration.is_applied);
    assert_eq!(missing.count(), 1);
    // The lock is free, and the right one is applied.
    let applied = Runner::new(&config).and(notes()).up().await.unwrap();
    assert_eq!(applied, [NOTES.name, AUTHORS.name]);
}

#[both_engines]
#[case]
async fn a_version_is_used_once() {
    let (config, database) = empty_database();
    migrations::status(&config).await.unwrap();
    let empty = dump(&database);
    let of_ours = Own {
        name: "2025-01-01-000100_notes",
        ..NOTES
    };
    let of_own = Own {
        name: "20260101000000_again",
        ..AUTHORS
    };
    for (runner, named) in [
        (Runner::new(&config).and(one(of_ours)), of_ours.name),
        (Runner::new(&config).and_before(one(of_ours)), of_ours.name),
        (
            Runner::new(&config).and(notes()).and(one(of_own)),
            of_own.name,
        ),
    ] {
        let up = runner.up().await;
        let status = runner.status().await.map(|_| Vec::new());
        let down = runner.down().await;
        for outcome in [up, status, down] {
            match outcome {
                Err(Error::InvalidInput { reason, .. }) => {
                    assert!(reason.contains(named), "{reason}")
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_same("nothing", empty.lines(), dump(&database).lines());
}

#[both_engines]
#[case]
async fn the_way_back_names_what_stands_in_it_before_it_begins() {
    for (what, sql, named) in [
        (
            "a foreign key",
            "CREATE TABLE public.notes (id INT, author_id UUID REFERENCES public.users (id))",
            "table public.notes depends on table public.users",
        ),
        (
            "a view of a view",
            "CREATE VIEW public.v AS SELECT total_analyses FROM cache.project_stats",
            "view public.v depends on view cache.project_stats",
        ),
        (
            "a column of an enum's type",
            "CREATE TABLE public.roles (role public.user_role[])",
            "column role of table public.roles depends on type public.user_role[]",
        ),
        (
            "a function of a row",
            "CREATE FUNCTION public.f(public.users) RETURNS INT LANGUAGE sql AS 'SELECT 1'",
            "function public.f(public.users) depends on type public.users",
        ),
        (
            "a trigger with the crate's function",
            "CREATE TABLE public.notes (updated_at TIMESTAMPTZ); CREATE TRIGGER t BEFORE UPDATE \
             ON public.notes FOR EACH ROW EXECUTE FUNCTION public.set_updated_at()",
            "trigger t on table public.notes depends on function public.set_updated_at()",
        ),
        (
            "a table in a schema of the crate",
            "CREATE TABLE analysis.notes (id INT)",
            "table analysis.notes depends on schema analysis",
        ),
    ] {
        let database = migrated_database().unwrap();
        let config = Config::new(&database.url()).unwrap();
        connect(&database).batch_execute(sql).unwrap();
        let before = dump(&database);
        match migrations::down(&config).await {
            Err(Error::InvalidInput { reason, .. }) => {
                assert!(reason.contains(named), "{what}: {reason}");
                assert!(!reason.contains("; "), "{what}: {reason}");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_same(what, before.lines(), dump(&database).lines());
    }
}

/// Reverts one migration after the other until one is refused, and returns the reason.
#[both_engines]
async fn refused_step(config: &Config, database: &TestDatabase) -> String {
    loop {
        let before = dump(database);
        let status = migrations::status(config).await.unwrap();
        match migrations::down_by_one(config).await {
            Ok(reverted) => assert!(reverted.is_some(), "nothing stood in the way"),
            Err(Error::InvalidInput { reason, .. }) => {
                assert_same("the refused step", before.lines(), dump(database).lines());
                assert_eq!(migrations::status(config).await.unwrap(), status);
                return reason.to_string();
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[both_engines]
#[case]
async fn a_step_back_names_what_stands_in_its_way_and_reverts_nothing() {
    for (what, sql, removal, named) in [
        (
            "a foreign key",
            "CREATE TABLE public.notes (id INT, invitation UUID REFERENCES \
             public.organization_invitations (id))",
            "DROP TABLE public.notes",
            "on table public.notes depends on table public.organization_invitations",
        ),
        (
            "a view",
            "CREATE VIEW public.v AS SELECT analysis_id FROM analysis.analysis_pins",
            "DROP VIEW public.v",
            "view public.v depends on table analysis.analysis_pins",
        ),
        (
            // The migration drops the function by CASCADE.
            "a trigger",
            "CREATE TABLE public.notes (id INT); CREATE TRIGGER t BEFORE UPDATE ON public.notes \
             FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()",
            "DROP TABLE public.notes",
            "trigger t on table public.notes depends on function audit.refuse_change()",
        ),
    ] {
        let database = migrated_database().unwrap();
        let config = Config::new(&database.url()).unwrap();
        connect(&database).batch_execute(sql).unwrap();
        let reason = refused_step(&config, &database).await;
        assert!(reason.contains("nothing was reverted"), "{what}: {reason}");
        assert!(reason.contains(named), "{what}: {reason}");
        connect(&database).batch_execute(removal).unwrap();
        let reverted = migrations::down_by_one(&config).await.unwrap();
        assert!(reverted.is_some(), "{what}");
    }
}

#[both_engines]
#[case]
async fn what_goes_with_a_table_does_not_stand_in_the_way() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    let sql = "CREATE FUNCTION public.f() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
        CREATE TRIGGER t BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.f(); \
        CREATE INDEX own_index ON public.users (lower(name)); \
        CREATE POLICY own_policy ON public.users USING (true); \
        CREATE STATISTICS public.own_statistics ON name, email FROM public.users; \
        CREATE TABLE public.alone (id INT); \
        SELECT audit.create_monthly_partition('audit_logs', '2031-01-01'); \
        ALTER TABLE public.users ADD COLUMN own INT DEFAULT 1 CHECK (own > 0)";
    connect(&database).batch_execute(sql).unwrap();
    audit::watch(&config, Table::Users, &["name"])
        .await
        .unwrap();
    assert!(migrations::down(&config).await.unwrap().len() > 6);
    let alone = "SELECT count(*)::text AS line FROM public.alone";
    assert_eq!(value(&mut connect(&database), alone), "0");
}

#[both_engines]
#[case]
async fn own_migrations_without_their_runner_stand_in_the_way() {
    let (config, database) = empty_database();
    let runner = Runner::new(&config).and(notes());
    runner.up().await.unwrap();
    let before = dump(&database);
    match migrations::down(&config).await {
        Err(Error::InvalidInput { reason, .. }) => {
            let own = [
                "app.notes",
                "app.authors",
                "20260101000000",
                "20260102000000",
            ];
            assert!(own.iter().all(|own| reason.contains(own)), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    // The newest of the crate's are reverted one by one until one is needed.
    assert_same("not begun", before.lines(), dump(&database).lines());

    // An own one that leaves something behind.
    let forgets = Own {
        down: "SELECT 1",
        ..AUTHORS
    };
    let forgetful = Runner::new(&config).and(Source(vec![NOTES, forgets]));
    match forgetful.down().await {
        Err(Error::Migration { version, message }) => {
            assert_eq!(version, NOTES.name);
            assert!(message.contains("view app.authors"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_same("tried", before.lines(), dump(&database).lines());
    let fails = Own {
        down: "SELECT 1 / 0",
        ..AUTHORS
    };
    let failing = Runner::new(&config).and(Source(vec![NOTES, fails]));
    match failing.down().await {
        Err(Error::Migration { version, .. }) => assert_eq!(version, fails.name),
        other => panic!("{other:?}"),
    }
    assert_same("failed", before.lines(), dump(&database).lines());
    assert!(runner.down().await.unwrap().len() > 6);
}

#[both_engines]
#[case]
async fn the_way_back_is_checked_behind_own_migrations_that_run_outside_a_transaction() {
    let (config, database) = empty_database();
    let index = Own {
        name: "2026-01-03-000000_index",
        up: "CREATE INDEX CONCURRENTLY own_index ON app.notes (author_id)",
        down: "DROP INDEX CONCURRENTLY app.own_index",
        in_transaction: false,
    };
    let runner = Runner::new(&config).and(Source(vec![NOTES, AUTHORS, index]));
    runner.up().await.unwrap();
    let view = "CREATE VIEW public.v AS SELECT email FROM public.users";
    connect(&database).batch_execute(view).unwrap();
    match runner.down().await {
        Err(Error::InvalidInput { reason, .. }) => assert!(reason.contains("public.v"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let status = runner.status().await.unwrap();
    let (ours, own) = (
        names(&status, false).len(),
        status.iter().filter(|m| m.is_applied),
    );
    // The index is reverted, since it cannot be tried.
    assert_eq!(own.count(), ours + 2);
    connect(&database)
        .batch_execute("DROP VIEW public.v")
        .unwrap();
    assert_eq!(runner.down().await.unwrap().len(), ours + 2);
}

#[both_engines]
#[case]
async fn one_of_several_processes_applies_own_migrations() {
    const STARTERS: usize = 4;
    let (config, _database) = empty_database();
    let start = Barrier::new(STARTERS);
    let starter = |number: usize| {
        start.wait();
        if number.is_multiple_of(2) {
            let runner = wundr_db::blocking::migrations::Runner::new(&config);
            return runner.and(notes()).up();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runner = wundr_db::migrations::Runner::new(&config);
        runtime.unwrap().block_on(runner.and(notes()).up())
    };
    let applied: Vec<_> = thread::scope(|scope| {
        let starters: Vec<_> = (0..STARTERS)
            .map(|number| scope.spawn(move || starter(number)))
            .collect();
        let applied = starters.into_iter().map(|starter| starter.join().unwrap());
        applied.map(|applied| applied.unwrap().len()).collect()
    });
    let status = Runner::new(&config).and(notes()).status().await.unwrap();
    assert!(status.iter().all(|migration| migration.is_applied));
    assert_eq!(applied.iter().sum::<usize>(), status.len(), "{applied:?}");
    let busy = applied.iter().filter(|&&number| number > 0);
    assert_eq!(busy.count(), 1, "{applied:?}");
}

/// A migration may take any time, but not for ever: the server is asked on another connection
/// whether it responds.
#[both_engines]
#[case]
async fn a_migration_ends_when_its_server_is_silent_and_not_while_it_works() {
    use crate::observer::{Observer, SOMEBODY_WAITS};
    const WAITS: Own = Own {
        name: "2026-01-01-000000_waits",
        up: "SELECT 1",
        down: "SELECT pg_catalog.pg_advisory_xact_lock(42)",
        in_transaction: true,
    };
    for is_silent in [false, true] {
        let database = migrated_database().unwrap();
        let proxy = Proxy::start(&database).unwrap();
        // A loaded machine may take a second for a connection.
        let limit = std::time::Duration::from_secs(3);
        let config = Config::new(&proxy.url_of(&database)).unwrap();
        let config = config.response_timeout(limit).health_timeout(limit);
        let runner = Runner::new(&config).and(one(WAITS));
        runner.up().await.unwrap();
        let (url, started) = (database.url(), std::time::Instant::now());
        let mut holder = Observer::of(&url);
        holder.run("SELECT pg_advisory_lock(42)");
        let helper = std::thread::spawn(move || {
            Observer::of(&url).until(SOMEBODY_WAITS);
            if is_silent {
                proxy.set(ProxyMode::Silent).unwrap();
                return proxy;
            }
            let before = proxy.accepted();
            while proxy.accepted() < before + 3 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            holder.run("SELECT pg_advisory_unlock(42)");
            proxy
        });
        let reverted = runner.down_by_one().await;
        drop(helper.join().unwrap());
        match is_silent {
            false => assert!(reverted.unwrap().is_some()),
            true => {
                assert!(
                    matches!(reverted, Err(Error::Connection { .. })),
                    "{reverted:?}"
                );
                assert!(started.elapsed() < std::time::Duration::from_secs(60));
            }
        }
    }
}
