//! Every write through the cache is seen at once by every other process, whatever that had cached before.

#[allow(dead_code, reason = "this program uses a part of it")]
mod observer;
#[path = "cache/servers.rs"]
mod servers;
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

    #[path = "cache/writes/mod.rs"]
    mod writes;
}

#[path = ""]
mod blocking {
    use std::time::Duration;

    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    include!("engines/blocking.rs");

    #[path = "cache/writes/mod.rs"]
    mod writes;
}
