//! The blocking engine: diesel's connection on libpq, connections kept by r2d2.

// Compiled once for each engine: see `docs/architecture.md`, "One source, two engines".
#[path = "../../live/each_engine.rs"]
mod following;
#[path = "../../repositories/mod.rs"]
pub(crate) mod repositories;

mod commit_hook;
mod copy;
mod db;
mod executor;
mod live;
mod live_follower;
#[cfg(feature = "migrations")]
pub mod migrations;
mod own_queries;
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
