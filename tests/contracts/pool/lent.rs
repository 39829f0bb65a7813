//! The faults of statements that a caller runs on a connection that it was lent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::own_queries::{database, number};
use super::sessions::{Answer, GUEST, PROCESS, STATE, ask};
use super::*;
use crate::pgbouncer::PgBouncer;
use diesel::connection::{Instrumentation, InstrumentationEvent};
use diesel::{QueryDsl as _, QueryResult};
use wundr_db::schema::public::users;
use wundr_db::{Config, Error, Fate, NewUser, Result, UserFilter};

/// Reads a column by a statement of diesel's, which stays prepared.
#[both_engines]
async fn pictures(db: &Db) -> Result<Vec<Option<String>>> {
    db.run(async |connection| -> Result<_> {
        let query = users::table.select(users::avatar_url);
        Ok(query.load(connection).await?)
    })
    .await
}

#[both_engines]
async fn execute(db: &Db, sql: &str) -> Result<()> {
    db.run(async |connection| -> Result<()> { Ok(connection.batch_execute(sql).await?) })
        .await
}

#[both_engines]
#[case]
async fn a_statement_of_the_caller_that_no_longer_fits_fails_once() {
    let (db, mut observer, _database) = database().await;
    pictures(&db).await.unwrap();
    observer.run("ALTER TABLE public.users ALTER COLUMN avatar_url TYPE varchar(2000)");
    let mut failures = Vec::new();
    for _ in 0..5 {
        failures.extend(pictures(&db).await.err());
    }
    assert!(failures.len() <= 1, "{failures:?}");

    db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    for forgetting in ["DEALLOCATE ALL", "DISCARD ALL"] {
        pictures(&db).await.unwrap();
        execute(&db, forgetting).await.unwrap();
        failures.clear();
        for _ in 0..5 {
            failures.extend(pictures(&db).await.err());
            failures.extend(db.users().count(&UserFilter::new()).await.err());
        }
        assert!(failures.len() <= 1, "{failures:?}");
    }
}

/// The error is the caller's to return: the pool notices it although the caller does not.
#[both_engines]
#[case]
async fn an_error_that_the_caller_keeps_to_itself_retires_the_connection_too() {
    let (db, mut observer, _database) = database().await;
    pictures(&db).await.unwrap();
    observer.run("ALTER TABLE public.users ALTER COLUMN avatar_url TYPE varchar(2000)");
    let mut failures = 0;
    for _ in 0..5 {
        db.run(async |connection| -> Result<()> {
            let query = users::table.select(users::avatar_url);
            let read: QueryResult<Vec<Option<String>>> = query.load(connection).await;
            failures += u32::from(read.is_err());
            Ok(())
        })
        .await
        .unwrap();
    }
    assert!(failures <= 1, "{failures}");
}

/// Counts what happens on a connection.
struct Counter(Arc<AtomicU32>);

impl Instrumentation for Counter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[both_engines]
#[case]
async fn an_instrumentation_of_the_caller_is_not_left_to_the_next() {
    let (db, _observer, _database) = database().await;
    let (seen, state) = (Arc::new(AtomicU32::new(0)), ask(&db, STATE).await);
    for is_in_transaction in [false, true] {
        let install = Counter(Arc::clone(&seen));
        if is_in_transaction {
            db.transaction(async |tx| -> Result<()> {
                tx.connection_mut().set_instrumentation(install);
                Ok(())
            })
            .await
            .unwrap();
        } else {
            db.run(async |connection| -> Result<()> {
                connection.set_instrumentation(install);
                // The session is restored although nothing of the engine sees the statement.
                Ok(connection.batch_execute("SET work_mem = '77MB'").await?)
            })
            .await
            .unwrap();
        }
        let before = AtomicU32::load(&seen, Ordering::Relaxed);
        assert_eq!(number(&db, 1).await.unwrap(), 1);
        assert_eq!(ask(&db, STATE).await, state);
        db.users().count(&UserFilter::new()).await.unwrap();
        assert_eq!(AtomicU32::load(&seen, Ordering::Relaxed), before);
    }
}

/// The statement that restores the session runs with the `search_path` that the caller has set.
#[both_engines]
#[case]
async fn no_operator_of_a_hostile_role_runs_while_the_session_is_restored() {
    let (db, mut observer, _database) = database().await;
    observer.run(
        "CREATE TABLE public.caught (by text);
         CREATE FUNCTION public.catch(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO public.caught VALUES (current_user); RETURN false; END $$;
         CREATE OPERATOR public.<> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.catch);
         CREATE OPERATOR public.= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = public.catch);",
    );
    execute(&db, "SET search_path = public, pg_catalog")
        .await
        .unwrap();
    let failed = execute(&db, "SET search_path = public, pg_catalog; SELECT 1 / 0").await;
    assert!(matches!(failed, Err(Error::Other { .. })), "{failed:?}");
    db.transaction(async |tx| -> Result<()> {
        let connection = tx.connection_mut();
        Ok(connection
            .batch_execute("SET search_path = public, pg_catalog")
            .await?)
    })
    .await
    .unwrap();
    assert_eq!(observer.count("public.caught"), 0);
}

/// The text of the statement does not say that its function changes the session.
#[both_engines]
#[case]
async fn after_work_that_failed_nothing_is_left_of_the_session() {
    let (db, mut observer, _database) = database().await;
    observer.run(
        "CREATE FUNCTION public.spread() RETURNS text LANGUAGE sql AS $$ \
             SELECT pg_catalog.set_config('work_mem', '77MB', false) $$",
    );
    const MEMORY: &str = "SELECT pg_catalog.current_setting('work_mem') AS answer";
    let (process, memory) = (ask(&db, PROCESS).await, ask(&db, MEMORY).await);
    let failed = db
        .run(async |connection| -> Result<()> {
            let spread = diesel::sql_query("SELECT public.spread() AS answer");
            let spread: Answer = spread.get_result(connection).await?;
            Err(Error::invalid("spread", spread.answer))
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(ask(&db, MEMORY).await, memory);
    assert_eq!(ask(&db, PROCESS).await, process);
}

/// Its statements are done. What follows them is no reason to report an error.
#[both_engines]
#[case]
async fn work_that_was_done_is_no_error_when_its_session_cannot_be_restored() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    execute(&db, "CREATE TABLE public.done (id int)")
        .await
        .unwrap();
    proxy
        .set(ProxyMode::SwallowAnswerTo(
            "pg_advisory_unlock_all".to_owned(),
        ))
        .unwrap();
    execute(
        &db,
        "SET work_mem = '77MB'; INSERT INTO public.done VALUES (1)",
    )
    .await
    .unwrap();
    proxy.set(ProxyMode::Pass).unwrap();
    assert_eq!(number(&db, 2).await.unwrap(), 2);
    // A lost statement of the caller says that it may have been done.
    proxy
        .set(ProxyMode::SwallowAnswerTo("public.done".to_owned()))
        .unwrap();
    let lost = execute(&db, "INSERT INTO public.done VALUES (2)")
        .await
        .unwrap_err();
    assert_eq!(lost.fate(), Some(Fate::Unknown), "{lost:?}");
    proxy.set(ProxyMode::Pass).unwrap();
    assert_eq!(number(&db, 3).await.unwrap(), 3);
}

#[both_engines]
#[case]
async fn a_caller_writes_on_a_standby_once() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    pair.wait_for_catch_up().unwrap();
    let config = Config::new(&pair.standby_url(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let process = ask(&db, PROCESS).await;
    assert_eq!(number(&db, 1).await.unwrap(), 1);
    assert_eq!(pictures(&db).await.unwrap(), Vec::new());
    execute(&db, "SET work_mem = '77MB'").await.unwrap();
    assert_eq!(ask(&db, PROCESS).await, process);
    let refused = execute(&db, "UPDATE public.users SET name = name").await;
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    assert_ne!(ask(&db, PROCESS).await, process);
}

#[both_engines]
#[case]
async fn statements_of_a_caller_reach_no_other_client_behind_a_pgbouncer() {
    let database = migrated_database().unwrap();
    for mode in ["transaction", "session"] {
        let bouncer = PgBouncer::start(mode);
        let config = bouncer.config(&database).behind_pgbouncer();
        let db = Db::connect(config.max_connections(2)).await.unwrap();
        for round in 0..5 {
            assert_eq!(number(&db, round).await.unwrap(), round);
            let failed = execute(&db, "SELECT 1 / 0").await;
            assert!(matches!(failed, Err(Error::Other { .. })), "{failed:?}");
            assert_eq!(pictures(&db).await.unwrap(), Vec::new());
            let open = execute(&db, "BEGIN; SELECT 1").await;
            assert!(matches!(open, Err(Error::Other { .. })), "{open:?}");
            db.users().count(&UserFilter::new()).await.unwrap();
        }
        if mode == "session" {
            let state = ask(&db, STATE).await;
            execute(&db, "SET work_mem = '77MB'").await.unwrap();
            assert_eq!(ask(&db, STATE).await, state);
        }
    }
}

/// The role and the schema of its name decide nothing.
#[both_engines]
#[case]
async fn a_query_of_the_caller_has_the_pinned_search_path() {
    let (_, mut observer, database) = database().await;
    observer.run(GUEST);
    let name = database.url();
    let name = name.rsplit('/').next().unwrap().split('?').next().unwrap();
    observer.run(&format!(
        "ALTER DATABASE \"{name}\" SET search_path = public, pg_catalog"
    ));
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config).await.unwrap();
    let path = "SELECT pg_catalog.current_setting('search_path') AS answer";
    let pinned = ask(&db, path).await;
    assert!(
        pinned.starts_with("\"pg_catalog\"") || pinned.starts_with("pg_catalog"),
        "{pinned}"
    );
    execute(&db, "SET work_mem = '77MB'; RESET ALL")
        .await
        .unwrap();
    assert_eq!(ask(&db, path).await, pinned);
    execute(&db, "DISCARD ALL").await.unwrap();
    assert_eq!(ask(&db, path).await, pinned);
}

/// Neither when it fails nor later.
#[both_engines]
#[case]
async fn a_write_in_a_read_only_transaction_keeps_its_connection_for_good() {
    let (db, _observer, _database) = database().await;
    let process = ask(&db, PROCESS).await;
    let options = wundr_db::TransactionOptions::new().read_only();
    let refused = db
        .transaction_with(&options, async |tx| {
            tx.users().create(NewUser::new("a@x", "a")).await
        })
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    for _ in 0..3 {
        db.users().count(&UserFilter::new()).await.unwrap();
        assert_eq!(ask(&db, PROCESS).await, process);
    }
}

/// The processes of both connections of a pool.
#[both_engines]
async fn processes(db: &Db) -> Vec<String> {
    let mut both = db
        .transaction(async |tx| -> Result<_> {
            let one: Answer = diesel::sql_query(PROCESS)
                .get_result(tx.connection_mut())
                .await?;
            Ok(vec![one.answer, ask(db, PROCESS).await])
        })
        .await
        .unwrap();
    both.sort();
    both
}

const WRITE: &str = "UPDATE public.users SET name = name";

/// The server accepts writes: neither the connection nor the others lead to a standby.
#[both_engines]
#[case]
async fn a_caller_that_requests_read_only_transactions_retires_nothing() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(2);
    let db = Db::connect(config).await.unwrap();
    let mut both = processes(&db).await;
    for request in [
        "BEGIN READ ONLY",
        "BEGIN; SET TRANSACTION READ ONLY",
        "BEGIN; SET LOCAL transaction_read_only = on",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET default_transaction_read_only = on",
        "SELECT pg_catalog.set_config('default_transaction_read_only', 'on', false)",
    ] {
        let refused = db
            .run(async |connection| -> Result<()> {
                connection.batch_execute(request).await?;
                Ok(connection.batch_execute(WRITE).await?)
            })
            .await;
        assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
        assert_eq!(processes(&db).await, both, "{request}");
        let is_of_the_session = !request.starts_with("BEGIN");
        // The caller may keep the error to itself.
        let kept = db
            .run(async |connection| -> Result<()> {
                connection.batch_execute(request).await?;
                let refused = connection.batch_execute(WRITE).await;
                assert!(refused.is_err());
                Ok(())
            })
            .await;
        assert_eq!(kept.is_ok(), is_of_the_session, "{kept:?}");
        let now = processes(&db).await;
        if is_of_the_session {
            assert_eq!(now, both, "{request}");
        } else {
            // A connection with a transaction that was left open is closed.
            let kept = both.iter().filter(|process| now.contains(process));
            assert_eq!(kept.count(), 1, "{request}: {both:?}, {now:?}");
            both = now;
        }
        let user = NewUser::new(format!("{}@x", wundr_db::UserId::new()), "x");
        db.users().create(user).await.unwrap();
    }
}

/// The connection of a transaction that was lent and rolled back is closed. The others are not.
#[both_engines]
#[case]
async fn a_transaction_that_its_caller_makes_read_only_retires_no_other_connection() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(2);
    let db = Db::connect(config).await.unwrap();
    for is_of_the_caller in [false, true] {
        let mut others = processes(&db).await;
        let mut used = String::new();
        let refused = db
            .transaction(async |tx| -> Result<()> {
                let one = diesel::sql_query(PROCESS);
                let one: Answer = one.get_result(tx.connection_mut()).await?;
                used = one.answer;
                let connection = tx.connection_mut();
                connection
                    .batch_execute("SET TRANSACTION READ ONLY")
                    .await?;
                if is_of_the_caller {
                    return Ok(tx.connection_mut().batch_execute(WRITE).await?);
                }
                tx.users().create(NewUser::new("a@x", "a")).await.map(drop)
            })
            .await;
        assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
        others.retain(|process| *process != used);
        let now = processes(&db).await;
        assert!(now.contains(&others[0]), "{others:?} in {now:?}");
    }
    let acting = db.acting_as(wundr_db::Actor::default());
    let before = processes(&db).await;
    let refused = acting
        .run(async |connection| -> Result<()> {
            connection
                .batch_execute("SET TRANSACTION READ ONLY")
                .await?;
            Ok(connection.batch_execute(WRITE).await?)
        })
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    let now = processes(&db).await;
    let kept = before.iter().filter(|process| now.contains(process));
    assert_eq!(kept.count(), 1, "{before:?}, {now:?}");
}

/// On a standby, a write of the caller in a transaction retires the connections to it, as one of a
/// repository does.
#[both_engines]
#[case]
async fn a_write_of_the_caller_on_a_standby_retires_all_connections_to_it() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    pair.wait_for_catch_up().unwrap();
    let config = Config::new(&pair.standby_url(&database)).unwrap();
    let db = Db::connect(config.max_connections(2)).await.unwrap();
    for is_in_transaction in [false, true] {
        let before = processes(&db).await;
        let refused = match is_in_transaction {
            false => execute(&db, WRITE).await,
            true => {
                db.transaction(async |tx| -> Result<()> {
                    Ok(tx.connection_mut().batch_execute(WRITE).await?)
                })
                .await
            }
        };
        assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
        let now = processes(&db).await;
        let kept = before.iter().filter(|process| now.contains(process));
        assert_eq!(kept.count(), 0, "{before:?}, {now:?}");

        // The caller may keep the error to itself, and change nothing of the session.
        let before = now;
        db.run(async |connection| -> Result<()> {
            let refused = connection.batch_execute(WRITE).await;
            assert!(refused.is_err());
            Ok(())
        })
        .await
        .unwrap();
        let now = processes(&db).await;
        let kept = before.iter().filter(|process| now.contains(process));
        assert_eq!(kept.count(), 0, "{before:?}, {now:?}");
    }
}
