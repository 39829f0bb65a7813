//! The cache of the blocking engine: its connections to Redis, and the protocol and the
//! repositories that are compiled for each engine.
//!
//! The engine does not import the cache. It calls a commit hook and a connection observer, which
//! the cache implements.

use crate::engine::blocking::*;

// Compiled once for each engine: see `docs/architecture.md`, "One source, two engines".
#[path = "../each_engine.rs"]
mod cached;

mod cache_io;
mod own_rows;

pub use cached::*;
