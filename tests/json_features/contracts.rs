//! The contracts of JSON documents, on both engines and behind the cache, with serde_json's
//! features `arbitrary_precision` and `preserve_order`.

#[path = "../support/observer.rs"]
#[allow(dead_code, reason = "this test program uses a part of it")]
mod observer;

use std::sync::LazyLock;

use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;

/// One server for all tests: each has a database of its own, and so keys of its own.
static REDIS: LazyLock<RedisServer> = LazyLock::new(|| RedisServer::start().unwrap());

fn cache() -> CacheConfig {
    CacheConfig::new(&REDIS.url()).unwrap()
}

#[path = ""]
mod asynchronous {
    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, with its pool.
    async fn database() -> (Db, TestDatabase) {
        let database = migrated_database().unwrap();
        let db = Db::connect_to(&database.url()).await.unwrap();
        (db, database)
    }

    include!("../engines/asynchronous.rs");

    #[path = "../contracts/tables"]
    mod tables {
        use super::*;
        use fixtures::*;

        mod analysis_results;
        mod documents;
        mod fixtures;
        mod quality_gates;
        mod setup_sessions;
    }
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
        let db = Db::connect_to(&database.url()).unwrap();
        (db, database)
    }

    include!("../engines/blocking.rs");

    #[path = "../contracts/tables"]
    mod tables {
        use super::*;
        use fixtures::*;

        mod analysis_results;
        mod documents;
        mod fixtures;
        mod quality_gates;
        mod setup_sessions;
    }
}

#[path = ""]
mod cached_asynchronous {
    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, behind the cache.
    async fn database() -> (Cached, TestDatabase) {
        let database = migrated_database().unwrap();
        let db = Db::connect_to(&database.url()).await.unwrap();
        (Cached::new(db, super::cache()).unwrap(), database)
    }

    include!("../engines/asynchronous.rs");

    #[path = "../contracts/tables"]
    mod tables {
        use super::*;
        use fixtures::*;

        mod analysis_results;
        mod documents;
        mod fixtures;
        mod quality_gates;
        mod setup_sessions;
    }
}

#[path = ""]
mod cached_blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{TestDatabase, migrated_database};

    /// A database of the test's own, behind the cache.
    fn database() -> (Cached, TestDatabase) {
        let database = migrated_database().unwrap();
        let db = Db::connect_to(&database.url()).unwrap();
        (Cached::new(db, super::cache()).unwrap(), database)
    }

    include!("../engines/blocking.rs");

    #[path = "../contracts/tables"]
    mod tables {
        use super::*;
        use fixtures::*;

        mod analysis_results;
        mod documents;
        mod fixtures;
        mod quality_gates;
        mod setup_sessions;
    }
}

/// Without the features, the number would lose its last digit, and the keys would be sorted.
#[test]
fn the_features_are_enabled() {
    let written = r#"{"b":1.10,"a":1}"#;
    let document: serde_json::Value = serde_json::from_str(written).unwrap();
    assert_eq!(document.to_string(), written);
}
