//! The blocking engine: diesel on libpq, connections kept by r2d2. No runtime is needed.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::query_dsl::methods::{ExecuteDsl, LoadQuery};
use diesel::r2d2::{self, ManageConnection};
use diesel::{Connection as _, OptionalExtension, QueryResult, RunQueryDsl};

use crate::config::Recycling;
use crate::config::UNDERSTOOD_MESSAGES;
use crate::health::{Health, PROBE, Probe};
use crate::statement::{NewRow, ROWS_PER_STATEMENT, insert_many, prepared};
use crate::transaction::{
    PROOF_OF_HEALTH, Retry, Retryable, TransactionOptions, already_failed, savepoint_abandoned,
};
use crate::{Config, Error, Result};

#[path = "blocking/rows.rs"]
mod rows;
#[path = "blocking/unit.rs"]
mod unit;

pub use rows::Rows;
pub(crate) use unit::Unit;

/// A database: a pool of connections, shared by its clones.
///
/// [`Db::users`] and its like give the repositories, [`Db::transaction`] a unit of work.
#[derive(Clone)]
pub struct Db {
    pool: r2d2::Pool<Manager>,
    config: Arc<Config>,
    closed: Arc<AtomicBool>,
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

/// Opens connections and tells which may be used again.
struct Manager {
    config: Arc<Config>,
    closed: Arc<AtomicBool>,
}

/// A connection of the pool.
struct Connection {
    inner: PgConnection,
    /// A transaction on it was left unfinished, or it is closed.
    abandoned: bool,
}

/// Why a connection could not be opened. The pool hands it out like a connection, so that the caller who waits is
/// told at once, not when the time for waiting is over.
struct Refusal {
    error: Error,
    at: Instant,
}

impl Manager {
    fn open(&self) -> Result<Connection> {
        let mut inner =
            PgConnection::establish(&self.config.url(true)).map_err(Error::connection)?;
        if !self.config.behind_pgbouncer {
            inner
                .batch_execute(UNDERSTOOD_MESSAGES)
                .map_err(Error::connection)?;
        }
        Ok(Connection {
            inner,
            abandoned: false,
        })
    }
}

impl ManageConnection for Manager {
    type Connection = Result<Connection, Refusal>;
    type Error = Error;

    fn connect(&self) -> Result<Self::Connection> {
        let connection = self.open().map_err(|error| Refusal {
            error,
            at: Instant::now(),
        });
        if AtomicBool::load(&self.closed, Ordering::Relaxed) {
            return Err(Error::closed());
        }
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Self::Connection) -> Result<()> {
        match connection {
            Ok(connection) if self.config.recycling == Recycling::Verified => {
                Ok(connection.inner.batch_execute(PROOF_OF_HEALTH)?)
            }
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        match connection {
            Ok(connection) => {
                connection.abandoned
                    || AtomicBool::load(&self.closed, Ordering::Relaxed)
                    || std::thread::panicking()
                    || AnsiTransactionManager::is_broken_transaction_manager(&mut connection.inner)
            }
            Err(_) => true,
        }
    }
}

/// An open connection, which goes back to the pool when it is dropped.
struct Pooled(r2d2::PooledConnection<Manager>);

impl std::ops::Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &*self.0 {
            Ok(connection) => connection,
            Err(_) => unreachable!("a refusal does not leave checkout"),
        }
    }
}

impl std::ops::DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut *self.0 {
            Ok(connection) => connection,
            Err(_) => unreachable!("a refusal does not leave checkout"),
        }
    }
}

/// Where a repository's statements run.
#[derive(Clone)]
pub(crate) enum Source<'a> {
    Pool(Db),
    Tx(&'a Tx),
    Held(&'a Held),
}

/// A connection for several statements outside a transaction, one after the other.
pub(crate) struct Held(Mutex<Pooled>);

/// One connection for all that is asked of its [`source`](Hold::source): held for that, or the transaction's.
pub(crate) enum Hold<'a> {
    Own(Held),
    Another(Source<'a>),
}

impl Hold<'_> {
    pub(crate) fn source(&self) -> Source<'_> {
        match self {
            Hold::Own(held) => Source::Held(held),
            Hold::Another(source) => source.clone(),
        }
    }
}

/// Both answers. libpq takes one statement at a time, so these came one after the other.
pub(crate) fn at_once<A, B>(first: A, second: B) -> (A, B) {
    (first, second)
}

impl Connection {
    fn run<T>(&mut self, statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>) -> Result<T> {
        statement(&mut self.inner).map_err(|error| {
            let error = Error::from(error);
            self.abandoned |= error.ends_connection();
            error
        })
    }
}

impl<'a> Source<'a> {
    fn run<T>(&self, statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>) -> Result<T> {
        match self {
            Source::Pool(db) => db.checkout()?.run(statement),
            Source::Held(held) => held
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .run(statement),
            Source::Tx(tx) => statement(&mut tx.lock()?.inner).map_err(|error| tx.failed(error)),
        }
    }

    /// One connection for what several methods ask. A connection of the pool is waited for here.
    pub(crate) fn hold(&self) -> Result<Hold<'a>> {
        Ok(match self {
            Source::Pool(db) => Hold::Own(Held(Mutex::new(db.checkout()?))),
            another => Hold::Another(another.clone()),
        })
    }

    /// Every row of a query.
    pub(crate) fn load<'q, Q, R>(&self, query: Q) -> Result<Vec<R>>
    where
        Q: LoadQuery<'q, PgConnection, R>,
    {
        self.run(|connection| query.internal_load(connection)?.collect())
    }

    /// The only row of a query, if there is one.
    pub(crate) fn first<'q, Q, R>(&self, query: Q) -> Result<Option<R>>
    where
        Q: LoadQuery<'q, PgConnection, R> + RunQueryDsl<PgConnection>,
    {
        self.run(|connection| query.get_result(connection).optional())
    }

    /// The only row of a query that always has one.
    pub(crate) fn one<'q, Q, R>(&self, query: Q) -> Result<R>
    where
        Q: LoadQuery<'q, PgConnection, R> + RunQueryDsl<PgConnection>,
    {
        self.run(|connection| query.get_result(connection))
    }

    /// How many rows a statement has written.
    pub(crate) fn execute<Q>(&self, statement: Q) -> Result<usize>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        self.run(|connection| ExecuteDsl::execute(statement, connection))
    }

    /// Inserts any number of rows: all of them or none.
    pub(crate) fn insert_all<N: NewRow>(&self, rows: &[N]) -> Result<usize> {
        for row in rows {
            row.check()?;
        }
        match self {
            Source::Pool(db) if rows.len() > ROWS_PER_STATEMENT => {
                let tx = db.begin(&TransactionOptions::new())?;
                let written = tx.insert_chunks(rows)?;
                tx.commit()?;
                Ok(written)
            }
            Source::Pool(_) | Source::Held(_) if rows.is_empty() => Ok(0),
            Source::Pool(_) | Source::Held(_) => self.execute(insert_many(rows)),
            Source::Tx(tx) => tx.insert_chunks(rows),
        }
    }
}

/// A transaction. Its repositories see what it has written, and nobody else does until it is committed.
///
/// [`Db::transaction`] begins and ends one. Dropped unfinished, it is rolled back and its connection closed.
pub struct Tx {
    connection: Mutex<Pooled>,
    /// A statement has failed: until the enclosing savepoint is rolled back, the server refuses every other.
    failed: AtomicBool,
    /// An error may have gone unseen: the connection was lent.
    unheard: bool,
    /// Savepoints that were begun and have not ended.
    savepoints: u32,
    ended: bool,
}

impl fmt::Debug for Tx {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tx")
            .field("failed", &self.failed)
            .field("savepoints", &self.savepoints)
            .finish()
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.ended {
            self.connection().abandoned = true;
        }
    }
}

impl Tx {
    pub(crate) fn source(&self) -> Source<'_> {
        Source::Tx(self)
    }

    /// Runs a part of the transaction that can fail alone: an error, returned or a statement's own, undoes what the
    /// part has done and leaves the rest as it was.
    ///
    /// # Errors
    /// What `work` returns, or the error of the savepoint itself.
    pub fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Tx) -> Result<R, E>,
    {
        // Counted first: if `work` panics and somebody catches it, the transaction must not be committed.
        self.savepoints += 1;
        let level = self.savepoints;
        if let Err(error) = AnsiTransactionManager::begin_transaction(&mut self.connection().inner)
        {
            self.savepoints -= 1;
            return Err(self.failed(error).into());
        }
        let outcome = work(&mut *self);
        if self.savepoints != level {
            return outcome.and(Err(savepoint_abandoned().into()));
        }
        let outcome = match outcome {
            Ok(_) if self.has_failed() => Err(already_failed().into()),
            outcome => outcome,
        };
        let ended = match &outcome {
            Ok(_) => AnsiTransactionManager::commit_transaction(&mut self.connection().inner),
            Err(_) => AnsiTransactionManager::rollback_transaction(&mut self.connection().inner),
        };
        match ended {
            Ok(()) => {
                self.savepoints -= 1;
                *self.failed.get_mut() = false;
                outcome
            }
            // Left counted: the transaction's state is not known.
            Err(error) => outcome.and(Err(self.failed(error).into())),
        }
    }

    /// The connection, for what the repositories do not offer. Do not begin or end a transaction on it. An error of a
    /// statement on it that is swallowed is an error when the transaction is to be committed, as any other.
    pub fn connection_mut(&mut self) -> &mut PgConnection {
        self.unheard = true;
        &mut self.connection().inner
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A transaction is used by one thread at a time; a second one is refused instead of made to wait.
    fn lock(&self) -> Result<MutexGuard<'_, Pooled>> {
        match self.connection.try_lock() {
            Ok(connection) => Ok(connection),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Error::Pool(
                "the transaction is in use by another thread".to_owned(),
            )),
        }
    }

    fn has_failed(&self) -> bool {
        AtomicBool::load(&self.failed, Ordering::Relaxed)
    }

    fn failed(&self, error: diesel::result::Error) -> Error {
        if !matches!(error, diesel::result::Error::NotFound) {
            self.failed.store(true, Ordering::Relaxed);
        }
        error.into()
    }

    fn insert_chunks<N: NewRow>(&self, rows: &[N]) -> Result<usize> {
        let mut written = 0;
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            written += self.source().execute(insert_many(chunk))?;
        }
        Ok(written)
    }

    /// Makes what was written last and visible to others.
    fn commit(mut self) -> Result<()> {
        let refusal = if self.savepoints > 0 {
            Some(savepoint_abandoned())
        } else if *self.failed.get_mut() {
            Some(already_failed())
        } else if self.unheard {
            let proof = self.connection().inner.batch_execute(PROOF_OF_HEALTH);
            proof.err().map(Error::from)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.rollback();
            return Err(refusal);
        }
        let outcome = AnsiTransactionManager::commit_transaction(&mut self.connection().inner);
        let outcome = outcome.map_err(Error::from);
        // A server that refuses to commit has ended the transaction, too.
        self.ended = !matches!(&outcome, Err(error) if error.ends_connection());
        outcome
    }

    /// Undoes what was written. Where that fails, closing the connection undoes it.
    fn rollback(mut self) {
        if self.savepoints == 0 {
            let connection = &mut self.connection().inner;
            let outcome = AnsiTransactionManager::rollback_transaction(connection);
            self.ended = outcome.is_ok();
        }
    }
}

impl Db {
    /// A database whose connections are opened as they are needed.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the settings contradict each other.
    pub fn lazy(config: Config) -> Result<Self> {
        if config.min_idle > config.max_connections {
            return Err(Error::invalid(
                "min_idle",
                "is greater than max_connections",
            ));
        }
        let config = Arc::new(config);
        let closed = Arc::new(AtomicBool::new(false));
        let manager = Manager {
            config: Arc::clone(&config),
            closed: Arc::clone(&closed),
        };
        let pool = r2d2::Pool::builder()
            .max_size(config.max_connections)
            .min_idle(Some(config.min_idle))
            .connection_timeout(config.acquire_timeout)
            .idle_timeout(config.idle_timeout)
            .max_lifetime(config.max_lifetime)
            .test_on_check_out(config.recycling == Recycling::Verified)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(manager);
        Ok(Self {
            pool,
            config,
            closed,
        })
    }

    /// A database that has answered.
    ///
    /// # Errors
    /// [`Error::Connection`] if it does not, [`Error::InvalidInput`] if the settings are wrong.
    pub fn connect(config: Config) -> Result<Self> {
        let db = Self::lazy(config)?;
        db.health()?;
        Ok(db)
    }

    /// A database of its own for each caller of the URL, with the default settings.
    ///
    /// # Errors
    /// As [`Db::connect`].
    pub fn connect_to(url: &str) -> Result<Self> {
        Self::connect(Config::new(url)?)
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Asks the server for a sign of life.
    ///
    /// # Errors
    /// [`Error::Connection`], [`Error::Pool`] or [`Error::Timeout`].
    pub fn health(&self) -> Result<Health> {
        let started = Instant::now();
        let probe: Probe = self.source().one(prepared(diesel::sql_query(PROBE)))?;
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
    pub fn close(&self) -> u32 {
        self.closed.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + self.config.acquire_timeout;
        while self.pool.state().connections > 0 && Instant::now() < deadline {
            // Checked out and given back, a connection of a closed pool is dropped.
            if self.pool.try_get().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.pool.state().connections
    }

    /// Runs `work` in a transaction, which is committed if it returns `Ok` and rolled back otherwise.
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
    /// What `work` returns; [`Error::Pool`] and [`Error::Connection`] as ever; [`Error::Other`] with SQLSTATE 25P02
    /// if `work` returns `Ok` although one of its statements failed, since the server has undone all of it.
    pub fn transaction<R, E, F>(&self, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Tx) -> Result<R, E>,
    {
        self.transaction_with(&TransactionOptions::new(), work)
    }

    /// [`Db::transaction`] with an isolation level, read-only or deferrable.
    ///
    /// # Errors
    /// As [`Db::transaction`]; [`Error::Serialization`] and [`Error::ReadOnly`] where the options bring them.
    pub fn transaction_with<R, E, F>(&self, options: &TransactionOptions, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Tx) -> Result<R, E>,
    {
        let mut tx = self.begin(options)?;
        match work(&mut tx) {
            Ok(value) => {
                tx.commit()?;
                Ok(value)
            }
            Err(error) => {
                tx.rollback();
                Err(error)
            }
        }
    }

    /// [`Db::transaction_with`], done again while it fails to serialize or is ended to break a deadlock, after a
    /// wait with jitter. `work` may run several times: what it does outside the database must allow that.
    ///
    /// # Errors
    /// As [`Db::transaction_with`]; the last try's error if none succeeded.
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
        let mut attempt = 1;
        loop {
            let error = match self.transaction_with(options, &work) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(wait) = retry.wait_after(attempt, error.is_retryable()) else {
                return Err(error);
            };
            std::thread::sleep(wait);
            attempt += 1;
        }
    }

    pub(crate) fn source(&self) -> Source<'static> {
        Source::Pool(self.clone())
    }

    fn checkout(&self) -> Result<Pooled> {
        let started = Instant::now();
        let exhausted = || Error::Pool(format!("none within {:?}", self.config.acquire_timeout));
        loop {
            if AtomicBool::load(&self.closed, Ordering::Relaxed) {
                return Err(Error::closed());
            }
            let patience = self
                .config
                .acquire_timeout
                .checked_sub(started.elapsed())
                .ok_or_else(exhausted)?;
            let mut connection = self.pool.get_timeout(patience).map_err(|_| exhausted())?;
            match &mut *connection {
                // Waited for until the database was closed.
                Ok(_) if AtomicBool::load(&self.closed, Ordering::Relaxed) => {}
                Ok(_) => return Ok(Pooled(connection)),
                // An older one was meant for a caller that has got another connection.
                Err(refusal) if refusal.at >= started => {
                    return Err(std::mem::replace(&mut refusal.error, Error::closed()));
                }
                Err(_) => {}
            }
        }
    }

    fn begin(&self, options: &TransactionOptions) -> Result<Tx> {
        let connection = Mutex::new(self.checkout()?);
        let mut tx = Tx {
            connection,
            failed: AtomicBool::new(false),
            unheard: false,
            savepoints: 0,
            ended: false,
        };
        AnsiTransactionManager::begin_transaction_sql(
            &mut tx.connection().inner,
            &options.begin(),
        )?;
        Ok(tx)
    }
}
