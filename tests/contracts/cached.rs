//! The contracts of all repositories hold behind the cache as well, on both engines.

use std::sync::LazyLock;

use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;

use crate::hostile;
use crate::repositories::OF_THE_OWNER;

/// One server for all tests: each has a database of its own, and so keys of its own.
static REDIS: LazyLock<RedisServer> = LazyLock::new(|| RedisServer::start().unwrap());

fn cache() -> CacheConfig {
    CacheConfig::new(&REDIS.url()).unwrap()
}

#[path = ""]
mod asynchronous {
    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, behind the cache.
    async fn database() -> (Cached, TestDatabase) {
        let database = crate::hostile::database();
        let config = crate::hostile::config(&database);
        let db = Db::connect(config).await.unwrap();
        (Cached::new(db, super::cache()).unwrap(), database)
    }

    include!("../engines/asynchronous.rs");

    mod tables;
}

#[path = ""]
mod blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    /// A database of the test's own, behind the cache.
    fn database() -> (Cached, TestDatabase) {
        let database = crate::hostile::database();
        let config = crate::hostile::config(&database);
        let db = Db::connect(config).unwrap();
        (Cached::new(db, super::cache()).unwrap(), database)
    }

    include!("../engines/blocking.rs");

    mod tables;
}

#[test]
fn a_role_that_owns_nothing_uses_the_cache_of_a_hostile_database() {
    hostile::run_again("new", "cached::blocking::", OF_THE_OWNER);
}

#[test]
fn a_role_that_owns_nothing_uses_the_cache_of_a_hostile_database_that_was_adopted() {
    hostile::run_again("adopted", "cached::asynchronous::", OF_THE_OWNER);
}
