//! The async engine: diesel-async on tokio, connections kept by bb8.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel_async::AnsiTransactionManager;
use futures_util::future::{self, Either};

use super::commit_hook::CommitHook;
use super::pool::{CheckedOut, Manager, Pooled, ReplaceablePool};
use super::transaction::{Tx, TxFn, TxFnOnce};
use crate::config::Recycling;
use crate::engine::attachments::Attachments;
use crate::engine::connection::connect::Connector;
use crate::engine::pool_context::PoolContext;
use crate::models::health::Health;
use crate::observation::Checkout;
use crate::sql::Sql;
use crate::sql::health::Probe;
use crate::transaction::{Retry, Retryable, TransactionOptions, Tries, with_advice};
use crate::{Advice, Config, Error, Result};

/// The future that a repository's method returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A database: a pool of connections, shared by its clones.
///
/// [`Db::users`] and its like give the repositories, [`Db::transaction`] a unit of work.
#[derive(Clone)]
pub struct Db {
    pub(super) pool: Arc<ReplaceablePool>,
    pub(crate) attachments: Attachments<dyn CommitHook>,
}

impl Db {
    /// Creates a pool that opens its connections as they are needed, in the runtime of the caller.
    ///
    /// No runtime is needed for this, nor for a clone or a drop. A connection is read by the
    /// runtime in which it was opened: after that has ended, the next caller opens another one in
    /// its own.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the settings contradict each other, are out of their ranges, or
    ///   name a certificate that cannot be read
    pub fn lazy(config: Config) -> Result<Self> {
        let attachments = Attachments::new(&config);
        let manager = Manager {
            connector: Arc::new(Connector::new(&config)?),
            context: PoolContext::new(config),
        };
        Ok(Self {
            pool: Arc::new(ReplaceablePool::new(manager)),
            attachments,
        })
    }

    /// Connects, and checks that the server responds.
    ///
    /// # Errors
    /// - [`Error::Connection`] if it does not
    /// - [`Error::InvalidInput`] as [`Db::lazy`]
    pub async fn connect(config: Config) -> Result<Self> {
        let db = Self::lazy(config)?;
        let (started, patience) = (Instant::now(), db.config().acquire_timeout);
        let checked_out = db.checked_out_within(patience).await?;
        db.probe(checked_out, started).await?;
        Ok(db)
    }

    /// Connects with default settings. Each call creates a new pool.
    ///
    /// # Errors
    /// The same as [`Db::connect`].
    pub async fn connect_to(url: &str) -> Result<Self> {
        Self::connect(Config::new(url)?).await
    }

    pub(crate) fn context(&self) -> &PoolContext {
        self.pool.context()
    }

    /// Checks that the server responds, on a connection of the pool. Takes no longer than
    /// [`Config::health_timeout`].
    ///
    /// # Errors
    /// - [`Error::Pool`] if all connections are in use for that long, which says nothing of the
    ///   server; or if the database is closed.
    /// - [`Error::Connection`] if no connection could be opened, or one was lost.
    /// - [`Error::Timeout`] if the server did not respond.
    pub async fn health(&self) -> Result<Health> {
        let (started, patience) = (Instant::now(), self.config().health_timeout);
        let checked_out = self.checked_out_within(patience).await?;
        // A connection that was got at the last moment is still to be asked.
        let left = patience.saturating_sub(started.elapsed());
        let left = left.max(patience / 20);
        match tokio::time::timeout(left, self.probe(checked_out, started)).await {
            Ok(health) => health,
            Err(_) => Err(Error::Timeout(format!(
                "the server did not respond within {patience:?}"
            ))),
        }
    }

    async fn probe(&self, checked_out: CheckedOut, started: Instant) -> Result<Health> {
        let probe = checked_out.one(Sql(Probe)).await?;
        Ok(Health::new(probe, &self.pool(), started.elapsed()))
    }

    /// Closes the connections: idle ones now, the others when their statement or transaction ends.
    /// Later calls fail with [`Error::Pool`]. Waits for the connections, at most as long as the
    /// acquire timeout. Returns the number that are still open.
    pub async fn close(&self) -> u32 {
        self.context().close();
        self.pool.closing.notify_waiters();
        let deadline = Instant::now() + self.config().acquire_timeout;
        let Some(pool) = self.pool.current() else {
            return 0;
        };
        while pool.state().connections > 0 && Instant::now() < deadline {
            let moment = Duration::from_millis(5);
            if pool.state().idle_connections > 0 {
                // A connection of a closed pool is dropped when it is given back. Another caller
                // may check it out first.
                drop(tokio::time::timeout(moment, pool.get()).await);
            } else {
                tokio::time::sleep(moment).await;
            }
        }
        pool.state().connections
    }

    /// Runs `work` in a transaction, which is committed if it returns `Ok` and rolled back
    /// otherwise.
    ///
    /// The future can be spawned. If it is dropped, or `work` panics, nothing of the transaction is
    /// left.
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
    /// - the error of `work`
    /// - [`Error::Pool`] and [`Error::Connection`], as every method
    /// - [`Error::Other`] with SQLSTATE 25P02 if `work` returns `Ok` although one of its statements
    ///   failed: the server has undone all of it
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

    /// Runs [`Db::transaction`] with an isolation level, read-only or deferrable.
    ///
    /// # Errors
    /// - The errors of [`Db::transaction`]
    /// - [`Error::Serialization`] and [`Error::ReadOnly`] if the options cause them
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

    /// Runs [`Db::transaction_with`] again while it fails to serialize or is ended to break a
    /// deadlock, after a wait with jitter. `work` may run several times: what it does outside the
    /// database must allow that.
    ///
    /// # Errors
    /// The same as [`Db::transaction_with`]. If no attempt succeeds, returns the error of the last
    /// one.
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
        let mut tries = Tries::begin();
        loop {
            let (error, advice) = match self.attempt(options, &tries, &work).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let Some(wait) = retry.next(&mut tries, advice) else {
                return Err(error);
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt<R, E, F>(
        &self,
        options: &TransactionOptions,
        tries: &Tries,
        work: &F,
    ) -> Result<R, (E, Advice)>
    where
        E: From<Error> + Retryable + Send,
        R: Send,
        for<'t> F: AsyncFn(&'t mut Tx) -> Result<R, E>
            + TxFn<&'t mut Tx, Result<R, E>, Future: Send>
            + Send
            + Sync,
    {
        let mut tx = self.begin(options).await.map_err(with_advice)?;
        tx.state.begin_attempt(tries);
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await.map_err(with_advice)?;
                Ok(value)
            }
            Err(error) => {
                tx.rollback().await;
                let advice = options.advice_about(&error);
                Err((error, advice))
            }
        }
    }

    pub(super) async fn checkout(&self) -> Result<Pooled> {
        self.checkout_within(self.config().acquire_timeout).await
    }

    async fn checkout_within(&self, patience: Duration) -> Result<Pooled> {
        match self.observed_idle() {
            Ok(connection) => Ok(connection),
            // Boxed, so that it takes no room in the future of each statement.
            Err(checkout) => Box::pin(self.observed_wait(checkout, patience)).await,
        }
    }

    /// Returns an idle connection, or the checkout that has to wait for one.
    fn observed_idle(&self) -> Result<Pooled, Checkout> {
        let mut checkout = self.attachments.observer().begin_checkout();
        match self.idle() {
            Some(connection) => {
                checkout.end(None);
                Ok(connection)
            }
            None => {
                checkout.begin_wait();
                Err(checkout)
            }
        }
    }

    async fn observed_wait(&self, checkout: Checkout, patience: Duration) -> Result<Pooled> {
        let outcome = self.wait_for_connection(patience).await;
        checkout.end(outcome.as_ref().err());
        outcome
    }

    /// Returns an idle connection without waiting. Nearly always there is one.
    fn idle(&self) -> Option<Pooled> {
        let context = self.context();
        if context.is_closed() || context.config.recycling == Recycling::Verified {
            return None;
        }
        let mut connection = self.pool.try_get()?;
        let found = connection.as_mut().ok()?;
        found.take().then(|| Pooled::new(connection))
    }

    async fn wait_for_connection(&self, patience: Duration) -> Result<Pooled> {
        let started = Instant::now();
        let context = self.context();
        let _waits = context.usage.waits();
        let exhausted = || context.none_in_time(started, patience);
        // Created before the first check, so that no later close is missed.
        let closing = pin!(self.pool.closing.notified());
        let waiting = pin!(async {
            loop {
                context.check_open()?;
                let mut connection = self.pool.get().await.map_err(|error| match error {
                    bb8::RunError::User(error) => error,
                    bb8::RunError::TimedOut => exhausted(),
                })?;
                match &mut *connection {
                    Ok(found) => {
                        if found.take() {
                            return Ok(Pooled::new(connection));
                        }
                    }
                    Err(failure) => {
                        if let Some(error) = failure.take_if_since(started) {
                            return Err(error);
                        }
                    }
                }
            }
        });
        let waiting = future::select(waiting, closing);
        match tokio::time::timeout(patience, waiting).await {
            Ok(Either::Left((outcome, _))) => outcome,
            Ok(Either::Right(_)) => Err(Error::closed()),
            Err(_) => Err(exhausted()),
        }
    }

    async fn checked_out_within(&self, patience: Duration) -> Result<CheckedOut> {
        Ok(CheckedOut {
            connection: self.checkout_within(patience).await?,
            completed: false,
        })
    }

    pub(super) async fn checked_out(&self) -> Result<CheckedOut> {
        Ok(CheckedOut {
            connection: self.checkout().await?,
            completed: false,
        })
    }

    /// Begins a transaction. If a connection was closed while it was idle, another one is taken.
    /// After the acquire timeout, no other is tried.
    pub(super) async fn begin(&self, options: &TransactionOptions) -> Result<Tx> {
        let started = Instant::now();
        loop {
            let mut tx = self.new_tx(options, self.checkout().await?);
            let connection = &mut tx.connection.inner;
            let begun = match self.attachments.settings_of_begin(options) {
                Some(settings) => connection.begin_with_settings(&settings).await,
                None => {
                    let begin = self.attachments.begin(options);
                    AnsiTransactionManager::begin_transaction_sql(connection, &begin).await
                }
            };
            let Err(error) = begun else {
                return Ok(tx);
            };
            let error = tx.failed(error);
            let usage = &tx.connection.usage;
            if !self.context().may_begin_again(started, usage, &error) {
                return Err(error);
            }
        }
    }

    fn new_tx(&self, options: &TransactionOptions, connection: Pooled) -> Tx {
        let mut state = self.attachments.tx_state();
        let tx = Tx {
            connection,
            attachments: self.attachments.within_transaction(&mut state),
            state,
        };
        if options.is_read_only() {
            tx.connection.usage.set_read_only();
        }
        tx
    }
}
