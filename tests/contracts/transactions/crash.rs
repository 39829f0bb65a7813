//! Servers that die, and sessions that are ended by others.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::observer::Observer;
use wundr_db::testing::{PostgresServer, TestDatabase};
use wundr_db::{Config, Error, NewUser, Recycling, Result, UserFilter, blocking};

/// A server of the test's own, which keeps what it has acknowledged.
fn server() -> (PostgresServer, TestDatabase, Config) {
    let server = PostgresServer::builder().fsync(true).start().unwrap();
    let database = server.create_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    blocking::migrations::up(&config).unwrap();
    (server, database, config)
}

fn pair(number: u32) -> [NewUser; 2] {
    ["a", "b"].map(|half| NewUser::new(format!("{number}{half}@x"), number.to_string()))
}

/// Every acknowledged pair is there, and no half of any other.
fn check_pairs(database: &TestDatabase, acknowledged: &[u32]) {
    let mut observer = Observer::of(&database.url());
    let halves = observer.ask(
        "SELECT count(*) FROM (SELECT FROM public.users GROUP BY name HAVING count(*) <> 2) half",
    );
    assert_eq!(halves, "0");
    for number in acknowledged {
        let rows = observer.count(&format!("public.users WHERE name = '{number}'"));
        assert_eq!(rows, 2, "pair {number} was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_survives_the_server_in_the_async_engine() {
    use wundr_db::{Db, UserRepository};
    let (server, database, config) = server();
    let db = Db::connect(config.max_connections(4)).await.unwrap();

    let killed = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(NewUser::new("0@x", "0")).await?;
            server.kill().unwrap();
            tx.users().create(NewUser::new("1@x", "0")).await
        })
        .await;
    assert!(
        matches!(killed, Err(Error::Connection { .. })),
        "{killed:?}"
    );
    let down = db.users().count(&UserFilter::new()).await;
    assert!(matches!(down, Err(Error::Connection { .. })), "{down:?}");
    server.restart().unwrap();
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);

    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let next = Arc::new(AtomicU32::new(1));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (db, acknowledged, next) = (db.clone(), acknowledged.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let outcome = db
                        .transaction(async |tx| -> Result<_> {
                            for half in pair(number) {
                                tx.users().create(half).await?;
                            }
                            Ok(())
                        })
                        .await;
                    match outcome {
                        Ok(()) => acknowledged.lock().unwrap().push(number),
                        Err(error) => return error,
                    }
                }
            })
        })
        .collect();
    while acknowledged.lock().unwrap().len() < 40 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.kill().unwrap();
    for writer in writers {
        let error = writer.await.unwrap();
        assert!(matches!(error, Error::Connection { .. }), "{error:?}");
    }
    server.restart().unwrap();
    db.users().create(NewUser::new("z1@x", "z")).await.unwrap();
    db.users().create(NewUser::new("z2@x", "z")).await.unwrap();
    check_pairs(&database, &acknowledged.lock().unwrap());
}

#[test]
fn what_is_acknowledged_survives_the_server_in_the_blocking_engine() {
    use wundr_db::blocking::{Db, UserRepository};
    let (server, database, config) = server();
    let db = Db::connect(config.max_connections(4)).unwrap();

    let killed = db.transaction(|tx| -> Result<_> {
        tx.users().create(NewUser::new("0@x", "0"))?;
        server.kill().unwrap();
        tx.users().create(NewUser::new("1@x", "0"))
    });
    assert!(
        matches!(killed, Err(Error::Connection { .. })),
        "{killed:?}"
    );
    let down = db.users().count(&UserFilter::new());
    assert!(matches!(down, Err(Error::Connection { .. })), "{down:?}");
    server.restart().unwrap();
    assert_eq!(db.users().count(&UserFilter::new()).unwrap(), 0);

    let acknowledged = Mutex::new(Vec::new());
    let next = AtomicU32::new(1);
    let write = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let outcome = db.transaction(|tx| -> Result<_> {
                for half in pair(number) {
                    tx.users().create(half)?;
                }
                Ok(())
            });
            match outcome {
                Ok(()) => acknowledged.lock().unwrap().push(number),
                Err(error) => return error,
            }
        }
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
        while acknowledged.lock().unwrap().len() < 40 {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill().unwrap();
        for writer in writers {
            let error = writer.join().unwrap();
            assert!(matches!(error, Error::Connection { .. }), "{error:?}");
        }
    });
    server.restart().unwrap();
    db.users().create(NewUser::new("z1@x", "z")).unwrap();
    db.users().create(NewUser::new("z2@x", "z")).unwrap();
    check_pairs(&database, &acknowledged.lock().unwrap());
}

const IDLE_CONNECTIONS: u32 = 3;

/// Ends every session but the observer's, and returns their number.
fn end_sessions(observer: &mut Observer) -> u32 {
    let ended = observer.ask(
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    ended.parse().unwrap()
}

#[tokio::test]
async fn ended_sessions_are_replaced_in_the_async_engine() {
    use wundr_db::{Db, UserRepository};
    for (recycling, failures_of_each) in [(Recycling::Fast, 1), (Recycling::Verified, 0)] {
        let database = wundr_db::testing::migrated_database().unwrap();
        let config = Config::new(&database.url()).unwrap().recycling(recycling);
        // No more than are held: one that is being opened when the sessions end would be refused.
        let config = config.max_connections(IDLE_CONNECTIONS);
        let db = Db::connect(config).await.unwrap();
        let all_hold_one = Arc::new(tokio::sync::Barrier::new(IDLE_CONNECTIONS as usize));
        let hold = || async {
            let work = (0..IDLE_CONNECTIONS).map(|_| {
                db.transaction(async |tx| -> Result<_> {
                    all_hold_one.wait().await;
                    tx.users().count(&UserFilter::new()).await
                })
            });
            futures_util::future::try_join_all(work).await.unwrap();
        };
        hold().await;
        let ended = end_sessions(&mut Observer::of(&database.url()));
        assert!(ended >= IDLE_CONNECTIONS);
        let mut failures = 0;
        for _ in 0..3 * ended {
            match db.users().count(&UserFilter::new()).await {
                Ok(0) => {}
                Err(Error::Connection { .. }) => failures += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(
            failures <= failures_of_each * ended,
            "{failures} with {recycling:?}"
        );
        hold().await;
    }
}

#[tokio::test]
async fn an_ended_session_is_noticed_before_it_is_used_in_the_async_engine() {
    use wundr_db::{Db, UserRepository};
    let database = wundr_db::testing::migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    assert_eq!(end_sessions(&mut Observer::of(&database.url())), 1);
    // With the response to this one the runtime receives that end.
    Db::connect_to(&database.url()).await.unwrap();
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
}

#[test]
fn ended_sessions_are_replaced_in_the_blocking_engine() {
    use wundr_db::blocking::{Db, UserRepository};
    for (recycling, failures_of_each) in [(Recycling::Fast, 1), (Recycling::Verified, 0)] {
        let database = wundr_db::testing::migrated_database().unwrap();
        let config = Config::new(&database.url()).unwrap().recycling(recycling);
        // No more than are held: one that is being opened when the sessions end would be refused.
        let config = config.max_connections(IDLE_CONNECTIONS);
        let db = Db::connect(config).unwrap();
        let all_hold_one = std::sync::Barrier::new(IDLE_CONNECTIONS as usize);
        let hold = || {
            std::thread::scope(|scope| {
                for _ in 0..IDLE_CONNECTIONS {
                    scope.spawn(|| {
                        db.transaction(|tx| -> Result<_> {
                            all_hold_one.wait();
                            tx.users().count(&UserFilter::new())
                        })
                        .unwrap();
                    });
                }
            });
        };
        hold();
        let ended = end_sessions(&mut Observer::of(&database.url()));
        assert!(ended >= IDLE_CONNECTIONS);
        let mut failures = 0;
        for _ in 0..3 * ended {
            match db.users().count(&UserFilter::new()) {
                Ok(0) => {}
                Err(Error::Connection { .. }) => failures += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(
            failures <= failures_of_each * ended,
            "{failures} with {recycling:?}"
        );
        hold();
    }
}
