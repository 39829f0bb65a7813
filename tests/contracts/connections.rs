//! Connections: settings, pools, TLS, PgBouncer.

mod config;
mod pgbouncer;
mod secrets;
mod tls;
mod urls;

#[path = "connections"]
mod asynchronous {
    use std::time::Duration;

    use diesel_async::RunQueryDsl;
    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// Runs many pieces of work side by side.
    async fn side_by_side(
        number: usize,
        work: impl AsyncFn(usize) -> Result<()> + Send + Sync + 'static,
    ) -> Vec<Error> {
        let outcomes = futures_util::future::join_all((0..number).map(|n| work(n))).await;
        outcomes.into_iter().filter_map(Result::err).collect()
    }

    async fn pause() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    mod contract;
    mod hosts;
    mod refusals;
}

#[path = "connections"]
mod blocking {
    use std::time::Duration;

    use core::prelude::v1::test as case;
    use diesel::RunQueryDsl;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{Error, Result};

    /// Runs many pieces of work side by side.
    fn side_by_side(
        number: usize,
        work: impl Fn(usize) -> Result<()> + Send + Sync + 'static,
    ) -> Vec<Error> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..number).map(|n| scope.spawn(move || work(n))).collect();
            let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
            outcomes.filter_map(Result::err).collect()
        })
    }

    fn pause() {
        std::thread::sleep(Duration::from_millis(2));
    }

    mod contract;
    mod hosts;
    mod refusals;
}
