//! Typed access to the PostgreSQL database of Wundr, a platform for developers' tools.
//!
//! ```no_run
//! use wundr_db::{Config, Db, NewUser, Page, UserFilter, UserRepository};
//!
//! # #[tokio::main]
//! # async fn main() -> wundr_db::Result<()> {
//! let config = Config::new("postgres://app@localhost/wundr")?;
//! # #[cfg(feature = "migrations")]
//! wundr_db::migrations::up(&config).await?;
//! let db = Db::connect(config).await?;
//!
//! let ada = db.users().create(NewUser::new("ada@example.org", "Ada")).await?;
//! let active = UserFilter::new().is_active(true);
//! for user in db.users().list(&active, &Page::new().limit(50)).await?.items {
//!     println!("{} {}", user.id, user.email);
//! }
//! db.transaction(async |tx| tx.users().set_active(ada.id, false).await).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! - [`Db`] is a pool of connections. [`Db::transaction`] runs a transaction, a [`Tx`]. Both have
//!   every repository: `db.users()`, `tx.users()`, and so on through the twenty tables, the
//!   statistics, the trends, the partitions and the [`Dashboard`].
//! - A table's name leads to all of its types. For `users`: the row [`User`], the new row
//!   [`NewUser`], the changes [`UserChanges`], the filter [`UserFilter`], the order [`UserOrder`],
//!   the trait [`UserRepository`], and its implementation on PostgreSQL, [`Users`].
//! - Beyond rows: [`Analyses::ingest`] stores an analysis with all of its findings,
//!   [`AnalysisRepository::claim`] makes the table a queue, [`AnalysisIssueRepository::track`]
//!   matches the findings of two analyses, [`QualityGate`] judges them, [`Dashboard`] summarizes a
//!   project, [`Db::follow`] streams the changes of analyses.
//! - [`Sessions`] opens, authenticates and ends logins. [`Db::with_secrets`] seals the secrets of a
//!   database.
//! - [`Page`], [`Paged`] and [`Cursor`] are keyset pagination. [`Change`] is an assignment to a
//!   nullable column, [`Json`] a document whose shape the design defines.
//! - [`Error`] is the error type of both engines.
//! - [`Cached`] is a [`Db`] behind a Redis cache. The module [`cache`] states its guarantee.
//! - [`blocking`] has the same names without async.
//! - With the feature `axum`, `web` has extractors and responses for a service.
//! - With the feature `admin`, `admin` has the functions of operators: the proof of a restored
//!   database, the move of an organization, retention, and reports about the server.
//! - [`migrations`] creates the schema. [`testing`] has private servers, rows and seeds for tests.
//!
//! # What holds everywhere
//!
//! - A future may be dropped at any await. A connection whose statement or transaction was left
//!   unfinished does not go back to the pool, and the server receives a request to cancel it.
//! - A transaction is committed only if its closure returned `Ok` and no statement in it had
//!   failed.
//! - Times are microseconds in UTC, as PostgreSQL keeps them. Ids are UUID version 7, made by the
//!   client.
//! - Every table is named with its schema; nothing depends on `search_path` or on a session's
//!   state.
//!
//! # Decorators and test doubles
//!
//! Repositories are traits that can be used as `dyn`. The attribute [`macro@repository`] lets an
//! application write its own in plain `async fn`. A method that it omits calls `inner`, or without
//! one returns [`Error::Unsupported`]:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use wundr_db::{Error, Result, User, UserId, UserRepository, repository};
//!
//! struct Nobody;
//!
//! #[repository]
//! impl UserRepository for Nobody {
//!     async fn find(&self, _id: UserId) -> Result<Option<User>> {
//!         Ok(None)
//!     }
//! }
//!
//! let users: &dyn UserRepository = &Nobody;
//! assert_eq!(users.find(UserId::new()).await.unwrap(), None);
//! assert!(matches!(users.delete(UserId::new()).await, Err(Error::Unsupported { .. })));
//! # }
//! ```
//!
//! A decorator that must see every call is `exhaustive`: it does not compile unless each method of
//! the trait is written, or passed on by name. A method that a later version adds is then not
//! passed on unnoticed.
//!
//! ```
//! use wundr_db::{Result, repository};
//!
//! #[repository]
//! trait Invoices: Send + Sync {
//!     async fn total(&self) -> Result<u64>;
//!     async fn cancel(&self, number: u64) -> Result<()>;
//! }
//!
//! struct ReadOnly<I>(I);
//!
//! #[repository(exhaustive, pass(total))]
//! impl<I: Invoices> Invoices for ReadOnly<I> {
//!     async fn cancel(&self, _number: u64) -> Result<()> {
//!         Err(wundr_db::Error::Unsupported { method: "cancel" })
//!     }
//!
//!     fn inner(&self) -> Option<&dyn Invoices> {
//!         Some(&self.0)
//!     }
//! }
//! ```
//!
//! # Crates in the signatures
//!
//! Types of these crates appear in the public signatures: [`bigdecimal`], [`chrono`], [`diesel`],
//! [`ipnetwork`], [`serde_json`], [`uuid`] and, with the feature `async`, `diesel_async`. Each is
//! re-exported, so that an application can use the version that this crate was built with:
//! `wundr_db::chrono::Utc`. A major release of one of them is a breaking change of this crate.
//! Derives of a re-exported crate (`diesel::Queryable`) need the crate itself as a dependency,
//! because the code that they write names it.
//!
//! # Own queries and own tables
//!
//! [`Db::run`] and [`Db::own_tables`] execute an application's own queries, [`orders!`] and
//! [`OwnTables::page`] read them page by page. An application's own tables have the derives
//! [`TableRow`](macro@TableRow), [`NewRow`](macro@NewRow), [`Changes`](macro@Changes) and
//! [`Filter`](macro@Filter), and migrations that run beside this crate's:
//! `migrations::Runner`. [`Repositories`] is one trait for `Db`, `Tx` and `Cached`. The chapters
//! `docs/guide/own-queries.md` and `docs/guide/own-tables.md` in the repository describe them.
//!
//! # How to add a table
//!
//! [`recipe`] shows the two main files of a table. `docs/adding-a-table.md` in the
//! repository lists each step, and the test or compiler error that reports its omission.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// Without an engine there are only plain data, and much of what the engines use is unused.
#![cfg_attr(
    not(any(feature = "async", feature = "blocking")),
    allow(dead_code, unused_imports)
)]

extern crate self as wundr_db;

#[cfg(feature = "redis")]
pub mod cache;
mod config;
#[cfg(feature = "crypto")]
mod crypto;
#[cfg(any(feature = "async", feature = "blocking"))]
mod engine;
mod error;
mod live;
mod mapping;
#[cfg(feature = "migrations")]
pub mod migrations;
mod models;
mod observation;
mod pagination;
pub mod schema;
mod sql;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;
mod types;
mod validation;
#[cfg(feature = "axum")]
pub mod web;
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "only a cache reads the write set")
)]
mod write_set;

#[cfg(feature = "async")]
pub use diesel_async;
#[cfg(feature = "migrations")]
pub use diesel_migrations;
pub use {bigdecimal, chrono, diesel, ipnetwork, serde_json, uuid};

#[cfg(feature = "cache-faults")]
#[doc(hidden)]
pub use cache::foreign;
pub use config::{Config, Keepalives, Recycling};
#[cfg(feature = "crypto")]
pub use crypto::{
    Keyring, RefreshToken, SessionKeys, SessionToken, WebhookError, WebhookRequest, WebhookScheme,
    verify_webhook,
};
pub use error::{Advice, Constraint, Error, Fate, Problem, Reason, Result, SqlState, constraints};
pub use live::{Follow, LiveAnalysis, LiveEvent};
pub use mapping::Optional;
pub use models::*;
pub use pagination::{Cursor, DEFAULT_LIMIT, ListQuery, MAX_LIMIT, Page, PageOrder, Paged};
pub use tables::Table;
pub use transaction::{Isolation, Retry, Retryable, TransactionOptions};
#[cfg(feature = "crypto")]
pub use types::protected::KeyProvider;
pub use types::{
    Change, Document, Fields, Json, Protected, Sealed, Secret, SettingValue, enums::*, ids::*,
};

/// The items that the derives' code names. They are not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::pagination::from_query;
    pub mod mapping {
        pub use crate::mapping::keyset::{KeyType, SortColumn};
        pub use crate::mapping::{
            ChangedColumn, Changes, Column, NewRow, Replaced, RowSql, TableRow, bind_array, field,
        };
        pub use crate::types::encoding::Encoding;
    }
    pub mod pagination {
        pub use crate::pagination::{cursor_at, named, snake_case};
    }
    #[cfg(feature = "admin")]
    pub mod names {
        pub use crate::models::statement_names::hashes;
    }
    #[cfg(any(feature = "async", feature = "blocking"))]
    pub mod observation {
        #[cfg(feature = "async")]
        pub use crate::observation::observed;
        #[cfg(feature = "blocking")]
        pub use crate::observation::observed_now;
        pub use crate::observation::{Call, CallObserver, Method};
    }
    pub mod exhaustive {
        pub use crate::mapping::exhaustive::check;
    }
    pub mod sql {
        pub use crate::sql::cacheable;
    }
    #[cfg(all(feature = "testing", any(feature = "async", feature = "blocking")))]
    pub mod testing {
        pub use crate::testing::case::{Needs, argument, begin, begin_prepared};
        #[cfg(feature = "async")]
        pub use crate::testing::case::{block_on, run};
    }
    pub mod validation {
        pub use crate::types::storable::Storable;
        pub use crate::validation::{Limit, Limited, Unlimited, check, check_number};
    }
    pub use crate::types::decimal::read as read_decimal;
    pub use crate::types::id_text::{parse_id, time_of};
    pub use serde;
}

#[cfg(feature = "blocking")]
pub mod blocking {
    //! The same repositories without a runtime: every name of the crate's root that is `async`
    //! there.

    #[cfg(feature = "redis")]
    pub use crate::cache::blocking::*;
    pub use crate::engine::blocking::*;
}

pub use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

#[cfg(all(feature = "async", feature = "redis"))]
pub use cache::asynchronous::*;
#[cfg(feature = "async")]
pub use engine::asynchronous::*;
// By name: the models have a private module of the same name.
#[cfg(all(feature = "async", feature = "admin"))]
pub use engine::asynchronous::admin;
#[cfg(feature = "async")]
pub use engine::connection::Connection;
#[cfg(all(feature = "testing", any(feature = "async", feature = "blocking")))]
pub use wundr_db_macros::test;

#[cfg(all(doc, not(doctest)))]
pub mod recipe {
    //! How to add a table, shown on `users`: what stands in its two files, and why.
    //!
    //! Before the files: a migration with its `down.sql`, the table in `src/schema.rs` (a test
    //! holds it against the database), the entry in `src/tables.rs`. After them: a line in
    //! `models/mod.rs` and `repositories/mod.rs`, and a contract in `tests/contracts/tables`, which
    //! runs on both engines.
    //!
    //! # The model
    //!
    //! Plain data, in a fixed order, with no engine in sight. `NewRow` and `Changes` derive setters
    //! and statements of fixed shape, which a connection prepares once. A column with a default in
    //! the database is an `Option` with `or`, which repeats the default in SQL; a test compares the
    //! two. The filter's query is shared by list, count, stream and delete.
    //!
    //! ```ignore
    #![doc = include_str!("models/users.rs")]
    //! ```
    //!
    //! # The repository
    //!
    //! One trait with every signature in plain sight, one implementation, compiled for both
    //! engines: the attribute boxes the futures for one and takes `async` away for the other.
    //! Each method is one statement.
    //!
    //! ```ignore
    #![doc = include_str!("repositories/users.rs")]
    //! ```
}

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "crypto",
    feature = "migrations",
    feature = "redis",
    feature = "utoipa"
))]
#[doc = include_str!("../docs/guide/web.md")]
struct GuideToTheWeb;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../docs/failover.md")]
struct Failover;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/worker.md")]
struct GuideWorker;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/observability.md")]
struct GuideObservability;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/cache.md")]
struct GuideCache;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/upgrades.md")]
struct GuideUpgrades;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/pgbouncer.md")]
struct GuidePgbouncer;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/testing.md")]
struct GuideTesting;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/own-queries.md")]
struct GuideOwnQueries;

#[cfg(doctest)]
#[doc = include_str!("../docs/guide/own-tables.md")]
struct GuideOwnTables;
