use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::observer::ALL_AT_REST;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use wundr_db::{
    Change, Error, Isolation, NewUser, Result, Retry, Retryable, TransactionOptions, UserChanges,
    UserFilter, UserId,
};

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

/// The text of an SQL expression.
#[both_engines]
async fn ask(tx: &mut Tx, expression: &str) -> Result<String> {
    let question = diesel::sql_query(format!("SELECT ({expression})::text AS answer"));
    let answer: Answer = question.get_result(tx.connection_mut()).await?;
    Ok(answer.answer)
}

/// Checks whether an error is that of a transaction which was undone because a part of it had
/// failed.
fn is_undone(error: &Error) -> bool {
    matches!(error, Error::Other { sqlstate: Some(state), .. } if state.as_str() == "25P02")
}

fn user(name: &str) -> NewUser {
    NewUser::new(format!("{name}@example.org"), name)
}

#[both_engines]
#[case]
async fn all_of_it_is_stored_or_nothing() {
    let (db, mut observer, _database) = database(1).await;

    let stored = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(user("ada")).await?;
            tx.users().create(user("bob")).await?;
            tx.users().count(&UserFilter::new()).await
        })
        .await;
    assert_eq!(stored.unwrap(), 2);
    assert_eq!(observer.count("public.users"), 2);

    let refused = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(user("eve")).await?;
            Err::<(), _>(Error::StaleWrite { what: "User" })
        })
        .await;
    assert!(matches!(refused, Err(Error::StaleWrite { .. })));
    let failed = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(user("eve")).await?;
            tx.users().create(user("ada")).await
        })
        .await;
    assert!(matches!(failed, Err(Error::Unique(_))));
    assert_eq!(observer.count("public.users"), 2);
    assert_eq!(observer.ask(ALL_AT_REST), "true");
}

#[both_engines]
#[case]
async fn a_swallowed_error_stores_nothing_and_is_told() {
    let (db, mut observer, _database) = database(1).await;

    let swallowed = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(user("ada")).await?;
            let _ = tx.users().create(user("ada")).await;
            Ok(())
        })
        .await;
    assert!(is_undone(&swallowed.unwrap_err()));
    let on_the_connection = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(user("ada")).await?;
            let _ = tx.connection_mut().batch_execute("SELECT 1/0").await;
            Ok(())
        })
        .await;
    assert!(is_undone(&on_the_connection.unwrap_err()));
    assert_eq!(observer.count("public.users"), 0);

    let missing_row = db
        .transaction(async |tx| -> Result<_> {
            tx.users().create(user("ada")).await?;
            assert_eq!(tx.users().find(UserId::new()).await?, None);
            let _ = tx
                .users()
                .update(UserId::new(), UserChanges::new().name("nobody"))
                .await;
            Ok(())
        })
        .await;
    missing_row.expect("no statement has failed");
    assert_eq!(observer.count("public.users"), 1);
}

#[both_engines]
#[case]
async fn a_savepoint_fails_alone() {
    let (db, mut observer, _database) = database(1).await;

    db.transaction(async |tx| -> Result<_> {
        tx.users().create(user("outer")).await?;
        let kept = tx
            .savepoint(async |tx| tx.users().create(user("kept")).await)
            .await?;
        let refused = tx
            .savepoint(async |tx| -> Result<_> {
                tx.users().create(user("gone")).await?;
                Err::<(), _>(Error::StaleWrite { what: "User" })
            })
            .await;
        assert!(matches!(refused, Err(Error::StaleWrite { .. })));
        let failed = tx
            .savepoint(async |tx| -> Result<_> {
                tx.users().create(user("gone")).await?;
                tx.users().create(user("outer")).await
            })
            .await;
        assert!(matches!(failed, Err(Error::Unique(_))));
        let swallowed = tx
            .savepoint(async |tx| -> Result<_> {
                tx.users().create(user("gone")).await?;
                let _ = tx.users().create(user("outer")).await;
                Ok(())
            })
            .await;
        assert!(is_undone(&swallowed.unwrap_err()));
        let nested = tx
            .savepoint(async |tx| -> Result<_> {
                tx.users().create(user("first level")).await?;
                let second = tx
                    .savepoint(async |tx| -> Result<_> {
                        tx.users().create(user("gone")).await?;
                        tx.savepoint(async |tx| tx.users().create(user("gone too")).await)
                            .await?;
                        Err::<(), _>(Error::StaleWrite { what: "User" })
                    })
                    .await;
                assert!(second.is_err());
                Ok(())
            })
            .await;
        nested?;
        tx.users()
            .update(kept.id, UserChanges::new().avatar_url(Change::Clear))
            .await?;
        Ok(())
    })
    .await
    .unwrap();

    let names = observer.ask("SELECT string_agg(name, ', ' ORDER BY name) FROM public.users");
    assert_eq!(names, "first level, kept, outer");
}

#[both_engines]
#[case]
async fn options_are_in_force_in_their_transaction_alone() {
    let (db, _observer, _database) = database(1).await;
    let settings = "concat_ws(' ', current_setting('transaction_isolation'), \
                    current_setting('transaction_read_only'), current_setting('transaction_deferrable'))";
    let new = TransactionOptions::new;
    let expected = [
        (new(), "read committed off off"),
        (
            new().isolation(Isolation::ReadCommitted).read_only(),
            "read committed on off",
        ),
        (
            new().isolation(Isolation::RepeatableRead),
            "repeatable read off off",
        ),
        (
            new()
                .isolation(Isolation::Serializable)
                .read_only()
                .deferrable(),
            "serializable on on",
        ),
        (new(), "read committed off off"),
    ];
    for (options, expected) in expected {
        let found = db
            .transaction_with(&options, async |tx| ask(tx, settings).await)
            .await;
        assert_eq!(found.unwrap(), expected);
    }

    let written = db
        .transaction_with(&new().read_only(), async |tx| -> Result<_> {
            tx.users().create(user("ada")).await
        })
        .await;
    assert!(matches!(written, Err(Error::ReadOnly)), "{written:?}");
}

#[both_engines]
#[case]
async fn write_skew_is_tried_again_and_resolved() {
    let (db, mut observer, _database) = database(2).await;
    let on_call = UserFilter::new().is_active(true);
    let ada = db.users().create(user("ada")).await.unwrap().id;
    let bob = db.users().create(user("bob")).await.unwrap().id;
    let options = TransactionOptions::new().isolation(Isolation::Serializable);
    let tries = AtomicU32::new(0);

    // Each may leave if another stays. Both see two, unless one of them has to look again.
    let left = db
        .transaction_retrying(&options, &Retry::default(), async |tx| -> Result<_> {
            let others = tx.users().count(&on_call).await?;
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                db.transaction_with(&options, async |tx| -> Result<_> {
                    assert_eq!(tx.users().count(&on_call).await?, 2);
                    tx.users().set_active(bob, false).await
                })
                .await?;
            }
            if others > 1 {
                tx.users().set_active(ada, false).await?;
            }
            Ok(others > 1)
        })
        .await
        .unwrap();

    assert!(!left);
    assert_eq!(tries.into_inner(), 2);
    assert_eq!(observer.count("public.users WHERE is_active"), 1);
}

/// An error of the application's.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Database(#[from] Error),
    #[error("not now")]
    Busy,
}

impl Retryable for Refusal {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Database(error) => error.is_retryable(),
            Self::Busy => true,
        }
    }
}

#[both_engines]
#[case]
async fn tries_are_bounded_and_other_errors_are_final() {
    let (db, _observer, _database) = database(1).await;
    let retry = Retry::default()
        .attempts(3)
        .first_wait(Duration::from_millis(1))
        .longest_wait(Duration::from_millis(2));
    let options = TransactionOptions::new();
    let tries = AtomicU32::new(0);

    let busy = db
        .transaction_retrying(&options, &retry, async |tx| -> Result<(), Refusal> {
            tries.fetch_add(1, Ordering::Relaxed);
            tx.users().create(user("ada")).await?;
            Err(Refusal::Busy)
        })
        .await;
    assert!(matches!(busy, Err(Refusal::Busy)));
    assert_eq!(tries.swap(0, Ordering::Relaxed), 3);

    let final_error = db
        .transaction_retrying(&options, &retry, async |tx| -> Result<(), Refusal> {
            tries.fetch_add(1, Ordering::Relaxed);
            tx.users().create(user("ada")).await?;
            tx.users().create(user("ada")).await?;
            Ok(())
        })
        .await;
    assert!(matches!(
        final_error,
        Err(Refusal::Database(Error::Unique(_)))
    ));
    assert_eq!(tries.into_inner(), 1);
}

#[both_engines]
#[case]
async fn a_panic_leaves_nothing_behind() {
    let (db, mut observer, _database) = database(1).await;

    panicking(db.clone()).await;

    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
    assert_eq!(observer.count("public.users"), 0);
    db.users().create(user("ada")).await.unwrap();
    assert_eq!(observer.count("public.users"), 1);
    assert_eq!(observer.count("pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"), 0);
}

#[both_engines]
#[case]
async fn a_refused_commit_keeps_the_connection() {
    let (db, mut observer, _database) = database(1).await;
    observer.run("CREATE TABLE public.deferred (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)");
    let session = async |tx: &mut Tx| ask(tx, "pg_backend_pid()").await;
    let before = db.transaction(session).await.unwrap();

    let refused = db
        .transaction(async |tx| -> Result<_> {
            let twice = "INSERT INTO public.deferred VALUES (1), (1)";
            tx.connection_mut().batch_execute(twice).await?;
            Ok(())
        })
        .await;

    assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
    assert_eq!(db.transaction(session).await.unwrap(), before);
    assert_eq!(observer.count("public.deferred"), 0);
}

/// What diesel has begun on the lent connection and not ended is in the way of the commit, which
/// would release its savepoint alone.
#[both_engines]
#[case]
async fn a_transaction_in_which_diesel_has_begun_another_is_not_committed() {
    for within in [false, true] {
        let (db, mut observer, _database) = database(1).await;
        let outcome = db
            .transaction(async |tx| -> Result<()> {
                tx.users().create(user("ada")).await?;
                if !within {
                    AnsiTransactionManager::begin_transaction(tx.connection_mut()).await?;
                    return Ok(());
                }
                // The savepoint fails, and its failure cannot be passed over.
                let savepoint = tx
                    .savepoint(async |tx| -> Result<()> {
                        tx.users().create(user("bob")).await?;
                        AnsiTransactionManager::begin_transaction(tx.connection_mut()).await?;
                        Ok(())
                    })
                    .await;
                assert!(is_undone(&savepoint.unwrap_err()));
                Ok(())
            })
            .await;
        assert!(is_undone(&outcome.unwrap_err()), "within {within}");
        assert_eq!(observer.count("public.users"), 0, "within {within}");
        db.users().create(user("eve")).await.unwrap();
        assert_eq!(observer.count("public.users"), 1);
    }
}

/// A transaction that the caller has ended is not reported as committed.
#[both_engines]
#[case]
async fn a_transaction_that_was_ended_on_its_connection_is_not_reported_as_committed() {
    for end in ["ROLLBACK", "ABORT", "COMMIT", "END"] {
        let (db, mut observer, _database) = database(1).await;
        let outcome = db
            .transaction(async |tx| -> Result<()> {
                tx.users().create(user("ada")).await?;
                Ok(tx.connection_mut().batch_execute(end).await?)
            })
            .await;
        assert!(outcome.is_err(), "{end}");
        db.users().create(user("eve")).await.unwrap();
        assert_eq!(observer.count("public.users WHERE name = 'eve'"), 1);
    }
}
