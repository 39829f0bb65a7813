//! The caller's own queries on a connection of the pool.

use super::sessions::{GUEST, LEFT, PROCESS, STATE, ask};
use super::*;
use crate::observer::Observer;
use diesel::QueryableByName;
use diesel::sql_types::Integer;
use wundr_db::{Config, Error, NewUser, Result};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Integer)]
    number: i32,
}

#[both_engines]
pub(super) async fn database() -> (Db, Observer, TestDatabase) {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config).await.unwrap();
    (db, Observer::of(&database.url()), database)
}

/// Returns a number, by a statement with a value.
#[both_engines]
pub(super) async fn number(db: &Db, number: i32) -> Result<i32> {
    db.run(async |connection| -> Result<i32> {
        let query = diesel::sql_query("SELECT $1 AS number").bind::<Integer, _>(number);
        let row: Number = query.get_result(connection).await?;
        Ok(row.number)
    })
    .await
}

#[both_engines]
#[case]
async fn a_query_of_the_caller_runs_on_the_pools_connection() {
    let (db, _, _database) = database().await;
    let process = ask(&db, PROCESS).await;
    for expected in 0..20 {
        assert_eq!(number(&db, expected).await.unwrap(), expected);
    }
    assert_eq!(ask(&db, PROCESS).await, process);
    assert_eq!(db.pool().in_use, 0);
}

#[both_engines]
#[case]
async fn nothing_of_the_session_is_left_by_a_query_of_the_caller() {
    let (db, mut observer, _database) = database().await;
    observer.run(GUEST);
    let (state, process) = (ask(&db, STATE).await, ask(&db, PROCESS).await);
    for sql in LEFT {
        for fails in [false, true] {
            let outcome = db
                .run(async |connection| -> Result<()> {
                    // Those with savepoints need a transaction.
                    let all = match sql.starts_with("SAVEPOINT") {
                        true => format!("BEGIN; {sql}; COMMIT"),
                        false => (*sql).to_owned(),
                    };
                    connection.batch_execute(&all).await?;
                    match fails {
                        true => Err(Error::StaleWrite { what: "test" }),
                        false => Ok(()),
                    }
                })
                .await;
            assert_eq!(outcome.is_err(), fails, "{sql}: {outcome:?}");
            assert_eq!(ask(&db, STATE).await, state, "{sql}");
            assert_eq!(ask(&db, PROCESS).await, process, "{sql}");
            assert_eq!(number(&db, 1).await.unwrap(), 1);
        }
    }
}

#[both_engines]
#[case]
async fn an_error_of_a_query_leaves_the_connection_usable() {
    let (db, _, _database) = database().await;
    let process = ask(&db, PROCESS).await;
    let refused = db
        .run(async |connection| -> Result<()> {
            Ok(connection.batch_execute("SELECT 1 / 0").await?)
        })
        .await;
    assert!(matches!(refused, Err(Error::Other { .. })), "{refused:?}");
    assert_eq!(number(&db, 1).await.unwrap(), 1);
    assert_eq!(ask(&db, PROCESS).await, process);
}

#[both_engines]
#[case]
async fn a_transaction_that_is_left_open_is_rolled_back_and_an_error() {
    let (db, mut observer, _database) = database().await;
    let write = "INSERT INTO public.users (email, name) VALUES ('a@example.org', 'a')";
    let counted = db
        .run(async |connection| -> Result<()> {
            begin(connection).await?;
            Ok(connection.batch_execute(write).await?)
        })
        .await;
    assert!(matches!(counted, Err(Error::Other { .. })), "{counted:?}");
    assert_eq!(number(&db, 1).await.unwrap(), 1);
    assert_eq!(observer.count("public.users"), 0);
    // So is one that diesel does not count.
    let uncounted = db
        .run(async |connection| -> Result<()> {
            Ok(connection.batch_execute(&format!("BEGIN; {write}")).await?)
        })
        .await;
    assert!(
        matches!(uncounted, Err(Error::Other { .. })),
        "{uncounted:?}"
    );
    db.users().create(NewUser::new("b@x", "b")).await.unwrap();
    assert_eq!(observer.count("public.users"), 1);
    // And one that has failed.
    let failed = db
        .run(async |connection| -> Result<()> {
            let statements = ["BEGIN", write, "SELECT 1 / 0"];
            for statement in statements {
                let _ = connection.batch_execute(statement).await;
            }
            Ok(())
        })
        .await;
    assert!(matches!(failed, Err(Error::Other { .. })), "{failed:?}");
    assert_eq!(observer.count("public.users"), 1);
}

#[both_engines]
#[case]
async fn a_query_for_an_organization_runs_in_a_transaction() {
    let (db, _, _database) = database().await;
    let setting = "SELECT coalesce(current_setting('wundr.organization', true), '') AS answer";
    let id = wundr_db::OrganizationId::new();
    let of_lab = db.for_organization(id);
    assert_eq!(number(&of_lab, 1).await.unwrap(), 1);
    assert_eq!(ask(&of_lab, setting).await, id.to_string());
    assert_eq!(ask(&db, setting).await, "");
}
