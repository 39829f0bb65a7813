//! Statements of one transaction that are waited for at once. Whoever waits reads for all who wait.

use super::dropped::polled;
use super::*;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longer than any of this takes, unless somebody is never woken.
const PATIENCE: Duration = Duration::from_secs(60);

async fn users(tx: &Tx, number: usize) -> Result<Vec<UserId>> {
    let new = |n| NewUser::new(format!("{n}@at-once.org"), "name");
    let created = (0..number).map(|n| async move { tx.users().create(new(n)).await });
    let created = futures_util::future::join_all(created).await;
    created.into_iter().map(|user| Ok(user?.id)).collect()
}

#[tokio::test]
async fn whoever_gives_up_leaves_nobody_waiting() {
    let (db, _observer, _database) = database(1).await;
    for round in 0..40_usize {
        let outcome = db.transaction(async |tx| -> Result<()> {
            let ids = users(tx, 60).await?;
            let users = tx.users();
            // Each of them waits with a waker of its own. Some give up, after one, two or three polls.
            let waiting: FuturesUnordered<_> = ids
                .iter()
                .enumerate()
                .map(|(index, id)| {
                    let gives_up = (index * 7 + round * 3) % 5 < 2 || index + 1 == ids.len();
                    let polls = if gives_up {
                        1 + (index + round) % 3
                    } else {
                        usize::MAX
                    };
                    let finding = polled(polls, users.find(*id));
                    async move { (gives_up, *id, finding.await) }
                })
                .collect();
            let answers: Vec<_> = timeout(PATIENCE, waiting.collect()).await.unwrap();
            for (gives_up, id, answer) in answers {
                match answer {
                    Some(answer) => assert_eq!(answer?.unwrap().id, id, "round {round}"),
                    None => assert!(gives_up, "round {round}"),
                }
            }
            Err(Error::NotFound {
                what: "reason to commit",
            })
        });
        assert!(matches!(outcome.await, Err(Error::NotFound { .. })));
    }
}

#[test]
fn many_threads_wait_on_one_connection() {
    let runtime = Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    runtime.block_on(async {
        let (db, _observer, _database) = database(1).await;
        db.transaction(async |tx| -> Result<()> {
            let ids = users(tx, 16).await?;
            let (tx, ids, handle) = (&*tx, &ids, &handle);
            thread::scope(|scope| {
                for n in 0..4_usize {
                    scope.spawn(move || {
                        for turn in 0..500 {
                            let id = ids[(n * 5 + turn) % ids.len()];
                            let users = tx.users();
                            let found = async { timeout(PATIENCE, users.find(id)).await };
                            let found = handle.block_on(found).expect("nobody was woken");
                            assert_eq!(found.unwrap().unwrap().id, id);
                        }
                    });
                }
            });
            Ok(())
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_task_that_has_had_its_share_gives_way() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let (db, _observer, _database) = database(1).await;
            db.transaction(async |tx| -> Result<()> {
                let ids = users(tx, 1).await?;
                // Whatever is left of the share of a task, down to nothing.
                for used in 100..130 {
                    tokio::task::yield_now().await;
                    for _ in 0..used {
                        tokio::task::coop::consume_budget().await;
                    }
                    assert!(tx.users().find(ids[0]).await?.is_some());
                }
                Ok(())
            })
            .await
            .unwrap();
        });
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(PATIENCE)
        .expect("it goes on without an end");
}
