//! The same repositories without a runtime: every name of the crate's root that is `async` there.

// Compiled once for each engine: see `docs/architecture.md`, "One source, two engines".
#[cfg(feature = "redis")]
#[path = "../../cache/each_engine.rs"]
mod cached;
#[path = "../../live/each_engine.rs"]
mod following;
#[path = "../../repositories/mod.rs"]
mod repositories;

#[cfg(feature = "redis")]
mod cache_io;
mod commit_hook;
mod copy;
mod db;
mod executor;
mod live;
mod live_follower;
#[cfg(feature = "migrations")]
pub mod migrations;
mod own_queries;
#[cfg(feature = "redis")]
mod own_rows;
mod pool;
#[cfg(feature = "admin")]
mod raw_copy;
mod rows;
#[cfg(feature = "admin")]
pub(crate) mod streams;
mod transaction;
mod unit_of_work;

#[cfg(feature = "migrations")]
pub mod audit {
    //! The tables whose changes are recorded in the audit log.

    pub use super::repositories::watched_tables::{unwatch, watch, watched};
}
#[cfg(feature = "redis")]
pub use cached::*;
pub(crate) use commit_hook::{CommitGuard, CommitHook};
pub use db::Db;
pub(crate) use executor::{Executor, Loads, Runnable, join};
pub use following::LiveHub;
pub use live::Live;
pub use live_follower::LiveFollower;
pub use repositories::*;
pub use rows::Rows;
pub use transaction::Tx;
pub(crate) use unit_of_work::UnitOfWork;
pub use wundr_db_macros::blocking as repository;
