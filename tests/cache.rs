//! What the cache itself promises, beside what every repository does behind it (`cached.rs`): that it answers without
//! the database, that every write is seen at once by every other process, and that no fault of Redis makes a read wrong.

#[path = "pgbouncer/mod.rs"]
mod bouncer;
#[path = "cache/installations.rs"]
mod installations;
#[allow(dead_code, reason = "this program uses a part of it")]
mod observer;
#[path = "cache/servers.rs"]
mod servers;
#[path = "cache/subscriber.rs"]
mod subscriber;
#[path = "statements/wire.rs"]
mod wire;

#[path = ""]
mod asynchronous {
    use std::time::Duration;

    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    include!("engines/asynchronous.rs");

    async fn pause(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[path = "cache/contract.rs"]
    mod contract;
    #[allow(dead_code, reason = "it uses a part of the pair")]
    #[path = "cache/kept.rs"]
    mod kept;
    #[allow(dead_code, reason = "it uses a part of the pair")]
    #[path = "cache/together.rs"]
    mod together;
}

#[path = ""]
mod blocking {
    use std::time::Duration;

    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    include!("engines/blocking.rs");

    fn pause(time: Duration) {
        std::thread::sleep(time);
    }

    #[path = "cache/contract.rs"]
    mod contract;
}
