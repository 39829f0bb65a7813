//! A connection of the async engine: diesel's queries on tokio-postgres.
//!
//! diesel-async has such a connection, too. This one gives access to the client, for `COPY`. It
//! builds the text of a statement only once. It costs less: it holds no lock across an await and
//! spawns no task. See `docs/decisions/0002-own-connection.md`.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use diesel::QueryResult;
use diesel::connection::{
    Instrumentation, InstrumentationEvent, StrQueryHelper, get_default_instrumentation,
};
use diesel::pg::{Pg, PgQueryBuilder};
use diesel::query_builder::{QueryBuilder as _, QueryFragment, QueryId};
use diesel::result::DatabaseErrorKind;
use diesel::row::{Field, Row as _};
use diesel_async::AnsiTransactionManager;
use futures_util::{SinkExt as _, TryStreamExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, CopyInSink, Notification, SimpleQueryMessage};

use crate::mapping::{Column, NewRow};
use crate::sql::copy::{CopiedRows, CopyEncoder, Defaults, copy_from, copy_probe, table};
use crate::sql::settings::{Settings, WithSettings};

mod cancel;
#[cfg(feature = "tls")]
mod certificate;
pub(crate) mod connect;
mod diesel_impls;
mod driver;
mod error;
mod patience;
#[cfg(feature = "admin")]
pub(crate) mod raw_copy;
mod read_ahead;
mod response_timeout;
mod result_stream;
mod socket;
mod statement_cache;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod waiters;

pub(crate) use cancel::Cancellation;
use cancel::Peer;
use driver::{Driver, Operation};
use patience::Origin;
use read_ahead::{Dropped, Outcome, ResultReader};
pub use result_stream::{PgRow, ResultStream};
use socket::Socket;
pub(crate) use statement_cache::FixedKey;
use statement_cache::{Bind, Prepared, StatementCache};
pub(crate) use statement_cache::{BoundStatement, key_of};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection of the async engine, on which diesel-async's `RunQueryDsl` works.
///
/// [`Tx::connection_mut`](crate::Tx::connection_mut) lends one.
pub struct Connection {
    client: Arc<Client>,
    statements: Arc<StatementCache>,
    transaction: AnsiTransactionManager,
    /// The future of a batch was dropped before its end. diesel runs the statements of transactions
    /// as batches.
    has_dropped_batch: bool,
    /// The lock only makes it `Sync`.
    instrumentation: Mutex<Option<Box<dyn Instrumentation>>>,
    driver: Arc<Driver>,
    /// The driver may match a response to the wrong statement.
    is_desynchronized: AtomicBool,
    /// A statement of the caller that the connection is lent to may have changed the session.
    has_changed_session: AtomicBool,
    has_instrumentation_of_caller: bool,
    peer: Option<Peer>,
    origin: Option<Origin>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.close();
    }
}

impl Connection {
    pub(crate) fn new<S>(
        client: Client,
        connection: tokio_postgres::Connection<Socket, S>,
        listener: Option<UnboundedSender<Notification>>,
    ) -> Self
    where
        S: TlsStream + Unpin + Send + 'static,
    {
        Self {
            client: Arc::new(client),
            statements: Arc::default(),
            transaction: AnsiTransactionManager::default(),
            has_dropped_batch: false,
            instrumentation: Mutex::new(get_default_instrumentation()),
            driver: Driver::new(connection, listener),
            is_desynchronized: AtomicBool::new(false),
            has_changed_session: AtomicBool::new(false),
            has_instrumentation_of_caller: false,
            peer: None,
            origin: None,
        }
    }

    /// Sets the address at which the server is asked to end a statement.
    fn set_peer(&mut self, peer: Peer) {
        self.peer = Some(peer);
    }

    /// Makes the connection unusable, and returns what ends its running statement.
    pub(crate) fn abandon(&self) -> Cancellation {
        Cancellation {
            token: self.client.cancel_token(),
            peer: self.peer.clone(),
            _io: self.driver.take_io(),
        }
    }

    /// Applies the settings of the session. Returns whether the server is a standby, and whether it
    /// refuses writes. Takes one round trip.
    pub(crate) async fn set_up_session(&self, settings: &str) -> QueryResult<(bool, bool)> {
        const ROLE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
             pg_catalog.current_setting('transaction_read_only')";
        let query = format!("{settings}; {ROLE}");
        let sending = pin!(self.client()?.simple_query(&query));
        let outcome = Operation::on(&self.driver).drive(sending).await;
        let messages = outcome.map_err(|error| self.driver.diesel_error(&error))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        // The settings may return rows as well. The role is last.
        let role = rows.last().map(|row| (row.try_get(0), row.try_get(1)));
        match role {
            Some((Ok(is_standby), Ok(is_read_only))) => {
                Ok((is_standby == Some("t"), is_read_only == Some("on")))
            }
            _ => Err(diesel::result::Error::NotFound),
        }
    }

    /// Returns the timeline of the server; `None` if it is a standby or does not respond.
    pub(crate) async fn timeline(&self) -> Option<String> {
        self.text(crate::sql::timeline::TIMELINE).await
    }

    /// Returns the first value of a query as text; `None` if there is none or the query fails.
    async fn text(&self, query: &str) -> Option<String> {
        let sending = pin!(self.client().ok()?.simple_query(query));
        let outcome = Operation::on(&self.driver).drive(sending).await;
        let rows = outcome.ok()?.into_iter();
        let mut texts = rows.filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok()?.map(str::to_owned),
            _ => None,
        });
        texts.next()
    }

    fn client(&self) -> QueryResult<&Client> {
        if self.is_desynchronized.load(Ordering::Relaxed) {
            let message = "the connection was lost with a COPY".to_owned();
            return Err(diesel::result::Error::DatabaseError(
                DatabaseErrorKind::ClosedConnection,
                Box::new(message),
            ));
        }
        if self.client.is_closed() {
            return Err(self.driver.ended());
        }
        Ok(&self.client)
    }

    /// Binds a query, and reports it to the instrumentation.
    fn bind<Q>(&self, query: &Q) -> QueryResult<BoundStatement>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        let bound = self.bind_with_key(query, key_of::<Q>())?;
        if bound.may_change_session() {
            self.record_session_change();
        }
        Ok(bound)
    }

    fn record_session_change(&self) {
        self.has_changed_session.store(true, Ordering::Relaxed);
    }

    /// Checks whether a statement of the caller may have changed the session since the last call.
    pub(crate) fn take_session_change(&mut self) -> bool {
        std::mem::take(self.has_changed_session.get_mut())
    }

    /// Checks whether the future or the stream of a statement was dropped before its end since the
    /// last call. The server may still execute the statement.
    pub(crate) fn take_dropped(&mut self) -> bool {
        self.driver.take_dropped().is_some()
    }

    /// Checks whether the future of a statement was dropped since the last call, so that it is
    /// unknown whether the statement was executed.
    pub(crate) fn take_dropped_statement(&mut self) -> bool {
        self.driver.take_dropped() == Some(Dropped::Statement)
    }

    /// Replaces an instrumentation that a caller has set.
    pub(crate) fn restore_instrumentation(&mut self) {
        if std::mem::take(&mut self.has_instrumentation_of_caller) {
            self.instrumentation = Mutex::new(get_default_instrumentation());
        }
    }

    /// As [`bind`](Self::bind), with the key of the query, if its text follows from one.
    pub(crate) fn bind_with_key(
        &self,
        query: &dyn QueryFragment<Pg>,
        key: Option<FixedKey>,
    ) -> QueryResult<BoundStatement> {
        let mut bound = self.statements.bind_with_key(query, key)?;
        bound.instrumented_sql = self.instrument_start(query);
        Ok(bound)
    }

    /// As [`bind_with_key`](Self::bind_with_key), with settings that the query makes.
    pub(crate) fn bind_with_settings(
        &self,
        query: &dyn QueryFragment<Pg>,
        key: Option<FixedKey>,
        settings: Option<&Settings<'_>>,
    ) -> QueryResult<BoundStatement> {
        let Some(settings) = settings else {
            return self.bind_with_key(query, key);
        };
        let key = key.map(|(id, shape, _)| (id, shape, settings.kinds()));
        self.bind_with_key(&WithSettings::<()>::new(query, settings), key)
    }

    fn bind_uninstrumented<Q>(&self, query: &Q) -> QueryResult<BoundStatement>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        self.statements.bind_with_key(query, key_of::<Q>())
    }

    fn instrument_start(&self, query: &dyn QueryFragment<Pg>) -> Option<String> {
        let mut instrumentation = locked(&self.instrumentation);
        let listener = instrumentation.as_mut()?;
        let mut sql = PgQueryBuilder::new();
        query.to_sql(&mut sql, &Pg).ok()?;
        let sql = sql.finish();
        let helper = StrQueryHelper::new(&sql);
        listener.on_connection_event(InstrumentationEvent::start_query(&helper));
        Some(sql)
    }

    /// Reports the outcome of a query to the instrumentation, as far as it is known at the first
    /// response.
    fn instrument_end<T>(&self, instrumented_sql: Option<String>, outcome: &QueryResult<T>) {
        if let Some(sql) = instrumented_sql {
            let mut instrumentation = locked(&self.instrumentation);
            let (helper, error) = (StrQueryHelper::new(&sql), outcome.as_ref().err());
            instrumentation.on_connection_event(InstrumentationEvent::finish_query(&helper, error));
        }
    }

    /// Sends a statement whose response is read on while its owner does not poll it.
    fn send(&self, mut bound: BoundStatement) -> QueryResult<ResultReader> {
        self.client()?;
        let (client, statements) = (Arc::clone(&self.client), Arc::clone(&self.statements));
        let driver = Arc::clone(&self.driver);
        // Owns all that it needs: other operations of the connection poll it as well.
        let sending = Box::pin(async move {
            let prepared = statements.of(&client, &driver, &mut bound).await?;
            let Prepared {
                statement, types, ..
            } = prepared;
            let binds = bound.binds.iter().map(|bind| Bind(bind.as_deref()));
            let rows = client.query_raw(&statement, binds).await;
            Ok((rows.map_err(|error| driver.diesel_error(&error))?, types))
        });
        Ok(ResultReader::new(&self.driver, sending))
    }

    /// Runs a query, and returns its rows as a stream.
    pub(crate) async fn send_for_rows(
        &self,
        bound: QueryResult<BoundStatement>,
    ) -> QueryResult<ResultStream> {
        let mut bound = bound?;
        let instrumented_sql = bound.instrumented_sql.take();
        let outcome = async {
            let reader = self.send(bound)?;
            let mut operation = Operation::on(&self.driver);
            let begun = |context: &mut Context<'_>| reader.poll_begun(context);
            let types = poll_fn(|context| operation.poll(context, begun)).await?;
            Ok(ResultStream::new(reader, types, operation))
        };
        let outcome = outcome.await;
        self.instrument_end(instrumented_sql, &outcome);
        outcome
    }

    /// Sends a statement and reads its response to the end: only then is an autocommitted statement
    /// committed.
    async fn send_for_outcome(&self, bound: QueryResult<BoundStatement>) -> QueryResult<Outcome> {
        let mut bound = bound?;
        let instrumented_sql = bound.instrumented_sql.take();
        let outcome = async {
            let reader = self.send(bound)?;
            let mut operation = Operation::on(&self.driver);
            poll_fn(|context| operation.poll(context, |context| reader.poll_outcome(context))).await
        };
        let outcome = outcome.await;
        self.instrument_end(instrumented_sql, &outcome);
        outcome
    }

    /// Runs a query, and returns its only row, if there is one.
    pub(crate) async fn send_for_only_row(
        &self,
        bound: QueryResult<BoundStatement>,
    ) -> QueryResult<Option<PgRow>> {
        let Outcome { row, types, .. } = self.send_for_outcome(bound).await?;
        Ok(row.map(|row| PgRow::new(row, types)))
    }

    /// Runs statements without binds and without rows.
    async fn execute_batch(&self, query: &str) -> QueryResult<()> {
        let executing = pin!(self.client()?.batch_execute(query));
        let outcome = Operation::on(&self.driver).drive(executing).await;
        outcome.map_err(|error| self.driver.diesel_error(&error))
    }

    /// Runs a statement, and returns the number of rows that it has written.
    pub(crate) async fn count(&self, bound: QueryResult<BoundStatement>) -> QueryResult<usize> {
        rows_written(self.send_for_outcome(bound).await?.written)
    }

    /// Writes rows by `COPY`, all or none. Returns `None` if the table or the role does not allow
    /// it.
    pub(crate) async fn copy<N>(&self, rows: &[N]) -> QueryResult<Option<usize>>
    where
        N: NewRow + Sync,
    {
        let copy = Copy {
            columns: N::COLUMNS,
            table: table::<N>()?,
            probe: self.bind_uninstrumented(&copy_probe::<N>()),
            copy: self.bind_uninstrumented(&copy_from::<N>())?,
        };
        self.copy_any(copy, &rows).await
    }

    async fn copy_any(&self, copy: Copy, rows: &dyn CopiedRows) -> QueryResult<Option<usize>> {
        let record = self.send_for_rows(copy.probe).await?.try_next().await?;
        let field = record.as_ref().and_then(|record| record.get(0));
        let record = field.as_ref().and_then(Field::value);
        let record = record.map(|value| value.as_bytes());
        let Some(defaults) = Defaults::of(copy.columns, record.unwrap_or_default())? else {
            return Ok(None);
        };
        // A COPY that is refused at its start costs the connection: the lock is waited for here
        // instead.
        let lock = format!("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE", copy.table);
        self.execute_batch(&lock).await?;
        let mut operation = Operation::on(&self.driver);
        let copying = self.send_copying(copy.copy, CopyEncoder::new(rows, &defaults));
        operation.drive(pin!(copying)).await.map(Some)
    }

    async fn send_copying(
        &self,
        mut bound: BoundStatement,
        copied: CopyEncoder<'_>,
    ) -> QueryResult<usize> {
        let client = self.client()?;
        let prepared = self.statements.of(client, &self.driver, &mut bound);
        let Prepared { statement, .. } = prepared.await?;
        let mut doubt = CopyInDoubt {
            connection: self,
            is_over: false,
        };
        let server = match self.client()?.copy_in::<_, Bytes>(&statement).await {
            Ok(server) => server,
            // The driver ends the COPY in any case. The server responds to that as well, and the
            // driver would match the response to the next statement.
            Err(error) => return Err(self.driver.diesel_error(&error)),
        };
        let outcome = self.send_rows(server, copied).await;
        doubt.is_over = outcome.is_ok() || self.is_synchronized().await;
        outcome
    }

    async fn send_rows(
        &self,
        server: CopyInSink<Bytes>,
        mut copied: CopyEncoder<'_>,
    ) -> QueryResult<usize> {
        let refused = |error| self.driver.diesel_error(&error);
        let (mut server, mut buffer) = (pin!(server), Vec::new());
        while copied.fill(&mut buffer)? {
            let bytes = Bytes::from(std::mem::take(&mut buffer));
            server.send(bytes).await.map_err(refused)?;
        }
        rows_written(server.finish().await.map_err(refused)?)
    }

    /// Checks whether responses and statements still match. The server responds to an empty
    /// statement even in a failed transaction.
    async fn is_synchronized(&self) -> bool {
        let response = self.client.simple_query("").await;
        response.is_ok_and(|messages| messages.len() == 1)
    }
}

/// The statements of a `COPY`, without the type of the rows.
struct Copy {
    columns: &'static [Column],
    table: String,
    probe: QueryResult<BoundStatement>,
    copy: BoundStatement,
}

/// Converts the number of rows that a statement has written.
fn rows_written(rows: u64) -> QueryResult<usize> {
    usize::try_from(rows)
        .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))
}

/// A COPY that the server may have refused. Dropped in that state, it closes the connection: the
/// server responds twice to a COPY that it refuses at its start, and every later response would be
/// matched to the next statement.
struct CopyInDoubt<'c> {
    connection: &'c Connection,
    is_over: bool,
}

impl Drop for CopyInDoubt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection
                .is_desynchronized
                .store(true, Ordering::Relaxed);
            self.connection.driver.close();
        }
    }
}

impl Connection {
    /// Checks whether the server has refused a statement because it writes, since the last call.
    pub(crate) fn has_been_refused_writes(&self) -> bool {
        self.driver.take_read_only()
    }

    /// Sets the response timeout and the number of statements that are kept prepared.
    pub(crate) fn limit(&mut self, response_timeout: Option<Duration>, statements: usize) {
        if let Some(timeout) = response_timeout {
            self.driver.set_response_timeout(timeout);
        }
        self.statements.set_capacity(statements);
    }

    /// Checks whether the response timeout has closed the connection.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.driver.has_timed_out()
    }

    /// Drops the prepared statements and the type OIDs.
    pub(crate) fn forget_statements(&self) {
        self.statements.forget();
    }
}
