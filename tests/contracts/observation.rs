//! The spans and the metrics of calls, transactions and pools.

#[path = "observation"]
mod asynchronous {
    use tokio::test as case;
    use wundr_db::testing::migrated_database;
    use wundr_db::{repository as both_engines, *};

    mod contract;
    mod streams;
}

#[path = "observation"]
mod blocking {
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::migrated_database;

    mod contract;
}
