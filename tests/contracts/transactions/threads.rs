//! Transactions that several threads use.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use wundr_db::{Error, Retry, TransactionOptions, UserChanges};

#[test]
fn a_deadlock_is_tried_again_and_both_succeed() {
    let (db, mut observer, _database) = database(2);
    let ids = ["a@x", "b@x"].map(|email| db.users().create(NewUser::new(email, "0")).unwrap().id);
    let both_hold_one = Barrier::new(2);
    let tries = AtomicU32::new(0);

    std::thread::scope(|scope| {
        for (first, second) in [(ids[0], ids[1]), (ids[1], ids[0])] {
            let (db, both_hold_one, tries) = (&db, &both_hold_one, &tries);
            scope.spawn(move || {
                let attempt = AtomicU32::new(0);
                db.transaction_retrying(
                    &TransactionOptions::new(),
                    &Retry::default(),
                    |tx| -> Result<_> {
                        tries.fetch_add(1, Ordering::Relaxed);
                        let rename = |id| {
                            let name = tx.users().find(id)?.expect("it is there").name;
                            tx.users().update(id, UserChanges::new().name(name + "+"))
                        };
                        rename(first)?;
                        if attempt.fetch_add(1, Ordering::Relaxed) == 0 {
                            both_hold_one.wait();
                        }
                        rename(second)
                    },
                )
                .unwrap();
            });
        }
    });

    assert_eq!(tries.into_inner(), 3);
    assert_eq!(observer.count("public.users WHERE name LIKE '%+'"), 2);
}

#[test]
fn a_caught_panic_inside_a_savepoint_forbids_the_commit() {
    let (db, mut observer, _database) = database(1);

    let outcome = db.transaction(|tx| -> Result<_> {
        tx.users().create(NewUser::new("a@x", "a"))?;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            tx.savepoint(|tx| -> Result<()> {
                tx.users().create(NewUser::new("b@x", "b"))?;
                panic!("on purpose")
            })
        }));
        assert!(panicked.is_err());
        Ok(())
    });

    assert!(outcome.unwrap_err().to_string().contains("left unfinished"));
    assert_eq!(observer.count("public.users"), 0);
    assert_eq!(db.users().count(&UserFilter::new()).unwrap(), 0);
}

#[test]
fn a_transaction_is_used_by_one_thread_at_a_time() {
    let (db, mut observer, _database) = database(1);
    observer.run("BEGIN; LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE");

    let outcome = db.transaction(|tx| -> Result<_> {
        std::thread::scope(|scope| {
            let tx = &*tx;
            let first = scope.spawn(move || tx.users().count(&UserFilter::new()));
            observer.until(crate::observer::SOMEBODY_WAITS);
            let second = tx.users().count(&UserFilter::new());
            assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
            observer.run("ROLLBACK");
            first.join().unwrap()
        })
    });

    assert_eq!(outcome.unwrap(), 0);
}
