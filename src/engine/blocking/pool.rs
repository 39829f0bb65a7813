//! The connections, kept by r2d2.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::{
    AnsiTransactionManager, CacheSize, Connection as _, DebugQuery, Instrumentation,
    InstrumentationEvent, SimpleConnection as _, TransactionManager,
};
use diesel::pg::PgConnection;
use diesel::r2d2::{self, ManageConnection};

use crate::engine::lent_session::may_change_session;
use crate::engine::libpq::{Connector, default_instrumentation, with_reason};
use crate::engine::pool_context::{ConnectFailure, PoolContext};
use crate::engine::tx_state::PROOF_OF_HEALTH;
use crate::engine::usage::Use;
use crate::error::{Failure, Stage};
use crate::sql::timeline::{TIMELINE, TimelineRow};
use crate::{Error, Result};

/// Opens connections, and decides which may be used again.
#[derive(Clone)]
pub(super) struct Manager {
    pub(super) connector: Arc<Connector>,
    pub(super) context: Arc<PoolContext>,
}

/// A connection of the pool.
pub(super) struct Connection {
    pub(super) inner: PgConnection,
    pub(super) usage: Arc<Use>,
    /// The statements, as diesel reports them.
    observed: Arc<Observed>,
    pub(super) context: Arc<PoolContext>,
}

/// The statements of a connection, as diesel reports them.
#[derive(Default)]
struct Observed {
    /// The number of statements that diesel keeps prepared.
    prepared: AtomicU32,
    /// The connection is lent: its statements are the caller's.
    is_lent: AtomicBool,
    /// A statement of the caller may have changed the session.
    has_changed_session: AtomicBool,
    /// The caller had access to the connection, and may have replaced the observer.
    was_lent: AtomicBool,
    /// A trial event was sent, to find out whether the observer receives events.
    is_tried: AtomicBool,
}

/// Records what diesel reports, and passes the events on.
struct Observer {
    observed: Arc<Observed>,
    usage: Arc<Use>,
    other: Option<Box<dyn Instrumentation>>,
}

/// The text of a statement, without the values that diesel appends.
struct StatementText {
    text: String,
    is_whole: bool,
}

/// The length of a text from which on it is not read: its effect is taken for a change of the
/// session.
const LONGEST_TEXT: usize = 16 << 10;

/// The text that diesel writes between a statement and its values.
const BEFORE_VALUES: &str = " -- binds: ";

impl StatementText {
    fn of(query: &dyn DebugQuery) -> Self {
        let mut written = Self {
            text: String::with_capacity(1 << 10),
            is_whole: true,
        };
        // The error is that of the writer, which has seen enough.
        let _ = write!(written, "{query}");
        let sql = written.text.split(BEFORE_VALUES).next();
        let length = sql.unwrap_or_default().len();
        written.text.truncate(length);
        written
    }
}

impl fmt::Write for StatementText {
    /// Ends the writing before the values, whose text nothing needs.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text == BEFORE_VALUES {
            return Err(fmt::Error);
        }
        if self.text.len() + text.len() > LONGEST_TEXT {
            self.is_whole = false;
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

impl Observer {
    /// Records the caller's statements as the engine records its own.
    fn observe_caller(&self, event: &InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                self.usage.ask();
                let sql = StatementText::of(*query);
                if !sql.is_whole || may_change_session(&sql.text) {
                    self.observed
                        .has_changed_session
                        .store(true, Ordering::Relaxed);
                }
            }
            InstrumentationEvent::FinishQuery { error, .. } => {
                self.usage.answered();
                // The caller may keep the error to itself.
                if let Some(error) = error {
                    self.usage.heed(Failure::verdict_of(error));
                }
            }
            _ => {}
        }
    }
}

impl Instrumentation for Observer {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if self.observed.is_tried.load(Ordering::Relaxed) {
            self.observed.is_tried.store(false, Ordering::Relaxed);
            return;
        }
        if let InstrumentationEvent::CacheQuery { .. } = event {
            self.observed.prepared.fetch_add(1, Ordering::Relaxed);
        }
        if self.observed.is_lent.load(Ordering::Relaxed) {
            self.observe_caller(&event);
        } else if self.observed.was_lent.load(Ordering::Relaxed)
            && let InstrumentationEvent::FinishQuery {
                error: Some(error), ..
            } = &event
        {
            // A statement of the caller in a transaction.
            self.usage.heed(Failure::verdict_of(error));
        }
        if let Some(other) = &mut self.other {
            other.on_connection_event(event);
        }
    }
}

impl Manager {
    fn open(&self) -> Result<Connection> {
        let mut opening = self.context.usage.opens();
        let mut inner = self.connector.connect()?;
        if self.context.usage.is_observed() {
            let query = diesel::sql_query(TIMELINE);
            let found: QueryResult<TimelineRow> =
                diesel::RunQueryDsl::get_result(query, &mut inner);
            let timeline = found.ok().and_then(|found| found.timeline);
            opening.is_on(timeline.as_deref());
        }
        let (observed, usage) = (Arc::default(), self.context.opened(&opening));
        inner.set_instrumentation(Observer {
            observed: Arc::clone(&observed),
            usage: Arc::clone(&usage),
            other: default_instrumentation(),
        });
        Ok(Connection {
            inner,
            usage,
            observed,
            context: Arc::clone(&self.context),
        })
    }
}

impl ManageConnection for Manager {
    type Connection = Result<Connection, ConnectFailure>;
    type Error = Error;

    fn connect(&self) -> Result<Self::Connection> {
        let connection = self.open().map_err(|error| self.context.refused(error));
        self.context.check_open()?;
        Ok(connection)
    }

    fn is_valid(&self, _: &mut Self::Connection) -> Result<()> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        match connection {
            Ok(connection) => {
                // Called for each connection that is given back.
                !self.context.give_back(&connection.usage)
                    || !connection.is_still_observed()
                    || std::thread::panicking()
                    || AnsiTransactionManager::is_broken_transaction_manager(&mut connection.inner)
            }
            Err(_) => true,
        }
    }
}

/// An open connection, which goes back to the pool when it is dropped.
pub(super) struct Pooled(pub(super) Found);

impl std::ops::Deref for Pooled {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &*self.0 {
            Ok(connection) => connection,
            Err(_) => unreachable!("a failure does not leave checkout"),
        }
    }
}

impl std::ops::DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut *self.0 {
            Ok(connection) => connection,
            Err(_) => unreachable!("a failure does not leave checkout"),
        }
    }
}

/// Returns the connection if the server responds on it within this time.
///
/// A separate thread sends the query. If the server does not respond, the thread keeps the
/// connection and continues to wait.
pub(super) fn proven(mut connection: Found, patience: Duration) -> Option<Found> {
    let (sender, receiver) = mpsc::channel();
    let checking = std::thread::Builder::new().name("wundr-db check".to_owned());
    let started = checking.spawn(move || {
        let Ok(found) = &mut *connection else {
            return;
        };
        match found.inner.batch_execute(PROOF_OF_HEALTH) {
            // Without a receiver, the connection returns to the pool.
            Ok(()) => drop(sender.send(connection)),
            Err(_) => {
                found.usage.lose();
            }
        }
    });
    started.ok()?;
    receiver.recv_timeout(patience).ok()
}

pub(super) type Found = r2d2::PooledConnection<Manager>;

/// The pool.
///
/// Nothing ends the wait of a thread for a server that does not respond. Its connection is lost,
/// and so is its place in the pool. Another pool then replaces this one.
pub(super) struct ReplaceablePool {
    manager: Manager,
    current: RwLock<r2d2::Pool<Manager>>,
}

impl ReplaceablePool {
    pub(super) fn new(manager: Manager) -> Self {
        let current = RwLock::new(Self::build(&manager));
        Self { manager, current }
    }

    fn build(manager: &Manager) -> r2d2::Pool<Manager> {
        let config = &manager.context.config;
        r2d2::Pool::builder()
            .max_size(config.max_connections)
            .min_idle(Some(config.min_idle))
            .connection_timeout(config.acquire_timeout)
            .idle_timeout(config.idle_timeout)
            .max_lifetime(config.max_lifetime)
            // The thread that takes a connection would wait for its proof without a limit.
            .test_on_check_out(false)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(manager.clone())
    }

    pub(super) fn context(&self) -> &Arc<PoolContext> {
        &self.manager.context
    }

    pub(super) fn current(&self) -> r2d2::Pool<Manager> {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the pool if connections are lost. The connections in use are closed when they are
    /// returned.
    pub(super) fn replace_lost(&self) {
        let context = self.context();
        let limit = context.config.response_limit();
        if limit.is_some_and(|limit| context.usage.retire_silent(limit)) {
            let pool = Self::build(&self.manager);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = pool;
        }
    }
}

impl Connection {
    /// Closes the prepared statements if there are too many. Must be called between statements.
    pub(super) fn trim(&mut self) -> Result<()> {
        if self.observed.prepared.load(Ordering::Relaxed) < self.context.config.prepared_statements
        {
            return Ok(());
        }
        if self.context.config.behind_pgbouncer {
            // PgBouncer has its own names for the statements of its clients, and frees them when
            // the client disconnects.
            self.usage.retire();
            return Ok(());
        }
        self.run(|connection| connection.batch_execute("DEALLOCATE ALL"))?;
        self.forget_statements();
        Ok(())
    }

    /// Begins or ends the time in which the statements are the caller's. Returns whether one of
    /// them may have changed the session.
    pub(super) fn lend(&self, is_lent: bool) -> bool {
        self.usage.answered();
        self.expose();
        self.observed.is_lent.store(is_lent, Ordering::Relaxed);
        let changed = &self.observed.has_changed_session;
        changed.swap(false, Ordering::Relaxed)
    }

    /// Records that the caller gets access to the connection.
    pub(super) fn expose(&self) {
        self.observed.was_lent.store(true, Ordering::Relaxed);
    }

    /// Checks whether the observer of this connection still receives its events. A caller that had
    /// access may have replaced it, or the connection itself.
    pub(super) fn is_still_observed(&mut self) -> bool {
        if !self.observed.was_lent.swap(false, Ordering::Relaxed) {
            return true;
        }
        self.observed.is_tried.store(true, Ordering::Relaxed);
        let instrumentation = self.inner.instrumentation();
        instrumentation.on_connection_event(InstrumentationEvent::cache_query(""));
        !self.observed.is_tried.swap(false, Ordering::Relaxed)
    }

    /// Drops the prepared statements.
    pub(super) fn forget_statements(&mut self) {
        // diesel creates an empty cache if the size changes.
        for size in [CacheSize::Disabled, CacheSize::Unbounded] {
            self.inner.set_prepared_statement_cache_size(size);
        }
        self.observed.prepared.store(0, Ordering::Relaxed);
    }

    pub(super) fn run<T>(
        &mut self,
        statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        statement(&mut self.inner).map_err(|error| self.failed(error))
    }

    /// Records the error of a statement outside a transaction, and converts it.
    pub(super) fn failed(&mut self, error: diesel::result::Error) -> Error {
        let error = with_reason(&mut self.inner, error);
        let failure = Failure::of(error, Stage::Alone);
        self.usage.note(&failure);
        failure.error
    }
}
