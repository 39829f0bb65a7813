//! Typed, fault-proof access to the database of Wundr, a platform for developers' tools.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate self as wundr_db;

mod change;
#[doc(hidden)]
pub mod checks;
mod config;
mod enums;
mod error;
mod health;
mod ids;
mod json;
#[cfg(feature = "migrations")]
pub mod migrations;
mod models;
mod page;
pub mod schema;
#[doc(hidden)]
pub mod statement;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod transaction;

pub use change::Change;
pub use config::{Config, Recycling};
pub use enums::*;
pub use error::{Constraint, Error, Result, SqlState};
pub use health::Health;
pub use ids::*;
pub use json::Json;
pub use models::*;
pub use page::{Cursor, DEFAULT_LIMIT, MAX_LIMIT, Page, Paged};
pub use transaction::{Isolation, Retry, Retryable, TransactionOptions};

#[cfg(feature = "async")]
mod engine {
    pub(crate) mod connect;
    #[cfg(feature = "tls")]
    pub(crate) mod tls;
}

#[cfg(feature = "async")]
#[path = ""]
mod asynchronous {
    #[path = "engine/asynchronous.rs"]
    mod engine;
    #[path = "repositories/mod.rs"]
    mod repositories;

    pub(crate) use engine::Source;
    pub use engine::{BoxFuture, Db, RowStream, Tx, TxFn, TxFnOnce};
    pub use repositories::*;
    pub use wundr_db_macros::asynchronous as repository;
}
#[cfg(feature = "async")]
pub use asynchronous::*;

#[cfg(feature = "blocking")]
#[path = ""]
pub mod blocking {
    //! The same repositories without a runtime: every name of the crate's root that is `async` there.

    #[path = "engine/blocking.rs"]
    mod engine;
    #[path = "repositories/mod.rs"]
    mod repositories;

    #[cfg(feature = "migrations")]
    pub use crate::migrations::blocking as migrations;
    pub(crate) use engine::Source;
    pub use engine::{Db, Tx};
    pub use repositories::*;
    pub use wundr_db_macros::blocking as repository;
}
