//! The connection, pool or transaction on which a repository runs its statements.

use std::any::TypeId;
use std::future::Future;

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, Query, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use futures_util::future;
use futures_util::stream::TryStreamExt;

use super::new_rows::AnyNewRows;
use super::pool::CheckedOut;
use super::{BoxFuture, Db, Tx, UnitOfWork};
use crate::engine::connection::{BoundStatement, Connection, FixedKey, PgRow, key_of};
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::Trace;
use crate::mapping::{Changes, NewRow, ROWS_PER_STATEMENT};
use crate::sql::acting::Acting;
use crate::sql::decoding::{Tried, decoded, tried};
use crate::sql::settings::Settings;
use crate::sql::{insert, suppressed, update, upsert};
use crate::transaction::TransactionOptions;
use crate::{Error, OrganizationId, Result};

/// The connection, pool or transaction on which a repository runs its statements.
#[derive(Clone)]
pub(crate) enum Executor<'a> {
    Pool(Db),
    /// A transaction, beside other calls.
    Tx(&'a Tx),
    /// A transaction that the call has to itself already, or shares for all of its statements.
    Part(&'a Tx),
}

impl<'a> Executor<'a> {
    /// Returns the organization whose rows are seen.
    pub(crate) fn organization(&self) -> Option<OrganizationId> {
        match self {
            Executor::Pool(db) => db.attachments.organization(),
            Executor::Tx(tx) | Executor::Part(tx) => tx.attachments.organization(),
        }
    }

    /// Returns the settings that a statement makes. A transaction has made them when it began.
    pub(super) fn settings(&self, writes: bool) -> Option<Settings<'_>> {
        match self {
            Executor::Pool(db) => db.attachments.settings(writes),
            Executor::Tx(_) | Executor::Part(_) => None,
        }
    }

    /// Returns the executor for statements that write: on behalf of the actor, whatever call runs
    /// them.
    pub(crate) fn writing(&self) -> Self {
        match self {
            Executor::Pool(db) if db.acting().is_some() => Executor::Pool(db.writing()),
            executor => executor.clone(),
        }
    }

    pub(crate) fn tx(&self) -> Option<&'a Tx> {
        match *self {
            Executor::Pool(_) => None,
            Executor::Tx(tx) | Executor::Part(tx) => Some(tx),
        }
    }

    /// Returns the actor of the writes.
    pub(crate) fn acting(&self) -> Option<&Acting> {
        match self {
            Executor::Pool(db) => db.acting(),
            Executor::Tx(tx) | Executor::Part(tx) => tx.acting(),
        }
    }

    /// Checks whether a write is to decode its row before the commit, in a transaction of its own: a
    /// row was found that cannot be decoded.
    pub(crate) fn decodes_first(&self) -> bool {
        matches!(self, Executor::Pool(db) if db.has_unreadable())
    }

    /// Returns the way in which a statement uses the transaction.
    pub(super) fn hold(&self) -> Hold {
        match self {
            Executor::Part(_) => Hold::Within,
            _ => Hold::Shared,
        }
    }
}

/// Waits for both.
pub(crate) fn join<A: Future, B: Future>(first: A, second: B) -> future::Join<A, B> {
    future::join(first, second)
}

/// A call that uses a transaction. Dropped before it has ended, it leaves a trace in the
/// transaction's state.
pub(crate) struct StatementGuard<'t> {
    pub(super) tx: &'t Tx,
    trace: Trace,
    hold: Hold,
    completed: bool,
}

impl<'t> StatementGuard<'t> {
    /// Begins a call, which leaves this trace unless it is [completed](Self::complete).
    ///
    /// # Errors
    /// [`Error::InUse`] if the transaction cannot be used in that way now.
    pub(super) fn begin(tx: &'t Tx, hold: Hold, trace: Trace) -> Result<Self> {
        tx.state.enter(hold)?;
        Ok(Self {
            tx,
            trace,
            hold,
            completed: false,
        })
    }

    /// Ends the exclusive part of a stream, whose first rows have arrived: later statements are
    /// executed after its query.
    pub(super) fn begin_stream(&mut self) {
        if self.hold == Hold::Shared {
            self.tx.state.begin_stream();
            self.hold = Hold::Streaming;
        }
    }

    pub(super) fn complete<T>(self, outcome: QueryResult<T>) -> Result<T> {
        Call::Tx(self).complete(outcome)
    }

    fn failed(mut self, error: diesel::result::Error) -> Error {
        self.completed = true;
        self.tx.failed(error)
    }

    pub(super) fn mark_completed(mut self) {
        self.completed = true;
    }
}

/// A query without its type, so that what runs it is compiled once for each type of rows, not for
/// each query.
pub(super) struct AnyQuery<'q> {
    query: Box<dyn QueryFragment<Pg> + Send + 'q>,
    /// Set if its text follows from it.
    key: Option<FixedKey>,
}

/// Decodes a row.
pub(super) type Decode<R> = fn(&PgRow) -> QueryResult<R>;

impl<'q> AnyQuery<'q> {
    pub(super) fn of<Q>(query: Q) -> Self
    where
        Q: AsQuery<Query: QueryFragment<Pg> + QueryId + Send + 'q>,
    {
        Self::of_fragment(query.as_query())
    }

    pub(super) fn of_fragment<Q>(query: Q) -> Self
    where
        Q: QueryFragment<Pg> + QueryId + Send + 'q,
    {
        Self {
            query: Box::new(query),
            key: key_of::<Q>(),
        }
    }

    pub(super) fn bound_to(
        self,
        connection: &Connection,
        settings: Option<&Settings<'_>>,
    ) -> QueryResult<BoundStatement> {
        connection.bind_with_settings(&*self.query, self.key, settings)
    }
}

impl CheckedOut {
    /// Returns the only row of a query that always has one.
    pub(super) async fn one<Q, R>(self, query: Q) -> Result<R>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId + Send>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
    {
        let call = Call::Pool(self);
        let bound = AnyQuery::of(query).bound_to(call.connection(), None);
        let row = call.connection().send_for_only_row(bound).await;
        call.complete(one(only(row)))
    }
}

impl Drop for StatementGuard<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.tx.state.leave_trace(self.trace);
        }
        self.tx.state.leave(self.hold);
    }
}

/// A call, with the connection that it uses. Dropped before it is [completed](Self::complete), it
/// leaves a trace in its transaction's state, or closes the connection.
pub(super) enum Call<'t> {
    Pool(CheckedOut),
    Tx(StatementGuard<'t>),
}

// What differs from statement to statement stays apart, so that this is compiled once.
impl Call<'_> {
    pub(super) fn connection(&self) -> &Connection {
        match self {
            Call::Pool(checked_out) => &checked_out.connection.inner,
            Call::Tx(guard) => &guard.tx.connection.inner,
        }
    }

    pub(super) fn complete<T>(self, outcome: QueryResult<T>) -> Result<T> {
        match outcome {
            Ok(value) => {
                self.mark_completed();
                Ok(value)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn mark_completed(self) {
        match self {
            Call::Pool(checked_out) => checked_out.mark_completed(),
            Call::Tx(guard) => guard.mark_completed(),
        }
    }

    fn failed(self, error: diesel::result::Error) -> Error {
        match self {
            Call::Pool(checked_out) => checked_out.failed(error),
            Call::Tx(guard) => guard.failed(error),
        }
    }
}

/// Runs a write in a transaction of its own if its row is to be decoded before the commit.
macro_rules! decoded_first {
    ($executor:ident.$write:ident($($argument:expr),*)) => {
        if $executor.decodes_first() {
            let unit = UnitOfWork::begin($executor).await?;
            let outcome = unit.executor().$write($($argument),*).await;
            return unit.end(outcome).await;
        }
    };
}

// An `async fn` would leave it to each caller to prove its future Send, for every lifetime, which
// rustc cannot. A boxed future also spares the compiler a seventh of its work on this crate.
impl<'a> Executor<'a> {
    /// Begins a call: waits for a connection of the pool, or enters the transaction.
    async fn begin_call(&self) -> Result<Call<'_>> {
        match self {
            Executor::Pool(db) => db.checked_out().await.map(Call::Pool),
            Executor::Tx(tx) | Executor::Part(tx) => {
                StatementGuard::begin(tx, self.hold(), Trace::StatementAbandoned).map(Call::Tx)
            }
        }
    }

    /// Returns every row of a query.
    pub(crate) fn load<'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<Vec<R>>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId + Send>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'f,
    {
        self.load_any(AnyQuery::of(query), |row| decoded(row))
    }

    fn load_any<'f, R: Send + 'f>(
        &'f self,
        query: AnyQuery<'f>,
        decode: Decode<R>,
    ) -> BoxFuture<'f, Result<Vec<R>>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            let mut take = |row: &PgRow| {
                rows.push(decode(row)?);
                Ok(())
            };
            self.each_row(query, &mut take).await?;
            Ok(rows)
        })
    }

    /// Passes every row of a query to `take`, until that fails. The response is read to its end in
    /// any case.
    async fn each_row(
        &self,
        query: AnyQuery<'_>,
        take: &mut (dyn FnMut(&PgRow) -> QueryResult<()> + Send),
    ) -> Result<()> {
        let call = self.begin_call().await?;
        let bound = query.bound_to(call.connection(), self.settings(false).as_ref());
        let outcome = each_row(call.connection(), bound, take).await;
        call.complete(outcome)
    }

    /// Returns the outcome of decoding each row of a query as `R`.
    pub(crate) fn try_each<'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<Vec<Tried>>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId + Send>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
        Q::Query: 'f,
    {
        self.load_any(AnyQuery::of(query), |row| Ok(tried::<_, R>(row)))
    }

    /// Returns the only row of a query, if there is one.
    pub(crate) fn first<'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<Option<R>>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId + Send>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'f,
    {
        self.first_any(AnyQuery::of(query), |row| decoded(row))
    }

    fn first_any<'f, R: Send + 'f>(
        &'f self,
        query: AnyQuery<'f>,
        decode: Decode<R>,
    ) -> BoxFuture<'f, Result<Option<R>>> {
        Box::pin(async move {
            let (call, row) = self.only_row(query).await?;
            call.complete(row.and_then(|row| row.as_ref().map(decode).transpose()))
        })
    }

    /// Returns the only row of a query, and the call, which is to be completed.
    async fn only_row(
        &self,
        query: AnyQuery<'_>,
    ) -> Result<(Call<'_>, QueryResult<Option<PgRow>>)> {
        let call = self.begin_call().await?;
        let bound = query.bound_to(call.connection(), self.settings(false).as_ref());
        let row = call.connection().send_for_only_row(bound).await;
        Ok((call, row))
    }

    /// Returns the only row of a query that always has one.
    pub(crate) fn one<'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<R>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId + Send>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'f,
    {
        self.one_any(AnyQuery::of(query), |row| decoded(row))
    }

    fn one_any<'f, R: Send + 'f>(
        &'f self,
        query: AnyQuery<'f>,
        decode: Decode<R>,
    ) -> BoxFuture<'f, Result<R>> {
        Box::pin(async move {
            let (call, row) = self.only_row(query).await?;
            let row = row.and_then(|row| row.ok_or(diesel::result::Error::NotFound));
            call.complete(row.and_then(|row| decode(&row)))
        })
    }

    /// Inserts a row, and returns it.
    pub(crate) fn insert<'f, N>(&'f self, new: &'f N) -> BoxFuture<'f, Result<N::Row>>
    where
        N: NewRow<Row: Send> + Sync,
    {
        Box::pin(async move {
            decoded_first!(self.insert(new));
            let call = self.begin_call().await?;
            let sent = {
                let insert = insert(new);
                let mut connection = call.connection();
                let settings = self.settings(true);
                Connection::row_shaped(&mut connection, &insert, insert.key(), settings.as_ref())
            };
            let row = sent.await;
            call.complete(only(row))?.ok_or_else(suppressed::<N>)
        })
    }

    /// Inserts a row or updates the existing one, and returns it.
    pub(crate) fn upsert<'f, N>(&'f self, new: &'f N) -> BoxFuture<'f, Result<N::Row>>
    where
        N: NewRow<Row: Send> + Sync,
    {
        Box::pin(async move {
            decoded_first!(self.upsert(new));
            let call = self.begin_call().await?;
            let sent = {
                let upsert = upsert(new);
                let mut connection = call.connection();
                let settings = self.settings(true);
                Connection::row_shaped(&mut connection, &upsert, upsert.key(), settings.as_ref())
            };
            let row = sent.await;
            call.complete(only(row))?.ok_or_else(suppressed::<N>)
        })
    }

    /// Updates a row, and returns it if it exists.
    pub(crate) fn update<'f, C>(
        &'f self,
        id: C::Id,
        changes: &'f C,
    ) -> BoxFuture<'f, Result<Option<C::Row>>>
    where
        C: Changes<Id: Send + Sync, Row: Send> + Sync,
    {
        Box::pin(async move {
            decoded_first!(self.update(id, changes));
            let call = self.begin_call().await?;
            let sent = {
                let update = update(id, changes);
                let mut connection = call.connection();
                let settings = self.settings(true);
                Connection::row_shaped(&mut connection, &update, update.key(), settings.as_ref())
            };
            let row = sent.await;
            call.complete(only(row))
        })
    }

    /// As [`first`](Self::first), for a query whose text follows from its type and `shape`: known
    /// by these, it need not be written to be found again.
    pub(crate) fn first_shaped<'f, Q, R>(
        &'f self,
        query: Q,
        shape: u64,
    ) -> BoxFuture<'f, Result<Option<R>>>
    where
        Q: QueryFragment<Pg> + Query + Send + 'static,
        Q::SqlType: CompatibleType<R, Pg>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
    {
        let query = AnyQuery {
            query: Box::new(query),
            key: Some((TypeId::of::<Q>(), shape, 0)),
        };
        self.first_any(query, |row| decoded(row))
    }

    /// Returns the number of rows that a statement has written.
    pub(crate) fn execute<'f, Q>(&'f self, statement: Q) -> BoxFuture<'f, Result<usize>>
    where
        Q: QueryFragment<Pg> + QueryId + Send + 'f,
    {
        self.execute_any(AnyQuery::of_fragment(statement))
    }

    pub(super) fn execute_any<'f>(
        &'f self,
        statement: AnyQuery<'f>,
    ) -> BoxFuture<'f, Result<usize>> {
        Box::pin(async move {
            let call = self.begin_call().await?;
            let bound = statement.bound_to(call.connection(), self.settings(true).as_ref());
            let outcome = call.connection().count(bound).await;
            call.complete(outcome)
        })
    }

    /// Inserts any number of rows: all of them or none.
    pub(crate) async fn insert_all<N>(&self, rows: &[N]) -> Result<usize>
    where
        N: NewRow + Sync,
        for<'r> crate::sql::Sql<crate::sql::InsertMany<'r, N>>: Send,
    {
        self.insert_any(&rows).await
    }

    async fn insert_any(&self, rows: &dyn AnyNewRows) -> Result<usize> {
        rows.check()?;
        let count = rows.count();
        match self {
            Executor::Pool(db) if count > ROWS_PER_STATEMENT || rows.is_worth_a_copy() => {
                let tx = db.begin(&TransactionOptions::new()).await?;
                let written = tx.insert_bulk(rows, Hold::Alone).await;
                tx.end(written).await
            }
            Executor::Pool(_) if count == 0 => Ok(0),
            Executor::Pool(_) => self.execute_any(rows.insert(0..count)).await,
            Executor::Tx(tx) => tx.insert_bulk(rows, Hold::Alone).await,
            Executor::Part(tx) => tx.insert_bulk(rows, Hold::Within).await,
        }
    }
}

/// A query whose rows can be read as `R`.
///
/// It stands for the bounds of [`Executor::load`], so that a function that is generic over queries
/// needs one.
pub(crate) trait Loads<R>: Sized {
    /// Returns every row, as [`Executor::load`] does.
    fn load_all<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<Vec<R>>>
    where
        Self: 'f;

    /// Returns the only row, if there is one, as [`Executor::first`] does.
    fn load_first<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<Option<R>>>
    where
        Self: 'f;

    /// Returns the only row, as [`Executor::one`] does.
    fn load_one<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<R>>
    where
        Self: 'f;
}

impl<Q, R> Loads<R> for Q
where
    Q: Query<SqlType: CompatibleType<R, Pg>> + QueryFragment<Pg> + QueryId + Send,
    R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
{
    fn load_all<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<Vec<R>>>
    where
        Self: 'f,
    {
        executor.load(self)
    }

    fn load_first<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<Option<R>>>
    where
        Self: 'f,
    {
        executor.first(self)
    }

    fn load_one<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<R>>
    where
        Self: 'f,
    {
        executor.one(self)
    }
}

/// Runs a query, and passes every row to `take`, until that fails. The response is read to its end
/// in any case.
async fn each_row(
    connection: &Connection,
    bound: QueryResult<BoundStatement>,
    take: &mut (dyn FnMut(&PgRow) -> QueryResult<()> + Send),
) -> QueryResult<()> {
    let mut rows = connection.send_for_rows(bound).await?;
    let mut outcome = Ok(());
    while let Some(row) = rows.try_next().await? {
        if outcome.is_ok() {
            outcome = take(&row);
        }
    }
    outcome
}

/// Decodes the only row of a result, if there is one.
fn only<S, R: FromSqlRow<S, Pg> + 'static>(
    row: QueryResult<Option<PgRow>>,
) -> QueryResult<Option<R>> {
    row?.map(|row| decoded(&row)).transpose()
}

fn one<R>(row: QueryResult<Option<R>>) -> QueryResult<R> {
    row?.ok_or(diesel::result::Error::NotFound)
}
