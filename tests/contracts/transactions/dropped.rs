//! Futures that are dropped before they are done.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::observer::{ALL_AT_REST, SOMEBODY_WAITS};
use diesel::QueryResult;
use diesel_async::AsyncConnection as _;
use futures_util::{StreamExt, stream};
use tokio::sync::Barrier;

/// Polls a future so many times and then drops it; `None` if it was not done by then.
pub struct Polled<F> {
    future: Pin<Box<F>>,
    times: usize,
}

pub fn polled<F: Future>(times: usize, future: F) -> Polled<F> {
    Polled {
        future: Box::pin(future),
        times,
    }
}

impl<F: Future> Future for Polled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if self.times == 0 {
            return Poll::Ready(None);
        }
        self.times -= 1;
        match self.future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.times == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// More polls than anything here takes.
const MANY: usize = 1000;

fn user(name: impl std::fmt::Display) -> NewUser {
    NewUser::new(format!("{name}@example.org"), "x")
}

/// The only connection of the pool serves a statement and a transaction, and commits by itself.
async fn is_clean(db: &Db, observer: &mut Observer, times: usize) {
    let probe = db.users().create(user(format!("probe {times}"))).await;
    let probe = probe.unwrap().id;
    let stored = format!("public.users WHERE id = '{probe}'");
    assert_eq!(observer.count(&stored), 1, "dropped after {times} polls");
    db.transaction(async |tx| tx.users().delete(probe).await)
        .await
        .unwrap();
    assert_eq!(observer.count(&stored), 0, "dropped after {times} polls");
}

#[tokio::test]
async fn a_transaction_dropped_at_any_await_is_whole_or_absent() {
    let (db, mut observer, _database) = database(1).await;
    for times in 0..MANY {
        let has_worked = AtomicBool::new(false);
        let work = db.transaction(async |tx| -> Result<_> {
            tx.users().create(user(format!("{times}-1"))).await?;
            tx.savepoint(async |tx| -> Result<_> {
                tx.users().create(user(format!("{times}-2"))).await?;
                tx.users().count(&UserFilter::new()).await
            })
            .await?;
            let more = [user(format!("{times}-3")), user(format!("{times}-4"))];
            tx.users().create_many(&more).await?;
            has_worked.store(true, Ordering::Relaxed);
            Ok(())
        });
        let outcome = polled(times, work).await;

        observer.eventually(ALL_AT_REST).await;
        let rows = observer.count(&format!("public.users WHERE email LIKE '{times}-%'"));
        let asked_to_commit = has_worked.into_inner();
        match (&outcome, rows) {
            (Some(Ok(())), 4) | (None, 0) => {}
            (None, 4) if asked_to_commit => {}
            _ => panic!("{rows} rows after {times} polls, {outcome:?}"),
        }
        is_clean(&db, &mut observer, times).await;
        if outcome.is_some() {
            assert!(times > 10, "done after {times} polls");
            return;
        }
    }
    panic!("not done after {MANY} polls");
}

#[tokio::test]
async fn a_copy_dropped_at_any_await_is_whole_or_absent() {
    let (db, mut observer, _database) = database(1).await;
    let mut first_whole = None;
    for times in 0..MANY {
        let users: Vec<_> = (0..1_000).map(|n| user(format!("{times}-{n}"))).collect();
        let outcome = polled(times, db.users().create_many(&users)).await;

        observer.eventually(ALL_AT_REST).await;
        let rows = observer.count(&format!("public.users WHERE email LIKE '{times}-%'"));
        match (&outcome, rows) {
            (Some(Ok(1_000)), 1_000) | (None, 0) => {}
            (None, 1_000) => _ = first_whole.get_or_insert(times),
            _ => panic!("{rows} rows after {times} polls, {outcome:?}"),
        }
        is_clean(&db, &mut observer, times).await;
        if outcome.is_some() {
            assert!(times > 5, "done after {times} polls");
            // Only a drop while the reply to the COMMIT is awaited. The reply may come in parts,
            // and the runs differ by a poll or two.
            let after_commit = times - first_whole.unwrap_or(times);
            assert!(after_commit <= 5, "{after_commit} of {times} polls");
            return;
        }
    }
    panic!("not done after {MANY} polls");
}

#[tokio::test]
async fn a_statement_dropped_at_any_await_leaves_a_clean_connection() {
    let (db, mut observer, _database) = database(1).await;
    for times in 0..MANY {
        let outcome = polled(times, db.users().create(user(times))).await;
        observer.eventually(ALL_AT_REST).await;
        is_clean(&db, &mut observer, times).await;
        if let Some(outcome) = outcome {
            outcome.unwrap();
            assert!(times > 1, "done after {times} polls");
            return;
        }
    }
    panic!("not done after {MANY} polls");
}

#[tokio::test]
async fn an_actor_and_an_organization_of_a_dropped_write_reach_no_other_call() {
    const IS_UNSET: &str = "DO $$ BEGIN \
        IF pg_catalog.concat(pg_catalog.current_setting('wundr.organization', true), \
            pg_catalog.current_setting('wundr.actor', true)) <> '' \
        THEN RAISE EXCEPTION 'a setting is left'; END IF; END $$";
    let (db, mut observer, database) = database(1).await;
    let (eve, ada) = (user("eve"), user("ada"));
    let eve = db.users().create(eve).await.unwrap().id;
    let ada = db.users().create(ada).await.unwrap().id;
    let owner = Config::new(&database.url()).unwrap();
    audit::watch(&owner, Table::Users, &["name"]).await.unwrap();
    let acting = db.acting_as(Actor {
        user: Some(ada),
        ..Default::default()
    });
    let acting = acting.for_organization(OrganizationId::new());
    for times in 0..MANY {
        let name = |by: &str| UserChanges::new().name(format!("{by} {times}"));
        let outcome = polled(times, acting.users().update(eve, name("ada"))).await;
        observer.eventually(ALL_AT_REST).await;
        db.users().update(eve, name("none")).await.unwrap();
        let unset: Result<()> = db
            .transaction(async |tx| Ok(tx.connection_mut().batch_execute(IS_UNSET).await?))
            .await;
        unset.unwrap();
        if let Some(outcome) = outcome {
            outcome.unwrap();
            assert!(times > 1, "done after {times} polls");
            let wrong = "audit.audit_logs WHERE resource_type = 'user' \
                AND (new_values ->> 'name' LIKE 'ada %') IS DISTINCT FROM (user_id IS NOT NULL)";
            assert_eq!(observer.count(wrong), 0);
            assert!(observer.count("audit.audit_logs WHERE user_id IS NOT NULL") > 0);
            return;
        }
    }
    panic!("not done after {MANY} polls");
}

#[tokio::test]
async fn a_stream_dropped_after_any_row_leaves_a_clean_connection() {
    let (db, mut observer, _database) = database(1).await;
    let many: Vec<_> = (0..2_000).map(user).collect();
    db.users().create_many(&many).await.unwrap();

    for rows in [0, 1, 2, 100, 127, 128, 129, 130, 1_999, 2_000] {
        let (users, filter) = (db.users(), UserFilter::new());
        let taken = users.stream(&filter).take(rows).collect::<Vec<_>>().await;
        assert_eq!(taken.len(), rows);
        assert!(taken.iter().all(|row| row.is_ok()));
        observer.eventually(ALL_AT_REST).await;
        is_clean(&db, &mut observer, rows).await;
    }
    let all = db.users().stream(&UserFilter::new()).count().await;
    assert_eq!(all, 2_000);
}

#[tokio::test]
async fn a_savepoint_dropped_at_any_await_forbids_the_commit() {
    let (db, mut observer, _database) = database(1).await;
    for times in 0..MANY {
        let mut done = false;
        let outcome = db
            .transaction(async |tx| -> Result<_> {
                tx.users().create(user(format!("{times}-1"))).await?;
                let inner = tx.savepoint(async |tx| -> Result<_> {
                    tx.users().create(user(format!("{times}-2"))).await?;
                    tx.users().create(user(format!("{times}-3"))).await
                });
                done = polled(times, inner).await.is_some();
                // Whatever comes next does not change it.
                if times % 2 == 1 {
                    let _ = tx
                        .savepoint(async |tx| tx.users().create(user(format!("{times}-4"))).await)
                        .await;
                }
                Ok(())
            })
            .await;

        let expected = match (times, done) {
            (0, _) => 1,
            (_, false) => 0,
            (_, true) => 3 + times % 2,
        };
        observer.eventually(ALL_AT_REST).await;
        let rows = observer.count(&format!("public.users WHERE email LIKE '{times}-%'"));
        assert_eq!(rows, expected, "after {times} polls: {outcome:?}");
        assert_eq!(outcome.is_err(), expected == 0, "after {times} polls");
        is_clean(&db, &mut observer, times).await;
        if done {
            assert!(times > 3, "done after {times} polls");
            return;
        }
    }
    panic!("not done after {MANY} polls");
}

#[tokio::test]
async fn a_statement_dropped_inside_a_transaction_forbids_the_commit() {
    let (db, mut observer, _database) = database(1).await;
    db.users().create(user("taken")).await.unwrap();

    // Sent, refused by the server, and not observed: COMMIT alone would report success and store
    // nothing.
    let outcome = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(user("ada")).await?;
            let users = tx.users();
            assert!(polled(1, users.create(user("taken"))).await.is_none());
            Ok(())
        })
        .await;
    assert!(outcome.unwrap_err().to_string().contains("left unfinished"));
    assert_eq!(observer.count("public.users"), 1);

    // What a savepoint has undone is no longer in doubt.
    db.transaction(async |tx| -> Result<_> {
        tx.users().create(user("ada")).await?;
        let undone: Result<()> = tx
            .savepoint(async |tx| -> Result<_> {
                let users = tx.users();
                assert!(polled(1, users.create(user("bob"))).await.is_none());
                Ok(())
            })
            .await;
        assert!(undone.is_err());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(observer.count("public.users"), 2);
}

#[tokio::test]
async fn a_stream_may_be_left_inside_a_transaction() {
    let (db, mut observer, _database) = database(1).await;
    let many: Vec<_> = (0..1_000).map(user).collect();
    db.users().create_many(&many).await.unwrap();

    db.transaction(async |tx| -> Result<_> {
        let (users, filter) = (tx.users(), UserFilter::new());
        let first = users
            .stream(&filter)
            .next()
            .await
            .expect("there are rows")?;
        tx.users().delete(first.id).await?;
        Ok(())
    })
    .await
    .unwrap();

    assert_eq!(observer.count("public.users"), 999);
}

#[tokio::test]
async fn a_dropped_statement_ends_in_the_server() {
    let (db, mut observer, database) = database(2).await;
    let mut lock = Observer::of(&database.url());
    lock.run("BEGIN; LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE");

    let alone = tokio::spawn({
        let db = db.clone();
        async move { db.users().find(UserId::new()).await }
    });
    observer.eventually(SOMEBODY_WAITS).await;
    alone.abort();
    observer.eventually(&format!("NOT {SOMEBODY_WAITS}")).await;

    let in_transaction = tokio::spawn({
        let db = db.clone();
        async move {
            db.transaction(async |tx| -> Result<_> {
                let slow = diesel::sql_query("SELECT pg_sleep(30)");
                slow.execute(tx.connection_mut()).await?;
                Ok(())
            })
            .await
        }
    });
    let sleeps = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')";
    observer.eventually(sleeps).await;
    in_transaction.abort();
    observer.eventually(&format!("NOT {sleeps}")).await;

    // An error does not have to wait for a statement that its transaction has given up, either.
    let given_up = db
        .transaction(async |tx| -> Result<()> {
            let users = tx.users();
            let waiting = users.find(UserId::new());
            let waits = observer.eventually(SOMEBODY_WAITS);
            futures_util::future::select(waiting, std::pin::pin!(waits)).await;
            Err(Error::StaleWrite { what: "User" })
        })
        .await;
    assert!(matches!(given_up, Err(Error::StaleWrite { .. })));
    observer.eventually(&format!("NOT {SOMEBODY_WAITS}")).await;
    lock.run("ROLLBACK");
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_deadlock_is_tried_again_in_spawned_tasks_and_both_succeed() {
    let (db, mut observer, _database) = database(2).await;
    let ada = db.users().create(user("ada")).await.unwrap().id;
    let bob = db.users().create(user("bob")).await.unwrap().id;
    let both_hold_one = Arc::new(Barrier::new(2));
    let tries = Arc::new(AtomicU32::new(0));

    let tasks = [(ada, bob), (bob, ada)].map(|(first, second)| {
        let (db, both_hold_one, tries) = (db.clone(), both_hold_one.clone(), tries.clone());
        tokio::spawn(async move {
            let attempt = AtomicU32::new(0);
            db.transaction_retrying(
                &TransactionOptions::new(),
                &Retry::default(),
                async |tx: &mut Tx| -> Result<_> {
                    tries.fetch_add(1, Ordering::Relaxed);
                    tx.users()
                        .update(first, UserChanges::new().name("y"))
                        .await?;
                    if attempt.fetch_add(1, Ordering::Relaxed) == 0 {
                        both_hold_one.wait().await;
                    }
                    tx.users()
                        .update(second, UserChanges::new().name("y"))
                        .await
                },
            )
            .await
        })
    });
    for task in tasks {
        task.await.unwrap().unwrap();
    }

    // The one that tries again may lock its first row before the other one is woken, and so meet
    // another deadlock.
    assert!(AtomicU32::load(&tries, Ordering::Relaxed) >= 3);
    assert_eq!(observer.count("public.users WHERE name = 'y'"), 2);
}

#[tokio::test]
async fn an_ingest_dropped_at_any_await_is_whole_or_forbids_the_commit() {
    let (db, mut observer, _database) = database(1).await;
    let owner = db.users().create(user("owner")).await.unwrap().id;
    let project = db
        .projects()
        .create(NewProject::new("p", owner))
        .await
        .unwrap()
        .id;
    for times in 0..MANY {
        let new = NewAnalysis::new(project, AnalysisType::Quality, owner);
        let id = new.id;
        let issues = stream::iter(0..3).then(async |number| {
            tokio::task::yield_now().await;
            let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Low);
            let title = format!("{number}");
            Ok::<_, Error>(NewAnalysisIssue::new(id, kind, severity, title, "a.rs"))
        });
        let mut done = false;
        let outcome = db
            .transaction(async |tx| -> Result<_> {
                let ingest = tx.analyses().ingest(new).issues(Rows::stream(issues));
                done = polled(times, ingest.run()).await.transpose()?.is_some();
                Ok(())
            })
            .await;

        observer.eventually(ALL_AT_REST).await;
        let rows = observer.count(&format!(
            "analysis.analysis_issues WHERE analysis_id = '{id}'"
        ));
        let analyses = observer.count(&format!("analysis.analyses WHERE id = '{id}'"));
        match (&outcome, analyses, rows) {
            (Ok(()), 1, 3) if done => {}
            (Ok(()), 0, 0) if times == 0 => {}
            (Err(_), 0, 0) if !done => {}
            _ => panic!("{rows} rows after {times} polls, {outcome:?}"),
        }
        is_clean(&db, &mut observer, times).await;
        if done {
            assert!(times > 10, "done after {times} polls");
            return;
        }
    }
    panic!("not done after {MANY} polls");
}

#[tokio::test]
async fn a_page_with_its_total_dropped_at_any_await_leaves_a_clean_connection() {
    let (db, mut observer, _database) = database(1).await;
    let (everyone, page) = (UserFilter::new(), Page::new().with_total());
    // Once with its statements still to be prepared, then with both of them sent together.
    for times in 0..MANY {
        let users = db.users();
        let outcome = polled(times, users.list(&everyone, &page)).await;
        observer.eventually(ALL_AT_REST).await;
        is_clean(&db, &mut observer, times).await;
        if let Some(outcome) = outcome {
            assert_eq!(outcome.unwrap().total, Some(0));
            assert!(times > 2, "done after {times} polls");
            return;
        }
    }
    panic!("not done after {MANY} polls");
}

#[tokio::test]
async fn a_dropped_page_with_its_total_ends_in_the_server() {
    let (db, mut observer, database) = database(1).await;
    let (everyone, page) = (UserFilter::new(), Page::new().with_total());
    // With its statements prepared, both of them are on their way when one has to wait.
    for _ in 0..2 {
        let absent = db.users().list(&everyone, &page).await;
        assert_eq!(absent.unwrap().total, Some(0));
    }
    let mut lock = Observer::of(&database.url());
    lock.run("BEGIN; LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE");

    let waiting = tokio::spawn({
        let (db, everyone, page) = (db.clone(), everyone.clone(), page.clone());
        async move { db.users().list(&everyone, &page).await }
    });
    observer.eventually(SOMEBODY_WAITS).await;
    waiting.abort();
    observer.eventually(&format!("NOT {SOMEBODY_WAITS}")).await;
    let projects = db.projects().count(&ProjectFilter::new()).await;
    assert_eq!(projects.unwrap(), 0);
    lock.run("ROLLBACK");
}

fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    future.poll(&mut context).is_pending()
}

/// The caller's own transactions on the lent connection, dropped after any number of polls.
#[tokio::test]
async fn a_transaction_of_diesel_that_is_dropped_is_in_the_way_of_the_commit() {
    for polls in 0..6 {
        let (db, mut observer, _database) = database(1).await;
        let outcome = db
            .transaction(async |tx| -> Result<()> {
                tx.users().create(user("ada")).await?;
                {
                    let connection = tx.connection_mut();
                    let work = async |_: &mut Connection| -> QueryResult<()> {
                        std::future::pending().await
                    };
                    let mut dropped = pin!(connection.transaction(work));
                    for _ in 0..polls {
                        assert!(is_pending(dropped.as_mut()));
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
                let later = tx.savepoint(async |tx| tx.users().create(user("bob")).await);
                assert_eq!(later.await.is_ok(), polls == 0, "after {polls} polls");
                Ok(())
            })
            .await;
        let expected = if polls == 0 { 2 } else { 0 };
        assert_eq!(outcome.is_ok(), polls == 0, "after {polls} polls");
        assert_eq!(observer.count("public.users"), expected);
        db.users().create(user("eve")).await.unwrap();
        assert_eq!(observer.count("public.users"), expected + 1);
    }
}
