//! The blocking engine: diesel on libpq, connections kept by r2d2. No runtime is needed.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use diesel::RunQueryDsl as _;
use diesel::connection::AnsiTransactionManager;

use super::commit_hook::CommitHook;
use super::pool::{Manager, Pooled, ReplaceablePool, proven};
use super::transaction::{Tx, begin_with_settings};
use crate::config::Recycling;
use crate::engine::attachments::Attachments;
use crate::engine::libpq::Connector;
use crate::engine::libpq::with_reason;
use crate::engine::pool_context::PoolContext;
use crate::models::health::Health;
use crate::observation::Checkout;
use crate::sql::Sql;
use crate::sql::health::Probe;
use crate::transaction::{Retry, Retryable, TransactionOptions, Tries, with_advice};
use crate::{Advice, Config, Error, Result};

/// A database: a pool of connections, shared by its clones.
///
/// [`Db::users`] and its like give the repositories, [`Db::transaction`] a unit of work.
#[derive(Clone)]
pub struct Db {
    pub(super) pool: Arc<ReplaceablePool>,
    pub(crate) attachments: Attachments<dyn CommitHook>,
}

/// The interval at which waiting callers check whether the database was closed.
const LOOK: Duration = Duration::from_millis(50);

impl Db {
    /// Creates a pool that opens its connections as they are needed.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the settings contradict each other, are out of their ranges, or
    ///   name a root certificate that is not there
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
    pub fn connect(config: Config) -> Result<Self> {
        let db = Self::lazy(config)?;
        db.probe(db.config().acquire_timeout)?;
        Ok(db)
    }

    /// Connects with default settings. Each call creates a new pool.
    ///
    /// # Errors
    /// The same as [`Db::connect`].
    pub fn connect_to(url: &str) -> Result<Self> {
        Self::connect(Config::new(url)?)
    }

    pub(crate) fn context(&self) -> &PoolContext {
        self.pool.context()
    }

    /// Checks that the server responds, on a connection of the pool. Takes little longer than
    /// [`Config::health_timeout`].
    ///
    /// A separate thread sends the query, and continues to wait for a server that does not respond.
    ///
    /// # Errors
    /// - [`Error::Pool`] if all connections are in use for that long, which says nothing of the
    ///   server; or if the database is closed.
    /// - [`Error::Connection`] if no connection could be opened, or one was lost.
    /// - [`Error::Timeout`] if the server did not respond.
    pub fn health(&self) -> Result<Health> {
        let patience = self.config().health_timeout;
        let (sender, receiver) = mpsc::channel();
        let db = self.clone();
        let probing = std::thread::Builder::new().name("wundr-db health".to_owned());
        probing
            .spawn(move || {
                // The caller may have stopped waiting.
                let _ = sender.send(db.probe(patience));
            })
            .map_err(Error::connection)?;
        // A little more, so that the reason comes if none could be had.
        match receiver.recv_timeout(patience.saturating_add(patience / 20)) {
            Ok(health) => health,
            Err(_) => Err(Error::Timeout(format!(
                "the server did not respond within {patience:?}"
            ))),
        }
    }

    fn probe(&self, patience: Duration) -> Result<Health> {
        let started = Instant::now();
        let mut connection = self.checkout_within(patience)?;
        connection.usage.begin_check();
        let probe = connection.run(|connection| Sql(Probe).get_result(connection))?;
        drop(connection);
        Ok(Health::new(probe, &self.pool(), started.elapsed()))
    }

    /// Closes the connections: idle ones now, the others when their statement or transaction ends.
    /// Later calls fail with [`Error::Pool`]. Waits for the connections, at most as long as the
    /// acquire timeout. Returns the number that are still open.
    pub fn close(&self) -> u32 {
        self.context().close();
        let deadline = Instant::now() + self.config().acquire_timeout;
        let pool = self.pool.current();
        while pool.state().connections > 0 && Instant::now() < deadline {
            // Checked out and given back, a connection of a closed pool is dropped.
            if pool.try_get().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        pool.state().connections
    }

    /// Runs `work` in a transaction, which is committed if it returns `Ok` and rolled back
    /// otherwise.
    ///
    /// If `work` panics, nothing of the transaction is left.
    ///
    /// ```no_run
    /// # fn example(db: wundr_db::blocking::Db) -> wundr_db::Result<()> {
    /// use wundr_db::blocking::{OrganizationRepository, UserRepository};
    /// use wundr_db::{NewOrganization, NewUser};
    ///
    /// let (ada, lab) = db.transaction(|tx| -> wundr_db::Result<_> {
    ///     let ada = tx.users().create(NewUser::new("ada@example.org", "Ada"))?;
    ///     let lab = tx.organizations().create(NewOrganization::new("Lab", "lab"))?;
    ///     Ok((ada, lab))
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - the error of `work`
    /// - [`Error::Pool`] and [`Error::Connection`], as every method
    /// - [`Error::Other`] with SQLSTATE 25P02 if `work` returns `Ok` although one of its statements
    ///   failed: the server has undone all of it
    pub fn transaction<R, E, F>(&self, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Tx) -> Result<R, E>,
    {
        self.transaction_with(&TransactionOptions::new(), work)
    }

    /// Runs [`Db::transaction`] with an isolation level, read-only or deferrable.
    ///
    /// # Errors
    /// - The errors of [`Db::transaction`]
    /// - [`Error::Serialization`] and [`Error::ReadOnly`] if the options cause them
    pub fn transaction_with<R, E, F>(&self, options: &TransactionOptions, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Tx) -> Result<R, E>,
    {
        let mut tx = self.begin(options)?;
        let outcome = work(&mut tx);
        tx.end(outcome)
    }

    /// Runs [`Db::transaction_with`] again while it fails to serialize or is ended to break a
    /// deadlock, after a wait with jitter. `work` may run several times: what it does outside the
    /// database must allow that.
    ///
    /// # Errors
    /// The same as [`Db::transaction_with`]. If no attempt succeeds, returns the error of the last
    /// one.
    pub fn transaction_retrying<R, E, F>(
        &self,
        options: &TransactionOptions,
        retry: &Retry,
        work: F,
    ) -> Result<R, E>
    where
        E: From<Error> + Retryable,
        F: Fn(&mut Tx) -> Result<R, E>,
    {
        let mut tries = Tries::begin();
        loop {
            let (error, advice) = match self.attempt(options, &tries, &work) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let Some(wait) = retry.next(&mut tries, advice) else {
                return Err(error);
            };
            std::thread::sleep(wait);
        }
    }

    fn attempt<R, E, F>(
        &self,
        options: &TransactionOptions,
        tries: &Tries,
        work: &F,
    ) -> Result<R, (E, Advice)>
    where
        E: From<Error> + Retryable,
        F: Fn(&mut Tx) -> Result<R, E>,
    {
        let mut tx = self.begin(options).map_err(with_advice)?;
        tx.state.begin_attempt(tries);
        match work(&mut tx) {
            Ok(value) => {
                tx.commit().map_err(with_advice)?;
                Ok(value)
            }
            Err(error) => {
                tx.rollback();
                let advice = options.advice_about(&error);
                Err((error, advice))
            }
        }
    }

    pub(super) fn checkout(&self) -> Result<Pooled> {
        self.checkout_within(self.config().acquire_timeout)
    }

    fn checkout_within(&self, limit: Duration) -> Result<Pooled> {
        let mut checkout = self.attachments.observer().begin_checkout();
        let outcome = self.connection_within(limit, &mut checkout);
        checkout.end(outcome.as_ref().err());
        outcome
    }

    fn connection_within(&self, limit: Duration, checkout: &mut Checkout) -> Result<Pooled> {
        let started = Instant::now();
        let context = self.context();
        let mut waits = None;
        loop {
            context.check_open()?;
            let Some(patience) = limit.checked_sub(started.elapsed()) else {
                return Err(context.none_in_time(started, limit));
            };
            let pool = self.pool.current();
            let mut connection = match pool.try_get() {
                Some(connection) => connection,
                None => {
                    waits.get_or_insert_with(|| context.usage.waits());
                    checkout.begin_wait();
                    // There is no wake-up when the database is closed: waiting callers check.
                    let Ok(connection) = pool.get_timeout(patience.min(LOOK)) else {
                        self.pool.replace_lost();
                        continue;
                    };
                    connection
                }
            };
            match &mut *connection {
                Ok(found) if context.take(&found.usage) => {
                    found.trim()?;
                    if found.usage.is_over() {
                        continue;
                    }
                    if context.config.recycling == Recycling::Fast {
                        return Ok(Pooled(connection));
                    }
                    found.usage.begin_check();
                    if let Some(connection) = proven(connection, patience) {
                        let connection = Pooled(connection);
                        connection.usage.take();
                        return Ok(connection);
                    }
                }
                Ok(_) => {}
                Err(failure) => {
                    if let Some(error) = failure.take_if_since(started) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Begins a transaction. If a connection was closed while it was idle, another one is taken.
    /// After the acquire timeout, no other is tried.
    pub(super) fn begin(&self, options: &TransactionOptions) -> Result<Tx> {
        let started = Instant::now();
        loop {
            let mut tx = self.new_tx(options, self.checkout()?);
            let connection = &mut tx.connection().inner;
            let begun = match self.attachments.settings_of_begin(options) {
                Some(settings) => begin_with_settings(connection, &settings),
                None => {
                    let begin = self.attachments.begin(options);
                    AnsiTransactionManager::begin_transaction_sql(connection, &begin)
                }
            };
            let Err(error) = begun.map_err(|error| with_reason(connection, error)) else {
                tx.usage.answered();
                return Ok(tx);
            };
            let error = tx.failed(error);
            if !self.context().may_begin_again(started, &tx.usage, &error) {
                return Err(error);
            }
        }
    }

    fn new_tx(&self, options: &TransactionOptions, connection: Pooled) -> Tx {
        if options.is_read_only() {
            connection.usage.set_read_only();
        }
        let mut state = self.attachments.tx_state();
        Tx {
            usage: Arc::clone(&connection.usage),
            connection: Mutex::new(connection),
            attachments: self.attachments.within_transaction(&mut state),
            state,
        }
    }
}
