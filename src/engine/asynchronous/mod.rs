//! The async engine: diesel-async on tokio, connections kept by bb8.

// These folders are compiled once for each engine: see `docs/architecture.md`, "One source, two engines".
#[cfg(feature = "redis")]
#[path = "../../cache/repositories/mod.rs"]
mod cached;
#[path = "../../live/listener.rs"]
mod listener;
#[cfg(feature = "redis")]
#[path = "../../cache/protocol/mod.rs"]
mod protocol;
#[path = "../../repositories/mod.rs"]
mod repositories;

#[cfg(feature = "redis")]
mod cache_io;
mod commit_hook;
mod db;
mod executor;
mod live;
mod pool;
mod rows;
mod transaction;
mod unit_of_work;

#[cfg(feature = "redis")]
pub use cached::*;
pub(crate) use commit_hook::{CommitGuard, CommitHook};
pub use db::{BoxFuture, Db};
pub use executor::RowStream;
pub(crate) use executor::{Executor, Loads, join};
pub use live::Live;
pub use repositories::*;
pub use rows::Rows;
pub use transaction::{Tx, TxFn, TxFnOnce};
pub(crate) use unit_of_work::UnitOfWork;
pub use wundr_db_macros::asynchronous as repository;
