//! A Redis cache for the repositories that are read far more often than written, in both engines.
//!
//! ```no_run
//! use wundr_db::cache::CacheConfig;
//! use wundr_db::{Cached, Db, UserId, UserRepository};
//!
//! # async fn example(id: UserId) -> wundr_db::Result<()> {
//! let db = Db::connect_to("postgres://app@localhost/wundr").await?;
//! let db = Cached::new(db, CacheConfig::new("redis://cache.example")?)?;
//! // It has the same repositories as the `Db`.
//! let user = db.users().find(id).await?;
//! db.transaction(async |tx| tx.users().set_active(id, false).await).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantee
//!
//! **After a write through this crate is acknowledged, no read through it returns anything older**,
//! in any process, whatever fails in between: the writer, the reader or Redis. Redis may be slow,
//! full, flushed, gone, or restarted empty or from an old snapshot. None of this makes a read
//! wrong, or fails a write that was committed.
//!
//! The guarantee covers rows that are found by key: users (by id and address), sessions (by token
//! hash), organizations (by id and slug), roles of members, projects, settings (the effective ones
//! of a scope), setup profiles, tools, and the newest analyses of a project. The effective settings
//! of a scope are those of one moment. Of several rows that are found by their ids, each is current
//! by itself.
//!
//! Rows of the application's tables are cached under the same guarantee, if each transaction that
//! changes one names it: see [`CachedRow`].
//!
//! Project statistics and trends depend on too many rows to be fenced. They may be as old as their
//! lifetime, and their types say so: [`AgingProjectStats`](crate::AgingProjectStats) and
//! [`AgingTrends`](crate::AgingTrends). Lists are not cached.
//!
//! # Assumptions
//!
//! - Every writer uses a [`Cached`](crate::Cached) with the same prefix, or the [`Db`](crate::Db)
//!   or a [`Tx`](crate::Tx) of one. The write of another client becomes visible when the lifetime
//!   of the entry ends.
//! - One Redis server at a time accepts commands for a key. A primary that is cut off and still
//!   serves its own clients (split brain) can return older values to them until Sentinel or the
//!   cluster has noticed. A demotion ends the connections of the server's clients, as Sentinel and
//!   the cluster do. By hand, use `CLIENT KILL TYPE normal`; clients whose connections are kept
//!   notice within 10 s.
//! - A client that reads a value has a connection to the server that holds it. A proxy that changes
//!   the server behind an open connection breaks this.
//! - A physical copy of a database server that is started beside it, from a snapshot of its disk,
//!   has the same identity. Give it another [prefix](CacheConfig::prefix) or another Redis. Copies
//!   by `CREATE DATABASE ... TEMPLATE` and by `pg_restore` into a new database have identities of
//!   their own.
//! - PostgreSQL does not lose acknowledged writes (`synchronous_commit` at its default). If another
//!   timeline takes over, everything that was cached before is discarded. A process that only reads
//!   cached rows checks the timeline every 10 s, and immediately after a connection to the database
//!   was lost or refused, or opened on another timeline. While the database is unreachable and no
//!   call of the process has noticed it, cached rows are read. A database that was restored to an
//!   earlier timeline is accepted after 10 s, or immediately by
//!   [`Cached::forget_everything`](crate::Cached::forget_everything); until then writes fail.
//! - Redis is trusted like the database, unless there is a [key](CacheConfig::key).
//! - The URL of the database leads to the primary.
//!
//! # Own statements
//!
//! Statements on [`Tx::connection_mut`](crate::Tx::connection_mut) and in
//! [`Db::run`](crate::Db::run) may write anything. Before the commit, the locks of the transaction
//! show the tables that it has written, by triggers, functions, cascades, `COPY` and `TRUNCATE`,
//! too. If no cached table is among them, the cache is left alone. If one is, a new generation
//! begins, unless [`Tx::touches`](crate::Tx::touches) names the rows. What a function does on
//! another connection (`dblink`) is the write of another client.
//!
//! # Cost
//!
//! - A hit is one round trip to Redis, which concurrent readers share.
//! - A miss is three round trips and the query.
//! - A write takes one round trip before its commit, one after it, and one query for the id of the
//!   transaction, however many shards it changes. Outside a transaction, it becomes one. While
//!   Redis is silent, the write waits for the timeouts with its rows locked.
//! - While a slot of a cluster moves to another server, its entries are not cached, and writes to
//!   them fail as if Redis were unreachable.
//! - A new generation is filled only after every write transaction *of the whole PostgreSQL server*
//!   that was running when it began has ended. After a restart of Redis, or a write of unknown
//!   extent, a one-hour transaction disables the cache for one hour.
//!
//! # Writes while Redis is unreachable
//!
//! The entries of the write cannot be removed, and other processes may still reach Redis. By
//! default the write therefore fails with [`Error::Cache`](crate::Error::Cache) *before* it is
//! committed. [`Unfenced`] selects another policy.
//!
//! # Protocol
//!
//! `docs/cache-protocol.md` in the repository describes leases, fences and generations, and why no
//! read is stale. `tests/cache_model` is a model of the protocol, of which every state is checked.
//! `tests/cache_history` checks the guarantee on real servers that are killed, stopped and flushed
//! meanwhile.
//!
//! # Servers
//!
//! Redis 6.2 or newer, or Valkey: a single server, Sentinel ([`CacheConfig::sentinel`]) or a
//! cluster ([`CacheConfig::cluster`]), over TCP, TLS or a Unix socket. Every eviction policy is
//! safe. A policy that evicts by expiry (`volatile-*`) keeps the generation longer than
//! `allkeys-*`. A restricted Redis user needs the commands `info`, `mget`, `set`, `eval` and
//! `evalsha`, those of the scripts (`get`, `set`, `del`, `exists`, `type`, `time`, `hget`, `hmget`,
//! `hset`, `hsetnx`, `hdel`, `hexists`), and in a cluster `cluster`, on keys that begin with the
//! prefix.
//!
//! In a cluster each shard fails alone. A node that announces no host
//! (`cluster-preferred-endpoint-type unknown-endpoint`) is reached at the host that announced it.
//! If none of the configured nodes responds, those that other nodes have named are tried.
//!
//! # Attackers with access to Redis
//!
//! Without a [key](CacheConfig::key), a client with write access to Redis can make reads return any
//! users, roles and settings. Sessions are sealed with their tokens, but a session that was ended
//! can be put back. With a key:
//!
//! - A value opens only if a process with the key wrote it, and only in its own entry, database,
//!   prefix and generation. Otherwise it counts as absent.
//! - A generation that this process has left is not accepted again.
//! - A value does not open after its end, which is sealed in it and compared with the clock of the
//!   database.
//! - A process does not accept a value that was read from the database before one that it has seen,
//!   or before a write of its own. A session that it has ended, or has seen ended, cannot be put
//!   back.
//!
//! A key does not prevent everything. An attacker can put back a value of the same generation for
//! processes that have not seen that it is old, and can remove fences so that an old value is
//! stored. Such a value is read until its end: one minute for users, roles and sessions, unless
//! [`CacheConfig::lifetime`] says otherwise. The same holds for values of earlier generations in a
//! process that has just started. Nothing prevents the deletion of entries.
//!
//! # Secrets
//!
//! Redis receives neither tokens nor their hashes in the clear. A session is stored under a digest
//! of its token's hash, and sealed with a key that is derived from that hash. Settings are stored
//! as in the database; those marked `is_encrypted` are sealed there, and opened after they were
//! read from the cache. Everything else is stored as in its row.

#[cfg(feature = "async")]
pub(crate) mod asynchronous;
#[cfg(feature = "blocking")]
pub(crate) mod blocking;
pub(crate) mod circuit_breaker;
mod config;
pub(crate) mod encryption;
pub(crate) mod entry;
pub(crate) mod events;
#[cfg(feature = "cache-faults")]
mod faults;
#[cfg(feature = "cache-faults")]
#[doc(hidden)]
pub mod foreign;
pub(crate) mod keys;
mod kinds;
mod latencies;
mod metrics;
pub(crate) mod mget;
pub(crate) mod near;
pub(crate) mod own_rows;
pub(crate) mod scripts;
pub(crate) mod server_info;
mod settings;
pub(crate) mod slots;

pub(crate) use config::Servers;
pub use config::{CacheConfig, Unfenced};
#[cfg(feature = "cache-faults")]
pub use faults::{Failpoint, FailpointHook, InjectedFault};
pub use kinds::CachedKind;
pub use latencies::Latencies;
pub use metrics::CacheMetrics;
pub(crate) use metrics::{Counters, count};
pub use own_rows::{CachedRow, OwnKey};
