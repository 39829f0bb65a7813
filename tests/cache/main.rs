//! The guarantees of the cache itself, beside those of every repository behind it
//! (`tests/contracts/cached.rs`): it answers without the database, no process reads a value that is
//! older than an acknowledged write, and no fault of Redis makes a read wrong.

#[path = "../support/mod.rs"]
mod support;

mod installations;
mod servers;

use support::{observer, pgbouncer, subscriber, wire};

#[path = ""]
mod asynchronous {
    use std::time::Duration;

    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    include!("../engines/asynchronous.rs");

    async fn pause(time: Duration) {
        tokio::time::sleep(time).await;
    }

    mod contract;
    #[allow(dead_code, reason = "it uses a part of the pair")]
    mod kept;
    mod own_queries;
    mod recovery;
    #[allow(dead_code, reason = "it uses a part of the pair")]
    mod together;
    mod writes;
}

#[path = ""]
mod blocking {
    use std::time::Duration;

    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    include!("../engines/blocking.rs");

    fn pause(time: Duration) {
        std::thread::sleep(time);
    }

    mod contract;
    mod recovery;
    mod writes;
}
