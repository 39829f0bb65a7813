//! The async engine: diesel-async on tokio, connections kept by bb8.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use diesel::pg::Pg;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::methods::LoadQuery;
use diesel_async::pooled_connection::PoolableConnection as _;
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};
use futures_util::future;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};

use crate::config::Recycling;
use crate::engine::connect::{Connector, Tls};
use crate::health::{Health, PROBE, Probe};
use crate::statement::{NewRow, ROWS_PER_STATEMENT, insert_many, prepared};
use crate::transaction::{
    PROOF_OF_HEALTH, Retry, Retryable, TransactionOptions, already_failed, savepoint_abandoned,
    statement_abandoned,
};
use crate::{Config, Error, Result};

/// The future that a repository's method returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Rows, one after the other, as the server sends them.
///
/// A stream holds a connection until it ends or is dropped. Dropped early, its connection is closed and the query
/// ended.
pub struct RowStream<'a, T>(BoxStream<'a, Result<T>>);

impl<T: Send + 'static> RowStream<'_, T> {
    /// A stream that holds nothing but an error.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self(stream::once(async { Err(error) }).boxed())
    }
}

impl<T> fmt::Debug for RowStream<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowStream")
    }
}

impl<T> Stream for RowStream<'_, T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.0.as_mut().poll_next(context)
    }
}

/// A database: a pool of connections, shared by its clones.
///
/// [`Db::users`] and its like give the repositories, [`Db::transaction`] a unit of work.
#[derive(Clone)]
pub struct Db {
    pool: bb8::Pool<Manager>,
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
    connector: Connector,
    recycling: Recycling,
    closed: Arc<AtomicBool>,
}

/// A connection of the pool.
struct Connection {
    inner: AsyncPgConnection,
    tls: Tls,
    /// A statement or a transaction on it was left unfinished, or it is closed.
    abandoned: bool,
}

/// Why a connection could not be opened. The pool hands it out like a connection, so that the caller who waits is
/// told at once, not when the time for waiting is over.
struct Refusal {
    error: Error,
    at: Instant,
}

impl Connection {
    /// Ends what the server still does for a caller that has gone, and keeps the connection from being used again.
    fn abandon(&mut self) {
        self.abandoned = true;
        let (tls, token) = (self.tls.clone(), self.inner.cancel_token());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // If the request is lost, statement_timeout ends the statement.
                let _ = tls.cancel(token).await;
            });
        }
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = Result<Connection, Refusal>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Connection> {
        let connection = match self.connector.connect().await {
            Ok(inner) => Ok(Connection {
                inner,
                tls: self.connector.tls(),
                abandoned: false,
            }),
            Err(error) => Err(Refusal {
                error,
                at: Instant::now(),
            }),
        };
        if AtomicBool::load(&self.closed, Ordering::Relaxed) {
            return Err(Error::closed());
        }
        Ok(connection)
    }

    async fn is_valid(&self, connection: &mut Self::Connection) -> Result<()> {
        match connection {
            Ok(connection) if self.recycling == Recycling::Verified => {
                Ok(connection.inner.batch_execute(PROOF_OF_HEALTH).await?)
            }
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        match connection {
            Ok(connection) => {
                connection.abandoned
                    || AtomicBool::load(&self.closed, Ordering::Relaxed)
                    || connection.inner.is_broken()
            }
            Err(_) => true,
        }
    }
}

/// An open connection, which goes back to the pool when it is dropped.
struct Pooled(bb8::PooledConnection<'static, Manager>);

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

/// A connection for one statement. Dropped before the statement has ended, it does not go back to the pool.
struct Lease {
    connection: Pooled,
    settled: bool,
}

impl Lease {
    fn settle<T>(mut self, outcome: QueryResult<T>) -> Result<T> {
        self.settled = true;
        outcome.map_err(|error| {
            let error = Error::from(error);
            self.connection.abandoned = error.ends_connection();
            error
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.settled {
            self.connection.abandon();
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

/// A connection for several statements outside a transaction, one after the other or at once. Dropped before all of
/// them have ended, it does not go back to the pool.
pub(crate) struct Held {
    connection: Pooled,
    /// Statements that have begun and not ended.
    under_way: AtomicU32,
    /// A statement's error has ended the connection.
    broken: AtomicBool,
}

impl Held {
    fn settle<T>(&self, outcome: QueryResult<T>) -> Result<T> {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        outcome.map_err(|error| {
            let error = Error::from(error);
            self.broken
                .fetch_or(error.ends_connection(), Ordering::Relaxed);
            error
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.under_way.get_mut() > 0 {
            self.connection.abandon();
        } else if *self.broken.get_mut() {
            self.connection.abandoned = true;
        }
    }
}

/// One connection for all that is asked of its [`source`](Hold::source): held for that, or the transaction's.
pub(crate) enum Hold<'a> {
    Own(Box<Held>),
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

/// Waits for both. Statements of one connection are sent one after the other without waiting for the answers.
pub(crate) fn at_once<A: Future, B: Future>(first: A, second: B) -> future::Join<A, B> {
    future::join(first, second)
}

/// A statement of a transaction. Dropped before it has ended, it leaves a mark on the transaction.
struct Running<'t> {
    tx: &'t Tx,
    mark: &'t AtomicBool,
    settled: bool,
}

impl Running<'_> {
    fn settle<T>(mut self, outcome: QueryResult<T>) -> Result<T> {
        self.settled = true;
        outcome.map_err(|error| self.tx.failed(error))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.mark.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs one statement, which is given a connection. Dropped inside a transaction, it leaves a mark on that.
macro_rules! run {
    ($source:expr, $mark:ident, $connection:ident => $statement:expr) => {
        match $source {
            Source::Pool(db) => {
                let lease = db.lease().await?;
                let outcome = {
                    let mut $connection = &lease.connection.inner;
                    $statement.await
                };
                lease.settle(outcome)
            }
            Source::Tx(tx) => {
                let running = Running {
                    tx,
                    mark: &tx.$mark,
                    settled: false,
                };
                let mut $connection = &tx.connection.inner;
                running.settle($statement.await)
            }
            Source::Held(held) => {
                held.under_way.fetch_add(1, Ordering::Relaxed);
                let mut $connection = &held.connection.inner;
                held.settle($statement.await)
            }
        }
    };
}

// An `async fn` would leave it to each caller to prove its future Send, for every lifetime, which rustc cannot. A boxed
// future also spares the compiler a seventh of its work on this crate.
impl<'a> Source<'a> {
    /// One connection for what several methods ask. A connection of the pool is waited for here.
    pub(crate) fn hold<'f>(&'f self) -> BoxFuture<'f, Result<Hold<'a>>> {
        Box::pin(async move {
            Ok(match self {
                Source::Pool(db) => Hold::Own(Box::new(Held {
                    connection: db.checkout().await?,
                    under_way: AtomicU32::new(0),
                    broken: AtomicBool::new(false),
                })),
                another => Hold::Another(another.clone()),
            })
        })
    }

    /// Every row of a query.
    pub(crate) fn load<'f, 'q: 'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<Vec<R>>>
    where
        Q: for<'c> LoadQuery<'q, &'c AsyncPgConnection, R> + Send + 'q,
        R: Send + 'static,
    {
        Box::pin(async move { run!(self, unfinished, connection => query.load(&mut connection)) })
    }

    /// The only row of a query, if there is one.
    pub(crate) fn first<'f, 'q: 'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<Option<R>>>
    where
        Q: for<'c> LoadQuery<'q, &'c AsyncPgConnection, R> + Send + 'q,
        R: Send + 'static,
    {
        Box::pin(async move {
            run!(self, unfinished, connection => async { query.get_result(&mut connection).await.optional() })
        })
    }

    /// The only row of a query that always has one.
    pub(crate) fn one<'f, 'q: 'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<R>>
    where
        Q: for<'c> LoadQuery<'q, &'c AsyncPgConnection, R> + Send + 'q,
        R: Send + 'static,
    {
        Box::pin(
            async move { run!(self, unfinished, connection => query.get_result(&mut connection)) },
        )
    }

    /// How many rows a statement has written.
    pub(crate) fn execute<'f, Q>(&'f self, statement: Q) -> BoxFuture<'f, Result<usize>>
    where
        Q: QueryFragment<Pg> + QueryId + Send + 'f,
    {
        Box::pin(async move {
            run!(self, unfinished, connection => diesel_async::methods::ExecuteDsl::execute(statement, &mut connection))
        })
    }

    /// Inserts any number of rows: all of them or none.
    pub(crate) async fn insert_all<N>(&self, rows: &[N]) -> Result<usize>
    where
        N: NewRow + Sync,
        for<'r> N::Columns<'r>: Send,
        for<'r> crate::statement::InsertMany<'r, N>: Send,
    {
        for row in rows {
            row.check()?;
        }
        match self {
            Source::Pool(db) if rows.len() > ROWS_PER_STATEMENT => {
                let tx = db.begin(&TransactionOptions::new()).await?;
                let written = tx.insert_chunks(rows).await?;
                tx.commit().await?;
                Ok(written)
            }
            Source::Pool(_) | Source::Held(_) if rows.is_empty() => Ok(0),
            Source::Pool(_) | Source::Held(_) => Source::execute(self, insert_many(rows)).await,
            Source::Tx(tx) => tx.insert_chunks(rows).await,
        }
    }

    /// The rows of a query as they come.
    pub(crate) fn stream<'q, Q, R>(&self, query: Q) -> RowStream<'q, R>
    where
        'a: 'q,
        Q: for<'c> LoadQuery<'q, &'c AsyncPgConnection, R> + Send + 'q,
        R: Send + 'static,
    {
        let source = self.clone();
        let (sender, mut receiver) = tokio::sync::mpsc::channel(ROWS_AHEAD);
        let producer = async move {
            if let Err(error) = source.send_rows(query, &sender).await {
                // Nobody is left to hear of it if this fails.
                let _ = sender.send(Err(error)).await;
            }
        };
        let produced = stream::once(producer).filter_map(|()| std::future::ready(None));
        let received = stream::poll_fn(move |context| receiver.poll_recv(context));
        RowStream(stream::select(received, produced).boxed())
    }

    async fn send_rows<'q, Q, R>(
        &self,
        query: Q,
        sender: &tokio::sync::mpsc::Sender<Result<R>>,
    ) -> Result<()>
    where
        Q: for<'c> LoadQuery<'q, &'c AsyncPgConnection, R> + Send + 'q,
        R: Send + 'static,
    {
        run!(self, unheard, connection => async {
            let mut rows = std::pin::pin!(query.load_stream::<R>(&mut connection).await?);
            while let Some(row) = rows.next().await {
                if sender.send(Ok(row?)).await.is_err() {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// How many rows of a stream are decoded before they are asked for.
const ROWS_AHEAD: usize = 128;

/// A transaction. Its repositories see what it has written, and nobody else does until it is committed.
///
/// [`Db::transaction`] begins and ends one. Dropped unfinished, it is rolled back and its connection closed.
pub struct Tx {
    connection: Pooled,
    /// A statement has failed: until the enclosing savepoint is rolled back, the server refuses every other.
    failed: AtomicBool,
    /// A statement's future was dropped: whether it was done is not known.
    unfinished: AtomicBool,
    /// An error may have gone unseen: a stream was dropped before its end, or the connection was lent.
    unheard: AtomicBool,
    /// Savepoints that were begun and have not ended.
    savepoints: u32,
    /// A savepoint was being begun or ended when its future was dropped.
    adrift: bool,
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
            self.connection.abandon();
        }
    }
}

/// Lets a bound be put on the future that an async closure returns, which has no name.
#[doc(hidden)]
pub trait TxFnOnce<T, R>:
    AsyncFnOnce(T) -> R + FnOnce(T) -> <Self as TxFnOnce<T, R>>::Future
{
    /// The future.
    type Future: Future<Output = R>;
}

impl<F, T, Fut, R> TxFnOnce<T, R> for F
where
    F: AsyncFnOnce(T) -> R + FnOnce(T) -> Fut,
    Fut: Future<Output = R>,
{
    type Future = Fut;
}

/// [`TxFnOnce`] for work that may be done again.
#[doc(hidden)]
pub trait TxFn<T, R>: AsyncFn(T) -> R + Fn(T) -> <Self as TxFn<T, R>>::Future {
    /// The future.
    type Future: Future<Output = R>;
}

impl<F, T, Fut, R> TxFn<T, R> for F
where
    F: AsyncFn(T) -> R + Fn(T) -> Fut,
    Fut: Future<Output = R>,
{
    type Future = Fut;
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
    pub async fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        E: From<Error> + Send,
        R: Send,
        for<'t> F: AsyncFnOnce(&'t mut Tx) -> Result<R, E>
            + TxFnOnce<&'t mut Tx, Result<R, E>, Future: Send>
            + Send,
    {
        if self.adrift {
            return Err(savepoint_abandoned().into());
        }
        let unfinished_before = std::mem::take(self.unfinished.get_mut());
        // Counted before the first await: if this future is dropped, the transaction must not be committed.
        self.savepoints += 1;
        let level = self.savepoints;
        self.adrift = true;
        let begun = AnsiTransactionManager::begin_transaction(&mut self.connection.inner).await;
        self.adrift = false;
        if let Err(error) = begun {
            self.savepoints -= 1;
            *self.unfinished.get_mut() = unfinished_before;
            return Err(self.failed(error).into());
        }
        let outcome = work(&mut *self).await;
        if self.savepoints != level || self.adrift {
            return outcome.and(Err(savepoint_abandoned().into()));
        }
        let outcome = match outcome {
            Ok(_) if *self.unfinished.get_mut() => Err(statement_abandoned().into()),
            Ok(_) if self.has_failed() => Err(already_failed().into()),
            outcome => outcome,
        };
        self.adrift = true;
        let ended = match &outcome {
            Ok(_) => AnsiTransactionManager::commit_transaction(&mut self.connection.inner).await,
            Err(_) => {
                AnsiTransactionManager::rollback_transaction(&mut self.connection.inner).await
            }
        };
        self.adrift = false;
        match ended {
            Ok(()) => {
                self.savepoints -= 1;
                *self.failed.get_mut() = false;
                *self.unfinished.get_mut() = unfinished_before;
                outcome
            }
            // Left counted: the transaction's state is not known.
            Err(error) => outcome.and(Err(self.failed(error).into())),
        }
    }

    /// The connection, for what the repositories do not offer. Do not begin or end a transaction on it. An error of a
    /// statement on it that is swallowed is an error when the transaction is to be committed, as any other.
    pub fn connection_mut(&mut self) -> &mut AsyncPgConnection {
        *self.unheard.get_mut() = true;
        &mut self.connection.inner
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

    async fn insert_chunks<N>(&self, rows: &[N]) -> Result<usize>
    where
        N: NewRow + Sync,
        for<'r> crate::statement::InsertMany<'r, N>: Send,
    {
        let mut written = 0;
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            written += Source::execute(&self.source(), insert_many(chunk)).await?;
        }
        Ok(written)
    }

    /// Makes what was written last and visible to others.
    async fn commit(mut self) -> Result<()> {
        let refusal = if self.savepoints > 0 {
            Some(savepoint_abandoned())
        } else if *self.unfinished.get_mut() {
            Some(statement_abandoned())
        } else if *self.failed.get_mut() {
            Some(already_failed())
        } else if *self.unheard.get_mut() {
            let proof = self.connection.inner.batch_execute(PROOF_OF_HEALTH);
            proof.await.err().map(Error::from)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.rollback().await;
            return Err(refusal);
        }
        let outcome = AnsiTransactionManager::commit_transaction(&mut self.connection.inner).await;
        let outcome = outcome.map_err(Error::from);
        // A server that refuses to commit has ended the transaction, too.
        self.ended = !matches!(&outcome, Err(error) if error.ends_connection());
        outcome
    }

    /// Undoes what was written. Where that fails, or would have to wait for a statement that nobody waits for, closing
    /// the connection undoes it.
    async fn rollback(mut self) {
        let is_at_rest =
            self.savepoints == 0 && !*self.unfinished.get_mut() && !*self.unheard.get_mut();
        if is_at_rest {
            let connection = &mut self.connection.inner;
            let outcome = AnsiTransactionManager::rollback_transaction(connection).await;
            self.ended = outcome.is_ok();
        }
    }
}

impl Db {
    /// A database whose connections are opened as they are needed, in the runtime that calls.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the settings contradict each other or name a certificate that cannot be read.
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
            connector: Connector::new(&config)?,
            recycling: config.recycling,
            closed: Arc::clone(&closed),
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
        let deadline = Instant::now() + self.config.acquire_timeout;
        while self.pool.state().connections > 0 && Instant::now() < deadline {
            if self.pool.state().idle_connections > 0 {
                // Checked out and given back, a connection of a closed pool is dropped.
                drop(self.pool.get().await);
            } else {
                tokio::time::sleep(Duration::from_millis(5)).await;
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
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
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
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }

    pub(crate) fn source(&self) -> Source<'static> {
        Source::Pool(self.clone())
    }

    async fn checkout(&self) -> Result<Pooled> {
        let started = Instant::now();
        let exhausted = || Error::Pool(format!("none within {:?}", self.config.acquire_timeout));
        let waiting = async {
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
                        found.abandoned = AtomicBool::load(&self.closed, Ordering::Relaxed)
                            || found.inner.is_broken();
                        if !found.abandoned {
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
        };
        tokio::time::timeout(self.config.acquire_timeout, waiting)
            .await
            .unwrap_or_else(|_| Err(exhausted()))
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
            failed: AtomicBool::new(false),
            unfinished: AtomicBool::new(false),
            unheard: AtomicBool::new(false),
            savepoints: 0,
            adrift: false,
            ended: false,
        };
        AnsiTransactionManager::begin_transaction_sql(&mut tx.connection.inner, &options.begin())
            .await?;
        Ok(tx)
    }
}
