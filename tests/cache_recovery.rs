//! The cache is there again after its servers were away, and asks for no more connections than there are.

#[allow(dead_code, reason = "this program uses a part of it")]
mod observer;

use std::time::Duration;

use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;

/// A server that is not left alone for long after a failure, unless the test waits for that.
fn cache(redis: &RedisServer) -> CacheConfig {
    CacheConfig::new(&redis.url())
        .unwrap()
        .response_timeout(Duration::from_secs(5))
        .retry_after(Duration::ZERO)
}

#[path = ""]
mod asynchronous {
    use tokio::test as case;
    use wundr_db::{repository as both_engines, *};

    #[path = "cache_recovery/contract.rs"]
    mod contract;
}

#[path = ""]
mod blocking {
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};

    #[path = "cache_recovery/contract.rs"]
    mod contract;
}
