//! Runtimes that end, and servers that say nothing.

use std::time::Instant;

use super::*;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_ends_while_a_connection_is_opened_takes_no_place_of_the_pool() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let (first, second) = (runtime(), runtime());
    let db = {
        let _in = first.enter();
        Db::lazy(config.max_connections(1)).unwrap()
    };
    let count = |db: &Db| {
        let db = db.clone();
        async move { db.users().count(&UserFilter::new()).await }
    };
    proxy.set(ProxyMode::Silent).unwrap();
    first.block_on(async {
        let opening = tokio::time::timeout(Duration::from_millis(200), count(&db)).await;
        assert!(opening.is_err(), "{opening:?}");
    });
    drop(first);
    proxy.set(ProxyMode::Pass).unwrap();

    let started = Instant::now();
    let counted = second.block_on(count(&db));
    assert_eq!(counted.unwrap(), 0);
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// The task that opens it was begun, and never polled.
#[test]
fn a_runtime_that_ends_before_a_connection_is_opened_takes_no_place_of_the_pool() {
    use futures_util::FutureExt as _;
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let (first, second) = (runtime(), runtime());
    let db = {
        let _in = first.enter();
        let db = Db::lazy(config).unwrap();
        let begun = db.users().count(&UserFilter::new()).now_or_never();
        assert!(begun.is_none());
        db
    };
    drop(first);
    let counted = second.block_on(async { db.users().count(&UserFilter::new()).await });
    assert_eq!(counted.unwrap(), 0);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_and_another_is_reached() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let config = config.response_timeout(Duration::from_secs(1));
    let db = Db::connect(config.max_connections(2)).await.unwrap();
    let (users, all) = (db.users(), UserFilter::new());
    // Prepared: a statement that is lost while it is prepared was not sent.
    users.count(&all).await.unwrap();
    proxy.set(ProxyMode::Silent).unwrap();

    let started = Instant::now();
    let (alone, within) = tokio::join!(
        users.count(&all),
        db.transaction(async |tx| tx.users().count(&UserFilter::new()).await),
    );
    let alone = alone.unwrap_err();
    assert_eq!(alone.fate(), Some(Fate::Unknown), "{alone:?}");
    // Its connection may not have been open before.
    assert_eq!(within.unwrap_err().fate(), Some(Fate::NotSent));
    assert!(started.elapsed() < Duration::from_secs(10));

    proxy.set(ProxyMode::Pass).unwrap();
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn requests_to_end_a_statement_end_themselves() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(12)).await.unwrap();
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let calls = futures_util::future::join_all((0..12).map(|_| {
        db.transaction(async |tx| -> Result<()> {
            let sleep = diesel::sql_query("SELECT pg_sleep(60)");
            sleep.execute(tx.connection_mut()).await?;
            Ok(())
        })
    }));
    let _ = tokio::time::timeout(Duration::from_millis(700), calls).await;
    proxy.set(ProxyMode::Silent).unwrap();
    let calls = futures_util::future::join_all(
        (0..12).map(|_| db.transaction(async |tx| tx.users().count(&UserFilter::new()).await)),
    );
    drop(tokio::time::timeout(Duration::from_millis(300), calls).await);

    let started = Instant::now();
    while tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
        > before
    {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "tasks are left"
        );
        pause().await;
    }
}
