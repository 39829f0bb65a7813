//! An application's own implementations of a repository: test doubles and decorators.

#[path = "doubles"]
mod asynchronous {
    use std::future::Future;

    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, with its pool.
    async fn database() -> (Db, TestDatabase) {
        let database = migrated_database().unwrap();
        (Db::connect_to(&database.url()).await.unwrap(), database)
    }

    /// Does something elsewhere.
    async fn elsewhere<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
        tokio::spawn(work).await.unwrap()
    }

    /// Work to be done elsewhere.
    macro_rules! work {
        ($work:expr) => {
            async move { $work }
        };
    }

    mod contract;
}

#[path = "doubles"]
mod blocking {
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{TestDatabase, migrated_database};

    /// A database of the test's own, with its pool.
    fn database() -> (Db, TestDatabase) {
        let database = migrated_database().unwrap();
        (Db::connect_to(&database.url()).unwrap(), database)
    }

    /// Does something elsewhere.
    fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(work).join().unwrap()
    }

    /// Work to be done elsewhere.
    macro_rules! work {
        ($work:expr) => {
            move || $work
        };
    }

    mod contract;
}
