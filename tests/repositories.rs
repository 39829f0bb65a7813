//! What every repository promises, checked on real databases. Each contract is written once and runs on both engines.

#[allow(dead_code, reason = "this program uses a part of it")]
mod observer;

#[path = ""]
mod asynchronous {
    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, with its pool.
    async fn database() -> (Db, TestDatabase) {
        let database = migrated_database().unwrap();
        (Db::connect_to(&database.url()).await.unwrap(), database)
    }

    /// Runs SQL that no repository offers.
    async fn execute(db: &Db, sql: &str) {
        use diesel_async::SimpleAsyncConnection as _;
        db.transaction(async |tx| Ok::<_, Error>(tx.connection_mut().batch_execute(sql).await?))
            .await
            .unwrap();
    }

    /// Both answers of two calls that are under way at the same time.
    macro_rules! at_once {
        ($first:expr, $second:expr) => {
            tokio::join!($first, $second)
        };
    }

    /// What so many calls answer that are under way at the same time.
    macro_rules! all_at_once {
        ($number:expr, $each:expr) => {
            futures_util::future::join_all((0..$number).map(|_| $each)).await
        };
    }

    /// Waits until a condition on the server's state holds.
    async fn until(database: &TestDatabase, condition: &str) {
        Observer::of(&database.url()).eventually(condition).await;
    }

    #[path = "contracts/mod.rs"]
    mod contracts;
}

#[path = ""]
mod blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{TestDatabase, migrated_database};

    /// A database of the test's own, with its pool.
    fn database() -> (Db, TestDatabase) {
        let database = migrated_database().unwrap();
        (Db::connect_to(&database.url()).unwrap(), database)
    }

    /// Runs SQL that no repository offers.
    fn execute(db: &Db, sql: &str) {
        use diesel::connection::SimpleConnection as _;
        db.transaction(|tx| Ok::<_, wundr_db::Error>(tx.connection_mut().batch_execute(sql)?))
            .unwrap();
    }

    /// Both answers of two calls that are under way at the same time.
    macro_rules! at_once {
        ($first:expr, $second:expr) => {
            std::thread::scope(|scope| {
                let second = scope.spawn(|| $second);
                ($first, second.join().unwrap())
            })
        };
    }

    /// What so many calls answer that are under way at the same time.
    macro_rules! all_at_once {
        ($number:expr, $each:expr) => {
            std::thread::scope(|scope| {
                let calls: Vec<_> = (0..$number).map(|_| scope.spawn(|| $each)).collect();
                let answers = calls.into_iter().map(|call| call.join().unwrap());
                answers.collect::<Vec<_>>()
            })
        };
    }

    /// Waits until a condition on the server's state holds.
    fn until(database: &TestDatabase, condition: &str) {
        Observer::of(&database.url()).until(condition);
    }

    #[path = "contracts/mod.rs"]
    mod contracts;
}
