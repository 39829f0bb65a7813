//! Calls of one transaction that are awaited together, kept without being polled, or dropped.

use super::*;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use diesel::QueryableByName;
use futures_util::future::try_join_all;
use futures_util::stream;
use tokio::time::timeout;
use wundr_db::testing::{Proxy, ProxyMode};

/// Longer than any of this takes, unless it waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Refuses the commit of a transaction that has made an organization of this name.
pub const REFUSES: &str = "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'integrity_constraint_violation'; END $$; \
     CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON public.organizations \
     DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
     WHEN (NEW.name = 'refused') EXECUTE FUNCTION public.refuse()";

pub fn user(name: impl std::fmt::Display) -> NewUser {
    NewUser::new(format!("{name}@example.org"), "x")
}

fn users(prefix: impl std::fmt::Display, number: usize) -> Vec<NewUser> {
    (0..number).map(|n| user(format!("{prefix}-{n}"))).collect()
}

fn issue(analysis: AnalysisId, title: usize) -> NewAnalysisIssue {
    let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Low);
    NewAnalysisIssue::new(analysis, kind, severity, title.to_string(), "a.rs")
}

async fn new_analysis(db: &Db, name: &str) -> NewAnalysis {
    let owner = db.users().create(user(name)).await.unwrap().id;
    let project = NewProject::new("p", owner);
    let project = db.projects().create(project).await.unwrap().id;
    NewAnalysis::new(project, AnalysisType::Quality, owner)
}

pub fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future until it has begun to wait for the server, and no more.
fn begin<F: Future>(future: Pin<&mut F>) {
    assert!(poll(future).is_pending());
}

/// Polls a future so many times, each time after a moment, and then drops it.
async fn dropped_after<F: Future>(polls: usize, moment: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return Some(output);
        }
        tokio::time::sleep(moment).await;
    }
    None
}

/// A database behind a proxy that lets some time pass between the server's messages.
async fn slow_database() -> (Db, Observer, Proxy, TestDatabase) {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let pause = Duration::from_millis(3);
    proxy.set(ProxyMode::Split { pause, seed: 1 }).unwrap();
    let observer = Observer::of(&database.url());
    (db, observer, proxy, database)
}

/// Held by three mechanisms, of which each is enough: a `COPY` has its transaction to itself, what
/// is dropped leaves a trace, and a `COPY` that is dropped closes its connection.
#[tokio::test]
async fn a_refused_commit_is_an_error_after_a_bulk_insert_was_dropped_beside_a_refusal() {
    let (db, mut observer, _proxy, _database) = slow_database().await;
    observer.run(REFUSES);
    db.users().create(user("taken")).await.unwrap();
    for round in 0..40 {
        let many = users(round, 1_500);
        let outcome = db
            .transaction(async |tx| -> Result<()> {
                let new = NewOrganization::new("refused", format!("o{round}"));
                tx.organizations().create(new).await?;
                let failed = tx
                    .savepoint(async |tx| -> Result<_> {
                        let (some, taken) = (UserId::new(), user("taken"));
                        let users = tx.users();
                        let fails = async {
                            // The refusal comes at any time of the insert.
                            for _ in 0..round % 10 {
                                users.find(some).await?;
                            }
                            users.create(taken).await
                        };
                        tokio::try_join!(fails, users.create_many(&many))
                    })
                    .await;
                assert!(failed.is_err());
                Ok(())
            })
            .await;
        assert!(outcome.is_err(), "round {round}");
        assert_eq!(observer.count("public.organizations"), 0);
        assert_eq!(observer.count("public.users"), 1);
    }
}

#[tokio::test]
async fn a_copy_that_may_have_been_refused_is_never_followed_by_a_commit() {
    let (db, mut observer, _proxy, _database) = slow_database().await;
    // The server refuses each COPY at its start, which it answers twice.
    observer.run("ALTER TABLE public.users RENAME COLUMN avatar_url TO gone");
    observer.run(REFUSES);
    let many = users("u", 1_000);
    let mut ended = 0;
    for round in 0..400 {
        // Dropped after any number of polls, and then not at all: where the second answer is cut
        // off from the next one, it would be taken for that.
        let polls = if ended < 5 { round } else { 1_000 };
        let mut is_done = false;
        let outcome = db
            .transaction(async |tx| -> Result<()> {
                let new = NewOrganization::new("refused", format!("o{round}"));
                tx.organizations().create(new).await?;
                let copied = tx
                    .savepoint(async |tx| -> Result<()> {
                        let moment = Duration::from_millis(polls as u64 % 5);
                        let users = tx.users();
                        let copying = users.create_many(&many);
                        let copied = dropped_after(polls, moment, copying).await;
                        is_done = copied.is_some();
                        copied.unwrap_or(Err(Error::StaleWrite { what: "User" }))?;
                        Ok(())
                    })
                    .await;
                assert!(copied.is_err());
                Ok(())
            })
            .await;
        assert!(outcome.is_err(), "after {polls} polls");
        assert_eq!(observer.count("public.organizations"), 0);
        ended += usize::from(is_done);
        if ended == 60 {
            return;
        }
    }
    panic!("the COPY never ended");
}

#[tokio::test]
async fn what_is_acknowledged_beside_a_unit_is_there_and_what_is_refused_is_not() {
    let (db, mut observer, _database) = database().await;
    let mut refusals = 0;
    for round in 0..40 {
        let (first, second) = (
            new_analysis(&db, &format!("{round}-1")).await,
            new_analysis(&db, &format!("{round}-2")).await,
        );
        let ids = [first.id, second.id];
        // Every other time one of them cannot be stored, and takes back what it has written.
        let is_bad = round % 2 == 0;
        let rows = |id| (0..3).map(move |n| issue(id, n)).collect::<Vec<_>>();
        let (mut bad, good) = (rows(ids[0]), rows(ids[1]));
        if is_bad {
            bad[1].id = bad[0].id;
        }
        let (mut before, mut after) = (false, false);
        let mut units = [false, false];
        db.transaction(async |tx| -> Result<()> {
            let analyses = tx.analyses();
            let one = analyses.ingest(first).issues(bad).run();
            let other = analyses.ingest(second).issues(good).run();
            let create = async |when, late| {
                for _ in 0..late {
                    tokio::task::yield_now().await;
                }
                let new = user(format!("{round}-{when}"));
                tx.users().create(new).await
            };
            let (created, one, other, more) =
                tokio::join!(create("before", 0), one, other, create("after", round % 7));
            (before, after) = (created.is_ok(), more.is_ok());
            units = [one.is_ok(), other.is_ok()];
            for error in [created.err(), one.err(), other.err(), more.err()] {
                match error {
                    Some(Error::InUse { .. }) => refusals += 1,
                    Some(Error::Row { .. }) if is_bad => {}
                    None => {}
                    other => panic!("{other:?}"),
                }
            }
            Ok(())
        })
        .await
        .unwrap();
        for (when, is_there) in [("before", before), ("after", after)] {
            let stored = format!("public.users WHERE email = '{round}-{when}@example.org'");
            assert_eq!(observer.count(&stored), usize::from(is_there), "{when}");
        }
        for (id, is_there) in ids.into_iter().zip(units) {
            let stored = format!("analysis.analyses WHERE id = '{id}'");
            assert_eq!(observer.count(&stored), usize::from(is_there));
        }
    }
    assert!(refusals > 0);
}

#[tokio::test]
async fn bulk_inserts_go_beside_each_other() {
    let (db, mut observer, _database) = database().await;
    db.transaction(async |tx| -> Result<()> {
        let (few, many) = (users("few", 900), users("many", 25_000));
        // The first has begun when the second does, which then is no COPY.
        let repository = tx.users();
        let all = [few.as_slice(), many.as_slice()].map(|rows| repository.create_many(rows));
        assert_eq!(try_join_all(all).await?, [900, 25_000]);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(observer.count("public.users"), 25_900);
}

#[tokio::test]
async fn a_statement_goes_on_beside_a_stream_that_is_kept() {
    const USERS: usize = 3_000;
    let (db, mut observer, _database) = database().await;
    db.users().create_many(&users("u", USERS)).await.unwrap();
    let filter = UserFilter::new();

    let work = db.transaction(async |tx| -> Result<()> {
        let repository = tx.users();
        let mut stream = repository.stream(&filter);
        let mut seen = 0;
        while let Some(user) = stream.next().await {
            repository.touch_last_login(user?.id).await?;
            seen += 1;
        }
        assert_eq!(seen, USERS);
        Ok(())
    });
    timeout(PATIENCE, work).await.expect("waits").unwrap();
    let touched = "public.users WHERE last_login_at IS NOT NULL";
    assert_eq!(observer.count(touched), USERS);

    // Kept since before its first row, and two of them.
    let work = db.transaction(async |tx| -> Result<()> {
        let repository = tx.users();
        let (mut kept, mut other) = (repository.stream(&filter), repository.stream(&filter));
        begin(pin!(kept.next()));
        begin(pin!(other.next()));
        repository.create(user("new")).await?;
        let first = kept.next().await.expect("there are rows")?;
        repository.touch_last_login(first.id).await?;
        assert_eq!(other.count().await, USERS);
        assert_eq!(kept.count().await, USERS - 1);
        Ok(())
    });
    timeout(PATIENCE, work).await.expect("waits").unwrap();

    // One that was left, and a list that was begun and is kept.
    let work = db.transaction(async |tx| -> Result<()> {
        let repository = tx.users();
        let ids: Vec<_> = (0..5_000).map(|_| UserId::new()).collect();
        let mut kept = repository.stream(&filter);
        kept.next().await.expect("there are rows")?;
        let mut list = pin!(repository.find_many(&ids));
        begin(list.as_mut());
        assert!(!repository.exists(UserId::new()).await?);
        drop(kept);
        assert_eq!(list.await?.len(), 5_000);
        Ok(())
    });
    timeout(PATIENCE, work).await.expect("waits").unwrap();
}

#[tokio::test]
async fn a_statement_goes_on_beside_a_query_of_the_connection_that_is_kept() {
    let (db, mut observer, _database) = database().await;
    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        n: i32,
    }
    let work = db.transaction(async |tx| -> Result<()> {
        let many = || diesel::sql_query("SELECT n FROM pg_catalog.generate_series(1, 100000) n");
        let mut rows = Box::pin(many().load_stream::<Number>(tx.connection_mut()).await?);
        let mut other = Box::pin(many().load_stream::<Number>(tx.connection_mut()).await?);
        assert_eq!(rows.next().await.unwrap()?.n, 1);
        tx.users().create(user("ada")).await?;
        let made = tx.savepoint(async |tx| tx.users().create(user("bob")).await);
        made.await?;
        assert_eq!(other.next().await.unwrap()?.n, 1);
        let rest = rows.map(|row| row.unwrap().n).collect::<Vec<_>>().await;
        assert_eq!(rest, (2..=100_000).collect::<Vec<_>>());
        let rest = other.map(|row| row.unwrap().n).collect::<Vec<_>>().await;
        assert_eq!(rest, (2..=100_000).collect::<Vec<_>>());
        // An error that comes behind many rows is not lost when they are read ahead.
        let fails = "SELECT 1 / (5000 - n) AS n FROM pg_catalog.generate_series(1, 9999) n";
        let fails = diesel::sql_query(fails);
        let mut rows = Box::pin(fails.load_stream::<Number>(tx.connection_mut()).await?);
        rows.next().await.unwrap()?;
        assert!(tx.users().exists(UserId::new()).await.is_err());
        let rest = rows.collect::<Vec<_>>().await;
        assert_eq!(rest.len(), 4_999);
        assert!(rest[4_998].is_err());
        Ok(())
    });
    let outcome = timeout(PATIENCE, work).await.expect("waits");
    // The work itself has come to its end: only the division has failed.
    let failed = Some(wundr_db::SqlState::IN_FAILED_TRANSACTION);
    assert!(
        matches!(&outcome, Err(Error::Other { sqlstate, .. }) if *sqlstate == failed),
        "{outcome:?}"
    );
    assert_eq!(observer.count("public.users"), 0);
}

#[tokio::test]
async fn a_unit_goes_on_beside_a_stream_that_is_kept() {
    const USERS: usize = 2_000;
    let (db, mut observer, _database) = database().await;
    let (new, filter) = (new_analysis(&db, "owner").await, UserFilter::new());
    db.users().create_many(&users("u", USERS)).await.unwrap();
    let rows: Vec<_> = (0..1_500).map(|n| issue(new.id, n)).collect();
    let work = db.transaction(async |tx| -> Result<()> {
        let repository = tx.users();
        let mut stream = repository.stream(&filter);
        stream.next().await.expect("there are rows")?;
        tx.analyses().ingest(new).issues(rows).run().await?;
        assert_eq!(stream.count().await, USERS);
        Ok(())
    });
    timeout(PATIENCE, work).await.expect("waits").unwrap();
    assert_eq!(observer.count("analysis.analysis_issues"), 1_500);
}

#[tokio::test]
async fn a_call_beside_a_unit_that_is_kept_fails_immediately() {
    let (db, mut observer, _database) = database().await;
    let new = new_analysis(&db, "owner").await;
    let work = db.transaction(async |tx| -> Result<()> {
        {
            let analyses = tx.analyses();
            let mut ingest = pin!(analyses.ingest(new).run());
            begin(ingest.as_mut());
            let refused = tx.users().create(user("ada")).await;
            assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
            let filter = UserFilter::new();
            let refused = tx.users().stream(&filter).next().await.unwrap();
            assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
            ingest.await?;
        }
        tx.users().create(user("bob")).await?;
        Ok(())
    });
    timeout(PATIENCE, work).await.expect("waits").unwrap();
    assert_eq!(observer.count("analysis.analyses"), 1);
    assert_eq!(observer.count("public.users"), 2);
}

#[tokio::test]
async fn what_was_forgotten_is_not_committed() {
    let (db, mut observer, _database) = database().await;
    let new = new_analysis(&db, "owner").await;
    let outcome = db
        .transaction(async |tx| -> Result<()> {
            let mut ingest = Box::pin(tx.analyses().ingest(new).run());
            begin(ingest.as_mut());
            std::mem::forget(ingest);
            Ok(())
        })
        .await;
    assert!(outcome.unwrap_err().to_string().contains("left unfinished"));
    assert_eq!(observer.count("analysis.analyses"), 0);
}

/// A stream like this panics when it is polled after its end.
#[tokio::test]
async fn a_stream_of_rows_is_not_polled_after_its_end() {
    let (db, mut observer, _database) = database().await;
    for rows in [3, 10_000, 0] {
        let new = new_analysis(&db, &rows.to_string()).await;
        let id = new.id;
        let issues = || {
            stream::unfold(0, move |number| async move {
                (number < rows).then(|| (Ok::<_, Error>(issue(id, number)), number + 1))
            })
        };
        let ingest = db.analyses().ingest(new).issues(Rows::stream(issues()));
        let ingested = ingest.issues(Rows::stream(issues())).run().await.unwrap();
        assert_eq!(ingested.counts.issues, 2 * rows as u64);
        let stored = format!("analysis.analysis_issues WHERE analysis_id = '{id}'");
        assert_eq!(observer.count(&stored), 2 * rows);
    }
}

pub type Kept<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Polls a future once, and keeps it.
pub fn begun<'f, T>(future: impl Future<Output = T> + Send + 'f) -> Kept<'f, T> {
    let mut future = Box::pin(future);
    begin(future.as_mut());
    future
}

/// The driver keeps two parts of a response. With a third, it stops reading from the server until
/// they are taken.
#[tokio::test]
async fn a_statement_goes_on_beside_statements_that_are_kept() {
    const ROUNDS: usize = 12;
    let (db, mut observer, proxy, _database) = slow_database().await;
    let ada = db.users().create(user("ada")).await.unwrap();
    for round in 0..ROUNDS {
        let pause = Duration::from_millis(2);
        let seed = u64::try_from(round).unwrap();
        proxy.set(ProxyMode::Split { pause, seed }).unwrap();
        let work = db.transaction(async |tx| -> Result<()> {
            let users = tx.users();
            let gone = users.create(user(format!("gone-{round}"))).await?.id;
            let (filter, page) = (UserFilter::new(), Page::new().with_total());
            let ids = [ada.id, gone];
            let new = users.create(user(format!("new-{round}")));
            let changes = UserChanges::new().name(round.to_string());
            // Each way in which a result is read. In the first round, all are still to be prepared.
            let kept = (
                begun(users.find(ada.id)),
                begun(new),
                begun(users.update(ada.id, changes)),
                begun(users.delete(gone)),
                begun(users.count(&filter)),
                begun(users.find_many(&ids)),
                begun(users.list(&filter, &page)),
            );
            for other in 0..3 {
                users.create(user(format!("other-{round}-{other}"))).await?;
            }
            assert!(users.exists(ada.id).await?);
            // Each has its own answer, whatever was answered meanwhile. The order of those that are
            // to be prepared is open.
            assert_eq!(kept.0.await?.map(|user| user.id), Some(ada.id));
            let new = kept.1.await?;
            assert_eq!(new.email, format!("new-{round}@example.org"));
            assert_eq!(kept.2.await?.name, round.to_string());
            assert!(kept.3.await?);
            kept.4.await?;
            assert!(kept.5.await?[0].is_some());
            assert!(kept.6.await?.total.is_some());
            Ok(())
        });
        timeout(PATIENCE, work).await.expect("waits").unwrap();
    }
    assert_eq!(observer.count("public.users"), 1 + 4 * ROUNDS);
}

#[tokio::test]
async fn a_transaction_whose_statement_was_kept_to_its_end_is_not_committed() {
    let (db, mut observer, _proxy, _database) = slow_database().await;
    for is_forgotten in [false, true] {
        for round in 0..6 {
            let work = db.transaction(async |tx| -> Result<()> {
                let users = tx.users();
                let kept = begun(users.create(user(format!("kept-{round}"))));
                users.create(user(format!("other-{round}"))).await?;
                if is_forgotten {
                    std::mem::forget(kept);
                }
                Ok(())
            });
            let outcome = timeout(PATIENCE, work).await.expect("waits");
            assert!(outcome.unwrap_err().to_string().contains("left unfinished"));
            // What a savepoint has undone is no longer in doubt.
            let work = db.transaction(async |tx| -> Result<()> {
                let undone: Result<()> = tx
                    .savepoint(async |tx| {
                        let users = tx.users();
                        let kept = begun(users.create(user(format!("kept-{round}"))));
                        users.create(user(format!("other-{round}"))).await?;
                        drop(kept);
                        Ok(())
                    })
                    .await;
                assert!(undone.is_err());
                tx.users()
                    .create(user(format!("{is_forgotten}-{round}")))
                    .await?;
                Ok(())
            });
            timeout(PATIENCE, work).await.expect("waits").unwrap();
        }
    }
    assert_eq!(observer.count("public.users"), 12);
    let kept = "public.users WHERE email ~ '^(kept|other)'";
    assert_eq!(observer.count(kept), 0);
}

/// The transaction is dropped with what is kept, and its connection is replaced.
#[tokio::test]
async fn a_transaction_that_is_dropped_with_statements_that_are_kept_leaves_nothing() {
    let (db, mut observer, _proxy, _database) = slow_database().await;
    for round in 0..6 {
        let mut work = Box::pin(db.transaction(async |tx| -> Result<()> {
            let users = tx.users();
            let kept = begun(users.create(user(format!("kept-{round}"))));
            users.create(user(format!("other-{round}"))).await?;
            std::future::pending::<()>().await;
            drop(kept);
            Ok(())
        }));
        let moment = Duration::from_millis(10 * round);
        assert!(timeout(moment, &mut work).await.is_err());
        drop(work);
        let (users, filter) = (db.users(), UserFilter::new());
        let count = users.count(&filter);
        assert_eq!(timeout(PATIENCE, count).await.expect("waits").unwrap(), 0);
    }
    assert_eq!(observer.count("public.users"), 0);
}
