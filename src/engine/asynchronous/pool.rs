//! The connections, kept by bb8.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::PoolableConnection as _;
use futures_util::future::{self, Either, FutureExt as _};
use tokio::sync::{Notify, Semaphore};

use crate::config::Recycling;
use crate::engine::connection::Cancellation;
use crate::engine::connection::connect::{Connector, Tls};
use crate::engine::pool_context::{ConnectFailure, PoolContext};
use crate::engine::tx_state::PROOF_OF_HEALTH;
use crate::engine::usage::Use;
use crate::error::{Failure, Stage, Verdict};
use crate::{Error, Result};

/// Opens connections, and decides which may be used again.
#[derive(Clone)]
pub(super) struct Manager {
    pub(super) connector: Arc<Connector>,
    pub(super) context: Arc<PoolContext>,
}

/// A connection of the pool.
pub(super) struct Connection {
    pub(super) inner: crate::engine::connection::Connection,
    connector: Arc<Connector>,
    is_patient: AtomicBool,
    pub(super) usage: Arc<Use>,
    pub(super) context: Arc<PoolContext>,
    /// The runtime that reads it.
    runtime: tokio::runtime::Handle,
}

/// The time that a cancel request may take, including its wait for a permit, and the number of such
/// requests at a time.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);
static CANCELLING: Semaphore = Semaphore::const_new(8);

/// A request to end a statement.
///
/// Dropped before it was sent, because there is no runtime or the runtime ends, it is sent by a
/// thread of its own. The statement would otherwise keep its locks until `statement_timeout` ends
/// it: the server does not look for the end of a connection while it executes a statement.
struct CancelRequest(Option<(Tls, Cancellation)>);

impl CancelRequest {
    async fn send(mut self) {
        let sending = async {
            let _permit = CANCELLING.acquire().await;
            if let Some((tls, cancellation)) = &mut self.0 {
                // If the request is lost, statement_timeout ends the statement.
                let _ = cancellation.send(tls).await;
            }
        };
        let _ = tokio::time::timeout(CANCEL_LIMIT, sending).await;
        self.0 = None;
    }
}

impl Drop for CancelRequest {
    fn drop(&mut self) {
        let Some(request) = self.0.take() else {
            return;
        };
        // Without a thread or a runtime, the request is lost.
        let _ = std::thread::Builder::new()
            .name("wundr-db-cancel".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                if let Ok(runtime) = runtime {
                    runtime.block_on(Self(Some(request)).send());
                }
            });
    }
}

impl Connection {
    /// Ends what the server still does for a caller that has gone, and keeps the connection from
    /// being used again.
    pub(super) fn abandon(&mut self) {
        self.usage.retire();
        let request = CancelRequest(Some((self.connector.tls(), self.inner.abandon())));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(request.send());
        }
    }

    /// Records that a caller takes the connection. Returns `false` if the caller must take another
    /// one.
    pub(super) fn take(&mut self) -> bool {
        if self.inner.has_ended() {
            self.usage.lose();
            return false;
        }
        self.context.take(&self.usage)
    }

    /// Returns the error of a statement on it. A connection of no further use does not go back to
    /// the pool.
    pub(super) fn failed(&self, error: diesel::result::Error, stage: Stage) -> Failure {
        let failure = Failure::of(error, stage);
        self.usage.note(&failure);
        failure
    }

    /// Has the server asked before the connection is closed because it is silent, until the
    /// connection is given back.
    pub(super) async fn be_patient(&self) {
        self.is_patient.store(true, Ordering::Relaxed);
        let config = &self.context.config;
        self.inner.be_patient(&self.connector, config).await;
    }

    /// Ends what a server may still do that has said nothing for too long.
    fn abandon_if_silent(&mut self) {
        if self.inner.has_timed_out() {
            self.abandon();
        }
    }
}

pub(super) type Found = bb8::PooledConnection<'static, Manager>;

/// The pool, which is made by the first caller, since bb8 needs a runtime for that.
///
/// bb8 opens connections in tasks. A runtime that ends takes such a task to its end, and the place
/// in the pool with it: the pool waits for a connection that will never come. Then another pool is
/// put in its place.
pub(super) struct ReplaceablePool {
    manager: Manager,
    current: RwLock<Option<Numbered>>,
    /// Wakes the callers that wait for a connection when the database is closed.
    pub(super) closing: Notify,
}

#[derive(Clone)]
struct Numbered(u64, bb8::Pool<Manager>);

/// The interval at which a waiting caller checks whether its connection is being opened.
const LOOK: Duration = Duration::from_millis(50);

impl ReplaceablePool {
    pub(super) fn new(manager: Manager) -> Self {
        Self {
            manager,
            current: RwLock::default(),
            closing: Notify::new(),
        }
    }

    fn build(manager: &Manager) -> bb8::Pool<Manager> {
        let config = &manager.context.config;
        bb8::Pool::builder()
            .max_size(config.max_connections)
            .min_idle(config.min_idle)
            .connection_timeout(config.acquire_timeout)
            .idle_timeout(config.idle_timeout)
            .max_lifetime(config.max_lifetime)
            .test_on_check_out(config.recycling == Recycling::Verified)
            .retry_connection(false)
            .build_unchecked(manager.clone())
    }

    pub(super) fn context(&self) -> &Arc<PoolContext> {
        &self.manager.context
    }

    fn numbered(&self) -> Numbered {
        let current = self.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner).clone();
        current.unwrap_or_else(|| {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            let first = || Numbered(0, Self::build(&self.manager));
            current.get_or_insert_with(first).clone()
        })
    }

    /// Returns the pool, if a connection was ever asked for.
    pub(super) fn current(&self) -> Option<bb8::Pool<Manager>> {
        let current = self.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|Numbered(_, pool)| pool.clone())
    }

    /// Returns a connection that is free now.
    pub(super) fn try_get(&self) -> Option<Found> {
        let current = self.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        let Numbered(_, pool) = current.as_ref()?;
        pool.get_owned().now_or_never()?.ok()
    }

    /// Returns a connection, as soon as there is one.
    ///
    /// bb8 wakes one caller when a connection becomes free. That caller may be a future that its
    /// owner keeps without polling it, so that the others look for themselves.
    pub(super) async fn get(&self) -> Result<Found, bb8::RunError<Error>> {
        loop {
            let Numbered(number, pool) = self.numbered();
            let mut getting = pin!(pool.get_owned());
            let mut stuck = 0;
            // Twice in a row: a task that was just begun has not said yet that it opens one.
            while stuck < 2 {
                let look = pin!(tokio::time::sleep(LOOK));
                match future::select(getting.as_mut(), look).await {
                    Either::Left((found, _)) => return found,
                    Either::Right(_) if self.is_stuck(&pool) => {
                        stuck += 1;
                        getting.set(pool.get_owned());
                    }
                    Either::Right(_) => {
                        stuck = 0;
                        if pool.state().idle_connections > 0 {
                            getting.set(pool.get_owned());
                        }
                    }
                }
            }
            self.replace(number);
        }
    }

    /// Checks whether a connection could be opened and none is.
    fn is_stuck(&self, pool: &bb8::Pool<Manager>) -> bool {
        let (state, context) = (pool.state(), self.context());
        state.idle_connections == 0
            && state.connections < context.config.max_connections
            && !context.usage.is_opening()
            && !context.is_closed()
    }

    fn replace(&self, number: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have done so already.
        if current.as_ref().is_some_and(|current| current.0 == number) {
            *current = Some(Numbered(number + 1, Self::build(&self.manager)));
        }
    }
}

impl bb8::ManageConnection for Manager {
    // The pool moves a connection several times on its way out and back.
    type Connection = Result<Box<Connection>, Box<ConnectFailure>>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Connection> {
        let context = &self.context;
        let mut opening = context.usage.opens();
        let connection = match self.connector.connect().await {
            Ok(mut inner) => {
                let statements = usize::try_from(context.config.prepared_statements);
                inner.limit(
                    context.config.response_limit(),
                    statements.unwrap_or(usize::MAX),
                );
                if context.config.patience.is_some() {
                    inner.be_patient(&self.connector, &context.config).await;
                }
                if context.usage.is_observed() {
                    opening.is_on(inner.timeline().await.as_deref());
                }
                Ok(Box::new(Connection {
                    inner,
                    connector: Arc::clone(&self.connector),
                    is_patient: AtomicBool::new(false),
                    usage: context.opened(&opening),
                    context: Arc::clone(context),
                    runtime: tokio::runtime::Handle::current(),
                }))
            }
            Err(error) => Err(Box::new(context.refused(error))),
        };
        context.check_open()?;
        Ok(connection)
    }

    async fn is_valid(&self, connection: &mut Self::Connection) -> Result<()> {
        match connection {
            Ok(connection) if self.context.config.recycling == Recycling::Verified => {
                // Dropped before the answer, it leaves the connection retired: the next caller is
                // not to wait for it too.
                let mut asking = Asking(Some(Arc::clone(&connection.usage)));
                let answer = connection.inner.batch_execute(PROOF_OF_HEALTH).await;
                asking.0 = None;
                if answer.is_err() {
                    connection.usage.lose();
                }
                Ok(answer?)
            }
            _ => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        match connection {
            Ok(connection) => {
                // Asked of each connection that is given back.
                if connection.inner.has_been_refused_writes() {
                    connection.usage.heed(Verdict::RetireAll);
                }
                connection.inner.restore_instrumentation();
                let was_patient = std::mem::take(connection.is_patient.get_mut());
                if was_patient && self.context.config.patience.is_none() {
                    connection.inner.be_impatient();
                }
                !self.context.give_back(&connection.usage) || connection.inner.is_broken()
            }
            Err(_) => true,
        }
    }
}

/// A connection that is asked for a proof, until that has come.
struct Asking(Option<Arc<Use>>);

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(usage) = &self.0 {
            usage.retire();
        }
    }
}

/// An open connection, which returns to the pool when it is dropped.
pub(super) struct Pooled(Option<Found>);

impl Pooled {
    /// Wraps what the pool has handed out. It must not be a [`ConnectFailure`].
    pub(super) fn new(found: Found) -> Self {
        Self(Some(found))
    }
}

impl std::ops::Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self.0.as_deref() {
            Some(Ok(connection)) => connection,
            _ => unreachable!("checkout hands out open connections"),
        }
    }
}

impl std::ops::DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        match self.0.as_deref_mut() {
            Some(Ok(connection)) => connection,
            _ => unreachable!("checkout hands out open connections"),
        }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let found = self.0.take();
        // bb8 spawns a task to replace a closed connection, and panics without a runtime.
        if let Some(Ok(connection)) = found.as_deref()
            && let Err(error) = tokio::runtime::Handle::try_current()
            && error.is_missing_context()
        {
            let runtime = connection.runtime.clone();
            let _entered = runtime.enter();
            drop(found);
        }
    }
}

/// A connection for one statement. Dropped before the statement has ended, it does not go back to
/// the pool.
pub(super) struct CheckedOut {
    pub(super) connection: Pooled,
    pub(super) completed: bool,
}

impl CheckedOut {
    pub(super) fn mark_completed(mut self) {
        self.completed = true;
    }

    pub(super) fn failed(mut self, error: diesel::result::Error) -> Error {
        self.completed = true;
        let error = self.connection.failed(error, Stage::Alone).error;
        self.connection.abandon_if_silent();
        error
    }
}

impl Drop for CheckedOut {
    fn drop(&mut self) {
        if !self.completed {
            self.connection.abandon();
        }
    }
}
