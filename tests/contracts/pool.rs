//! The connections of a pool: which of them go, how long anything waits for one, and what an error
//! says of both.

#[path = "pool"]
mod asynchronous {
    use std::time::Duration;

    use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};
    use tokio::test as case;
    use wundr_db::testing::{Pair, Proxy, ProxyMode, TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// Runs work side by side, and returns what it made.
    async fn side_by_side<T: Send + 'static>(
        number: usize,
        work: impl AsyncFn(usize) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        futures_util::future::join_all((0..number).map(|n| work(n))).await
    }

    /// Begins a transaction as diesel does.
    async fn begin(connection: &mut Connection) -> diesel::QueryResult<()> {
        use diesel_async::{AnsiTransactionManager, TransactionManager as _};
        AnsiTransactionManager::begin_transaction(connection).await
    }

    async fn pause() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    mod cancellations;
    mod contract;
    mod last_words;
    mod lent;
    mod lent_futures;
    mod newer;
    mod newer_lost;
    mod own_queries;
    mod runtimes;
    mod sessions;
}

#[path = "pool"]
mod blocking {
    use std::time::Duration;

    use core::prelude::v1::test as case;
    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, RunQueryDsl as _};
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{Pair, Proxy, ProxyMode, TestDatabase, migrated_database};

    /// Runs work side by side, and returns what it made.
    fn side_by_side<T: Send>(
        number: usize,
        work: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..number).map(|n| scope.spawn(move || work(n))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        })
    }

    /// Begins a transaction as diesel does.
    fn begin(connection: &mut diesel::PgConnection) -> diesel::QueryResult<()> {
        use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
        AnsiTransactionManager::begin_transaction(connection)
    }

    fn pause() {
        std::thread::sleep(Duration::from_millis(2));
    }

    mod contract;
    mod last_words;
    mod lent;
    mod newer;
    mod newer_lost;
    mod own_queries;
    mod sessions;
}
