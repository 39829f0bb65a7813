//! The async engine: diesel-async on tokio, connections kept by bb8.

// Compiled once for each engine: see `docs/architecture.md`, "One source, two engines".
#[path = "../../live/each_engine.rs"]
mod following;
#[path = "../../repositories/mod.rs"]
pub(crate) mod repositories;

mod any_query;
mod call;
mod commit_hook;
mod db;
mod executor;
mod live;
mod live_follower;
#[cfg(feature = "migrations")]
pub(crate) mod migrations;
mod new_rows;
mod own_queries;
pub(crate) mod owned_streams;
mod pool;
#[cfg(feature = "admin")]
mod raw_copy;
mod row_stream;
mod rows;
#[cfg(feature = "admin")]
pub(crate) mod streams;
mod transaction;
mod unit_of_work;

#[cfg(feature = "migrations")]
pub mod audit {
    //! The tables whose changes are recorded in the audit log.
    //! [`Db::acting_as`](crate::Db::acting_as) names the actor.

    pub use super::repositories::watched_tables::{unwatch, watch, watched};
}
pub(crate) use any_query::Runnable;
pub(crate) use commit_hook::{CommitGuard, CommitHook};
pub use db::{BoxFuture, Db};
pub(crate) use executor::{Executor, Loads, join};
pub use following::LiveHub;
pub use live::Live;
pub use live_follower::LiveFollower;
pub use repositories::*;
pub use row_stream::RowStream;
pub use rows::Rows;
pub use transaction::{Tx, TxFn, TxFnOnce};
pub(crate) use unit_of_work::UnitOfWork;
pub use wundr_db_macros::asynchronous as repository;
