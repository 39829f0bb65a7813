//! The same fault is the same error in both engines: same variant, same names.

#[path = "errors"]
mod asynchronous {
    use diesel_async::SimpleAsyncConnection as _;
    use tokio::test as case;
    use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    mod connection;
    mod contract;
    mod unreadable;
}

#[path = "errors"]
mod blocking {
    use core::prelude::v1::test as case;
    use diesel::connection::SimpleConnection as _;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};

    mod contract;
    mod unreadable;
}
