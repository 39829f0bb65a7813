//! Every write through the cache is seen at once by every other process, whatever that had cached before.

#[allow(dead_code, reason = "this program uses a part of it")]
mod observer;
#[allow(dead_code, reason = "this program uses a part of it")]
#[path = "cache/servers.rs"]
mod servers;
#[allow(dead_code, reason = "this program uses a part of it")]
#[path = "statements/wire.rs"]
mod wire;

#[path = ""]
mod asynchronous {
    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    #[path = "cache/writes/mod.rs"]
    mod writes;
}

#[path = ""]
mod blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    #[path = "cache/writes/mod.rs"]
    mod writes;
}
