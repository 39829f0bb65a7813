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

    include!("engines/asynchronous.rs");

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

    include!("engines/blocking.rs");

    #[path = "contracts/mod.rs"]
    mod contracts;
}
