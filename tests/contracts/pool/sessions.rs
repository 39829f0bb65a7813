//! The session of a connection that a caller was lent is restored.

use super::*;
use crate::observer::Observer;
use crate::pgbouncer::PgBouncer;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use wundr_db::{Config, Error, Result};

#[derive(QueryableByName)]
pub(super) struct Answer {
    #[diesel(sql_type = Text)]
    pub(super) answer: String,
}

/// The state of the session, in words.
pub(super) const STATE: &str = "SELECT pg_catalog.concat_ws(' | ', current_user, session_user, \
    (SELECT string_agg(name || '=' || setting, ',' ORDER BY name) FROM pg_catalog.pg_settings \
     WHERE name IN ('search_path', 'statement_timeout', 'work_mem', 'TimeZone', 'DateStyle', 'client_encoding', \
         'lc_messages', 'application_name', 'default_transaction_read_only', 'row_security', \
         'idle_in_transaction_session_timeout', 'session_replication_role')), \
    (SELECT count(*) FROM pg_catalog.pg_class WHERE relpersistence = 't' AND pg_catalog.pg_table_is_visible(oid)), \
    (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()), \
    (SELECT count(*) FROM pg_catalog.pg_listening_channels()), \
    (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable), \
    (SELECT count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql), \
    NULLIF(pg_catalog.current_setting('app.tenant', true), '')) AS answer";

pub(super) const LEFT: &[&str] = &[
    "SET ROLE left_guest",
    "SET LOCAL ROLE left_guest",
    "SET SESSION AUTHORIZATION left_guest",
    "SET search_path = public",
    "SET LOCAL search_path = public",
    "SELECT pg_catalog.set_config('search_path', 'public', false)",
    "SET statement_timeout = '7s'; SET idle_in_transaction_session_timeout = 0",
    "SET work_mem = '77MB'",
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET DateStyle = 'German, DMY'",
    "SET client_encoding = 'LATIN1'",
    "SET application_name = 'mallory'",
    "SET row_security = off",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET app.tenant = '42'",
    "CREATE TEMP TABLE users (id int) ON COMMIT PRESERVE ROWS; INSERT INTO users VALUES (1)",
    "SELECT pg_catalog.pg_advisory_lock(7), pg_catalog.pg_advisory_lock_shared(8)",
    "LISTEN left_channel",
    "DECLARE left_cursor CURSOR WITH HOLD FOR SELECT 1",
    "PREPARE \"left 'statement\" AS SELECT 1",
    "SAVEPOINT s; SET ROLE left_guest; RELEASE s",
    "SAVEPOINT s; SET work_mem = '77MB'; ROLLBACK TO s",
];

#[both_engines]
async fn run(db: &Db, sql: &str, fails: bool) -> Result<()> {
    db.transaction(async |tx| -> Result<()> {
        tx.connection_mut().batch_execute(sql).await?;
        if fails {
            return Err(Error::StaleWrite { what: "test" });
        }
        Ok(())
    })
    .await
}

/// The state and the process of the session.
#[both_engines]
pub(super) async fn ask(db: &Db, question: &str) -> String {
    db.transaction(async |tx| -> Result<String> {
        let question = diesel::sql_query(question);
        let answer: Answer = question.get_result(tx.connection_mut()).await?;
        Ok(answer.answer)
    })
    .await
    .unwrap()
}

pub(super) const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()::text AS answer";

pub(super) const GUEST: &str = "DO $$ BEGIN CREATE ROLE left_guest; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$";

/// The next caller finds nothing of it.
#[both_engines]
async fn nothing_is_left(db: &Db) {
    let (state, process) = (ask(db, STATE).await, ask(db, PROCESS).await);
    for sql in LEFT {
        run(db, sql, false).await.unwrap();
        assert_eq!(ask(db, STATE).await, state, "{sql}");
        assert_eq!(ask(db, PROCESS).await, process, "{sql}");
        // The repositories go on by what they have prepared.
        let user = wundr_db::NewUser::new(format!("{}@x", wundr_db::UserId::new()), "x");
        db.users().create(user).await.unwrap();
    }
    for sql in LEFT {
        let failed = run(db, sql, true).await;
        assert!(
            matches!(failed, Err(Error::StaleWrite { .. })),
            "{failed:?}"
        );
        assert_eq!(ask(db, STATE).await, state, "{sql}, rolled back");
    }
}

#[both_engines]
#[case]
async fn nothing_of_a_session_is_left_to_the_next_caller() {
    let database = migrated_database().unwrap();
    Observer::of(&database.url()).run(GUEST);
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let config = config.application_name("it's \\ here");
    let db = Db::connect(config).await.unwrap();
    nothing_is_left(&db).await;
}

#[both_engines]
#[case]
async fn nothing_of_a_session_is_left_behind_a_pgbouncer() {
    let database = migrated_database().unwrap();
    Observer::of(&database.url()).run(GUEST);
    let bouncer = PgBouncer::start("session");
    let config = bouncer.config(&database).behind_pgbouncer();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    nothing_is_left(&db).await;
}

#[both_engines]
#[case]
async fn a_connection_to_a_standby_can_be_lent() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    pair.wait_for_catch_up().unwrap();
    let config = Config::new(&pair.standby_url(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let (state, process) = (ask(&db, STATE).await, ask(&db, PROCESS).await);
    run(&db, "SET work_mem = '77MB'", false).await.unwrap();
    assert_eq!(ask(&db, STATE).await, state);
    assert_eq!(ask(&db, PROCESS).await, process);
}

/// Deferred constraints and triggers are checked as the role, and with the settings, that the
/// caller has set.
#[both_engines]
#[case]
async fn what_the_commit_checks_is_checked_as_the_role_that_wrote() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run(GUEST);
    observer.run(
        "CREATE TABLE public.seen (by text);
         CREATE TABLE public.written (id int CHECK (id > 0), parent int,
             CONSTRAINT self UNIQUE (id) DEFERRABLE INITIALLY DEFERRED);
         GRANT ALL ON public.seen, public.written TO left_guest;
         GRANT USAGE ON SCHEMA public TO left_guest;
         CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.seen VALUES (current_user || current_setting('app.tenant', true)); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER see AFTER INSERT ON public.written DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION public.see();",
    );
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config).await.unwrap();
    let write =
        "SET LOCAL ROLE left_guest; SET LOCAL app.tenant = '42'; INSERT INTO public.written VALUES";
    run(&db, &format!("{write} (1)"), false).await.unwrap();
    assert_eq!(
        observer.ask("SELECT string_agg(by, ',') FROM public.seen"),
        "left_guest42"
    );
    let refused = run(&db, &format!("{write} (2), (2)"), false).await;
    assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
    assert_eq!(observer.count("public.written"), 1);
    observer
        .run("DROP TABLE public.seen, public.written; REVOKE ALL ON SCHEMA public FROM left_guest");
}
