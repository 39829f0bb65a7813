//! The traits of diesel-async, by which its `RunQueryDsl` works on the connection.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use diesel::connection::{
    CacheSize, Instrumentation, InstrumentationEvent, TransactionDepthChange,
};
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, SimpleAsyncConnection,
    TransactionManager as _,
};

use super::connect::Connector;
use super::{BoxFuture, Connection, PgRow, ResultStream, key_of};
use crate::Config;
use crate::engine::lent_session::may_change_session;
use crate::sql::settings::{Begin, Settings, WithSettings};

impl SimpleAsyncConnection for &Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        if may_change_session(query) {
            self.record_session_change();
        }
        self.execute_batch(query).await
    }
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        if may_change_session(query) {
            self.record_session_change();
        }
        let before = std::mem::replace(&mut self.has_dropped_batch, true);
        let outcome = self.execute_batch(query).await;
        self.has_dropped_batch = before;
        outcome
    }
}

/// Statements of one connection that are awaited together are pipelined.
impl<'a> AsyncConnectionCore for &'a Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'a, QueryResult<ResultStream>>;
    type Stream<'conn, 'query> = ResultStream;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let bound = self.bind(&source.as_query());
        Box::pin(self.send_for_rows(bound))
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let bound = self.bind(&source);
        Box::pin(self.count(bound))
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<ResultStream>>;
    type Stream<'conn, 'query> = ResultStream;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let bound = self.bind(&source.as_query());
        Box::pin(self.send_for_rows(bound))
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let bound = self.bind(&source);
        Box::pin(self.count(bound))
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

    /// Receives events of transactions and queries, until the connection goes back to its pool.
    /// Bind values are never passed on.
    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = Mutex::new(Some(Box::new(instrumentation)));
        self.has_instrumentation_of_caller = true;
    }

    /// Has no effect: [`Config`] bounds the number of prepared statements.
    fn set_prepared_statement_cache_size(&mut self, _: CacheSize) {}
}

impl Connection {
    /// Returns the number of transactions and savepoints that diesel counts. `None` if it is
    /// unknown: the future of a statement that begins or ends one may have been dropped.
    pub(crate) fn depth(&mut self) -> Option<u32> {
        let status = AnsiTransactionManager::transaction_manager_status_mut(self);
        let depth = status.transaction_depth().ok()?;
        (!self.has_dropped_batch).then_some(depth.map_or(0, NonZeroU32::get))
    }

    /// Begins a transaction whose settings are binds, as
    /// [`begin_transaction_sql`](AnsiTransactionManager::begin_transaction_sql) begins one by its
    /// text.
    pub(crate) async fn begin_with_settings(&mut self, settings: &Settings<'_>) -> QueryResult<()> {
        if AnsiTransactionManager::transaction_manager_status_mut(self)
            .transaction_depth()?
            .is_some()
        {
            return Err(diesel::result::Error::AlreadyInTransaction);
        }
        self.instrumentation()
            .on_connection_event(InstrumentationEvent::begin_transaction(NonZeroU32::MIN));
        let key = key_of::<Begin>().map(|(id, shape, _)| (id, shape, settings.kinds()));
        let bound = self
            .statements
            .bind_with_key(&WithSettings::<()>::new(&Begin, settings), key);
        let before = std::mem::replace(&mut self.has_dropped_batch, true);
        let outcome = self.count(bound).await;
        self.has_dropped_batch = before;
        outcome?;
        AnsiTransactionManager::transaction_manager_status_mut(self)
            .transaction_state()?
            .change_transaction_depth(TransactionDepthChange::IncreaseDepth)
    }

    /// Checks whether the connection is closed, as far as that is known without a round trip.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.driver.catch_up();
        self.is_broken()
    }
}

impl PoolableConnection for Connection {
    fn is_broken(&mut self) -> bool {
        AnsiTransactionManager::is_broken_transaction_manager(self)
            || self.client.is_closed()
            || self.driver.is_unusable()
            || *self.is_desynchronized.get_mut()
    }
}
