//! The administration, on both engines and with the real tools: each contract is written once and
//! mounted in both.

#[path = "../support/mod.rs"]
mod support;

use std::sync::LazyLock;

use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;

/// One server for all tests: each has a database of its own, and so keys of its own.
static REDIS: LazyLock<RedisServer> = LazyLock::new(|| RedisServer::start().unwrap());

fn cache() -> CacheConfig {
    CacheConfig::new(&REDIS.url()).unwrap()
}

#[path = "contract"]
mod asynchronous {
    use std::time::Duration;

    use crate::observer::Observer;
    use futures_util::StreamExt as _;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    include!("../engines/asynchronous.rs");

    /// The next event, which is sure to come.
    async fn next(live: &mut Live) -> LiveEvent {
        let next = tokio::time::timeout(Duration::from_secs(20), live.next());
        next.await.expect("no event came").unwrap()
    }

    mod after_restore;
    mod archiver;
    mod default_partition;
    mod dropped;
    mod erasure;
    mod faults;
    mod lean_indexes;
    mod log_archive;
    mod maintenance;
    mod monitoring;
    mod organization;
    mod pgbouncer;
    mod retention;
    mod snapshot;
}

#[path = "contract"]
mod blocking {
    use std::time::Duration;

    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;
    use wundr_db::{AnalysisId, Error, LiveEvent, OrganizationId, Result};

    include!("../engines/blocking.rs");

    /// The next event, which is sure to come.
    fn next(live: &mut Live) -> LiveEvent {
        live.next_within(Duration::from_secs(20))
            .expect("no event came")
    }

    mod after_restore;
    mod archiver;
    mod default_partition;
    mod erasure;
    mod faults;
    mod lean_indexes;
    mod log_archive;
    mod maintenance;
    mod monitoring;
    mod organization;
    mod pgbouncer;
    mod retention;
    mod snapshot;
}

mod dropped_maintenance;
mod pgbadger;
mod servers;
mod silence;
mod tools;

use support::{hostile, observer, pgbouncer};
