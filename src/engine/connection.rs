//! A connection of the async engine: diesel's queries on tokio-postgres.
//!
//! diesel-async brings such a connection, too. This one keeps the client within reach, for `COPY`; builds the SQL of a
//! statement only until it is prepared; and costs less for each: no lock is held across an await, and nothing is
//! started beside the statement itself.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use diesel::connection::{
    CacheSize, Instrumentation, InstrumentationEvent, StrQueryHelper, get_default_instrumentation,
};
use diesel::pg::{Pg, PgQueryBuilder};
use diesel::query_builder::{AsQuery, QueryBuilder as _, QueryFragment, QueryId};
use diesel::result::DatabaseErrorKind;
use diesel::row::{Field, Row as _};
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection,
    TransactionManager as _,
};
use futures_util::{SinkExt as _, TryStreamExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{CancelToken, Client, CopyInSink, Notification, SimpleQueryMessage, Socket};

use crate::Config;
use crate::engine::connect::Connector;
use crate::statement::NewRow;
use crate::statement::copy::{Copied, Defaults, copy_from, prospect, table};

mod answer;
mod driver;
mod incoming;
mod question;
mod refusal;
mod silence;
mod waiting;

pub use answer::{Answer, AnswerRow};
use driver::{Driver, Turn};
use incoming::Incoming;
pub(crate) use question::Fixed;
use question::{Bind, Prepared, Question, Statements};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Row<'c> = BoxFuture<'c, QueryResult<Option<AnswerRow>>>;

/// A connection of the async engine, on which diesel-async's `RunQueryDsl` works.
///
/// [`Tx::connection_mut`](crate::Tx::connection_mut) lends one.
pub struct Connection {
    client: Arc<Client>,
    statements: Arc<Statements>,
    transaction: AnsiTransactionManager,
    /// A lock only makes it `Sync`.
    instrumentation: Mutex<Option<Box<dyn Instrumentation>>>,
    driver: Arc<Driver>,
    /// The driver would take one answer for another.
    is_lost: AtomicBool,
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
            instrumentation: Mutex::new(get_default_instrumentation()),
            driver: Driver::new(connection, listener),
            is_lost: AtomicBool::new(false),
        }
    }

    /// What the server is asked with to end a statement on this connection.
    pub(crate) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// Sends the settings of the session and returns whether the server is a standby, and whether it refuses writes: in
    /// one round trip.
    pub(crate) async fn set_up_and_ask_role(&self, settings: &str) -> QueryResult<(bool, bool)> {
        const ROLE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
             pg_catalog.current_setting('transaction_read_only')";
        let question = format!("{settings}; {ROLE}");
        let asking = pin!(self.client()?.simple_query(&question));
        let outcome = Turn::on(&self.driver).wait_for(asking).await;
        let messages = outcome.map_err(|error| self.driver.refused(&error))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        // The settings may return rows, too; the role comes last.
        let role = rows.last().map(|row| (row.try_get(0), row.try_get(1)));
        match role {
            Some((Ok(is_standby), Ok(is_read_only))) => {
                Ok((is_standby == Some("t"), is_read_only == Some("on")))
            }
            _ => Err(diesel::result::Error::NotFound),
        }
    }

    fn client(&self) -> QueryResult<&Client> {
        if self.is_lost.load(Ordering::Relaxed) {
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

    /// What is sent of a query, after whoever listens has been told of it.
    fn ask<Q>(&self, query: &Q) -> QueryResult<Question>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        let mut question = self.statements.ask(query)?;
        question.heard = self.tell_of(query);
        Ok(question)
    }

    /// The only row that a query returns. Takes the connection as the traits for `&Connection` do.
    pub(crate) fn row<'c, Q>(connection: &mut &'c Self, query: &Q) -> Row<'c>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        let connection = *connection;
        Box::pin(connection.only_row(connection.ask(query)))
    }

    /// The rows that a query returns, as they come.
    pub(crate) fn rows<'c, Q>(
        connection: &mut &'c Self,
        query: &Q,
    ) -> BoxFuture<'c, QueryResult<Answer>>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        let connection = *connection;
        Box::pin(connection.answer(connection.ask(query)))
    }

    /// As [`row`](Self::row), for a query whose text follows from `shape`, and which binds `values`.
    pub(crate) fn row_shaped<'c>(
        connection: &mut &'c Self,
        query: &dyn QueryFragment<Pg>,
        values: &dyn QueryFragment<Pg>,
        shape: Fixed,
    ) -> Row<'c> {
        let connection = *connection;
        let question = connection.statements.ask_shaped(query, values, shape);
        let question = question.map(|mut question| {
            question.heard = connection.tell_of(query);
            question
        });
        Box::pin(connection.only_row(question))
    }

    fn tell_of(&self, query: &dyn QueryFragment<Pg>) -> Option<String> {
        let mut instrumentation = locked(&self.instrumentation);
        let listener = instrumentation.as_mut()?;
        let mut sql = PgQueryBuilder::new();
        query.to_sql(&mut sql, &Pg).ok()?;
        let sql = sql.finish();
        let helper = StrQueryHelper::new(&sql);
        listener.on_connection_event(InstrumentationEvent::start_query(&helper));
        Some(sql)
    }

    /// Tells whoever has heard of a query how it went, as far as it is known when the first answer comes.
    fn tell_end<T>(&self, heard: Option<String>, outcome: &QueryResult<T>) {
        if let Some(sql) = heard {
            let mut instrumentation = locked(&self.instrumentation);
            let (helper, error) = (StrQueryHelper::new(&sql), outcome.as_ref().err());
            instrumentation.on_connection_event(InstrumentationEvent::finish_query(&helper, error));
        }
    }

    async fn prepared(&self, question: &mut Question) -> QueryResult<Prepared> {
        self.statements
            .of(self.client()?, &self.driver, question)
            .await
    }

    async fn answer(&self, question: QueryResult<Question>) -> QueryResult<Answer> {
        let mut question = question?;
        let mut turn = Turn::on(&self.driver);
        let heard = question.heard.take();
        let outcome = async {
            self.client()?;
            let (client, statements) = (Arc::clone(&self.client), Arc::clone(&self.statements));
            let driver = Arc::clone(&self.driver);
            // Owns what it needs: it is the connection's, whoever polls it.
            let asking = Box::pin(async move {
                let prepared = statements.of(&client, &driver, &mut question).await?;
                let Prepared { statement, types } = prepared;
                let binds = question.binds.iter().map(|bind| Bind(bind.as_deref()));
                let rows = client.query_raw(&statement, binds).await;
                Ok((rows.map_err(|error| driver.refused(&error))?, types))
            });
            let incoming = Incoming::new(&self.driver, asking);
            let begun = |context: &mut Context<'_>| incoming.poll_begun(context);
            let types = poll_fn(|context| turn.poll(context, begun)).await?;
            Ok((incoming, types))
        };
        let outcome = outcome.await;
        self.tell_end(heard, &outcome);
        outcome.map(|(incoming, types)| Answer::new(incoming, types, turn))
    }

    async fn only_row(&self, question: QueryResult<Question>) -> QueryResult<Option<AnswerRow>> {
        let mut question = question?;
        let mut turn = Turn::on(&self.driver);
        let outcome = turn.wait_for(pin!(self.send_for_row(&mut question))).await;
        self.tell_end(question.heard, &outcome);
        outcome
    }

    async fn send_for_row(&self, question: &mut Question) -> QueryResult<Option<AnswerRow>> {
        let Prepared { statement, types } = self.prepared(question).await?;
        let binds = question.binds.iter().map(|bind| Bind(bind.as_deref()));
        // Apart, since the two are small enough then for an allocator's fast path.
        let rows = Box::pin(self.client.query_raw(&statement, binds)).await;
        let rows = rows.map_err(|error| self.driver.refused(&error))?;
        let (mut rows, mut only) = (pin!(rows), None);
        // To its end, which tells that the statement has been committed.
        while let Some(row) = rows.try_next().await.transpose() {
            let row = row.map_err(|error| self.driver.refused(&error))?;
            only.get_or_insert(row);
        }
        Ok(only.map(|row| AnswerRow::new(row, types)))
    }

    async fn count(&self, question: QueryResult<Question>) -> QueryResult<usize> {
        let mut question = question?;
        let mut turn = Turn::on(&self.driver);
        let outcome = turn.wait_for(pin!(self.send_counting(&mut question))).await;
        self.tell_end(question.heard, &outcome);
        outcome
    }

    async fn send_counting(&self, question: &mut Question) -> QueryResult<usize> {
        let Prepared { statement, .. } = self.prepared(question).await?;
        let binds = question.binds.iter().map(|bind| Bind(bind.as_deref()));
        self.written(self.client.execute_raw(&statement, binds).await)
    }

    fn written(&self, outcome: Result<u64, tokio_postgres::Error>) -> QueryResult<usize> {
        let rows = outcome.map_err(|error| self.driver.refused(&error))?;
        usize::try_from(rows)
            .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))
    }

    /// Copies rows, none of which is there afterwards if one of them is refused; `None` if they may not be copied.
    pub(crate) async fn copy<N>(&self, rows: &[N]) -> QueryResult<Option<usize>>
    where
        N: NewRow + Sync,
    {
        let question = self.statements.ask(&prospect::<N>());
        let record = self.answer(question).await?.try_next().await?;
        let field = record.as_ref().and_then(|record| record.get(0));
        let record = field.as_ref().and_then(Field::value);
        let record = record.map(|value| value.as_bytes());
        let Some(defaults) = Defaults::of::<N>(record.unwrap_or_default())? else {
            return Ok(None);
        };
        // A COPY that is refused before it begins costs the connection, so whatever it would wait for is waited for here.
        let lock = format!("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE", table::<N>()?);
        (&mut &*self).batch_execute(&lock).await?;
        let question = self.statements.ask(&copy_from::<N>())?;
        let mut turn = Turn::on(&self.driver);
        let copying = self.send_copying(question, Copied::new(rows, &defaults));
        turn.wait_for(pin!(copying)).await.map(Some)
    }

    async fn send_copying<N>(
        &self,
        mut question: Question,
        copied: Copied<'_, N>,
    ) -> QueryResult<usize>
    where
        N: NewRow + Sync,
    {
        let Prepared { statement, .. } = self.prepared(&mut question).await?;
        let mut doubt = Doubt {
            connection: self,
            is_over: false,
        };
        let server = match self.client()?.copy_in::<_, Bytes>(&statement).await {
            Ok(server) => server,
            // The driver goes on to end the COPY, the server answers to that as well, and the driver would take the answer
            // for that to the next statement.
            Err(error) => return Err(self.driver.refused(&error)),
        };
        let outcome = self.send_rows(server, copied).await;
        doubt.is_over = outcome.is_ok() || self.has_answered_all().await;
        outcome
    }

    async fn send_rows<N>(
        &self,
        server: CopyInSink<Bytes>,
        mut copied: Copied<'_, N>,
    ) -> QueryResult<usize>
    where
        N: NewRow + Sync,
    {
        let refused = |error| self.driver.refused(&error);
        let (mut server, mut buffer) = (pin!(server), Vec::new());
        while copied.fill(&mut buffer)? {
            let bytes = Bytes::from(std::mem::take(&mut buffer));
            server.send(bytes).await.map_err(refused)?;
        }
        self.written(server.finish().await)
    }

    /// Checks whether the next answer is that to the next statement. The server answers to an empty one even in a
    /// transaction that has failed.
    async fn has_answered_all(&self) -> bool {
        let answer = self.client.simple_query("").await;
        answer.is_ok_and(|messages| messages.len() == 1)
    }
}

/// A COPY that the server may have refused or not. Left in that state, the connection is closed: the server answers twice
/// to a COPY that it refuses at its start, and each later answer would be taken for that to the next statement.
struct Doubt<'c> {
    connection: &'c Connection,
    is_over: bool,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.is_lost.store(true, Ordering::Relaxed);
            self.connection.driver.close();
        }
    }
}

impl SimpleAsyncConnection for &Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let executing = pin!(self.client()?.batch_execute(query));
        let outcome = Turn::on(&self.driver).wait_for(executing).await;
        outcome.map_err(|error| self.driver.refused(&error))
    }
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        SimpleAsyncConnection::batch_execute(&mut &*self, query).await
    }
}

/// Statements of one connection that are awaited at once are sent one after the other without waiting for the answers.
impl<'a> AsyncConnectionCore for &'a Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'a, QueryResult<Answer>>;
    type Stream<'conn, 'query> = Answer;
    type Row<'conn, 'query> = AnswerRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let question = self.ask(&source.as_query());
        Box::pin(self.answer(question))
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let question = self.ask(&source);
        Box::pin(self.count(question))
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Answer>>;
    type Stream<'conn, 'query> = Answer;
    type Row<'conn, 'query> = AnswerRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let question = self.ask(&source.as_query());
        Box::pin(self.answer(question))
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let question = self.ask(&source);
        Box::pin(self.count(question))
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(database_url: &str) -> ConnectionResult<Self> {
        let refused = |error: crate::Error| ConnectionError::BadConnection(error.to_string());
        let config = Config::new(database_url).map_err(refused)?;
        let connector = Connector::new(&config).map_err(refused)?;
        connector.connect().await.map_err(refused)
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transaction
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        let instrumentation = self.instrumentation.get_mut();
        instrumentation.unwrap_or_else(PoisonError::into_inner)
    }

    /// Is told of transactions, and of the text of statements; their values nobody else is to see.
    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = Mutex::new(Some(Box::new(instrumentation)));
    }

    /// Has no effect: what can be kept is kept.
    fn set_prepared_statement_cache_size(&mut self, _: CacheSize) {}
}

impl Connection {
    /// Whether it has been closed, as far as that is known without asking the server.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.driver.catch_up();
        self.is_broken()
    }
}

impl Connection {
    /// Checks whether the server has refused a statement since it writes.
    pub(crate) fn has_been_refused_writes(&self) -> bool {
        self.driver.is_read_only()
    }

    /// Sets how long the server may say nothing while an answer is due, and how many statements are kept prepared.
    pub(crate) fn limit(&mut self, silence: Option<Duration>, statements: usize) {
        if let Some(silence) = silence {
            self.driver.limit_silence(silence);
        }
        self.statements.keep(statements);
    }

    /// Checks whether the server's silence has ended the connection.
    pub(crate) fn ended_in_silence(&self) -> bool {
        self.driver.ended_in_silence()
    }

    /// Prepares statements anew, and asks again for the types of their values.
    pub(crate) fn forget_statements(&self) {
        self.statements.forget();
    }
}

impl PoolableConnection for Connection {
    fn is_broken(&mut self) -> bool {
        AnsiTransactionManager::is_broken_transaction_manager(self)
            || self.client.is_closed()
            || self.driver.is_spent()
            || *self.is_lost.get_mut()
    }
}
