//! Runtimes that end, and servers that say nothing.

use core::prelude::v1::test;
use std::future::Future;
use std::time::Instant;

use super::*;
use crate::observer::{Observer, SOMEBODY_WAITS};
use tokio::runtime::{Builder, Runtime};
use wundr_db::{Error, Result};

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

#[test]
fn a_database_is_made_cloned_and_dropped_without_a_runtime() {
    let database = migrated_database().unwrap();
    let config = || {
        let config = Config::new(&database.url()).unwrap().min_idle(1);
        config.idle_timeout(Some(Duration::from_secs(60)))
    };
    drop(Db::lazy(config()).unwrap());
    let db = Db::lazy(config()).unwrap();
    let other = db.clone();
    assert_eq!(db.pool().connections, 0);
    assert!(format!("{db:?}").contains("pool"));
    drop(db);
    for _ in 0..3 {
        let runtime = runtime();
        let count = async { other.users().count(&UserFilter::new()).await };
        assert_eq!(runtime.block_on(count).unwrap(), 0);
    }
    // Used, its runtime gone, and dropped.
    drop(other);
    let closed = Db::lazy(config()).unwrap();
    assert_eq!(runtime().block_on(closed.close()), 0);
    let refused = runtime().block_on(async { closed.users().count(&UserFilter::new()).await });
    assert!(matches!(refused, Err(Error::Pool(_))), "{refused:?}");
}

/// Its place in the pool is filled again by a task, for which there has to be a runtime.
#[test]
fn a_connection_is_closed_without_a_runtime() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().min_idle(2);
    let db = Db::lazy(config.max_connections(2)).unwrap();
    let count = || async { db.users().count(&UserFilter::new()).await };
    for is_over in [false, true] {
        let runtime = runtime();
        let mut transaction = Box::pin(db.transaction(async |tx| -> Result<()> {
            tx.users().count(&UserFilter::new()).await?;
            std::future::pending().await
        }));
        runtime.block_on(async {
            let waiting = tokio::time::timeout(Duration::from_millis(300), &mut transaction);
            assert!(waiting.await.is_err());
        });
        if is_over {
            drop(runtime);
            drop(transaction);
        } else {
            drop(transaction);
            assert_eq!(runtime.block_on(count()).unwrap(), 0);
        }
    }
    let last = runtime();
    for _ in 0..3 {
        assert_eq!(last.block_on(count()).unwrap(), 0);
    }
}

/// Dropped outside of a runtime, with a runtime, and after it. The server would go on for the 30 s
/// of its limit.
#[test]
fn a_dropped_statement_ends_in_the_server_without_a_runtime() {
    let database = migrated_database().unwrap();
    let mut lock = Observer::of(&database.url());
    lock.run("BEGIN; LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE");
    let mut observer = Observer::of(&database.url());
    let db = Db::lazy(Config::new(&database.url()).unwrap()).unwrap();
    for (way, is_within) in (0..3).flat_map(|way| [(way, false), (way, true)]) {
        let runtime = runtime();
        let counting = {
            let db = db.clone();
            async move {
                let filter = UserFilter::new();
                if is_within {
                    db.transaction(async |tx| tx.users().count(&UserFilter::new()).await)
                        .await
                } else {
                    db.users().count(&filter).await
                }
            }
        };
        let mut counting = Box::pin(counting);
        let waits = observer.eventually(SOMEBODY_WAITS);
        if way == 1 {
            let _spawned = runtime.spawn(counting);
            runtime.block_on(waits);
            drop(runtime);
        } else {
            let waits = Box::pin(waits);
            drop(runtime.block_on(futures_util::future::select(&mut counting, waits)));
            let runtime = (way == 0).then_some(runtime);
            drop(counting);
            // Kept, and not driven.
            observer.until(&format!("NOT {SOMEBODY_WAITS}"));
            drop(runtime);
        }
        observer.until(&format!("NOT {SOMEBODY_WAITS}"));
    }
    lock.run("ROLLBACK");
    let runtime = runtime();
    let count = async { db.users().count(&UserFilter::new()).await };
    assert_eq!(runtime.block_on(count).unwrap(), 0);
}

/// Its idle connections belong to a runtime that has ended: no caller gets an error of theirs.
#[test]
fn a_database_goes_from_one_runtime_to_the_next() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(4);
    let db = Db::lazy(config).unwrap();
    for round in 0..4 {
        let runtime = if round % 2 == 0 {
            runtime()
        } else {
            Builder::new_multi_thread().enable_all().build().unwrap()
        };
        let started = Instant::now();
        runtime.block_on(async {
            let transactions = (0..4).map(|_| {
                db.transaction(async |tx| {
                    pause().await;
                    tx.users().count(&UserFilter::new()).await
                })
            });
            for counted in futures_util::future::join_all(transactions).await {
                assert_eq!(counted.unwrap(), 0, "round {round}");
            }
            assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
        });
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

/// Polls a future once, and keeps it.
fn begun<'f, F: Future + 'f>(future: F) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'f>> {
    use futures_util::FutureExt as _;
    let mut future: std::pin::Pin<Box<dyn Future<Output = ()> + 'f>> =
        Box::pin(async move { drop(future.await) });
    assert!((&mut future).now_or_never().is_none());
    future
}

/// Callers that wait for a connection receive one although earlier callers are not polled any more:
/// when one is given back, and when one is closed.
#[tokio::test]
async fn callers_that_are_kept_keep_no_connection_from_others() {
    use futures_util::StreamExt as _;
    let database = migrated_database().unwrap();
    for recycling in [wundr_db::Recycling::Fast, wundr_db::Recycling::Verified] {
        let config = Config::new(&database.url()).unwrap().max_connections(1);
        let config = config.acquire_timeout(Duration::from_secs(120));
        let db = Db::connect(config.recycling(recycling)).await.unwrap();
        let filter = UserFilter::new();
        for is_closed in [false, true] {
            let (taken, is_taken) = tokio::sync::oneshot::channel();
            let (end, ends) = tokio::sync::oneshot::channel::<()>();
            let holder = tokio::spawn({
                let db = db.clone();
                async move {
                    db.transaction(async |tx| -> Result<()> {
                        tx.users().count(&UserFilter::new()).await?;
                        taken.send(()).unwrap();
                        ends.await.unwrap();
                        // The connection that was lent to a transaction that fails is closed.
                        if is_closed {
                            tx.connection_mut();
                            return Err(Error::Pool("closed".to_owned()));
                        }
                        Ok(())
                    })
                    .await
                }
            });
            is_taken.await.unwrap();
            let users = db.users();
            let mut stream = users.stream(&filter);
            let kept = [
                begun(users.count(&filter)),
                begun(users.create(wundr_db::NewUser::new("kept@x", "x"))),
                begun(stream.next()),
                begun(db.transaction(async |tx| tx.users().count(&UserFilter::new()).await)),
                begun(db.health()),
                begun(users.count(&filter)),
            ];
            let others = futures_util::future::join_all((0..8).map(|_| users.count(&filter)));
            let started = Instant::now();
            let ending = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                end.send(()).unwrap();
            };
            let (others, ()) = tokio::join!(others, ending);
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{recycling:?}, {is_closed}"
            );
            for counted in others {
                assert_eq!(counted.unwrap(), 0, "{recycling:?}, {is_closed}");
            }
            assert_eq!(holder.await.unwrap().is_err(), is_closed);
            drop(kept);
        }
    }
}
