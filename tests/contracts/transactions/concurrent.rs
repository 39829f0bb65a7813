//! Concurrent statements of one transaction. Each waiter reads for all waiters.

use core::prelude::v1::test;

use super::dropped::polled;
use super::*;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// Longer than any of this takes, unless a waiter is never woken.
const PATIENCE: Duration = Duration::from_secs(30);

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
            // Each of them waits with a waker of its own. Some give up, after one, two or three
            // polls.
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

#[tokio::test]
async fn whoever_is_never_polled_again_leaves_nobody_waiting() {
    let (db, _observer, _database) = database(1).await;
    let outcome = db.transaction(async |tx| -> Result<()> {
        let connection = &*tx.connection_mut();
        let sleep = |time| async move {
            let sleep = format!("SELECT pg_catalog.pg_sleep({time})");
            let mut connection = connection;
            connection.batch_execute(&sleep).await
        };
        let (mut waiting, mut neglected) = (Box::pin(sleep(0.3)), Box::pin(sleep(3600.0)));
        let mut polls = 0;
        let woken = poll_fn(|context| {
            let waiting = waiting.as_mut().poll(context);
            polls += 1;
            // The last one that has begun to wait is not polled again.
            if polls <= 2 {
                let mut unpolled = Context::from_waker(Waker::noop());
                assert!(neglected.as_mut().poll(&mut unpolled).is_pending());
            }
            waiting
        });
        let began = Instant::now();
        let woken = timeout(PATIENCE, woken).await;
        assert!(began.elapsed() < PATIENCE, "woken by the time that is up");
        woken.unwrap()?;
        Err(Error::NotFound {
            what: "reason to commit",
        })
    });
    assert!(matches!(outcome.await, Err(Error::NotFound { .. })));
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
            let (round, unanswered) = (&Barrier::new(4), &AtomicUsize::new(0));
            thread::scope(|scope| {
                for n in 0..4_usize {
                    scope.spawn(move || {
                        for pass in 0..500 {
                            let id = ids[(n * 5 + pass) % ids.len()];
                            let users = tx.users();
                            // Nothing comes after it in a round that would wake the last one by
                            // chance.
                            round.wait();
                            let began = Instant::now();
                            let found = async { timeout(PATIENCE, users.find(id)).await };
                            if let Ok(found) = handle.block_on(found) {
                                assert_eq!(found.unwrap().unwrap().id, id);
                            }
                            // Woken by the time that is up, it has found its answer, too.
                            if began.elapsed() >= PATIENCE {
                                unanswered.fetch_add(1, Ordering::Relaxed);
                            }
                            round.wait();
                            if unanswered.load(Ordering::Relaxed) > 0 {
                                return;
                            }
                        }
                    });
                }
            });
            assert_eq!(unanswered.load(Ordering::Relaxed), 0);
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
        // Its scheduler is not informed that a waiter parks here, so that the next one must be
        // woken immediately.
        Runtime::new().unwrap().block_on(async {
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

/// An iterator always has its next row: read without a pause, it would keep the thread from
/// everybody else.
#[tokio::test]
async fn others_have_their_turns_while_an_iterator_is_read() {
    const ROWS: usize = 2_000;
    let (db, _observer, _database) = database(1).await;
    let owner = NewUser::new("owner@at-once.org", "name");
    let owner = db.users().create(owner).await.unwrap().id;
    let project = NewProject::new("p", owner);
    let project = db.projects().create(project).await.unwrap().id;
    let passes = Arc::new(AtomicUsize::new(0));
    let other = tokio::spawn({
        let passes = Arc::clone(&passes);
        async move {
            loop {
                passes.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut passes_at = Vec::new();

    let new = NewAnalysis::new(project, AnalysisType::Quality, owner);
    let id = new.id;
    let issues = (0..ROWS).map(|number| {
        passes_at.push(AtomicUsize::load(&passes, Ordering::Relaxed));
        let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Low);
        NewAnalysisIssue::new(id, kind, severity, number.to_string(), "a.rs")
    });
    let ingest = db.analyses().ingest(new).issues(issues).run();
    let ingested = ingest.await.unwrap();

    other.abort();
    assert_eq!(ingested.counts.issues, ROWS as u64);
    let between = passes_at[ROWS - 1] - passes_at[0];
    assert!(between >= ROWS / 200, "{between} passes");
}
