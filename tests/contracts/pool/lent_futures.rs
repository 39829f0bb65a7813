//! Futures and streams of statements that a caller runs on a connection that it was lent.

use std::time::Duration;

use super::own_queries::{database, number};
use super::sessions::{GUEST, STATE, ask};
use super::*;
use crate::observer::{ALL_AT_REST, Observer, SOMEBODY_WAITS};
use diesel::QueryDsl as _;
use diesel::sql_types::Text;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use tokio::test as case;
use wundr_db::schema::public::users;
use wundr_db::{Error, NewUser, Result, UserFilter};

const ASLEEP: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())";

/// A statement that the work has dropped is not left to the next caller.
#[case]
async fn a_statement_that_the_work_drops_ends_with_it() {
    let (db, mut observer, _database) = database().await;
    for is_ok in [true, false] {
        let outcome = db
            .run(async |connection| -> Result<()> {
                let sleeping = diesel::sql_query("SELECT pg_sleep(600)");
                tokio::select! {
                    ended = sleeping.execute(connection) => panic!("{ended:?}"),
                    () = observer.eventually(ASLEEP) => {}
                }
                match is_ok {
                    true => Ok(()),
                    false => Err(Error::StaleWrite { what: "test" }),
                }
            })
            .await;
        assert_eq!(outcome.is_err(), !is_ok, "{outcome:?}");
        let next = tokio::time::timeout(Duration::from_secs(20), number(&db, 1));
        assert_eq!(next.await.unwrap().unwrap(), 1);
        observer.eventually(&format!("NOT {ASLEEP}")).await;
    }
}

/// So is a batch, and a run as a whole.
#[case]
async fn a_run_that_is_dropped_ends_its_statement() {
    let (db, mut observer, _database) = database().await;
    let run = db.run(async |connection| -> Result<()> {
        Ok(connection.batch_execute("SELECT pg_sleep(600)").await?)
    });
    assert!(
        tokio::time::timeout(Duration::from_millis(300), run)
            .await
            .is_err()
    );
    assert_eq!(number(&db, 1).await.unwrap(), 1);
    observer.eventually(&format!("NOT {ASLEEP}")).await;
    // Never polled, it has no connection.
    let kept = db.run(async |_| -> Result<()> { Ok(()) });
    assert_eq!(number(&db, 1).await.unwrap(), 1);
    drop(kept);
}

/// A stream that outlives the work has its rows, and takes none from the next caller.
#[case]
async fn rows_that_outlive_the_work_mix_with_no_others() {
    let (db, _, _database) = database().await;
    let mut rows = db
        .run(async |connection| -> Result<_> {
            use diesel_async::AsyncConnectionCore;
            let query =
                diesel::sql_query("SELECT pg_catalog.generate_series(1, 5000)::text AS answer");
            let mut rows = AsyncConnectionCore::load(connection, query).await?;
            rows.next().await.unwrap().unwrap();
            Ok(rows)
        })
        .await
        .unwrap();
    for expected in 0..5 {
        assert_eq!(number(&db, expected).await.unwrap(), expected);
        let _ = rows.next().await;
    }
    drop(rows);
    assert_eq!(number(&db, 9).await.unwrap(), 9);
}

/// The server sends the first rows and the error at once.
#[case]
async fn the_rows_before_the_error_of_a_stream_are_yielded() {
    let (db, _, _database) = database().await;
    let query = "3 / (3 - n) FROM pg_catalog.generate_series(1, 5) AS n";
    let query = diesel::select(diesel::dsl::sql::<diesel::sql_types::Integer>(query));
    let mut stream = db.stream::<_, i32>(query);
    for expected in [1, 3] {
        assert_eq!(stream.next().await.unwrap().unwrap(), expected);
    }
    let error = stream.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Other { .. }), "{error:?}");
    assert!(stream.next().await.is_none());
}

diesel::define_sql_function! {
    #[sql_name = "pg_catalog.set_config"]
    fn set_config(name: Text, value: Text, is_local: diesel::sql_types::Bool) -> Text;
}

#[case]
async fn nothing_of_the_session_is_left_by_a_stream_of_the_caller() {
    let (db, mut observer, _database) = database().await;
    observer.run(GUEST);
    let state = ask(&db, STATE).await;
    let query = diesel::select(set_config("work_mem", "77MB", false));
    let set: Vec<String> = db.stream(query).try_collect().await.unwrap();
    assert_eq!(set.len(), 1);
    assert_eq!(ask(&db, STATE).await, state);
    let query = diesel::select(set_config("role", "left_guest", false));
    let mut stream = db.stream::<_, String>(query);
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(ask(&db, STATE).await, state);
    // A stream that is kept unpolled stops nobody.
    let mut kept = db.stream::<_, String>(users::table.select(users::email));
    assert!(kept.next().now_or_never().is_none_or(|row| row.is_none()));
    drop(kept);
    db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 1);
}

/// Executes a statement that waits for a lock, and drops its future meanwhile.
async fn drop_a_statement(tx: &mut Tx, observer: &mut Observer) {
    let waiting = diesel::sql_query(
        "INSERT INTO public.users (email, name) SELECT 'b@x', 'b' FROM pg_advisory_xact_lock(77)",
    );
    tokio::select! {
        ended = waiting.execute(tx.connection_mut()) => panic!("{ended:?}"),
        () = observer.eventually(SOMEBODY_WAITS) => {}
    }
}

/// In a transaction it is unknown whether the statement was executed.
#[case]
async fn a_transaction_whose_statement_the_caller_dropped_is_not_committed() {
    let (db, mut observer, _database) = database().await;
    observer.run("SELECT pg_advisory_lock(77)");
    let outcome = db
        .transaction(async |tx| -> Result<()> {
            tx.users().create(NewUser::new("a@x", "a")).await?;
            drop_a_statement(tx, &mut observer).await;
            Ok(())
        })
        .await;
    assert!(outcome.is_err(), "{outcome:?}");
    observer.eventually(ALL_AT_REST).await;
    assert_eq!(observer.count("public.users"), 0);
    // A savepoint that is rolled back undoes it.
    db.transaction(async |tx| -> Result<()> {
        tx.users().create(NewUser::new("a@x", "a")).await?;
        let undone = tx
            .savepoint(async |tx| -> Result<()> {
                drop_a_statement(tx, &mut observer).await;
                observer.run("SELECT pg_advisory_unlock(77)");
                Ok(())
            })
            .await;
        assert!(undone.is_err(), "{undone:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(observer.count("public.users"), 1);
}
