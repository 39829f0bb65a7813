//! A Redis cache in front of the repositories that are read far more than written, in both engines.
//!
//! ```no_run
//! use wundr_db::cache::CacheConfig;
//! use wundr_db::{Cached, Db, UserId, UserRepository};
//!
//! # async fn example(id: UserId) -> wundr_db::Result<()> {
//! let db = Db::connect_to("postgres://app@localhost/wundr").await?;
//! let db = Cached::new(db, CacheConfig::new("redis://cache.example")?)?;
//! // From here on it is used like the `Db` before.
//! let user = db.users().find(id).await?;
//! db.transaction(async |tx| tx.users().set_active(id, false).await).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! **After a write through this crate is acknowledged, no read through it returns anything older**, whichever process
//! does it, and whatever dies in between: the writer, the reader, Redis. Whether Redis is slow, full, flushed, restarted
//! empty or from an old snapshot, or gone, never makes a read wrong, nor a write fail that was committed.
//!
//! That holds for everything that is found by key: users (by id and address), sessions (by token hash), organizations
//! (by id and slug), roles of members, projects, settings (what is effective in a scope), setup profiles, tools, and the
//! newest analyses of a project. What is effective in a scope is put together from settings of one moment; of several rows
//! that are found by their ids each is current by itself, as of several queries. Statistics of projects and trends depend on too much to be fenced: they may be as old as
//! their lifetime, and their types, [`AgingProjectStats`](crate::AgingProjectStats) and [`AgingTrends`](crate::AgingTrends),
//! say so. Lists are not cached.
//!
//! # What is assumed
//!
//! - Everybody who writes does so through a [`Cached`](crate::Cached) with the same prefix, or through the
//!   [`Db`](crate::Db) or a [`Tx`](crate::Tx) of one. Another client's write is seen when the entry's lifetime is over.
//! - Of Redis, one server at a time takes commands for a key. A primary that was cut off and still answers its own
//!   clients while others use another (split brain) can give them older values until it learns of its fate: with Sentinel or
//!   Cluster that is their time to notice. A primary that was demoted does not become one again without the data of those
//!   that were primary meanwhile.
//! - A client that reads a value has a connection to the server that holds it: not through a proxy that changes the server
//!   behind an open connection.
//! - PostgreSQL does not forget what it has acknowledged (`synchronous_commit` as it is by default). If another
//!   timeline takes over, everything that was cached before is old. A process that only reads what is cached asks every
//!   10 s whether one has; while the database cannot be asked, it goes on with what is cached. A database that was restored
//!   to an earlier timeline is used when it has been on it for 10 s, or at once when
//!   [`Cached::forget_everything`](crate::Cached::forget_everything) is called; until then writes fail.
//! - Redis is trusted like the database, unless there is a [key](CacheConfig::key).
//! - The URL of the database leads to the primary.
//!
//! # What it costs
//!
//! A hit is one round trip to Redis, which those who ask at the same time share; a miss is three, and the query. A write takes
//! one round trip before its commit and one after, however many shards it touches, and one question to PostgreSQL for the
//! transaction's id; outside a transaction it becomes one. While Redis is silent it waits for the timeouts, with its rows
//! locked. While a slot moves to another server of a cluster its entries are not cached, and writes that touch them fail as
//! if Redis was not reached. A new generation is filled when the
//! oldest transaction *of the whole PostgreSQL server* that writes is younger than it: one that runs for an hour keeps reads
//! at the database for an hour, after Redis was restarted or a write has touched what nobody knows.
//!
//! # What a write does while Redis cannot be reached
//!
//! Its entries cannot be taken out, and other processes may still reach Redis. So by default it fails with
//! [`Error::Cache`](crate::Error::Cache) *before* it is committed: [`Unfenced`] says otherwise.
//!
//! # How it works
//!
//! Redis holds, for each shard (there is one, unless it is a cluster): the *generation*, a random word; its *epoch*, a hash
//! with the run of the server that it was made on, whether it may be filled, and the *fences*; for each entry a value, and a
//! lease while it is filled.
//!
//! ```text
//! reader                       Redis                      writer                    PostgreSQL
//!   | MGET generation, value ->  |                           | UPDATE ...             ->  |
//!   |   both right: a hit        |  <- begin: delete value   |                            |
//!   |   else: lease ->           |     and lease, add fence  |                            |
//!   |   (fenced: no lease)       |                           | COMMIT                 ->  |
//!   | SELECT ...  ------------------------------------------------------------------->    |
//!   | fill, if the lease is ->   |  <- end: remove fence     |                            |
//!   |   still there              |                           | acknowledged               |
//! ```
//!
//! - A *hit* is one command, which takes the generation along: values of another generation do not count.
//! - A *lease* is refused while there is a fence; a fence takes the lease away. So what is filled was read when no
//!   writer was between its begin and its end, and no writer has begun since.
//! - A *fence* does not end by itself. Who finds one that is older than two seconds asks PostgreSQL whether its
//!   transaction has ended (`pg_visible_in_snapshot`), and removes it if so. That is what becomes of writers that
//!   died, were cancelled, or do not know whether their commit has worked.
//! - Fences lie in the epoch itself: whatever loses them, be it an eviction, `FLUSHALL`, a restart, a failover or an old
//!   snapshot (which is known by the run of the server), loses the generation as well. A *new generation* cannot be filled
//!   at first. Whoever wants to takes the next transaction id, and opens the generation when all transactions before that have
//!   ended: so everybody who may have had a fence in an earlier generation has ended by then, and what is read from then
//!   on contains what he has written. Meanwhile reads go to the database.
//! - A write that touches more than a thousand entries, or what nobody knows
//!   ([`Tx::connection_mut`](crate::Tx::connection_mut)), begins a new generation instead of fencing.
//! - Of many readers in one process who want the same entry one reads it. Those who came before the value was stored have
//!   it too, if it could be stored. They, and readers of other processes, wait a little
//!   ([`CacheConfig::lease_wait`]) and then read the database: the future of the one who reads may be kept without being
//!   polled. For the same reason what readers send together is sent by a task.
//! - What is left by writers that died is also removed where nobody reads the entry: each writer has a number in the epoch,
//!   and every process that reads looks now and then for those who have not ended.
//! - By address or slug, the cache holds the row's id and the value as it was; the row, found by its id, must still
//!   have it.
//!
//! The protocol stands as a model in `tests/cache_model.rs`, whose states are all looked at; `tests/cache_history` checks
//! the guarantee on real servers that are killed, stopped and flushed meanwhile.
//!
//! # Servers
//!
//! Redis 6.2 or newer, or Valkey: alone, with Sentinels ([`CacheConfig::sentinel`]) or as a cluster
//! ([`CacheConfig::cluster`]), over TCP, TLS or a Unix socket. Any eviction policy is safe; one that evicts by
//! expiry (`volatile-*`) keeps the generation longer than `allkeys-*`. A user with restricted rights needs the commands
//! `info`, `mget`, `set`, `eval` and `evalsha`, those of the scripts (`get`, `set`, `del`, `exists`, `type`, `time`, `hget`,
//! `hset`, `hsetnx`, `hdel`, `hexists`), in a cluster `cluster`, on the keys that begin with the prefix.
//!
//! In a cluster each shard fails alone. Servers that announce no host (`cluster-preferred-endpoint-type unknown-endpoint`)
//! are taken to be at the host that was asked, and when none of the servers that the settings name answers, those are asked
//! that others have named.
//!
//! # Who may write to Redis
//!
//! Without a [key](CacheConfig::key) whoever may write to Redis can give users, roles and settings any value that a read
//! then returns (sessions are sealed with their tokens, but one that was ended can be put back). With a key:
//!
//! - A value that was not written by a process with the key, or was changed, does not open; nor does one that was moved to
//!   another entry, database, prefix or generation. It is as good as none.
//! - A generation that this process has left does not come back for it.
//! - No value opens after its end, which is sealed in it and compared with the database's clock, however long Redis
//!   keeps it.
//! - A process does not believe a value that was read from the database before one that it has seen, or before a write of
//!   its own: a session that it has ended, or has found ended, cannot be put back for it.
//!
//! What a key does not prevent: who may write to Redis can put back a value of the same generation for processes that have
//! not seen that it is old, and can take fences away so that an old value is stored. Either way it is read until its end
//! at most: a minute for users, roles and sessions unless [`CacheConfig::lifetime`] says otherwise. A process that starts
//! anew knows nothing of earlier generations; for it, too, their values end. That entries can be deleted, and the cache made
//! useless, is not prevented at all.
//!
//! # Secrets
//!
//! Neither tokens nor their hashes are in Redis in the clear: a session lies under a digest of its token's hash, sealed with
//! a key that is derived from that hash. Settings lie as they are stored: those marked `is_encrypted` as the application has
//! encrypted them. Everything else that is cached lies there as it is in its row.

pub(crate) mod breaker;
pub(crate) mod entry;
pub(crate) mod events;
#[cfg(feature = "cache-faults")]
mod faults;
pub(crate) mod greeting;
mod latencies;
mod metrics;
pub(crate) mod name;
pub(crate) mod read;
pub(crate) mod script;
pub(crate) mod sealed;
mod settings;
pub(crate) mod slots;

#[cfg(feature = "cache-faults")]
pub use faults::{Failpoint, FailpointHook, InjectedFault};
pub use latencies::Latencies;
pub use metrics::CacheMetrics;
pub(crate) use metrics::{Counters, count};
pub(crate) use settings::Servers;
pub use settings::{CacheConfig, CachedKind, Unfenced};
