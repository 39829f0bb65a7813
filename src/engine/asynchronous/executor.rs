//! The connection, pool or transaction on which a repository runs its statements.

use std::any::TypeId;
use std::future::Future;

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, Query};
use diesel::query_dsl::CompatibleType;
use diesel::sql_types::BigInt;
use futures_util::future;
use futures_util::stream::TryStreamExt;

use super::any_query::{AnyQuery, Runnable};
use super::call::{Call, StatementGuard};
use super::new_rows::AnyNewRows;
use super::{BoxFuture, Db, Tx, UnitOfWork};
use crate::engine::connection::{BoundStatement, Connection, PgRow};
use crate::engine::occupancy::Hold;
use crate::engine::tx_state::Trace;
use crate::mapping::{Changes, NewRow, ROWS_PER_STATEMENT};
use crate::models::partitions::unsigned;
use crate::sql::decoding::{Tried, decoded_once, tried_once};
use crate::sql::settings::WITHOUT_TIME_LIMIT;
use crate::sql::{InsertMany, insert, suppressed, update, upsert};
use crate::transaction::TransactionOptions;
use crate::{Error, Result};

/// The connection, pool or transaction on which a repository runs its statements.
#[derive(Clone)]
pub enum Executor<'a> {
    Pool(Db),
    /// A transaction, beside other calls.
    Tx(&'a Tx),
    /// A transaction that the call has to itself already, or shares for all of its statements.
    Part(&'a Tx),
}

impl<'a> Executor<'a> {
    /// Ends the time limits of statements until the end of the transaction.
    pub(crate) async fn end_time_limits(&self) -> Result<()> {
        self.execute(diesel::sql_query(WITHOUT_TIME_LIMIT)).await?;
        if let Executor::Tx(tx) | Executor::Part(tx) = self {
            tx.connection.be_patient().await;
        }
        Ok(())
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

/// Decodes a row.
pub(super) type Decode<R> = fn(&PgRow) -> QueryResult<R>;

/// Receives the rows of a query.
// Functions that are generic over the type of the rows pass one on, so that what runs the query is
// compiled once.
type Take<'t> = dyn FnMut(&PgRow) -> QueryResult<()> + Send + 't;

/// The outcome of a query without a row.
#[derive(Clone, Copy)]
enum Absent {
    Accepted,
    /// The query always has a row.
    NotFound,
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
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: Runnable>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'f,
    {
        self.load_any(query.as_query().untyped(), decoded_once)
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
            #[cfg(feature = "tracing")]
            crate::observation::returned_rows(rows.len());
            Ok(rows)
        })
    }

    /// Passes every row of a query to `take`, until that fails. The response is read to its end in
    /// any case.
    async fn each_row(&self, query: AnyQuery<'_>, take: &mut Take<'_>) -> Result<()> {
        let call = self.begin_call().await?;
        let bound = query.bound_to(call.connection(), self.settings(false).as_ref());
        let outcome = each_row(call.connection(), bound, take).await;
        call.complete(outcome)
    }

    /// Returns the outcome of decoding each row of a query as `R`.
    pub(crate) fn try_each<'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<Vec<Tried>>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: Runnable>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
        Q::Query: 'f,
    {
        self.load_any(query.as_query().untyped(), |row| {
            Ok(tried_once::<_, R>(row))
        })
    }

    /// Returns the only row of a query, if there is one.
    pub(crate) fn first<'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<Option<R>>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: Runnable>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'f,
    {
        let query = query.as_query().untyped();
        self.first_any(query, false, decoded_once)
    }

    fn first_any<'f, R: Send + 'f>(
        &'f self,
        query: AnyQuery<'f>,
        writes: bool,
        decode: Decode<R>,
    ) -> BoxFuture<'f, Result<Option<R>>> {
        Box::pin(self.decoded_row(query, writes, Absent::Accepted, decode))
    }

    /// Returns the only row of a query, decoded.
    async fn decoded_row<R: Send>(
        &self,
        query: AnyQuery<'_>,
        writes: bool,
        absent: Absent,
        decode: Decode<R>,
    ) -> Result<Option<R>> {
        let mut found = None;
        let mut take = |row: &PgRow| {
            found = Some(decode(row)?);
            Ok(())
        };
        self.only_row(query, writes, absent, &mut take).await?;
        Ok(found)
    }

    /// Passes the only row of a query to `take`. The statement `writes` on behalf of the actor.
    async fn only_row(
        &self,
        query: AnyQuery<'_>,
        writes: bool,
        absent: Absent,
        take: &mut Take<'_>,
    ) -> Result<()> {
        if writes && self.decodes_first() {
            return self.decoded_first(query, absent, take).await;
        }
        let call = self.begin_call().await?;
        let bound = query.bound_to(call.connection(), self.settings(writes).as_ref());
        let row = call.connection().send_for_only_row(bound).await;
        #[cfg(feature = "tracing")]
        if let Ok(row) = &row {
            crate::observation::returned_rows(usize::from(row.is_some()));
        }
        call.complete(row.and_then(|row| match (row, absent) {
            (Some(row), _) => take(&row),
            (None, Absent::Accepted) => Ok(()),
            (None, Absent::NotFound) => Err(diesel::result::Error::NotFound),
        }))
    }

    /// Runs a write in a transaction of its own, so that its row is decoded before the commit.
    fn decoded_first<'f>(
        &'f self,
        statement: AnyQuery<'f>,
        absent: Absent,
        take: &'f mut Take<'_>,
    ) -> BoxFuture<'f, Result<()>> {
        Box::pin(async move {
            let unit = UnitOfWork::begin(self).await?;
            let executor = unit.executor();
            let outcome = executor.only_row(statement, true, absent, take).await;
            unit.end(outcome).await
        })
    }

    /// Returns the only row of a query that always has one.
    pub(crate) fn one<'f, Q, R>(&'f self, query: Q) -> BoxFuture<'f, Result<R>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: Runnable>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'f,
    {
        self.one_any(query.as_query().untyped(), decoded_once)
    }

    /// Returns the number of rows that a query counts.
    pub(crate) fn count<'f, Q>(&'f self, query: Q) -> BoxFuture<'f, Result<u64>>
    where
        Q: AsQuery<SqlType = BigInt, Query: Runnable>,
        Q::Query: 'f,
    {
        let count: Decode<u64> = |row| decoded_once::<BigInt, i64>(row).map(unsigned);
        self.one_any(query.as_query().untyped(), count)
    }

    fn one_any<'f, R: Send + 'f>(
        &'f self,
        query: AnyQuery<'f>,
        decode: Decode<R>,
    ) -> BoxFuture<'f, Result<R>> {
        Box::pin(async move {
            let found = self.decoded_row(query, false, Absent::NotFound, decode);
            found
                .await?
                .ok_or_else(|| diesel::result::Error::NotFound.into())
        })
    }

    /// Inserts a row, and returns it.
    pub(crate) fn insert<'f, N>(&'f self, new: &'f N) -> BoxFuture<'f, Result<N::Row>>
    where
        N: NewRow<Row: Send> + Sync,
    {
        self.written(insert(new).untyped(), decoded_once, suppressed::<N>)
    }

    /// Inserts a row or updates the existing one, and returns it.
    pub(crate) fn upsert<'f, N>(&'f self, new: &'f N) -> BoxFuture<'f, Result<N::Row>>
    where
        N: NewRow<Row: Send> + Sync,
    {
        self.written(upsert(new).untyped(), decoded_once, suppressed::<N>)
    }

    fn written<'f, R: Send + 'f>(
        &'f self,
        statement: AnyQuery<'f>,
        decode: Decode<R>,
        suppressed: fn() -> Error,
    ) -> BoxFuture<'f, Result<R>> {
        Box::pin(async move {
            let found = self.decoded_row(statement, true, Absent::Accepted, decode);
            found.await?.ok_or_else(suppressed)
        })
    }

    /// Updates a row, and returns it if it exists.
    pub(crate) fn update<'f, C>(
        &'f self,
        id: C::Id,
        changes: &'f C,
    ) -> BoxFuture<'f, Result<Option<C::Row>>>
    where
        C: Changes<Id: Send, Row: Send> + Sync,
    {
        let update = update(id, changes).untyped();
        self.first_any(update, true, decoded_once)
    }

    /// As [`first`](Self::first), for a query whose text follows from its type and `shape`: known
    /// by these, it need not be written to be found again.
    pub(crate) fn first_shaped<'f, Q, R>(
        &'f self,
        query: Q,
        shape: u64,
    ) -> BoxFuture<'f, Result<Option<R>>>
    where
        Q: Query<SqlType: CompatibleType<R, Pg>> + Runnable + 'static,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
    {
        let query = query.untyped().with_key((TypeId::of::<Q>(), shape, 0));
        self.first_any(query, false, decoded_once)
    }

    /// Returns the number of rows that a statement has written.
    pub(crate) fn execute<'f, Q>(&'f self, statement: Q) -> BoxFuture<'f, Result<u64>>
    where
        Q: Runnable + 'f,
    {
        self.execute_any(statement.untyped())
    }

    pub(super) fn execute_any<'f>(&'f self, statement: AnyQuery<'f>) -> BoxFuture<'f, Result<u64>> {
        Box::pin(async move {
            let call = self.begin_call().await?;
            let bound = statement.bound_to(call.connection(), self.settings(true).as_ref());
            let outcome = call.connection().count(bound).await;
            call.complete(outcome.map(|written| written as u64))
        })
    }

    /// Inserts any number of rows: all of them or none.
    pub(crate) async fn insert_all<N>(&self, rows: &[N]) -> Result<u64>
    where
        N: NewRow + Sync,
        for<'r> InsertMany<'r, N>: Send,
    {
        self.insert_any(&rows).await
    }

    async fn insert_any(&self, rows: &dyn AnyNewRows) -> Result<u64> {
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
pub trait Loads<R>: Sized {
    /// Returns every row, as [`Executor::load`] does.
    fn load_all<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<Vec<R>>>
    where
        Self: 'f;

    /// Returns the only row, if there is one, as [`Executor::first`] does.
    fn load_first<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<Option<R>>>
    where
        Self: 'f;

    /// Returns the only row, if there is one, as [`Executor::first_shaped`] does.
    fn load_first_shaped<'f>(
        self,
        executor: &'f Executor<'_>,
        shape: u64,
    ) -> BoxFuture<'f, Result<Option<R>>>
    where
        Self: 'static;

    /// Returns the only row, as [`Executor::one`] does.
    fn load_one<'f>(self, executor: &'f Executor<'_>) -> BoxFuture<'f, Result<R>>
    where
        Self: 'f;
}

impl<Q, R> Loads<R> for Q
where
    Q: Query<SqlType: CompatibleType<R, Pg>> + Runnable,
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

    fn load_first_shaped<'f>(
        self,
        executor: &'f Executor<'_>,
        shape: u64,
    ) -> BoxFuture<'f, Result<Option<R>>>
    where
        Self: 'static,
    {
        executor.first_shaped(self, shape)
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
    take: &mut Take<'_>,
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
