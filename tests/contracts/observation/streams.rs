//! The calls of streams.

use super::contract::{database, span};
use super::*;
use crate::measurements::measurements;
use crate::subscriber::spans;
use futures_util::{StreamExt as _, TryStreamExt as _};
use wundr_db::{NewUser, UserFilter};

async fn three_users(db: &Db) {
    for name in ["Ada", "Bob", "Cleo"] {
        let new = NewUser::new(format!("{name}@example.org"), name);
        db.users().create(new).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_is_a_call_that_ends_with_its_last_row() {
    let (db, _database) = database(|config| config.slow_call(std::time::Duration::ZERO)).await;
    three_users(&db).await;
    let before = spans().len();
    let users = db.users();
    let (filter, logged) = (UserFilter::new(), crate::subscriber::events().len());
    let mut rows = users.stream(&filter);
    assert!(rows.next().await.unwrap().is_ok());
    let fields = span("users.stream").fields;
    assert!(!fields.contains("outcome"), "{fields}");
    assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    let ended = span("users.stream");
    assert!(ended.fields.contains("outcome=\"ok\""), "{ended:?}");
    assert!(
        ended.fields.contains("db.response.returned_rows=3"),
        "{ended:?}"
    );
    // One call, to which its checkout belongs.
    assert_eq!(spans().len() - before, 2, "{:?}", spans());
    assert_eq!(span("checkout").parent, Some(ended.id));
    // The reader decides how long it takes.
    assert_eq!(crate::subscriber::events().len(), logged);
    let measured = measurements();
    let is_stream = |name: &String| {
        name.starts_with("db.client.operation.duration")
            && name.contains("db.operation.name=stream")
    };
    assert_eq!(
        measured.iter().filter(|(name, _)| is_stream(name)).count(),
        1
    );
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_an_abandoned_call() {
    let (db, _database) = database(|config| config).await;
    three_users(&db).await;
    let (users, filter) = (db.users(), UserFilter::new());
    let mut rows = users.stream(&filter);
    assert!(rows.next().await.unwrap().is_ok());
    drop(rows);
    let fields = span("users.stream").fields;
    assert!(fields.contains("outcome=\"abandoned\""), "{fields}");
    assert!(fields.contains("db.response.returned_rows=1"), "{fields}");
}

#[tokio::test]
async fn a_stream_that_fails_has_its_error() {
    let (db, database) = database(|config| config).await;
    let mut owner = crate::support::catalog::connect(&database);
    diesel::connection::SimpleConnection::batch_execute(
        &mut owner,
        "ALTER TABLE public.users RENAME COLUMN name TO other",
    )
    .unwrap();
    let (users, filter) = (db.users(), UserFilter::new());
    let failed = users.stream(&filter).try_collect::<Vec<_>>().await;
    assert!(failed.is_err());
    let fields = span("users.stream").fields;
    assert!(fields.contains("outcome=\"error\""), "{fields}");
    assert!(fields.contains("error.type=\"other\""), "{fields}");
}
