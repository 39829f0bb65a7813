//! The same fault is the same error in both engines: same variant, same names.

#[allow(dead_code)]
mod observer;
#[path = "cache/subscriber.rs"]
mod subscriber;

#[path = ""]
mod asynchronous {
    use diesel_async::SimpleAsyncConnection as _;
    use tokio::test as case;
    use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    #[path = "errors/connection.rs"]
    mod connection;
    #[path = "errors/contract.rs"]
    mod contract;
    #[path = "errors/unreadable.rs"]
    mod unreadable;
}

#[path = ""]
mod blocking {
    use core::prelude::v1::test as case;
    use diesel::connection::SimpleConnection as _;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};

    #[path = "errors/contract.rs"]
    mod contract;
    #[path = "errors/unreadable.rs"]
    mod unreadable;
}
