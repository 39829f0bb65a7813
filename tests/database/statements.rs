//! The round trips of the repositories: each statement is prepared once on a connection, and no method takes more
//! round trips than it must. Counted by a proxy between the pool and the server, on both engines.

mod golden;

/// The number of calls of each method.
const CALLS: usize = 100;
/// The number of these calls that may prepare statements and look up types.
const FIRST_CALLS: usize = 3;

#[path = "statements"]
mod asynchronous {
    use super::*;
    use crate::wire::Wire;
    use diesel_async::RunQueryDsl;
    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// A call that can be repeated.
    type Call<'c> = &'c (dyn Fn() -> BoxFuture<'c, Result<()>> + Sync);

    macro_rules! call {
        ($call:expr) => {
            &|| Box::pin(async { $call.await.map(drop) })
        };
    }

    async fn repeat(times: usize, call: Call<'_>) {
        for _ in 0..times {
            call().await.unwrap();
        }
    }

    async fn database() -> (Db, Wire, TestDatabase) {
        let (database, wire) = (migrated_database().unwrap(), Wire::start());
        let config = Config::new(&wire.url(&database)).unwrap();
        let db = Db::connect(config.max_connections(1)).await.unwrap();
        (db, wire, database)
    }

    mod contract;
}

#[path = "statements"]
mod blocking {
    use super::*;
    use crate::wire::Wire;
    use core::prelude::v1::test as case;
    use diesel::RunQueryDsl;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{Config, Result};

    /// A call that can be repeated.
    type Call<'c> = &'c dyn Fn() -> Result<()>;

    macro_rules! call {
        ($call:expr) => {
            &|| $call.map(drop)
        };
    }

    fn repeat(times: usize, call: Call<'_>) {
        for _ in 0..times {
            call().unwrap();
        }
    }

    fn database() -> (Db, Wire, TestDatabase) {
        let (database, wire) = (migrated_database().unwrap(), Wire::start());
        let config = Config::new(&wire.url(&database)).unwrap();
        let db = Db::connect(config.max_connections(1)).unwrap();
        (db, wire, database)
    }

    mod contract;
}
