//! The script that swaps the names of a live and a restored database.

use std::process::Stdio;
use std::time::Duration;

use wundr_db::blocking::{Db, UserRepository};
use wundr_db::testing::{PostgresServer, migrated_database};
use wundr_db::{Config, NewUser, UserFilter};

use super::dump::Named;
use super::{Place, command, fails, run, text};
use crate::observer::{Observer, SOMEBODY_WAITS};
use crate::support::pgbouncer::PgBouncer;

#[test]
fn a_live_database_is_replaced_under_connections_with_its_settings() {
    let server = PostgresServer::shared().unwrap();
    let live = migrated_database().unwrap();
    let restored = migrated_database().unwrap();
    let role = format!("{}_app", live.name());
    let mut observer = Observer::of(&server.url("postgres"));
    observer.run(&format!(
        "CREATE ROLE {role}; ALTER DATABASE {0} SET statement_timeout = '7s'; \
         ALTER DATABASE {0} SET application_name = 'it''s'; \
         ALTER ROLE {role} IN DATABASE {0} SET search_path = setup, \"$user\"; ALTER DATABASE {1} RESET ALL",
        live.name(),
        restored.name()
    ));
    Observer::of(&restored.url())
        .run("INSERT INTO public.users (email, name) VALUES ('restored@example.org', 'R')");
    let db = Db::connect(
        Config::new(&live.url())
            .unwrap()
            .acquire_timeout(Duration::from_secs(30)),
    )
    .unwrap();
    db.users()
        .create(NewUser::new("live@example.org", "L"))
        .unwrap();
    let place = Place::new();
    let _old = Named(server, format!("{}_old", live.name()));
    let ended = run(command(server, "sh")
        .arg(place.script("swap.sh"))
        .args([live.name(), restored.name()]));
    assert!(ended.contains("sessions ended"), "{ended}");
    // A connection that was open fails once. The next one is of the restored database.
    let _ = db.users().count(&UserFilter::new());
    let found = db.users().find_by_email("restored@example.org").unwrap();
    assert!(found.is_some());
    let mut swapped = Observer::of(&live.url());
    assert_eq!(swapped.ask("current_setting('statement_timeout')"), "7s");
    let setting = |role: &str| {
        format!(
            "SELECT string_agg(one, '|' ORDER BY one) FROM pg_db_role_setting, unnest(setconfig) AS one \
             WHERE setrole = {role} AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    };
    assert_eq!(
        swapped.ask(&setting("0")),
        "application_name=it's|search_path=public, analysis, setup, audit, cache|statement_timeout=7s"
    );
    assert_eq!(
        swapped.ask(&setting(&format!("'{role}'::regrole"))),
        "search_path=setup, \"$user\""
    );
    assert_eq!(
        observer.ask(&format!(
            "SELECT datallowconn FROM pg_database WHERE datname = '{}_old'",
            live.name()
        )),
        "false"
    );
    drop((swapped, db));
    observer.run(&format!("DROP ROLE {role}"));
}

#[test]
fn a_swap_that_fails_leaves_the_live_database_as_it_was() {
    let server = PostgresServer::shared().unwrap();
    let live = migrated_database().unwrap();
    let restored = migrated_database().unwrap();
    let place = Place::new();
    let script = place.script("swap.sh");
    // The name is taken.
    let old = Named(server, format!("{}_old", live.name()));
    Observer::of(&server.url("postgres")).run(&format!("CREATE DATABASE {}", old.1));
    fails(
        command(server, "sh")
            .arg(&script)
            .args([live.name(), restored.name()]),
    );
    fails(
        command(server, "sh")
            .arg(&script)
            .args([live.name(), "nothing_of_this_name"]),
    );
    assert_eq!(Observer::of(&live.url()).count("public.users"), 0);
    assert_eq!(Observer::of(&restored.url()).count("public.users"), 0);
}

/// Checks whether PgBouncer's console says that a database is paused.
fn is_paused(console: &str, database: &str) -> bool {
    let server = PostgresServer::shared().unwrap();
    let mut psql = server.command("psql");
    let shown = run(psql.args(["-XqAc", "SHOW DATABASES"]).arg(console));
    let mut lines = shown
        .lines()
        .map(|line| line.split('|').collect::<Vec<_>>());
    let columns = lines.next().unwrap();
    let place = |name| columns.iter().position(|column| *column == name).unwrap();
    let (name, paused) = (place("name"), place("paused"));
    lines.any(|line| line.get(name) == Some(&database) && line.get(paused) == Some(&"1"))
}

/// A client is in a statement when the swap begins, and another comes while it waits for that.
#[test]
fn clients_behind_pgbouncer_wait_and_none_fails() {
    let server = PostgresServer::shared().unwrap();
    let (live, restored) = (migrated_database().unwrap(), migrated_database().unwrap());
    Observer::of(&restored.url())
        .run("INSERT INTO public.users (email, name) VALUES ('restored@example.org', 'R')");
    let bouncer = PgBouncer::with(
        server,
        "session",
        "auth_type = any\nadmin_users = postgres",
        "",
    );
    let url = bouncer.url(&live);
    let console = url.replace(&format!("/{}", live.name()), "/pgbouncer");
    let client = |query: &str| {
        let mut psql = server.command("psql");
        psql.args(["-XqAtc", query]).arg(&url);
        psql.stdout(Stdio::piped()).stderr(Stdio::piped());
        psql.spawn().unwrap()
    };
    let number = "SELECT count(*) FROM public.users";
    let place = Place::new();
    let _old = Named(server, format!("{}_old", live.name()));
    // The lock is one of the whole server, and its session is in another database: the swap ends
    // the sessions of this one, in some order, and the client must not go on because of that.
    let mut holder = Observer::of(&server.url("postgres"));
    holder.run("BEGIN; LOCK TABLE pg_catalog.pg_replication_origin IN ACCESS EXCLUSIVE MODE");
    let busy = client(
        "SELECT 'done' FROM (SELECT count(*) FROM pg_catalog.pg_replication_origin) AS counted",
    );
    Observer::of(&live.url()).until(SOMEBODY_WAITS);

    let mut swap = command(server, "sh");
    let mut swap = swap
        .arg(place.script("swap.sh"))
        .args([live.name(), restored.name()])
        .env("PGBOUNCER", &console)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !is_paused(&console, live.name()) && swap.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let late = client(number);
    holder.run("ROLLBACK");
    let of_busy = busy.wait_with_output().unwrap();
    assert!(of_busy.status.success(), "{}", text(&of_busy));
    assert_eq!(text(&of_busy).trim(), "done");
    let swapped = swap.wait_with_output().unwrap();
    assert!(swapped.status.success(), "{}", text(&swapped));
    let of_late = late.wait_with_output().unwrap();
    assert!(of_late.status.success(), "{}", text(&of_late));
    // It is served by the restored database.
    assert_eq!(text(&of_late).trim(), "1");
}
