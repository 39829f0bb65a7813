//! The async engine: diesel-async on tokio, connections kept by bb8.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel_async::AnsiTransactionManager;
use futures_util::future::{self, Either, FutureExt as _};
use tokio::sync::Notify;

use crate::config::Recycling;
use crate::engine::connect::Connector;
use crate::health::{Health, PROBE, Probe};
use crate::statement::prepared;
use crate::touched::Notes;
use crate::transaction::{Occupancy, Retry, Retryable, TransactionOptions};
use crate::usage::Usage;
use crate::{Config, Error, Result};

#[path = "asynchronous/pool.rs"]
mod pool;
#[path = "asynchronous/rows.rs"]
mod rows;
#[path = "asynchronous/source.rs"]
mod source;
#[path = "asynchronous/transaction.rs"]
mod transaction;
#[path = "asynchronous/unit.rs"]
mod unit;

use pool::{Lease, Manager, Pooled};
pub use rows::Rows;
pub use source::RowStream;
pub(crate) use source::{Source, at_once};
pub use transaction::{Tx, TxFn, TxFnOnce};
pub(crate) use unit::Unit;

/// The future that a repository's method returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A database: a pool of connections, shared by its clones.
///
/// [`Db::users`] and its like give the repositories, [`Db::transaction`] a unit of work.
#[derive(Clone)]
pub struct Db {
    pool: bb8::Pool<Manager>,
    config: Arc<Config>,
    closed: Arc<AtomicBool>,
    /// Tells those who wait for a connection that the database is closed.
    closing: Arc<Notify>,
    /// In front of it, for those of its clones that were given one.
    #[cfg(feature = "redis")]
    cache: Option<Arc<super::cached::store::Store>>,
}

impl fmt::Debug for Db {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Db")
            .field("config", &self.config)
            .field("pool", &self.pool.state())
            .finish()
    }
}

impl Db {
    /// A database whose connections are opened as they are needed, in the runtime that calls.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the settings contradict each other, are out of their ranges, or name a certificate that
    /// cannot be read.
    pub fn lazy(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        let closed = Arc::new(AtomicBool::new(false));
        let manager = Manager {
            connector: Connector::new(&config)?,
            recycling: config.recycling,
            closed: Arc::clone(&closed),
            usage: Usage::new(),
        };
        let pool = bb8::Pool::builder()
            .max_size(config.max_connections)
            .min_idle(config.min_idle)
            .connection_timeout(config.acquire_timeout)
            .idle_timeout(config.idle_timeout)
            .max_lifetime(config.max_lifetime)
            .test_on_check_out(config.recycling == Recycling::Verified)
            .retry_connection(false)
            .build_unchecked(manager);
        Ok(Self {
            pool,
            config,
            closed,
            closing: Arc::default(),
            #[cfg(feature = "redis")]
            cache: None,
        })
    }

    /// A database that has answered.
    ///
    /// # Errors
    /// [`Error::Connection`] if it does not, [`Error::InvalidInput`] if the settings are wrong.
    pub async fn connect(config: Config) -> Result<Self> {
        let db = Self::lazy(config)?;
        db.health().await?;
        Ok(db)
    }

    /// A database of its own for each caller of the URL, with the default settings.
    ///
    /// # Errors
    /// As [`Db::connect`].
    pub async fn connect_to(url: &str) -> Result<Self> {
        Self::connect(Config::new(url)?).await
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// [`Error::Connection`], [`Error::Pool`] or [`Error::Timeout`].
    pub async fn health(&self) -> Result<Health> {
        let started = Instant::now();
        let probe: Probe = self
            .source()
            .one(prepared(diesel::sql_query(PROBE)))
            .await?;
        let state = self.pool.state();
        Ok(Health {
            round_trip: started.elapsed(),
            server_version: probe.server_version,
            is_standby: probe.is_standby,
            connections: state.connections,
            idle_connections: state.idle_connections,
        })
    }

    /// Refuses further work with [`Error::Pool`] and closes the connections: idle ones now, the others when what
    /// runs on them ends. Waits for that, at most as long as the acquire timeout; tells how many are still open.
    pub async fn close(&self) -> u32 {
        self.closed.store(true, Ordering::Relaxed);
        self.closing.notify_waiters();
        let deadline = Instant::now() + self.config.acquire_timeout;
        while self.pool.state().connections > 0 && Instant::now() < deadline {
            let moment = Duration::from_millis(5);
            if self.pool.state().idle_connections > 0 {
                // Checked out and given back, a connection of a closed pool is dropped. Somebody else may be faster.
                drop(tokio::time::timeout(moment, self.pool.get()).await);
            } else {
                tokio::time::sleep(moment).await;
            }
        }
        self.pool.state().connections
    }

    /// Runs `work` in a transaction, which is committed if it returns `Ok` and rolled back otherwise.
    ///
    /// The future can be spawned. If it is dropped, or `work` panics, nothing of the transaction is left.
    ///
    /// ```no_run
    /// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
    /// use wundr_db::{NewOrganization, NewUser, OrganizationRepository, UserRepository};
    ///
    /// let (ada, lab) = db
    ///     .transaction(async |tx| -> wundr_db::Result<_> {
    ///         let ada = tx.users().create(NewUser::new("ada@example.org", "Ada")).await?;
    ///         let lab = tx.organizations().create(NewOrganization::new("Lab", "lab")).await?;
    ///         Ok((ada, lab))
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `work` returns; [`Error::Pool`] and [`Error::Connection`] as ever; [`Error::Other`] with SQLSTATE 25P02
    /// if `work` returns `Ok` although one of its statements failed, since the server has undone all of it.
    pub async fn transaction<R, E, F>(&self, work: F) -> Result<R, E>
    where
        E: From<Error> + Send,
        R: Send,
        for<'t> F: AsyncFnOnce(&'t mut Tx) -> Result<R, E>
            + TxFnOnce<&'t mut Tx, Result<R, E>, Future: Send>
            + Send,
    {
        self.transaction_with(&TransactionOptions::new(), work)
            .await
    }

    /// [`Db::transaction`] with an isolation level, read-only or deferrable.
    ///
    /// # Errors
    /// As [`Db::transaction`]; [`Error::Serialization`] and [`Error::ReadOnly`] where the options bring them.
    pub async fn transaction_with<R, E, F>(
        &self,
        options: &TransactionOptions,
        work: F,
    ) -> Result<R, E>
    where
        E: From<Error> + Send,
        R: Send,
        for<'t> F: AsyncFnOnce(&'t mut Tx) -> Result<R, E>
            + TxFnOnce<&'t mut Tx, Result<R, E>, Future: Send>
            + Send,
    {
        let mut tx = self.begin(options).await?;
        let outcome = work(&mut tx).await;
        tx.end(outcome).await
    }

    /// [`Db::transaction_with`], done again while it fails to serialize or is ended to break a deadlock, after a
    /// wait with jitter. `work` may run several times: what it does outside the database must allow that.
    ///
    /// # Errors
    /// As [`Db::transaction_with`]; the last try's error if none succeeded.
    pub async fn transaction_retrying<R, E, F>(
        &self,
        options: &TransactionOptions,
        retry: &Retry,
        work: F,
    ) -> Result<R, E>
    where
        E: From<Error> + Retryable + Send,
        R: Send,
        for<'t> F: AsyncFn(&'t mut Tx) -> Result<R, E>
            + TxFn<&'t mut Tx, Result<R, E>, Future: Send>
            + Send
            + Sync,
    {
        let mut attempt = 1;
        loop {
            let error = match self.attempt(options, &work).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(wait) = retry.wait_after(attempt, error.is_retryable()) else {
                return Err(error);
            };
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt<R, E, F>(&self, options: &TransactionOptions, work: &F) -> Result<R, E>
    where
        E: From<Error> + Send,
        R: Send,
        for<'t> F: AsyncFn(&'t mut Tx) -> Result<R, E>
            + TxFn<&'t mut Tx, Result<R, E>, Future: Send>
            + Send
            + Sync,
    {
        let mut tx = self.begin(options).await?;
        let outcome = work(&mut tx).await;
        tx.end(outcome).await
    }

    /// The same database, whose writes are fenced in the cache.
    #[cfg(feature = "redis")]
    pub(crate) fn behind(&self, cache: Arc<super::cached::store::Store>) -> Self {
        Self {
            cache: Some(cache),
            ..self.clone()
        }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn has_cache(&self) -> bool {
        self.cache.is_some()
    }

    #[cfg(not(feature = "redis"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn has_cache(&self) -> bool {
        false
    }

    pub(crate) fn source(&self) -> Source<'static> {
        Source::Pool(self.clone())
    }

    async fn checkout(&self) -> Result<Pooled> {
        match self.idle() {
            Some(connection) => Ok(connection),
            // Boxed, so that it takes no room in the future of each statement.
            None => Box::pin(self.wait_for_connection()).await,
        }
    }

    /// A connection that nobody has to wait for: nearly always there is one.
    fn idle(&self) -> Option<Pooled> {
        if AtomicBool::load(&self.closed, Ordering::Relaxed)
            || self.config.recycling == Recycling::Verified
        {
            return None;
        }
        let mut connection = self.pool.get_owned().now_or_never()?.ok()?;
        let found = connection.as_mut().ok()?;
        if found.inner.has_ended() || found.usage.is_over() {
            found.usage.retire();
            return None;
        }
        found.usage.take();
        Some(Pooled(connection))
    }

    async fn wait_for_connection(&self) -> Result<Pooled> {
        let started = Instant::now();
        let exhausted = || Error::Pool(format!("none within {:?}", self.config.acquire_timeout));
        // Made before the first look, it tells of whatever closes the database after that.
        let closing = pin!(self.closing.notified());
        let waiting = pin!(async {
            loop {
                if AtomicBool::load(&self.closed, Ordering::Relaxed) {
                    return Err(Error::closed());
                }
                let mut connection = self.pool.get_owned().await.map_err(|error| match error {
                    bb8::RunError::User(error) => error,
                    bb8::RunError::TimedOut => exhausted(),
                })?;
                match &mut *connection {
                    Ok(found) => {
                        // Waited for until the database was closed, or closed by the server.
                        if AtomicBool::load(&self.closed, Ordering::Relaxed)
                            || found.inner.has_ended()
                            || found.usage.is_over()
                        {
                            found.usage.retire();
                        } else {
                            found.usage.take();
                            return Ok(Pooled(connection));
                        }
                    }
                    // An older one was meant for a caller that has got another connection.
                    Err(refusal) if refusal.at >= started => {
                        return Err(std::mem::replace(&mut refusal.error, Error::closed()));
                    }
                    Err(_) => {}
                }
            }
        });
        let waiting = future::select(waiting, closing);
        match tokio::time::timeout(self.config.acquire_timeout, waiting).await {
            Ok(Either::Left((outcome, _))) => outcome,
            Ok(Either::Right(_)) => Err(Error::closed()),
            Err(_) => Err(exhausted()),
        }
    }

    async fn lease(&self) -> Result<Lease> {
        Ok(Lease {
            connection: self.checkout().await?,
            settled: false,
        })
    }

    async fn begin(&self, options: &TransactionOptions) -> Result<Tx> {
        let connection = self.checkout().await?;
        let mut tx = Tx {
            connection,
            occupancy: Occupancy::default(),
            failed: AtomicBool::new(false),
            unfinished: AtomicBool::new(false),
            unheard: AtomicBool::new(false),
            savepoints: 0,
            notes: Notes::new(self.has_cache()),
            #[cfg(feature = "redis")]
            cache: self.cache.clone(),
            adrift: false,
            ended: false,
        };
        if options.is_read_only() {
            tx.connection.usage.set_read_only();
        }
        let begin = options.begin();
        let begun =
            AnsiTransactionManager::begin_transaction_sql(&mut tx.connection.inner, &begin).await;
        match begun {
            Ok(()) => Ok(tx),
            Err(error) => Err(tx.failed(error)),
        }
    }
}
