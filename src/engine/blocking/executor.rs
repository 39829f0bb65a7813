//! The connection, pool or transaction on which a repository runs its statements.

use diesel::QueryResult;
use diesel::connection::{DefaultLoadingMode, LoadConnection};
use diesel::deserialize::FromSqlRow;
use diesel::expression::QueryMetadata;
use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{AsQuery, Query, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::sql_types::BigInt;

use super::pool::Pooled;
use super::transaction::TxCall;
use super::{Db, Tx, UnitOfWork};
use crate::engine::occupancy::Hold;
use crate::mapping::{Changes, NewRow, ROWS_PER_STATEMENT};
use crate::models::partitions::unsigned;
use crate::sql::copy::is_worth_a_copy;
use crate::sql::decoding::{Tried, decoded, tried};
use crate::sql::settings::{Settings, WITHOUT_TIME_LIMIT, WithSettings};
use crate::sql::{KeyedInsert, insert, insert_many, keyed, suppressed, update, upsert};
use crate::transaction::TransactionOptions;
use crate::{Error, Result};

/// The connection, pool or transaction on which a repository runs its statements.
#[derive(Clone)]
pub enum Executor<'a> {
    Pool(Db),
    /// A transaction, beside other calls.
    Tx(&'a Tx),
    /// A transaction that the call has to itself already.
    Part(&'a Tx),
}

/// A row of a result.
type PgRow<'c, 'q> = <PgConnection as LoadConnection<DefaultLoadingMode>>::Row<'c, 'q>;

/// Returns the first row of a query, if there is one.
fn only<S, Q, R>(
    connection: &mut PgConnection,
    query: Q,
    settings: Option<&Settings<'_>>,
) -> QueryResult<Option<R>>
where
    Q: AsQuery<Query: QueryFragment<Pg> + QueryId>,
    Pg: QueryMetadata<Q::SqlType>,
    R: FromSqlRow<S, Pg> + 'static,
{
    let query = query.as_query();
    let Some(settings) = settings else {
        let mut rows = LoadConnection::<DefaultLoadingMode>::load(connection, query)?;
        return rows.next().map(|row| decoded(&row?)).transpose();
    };
    let query = WithSettings::<Q::SqlType>::new(&query, settings);
    let mut rows = LoadConnection::<DefaultLoadingMode>::load(connection, query)?;
    rows.next().map(|row| decoded(&row?)).transpose()
}

/// Returns the outcome of `decode` for every row of a query.
fn every<Q, T>(
    connection: &mut PgConnection,
    query: Q,
    settings: Option<&Settings<'_>>,
    decode: fn(&PgRow<'_, '_>) -> QueryResult<T>,
) -> QueryResult<Vec<T>>
where
    Q: AsQuery<Query: QueryFragment<Pg> + QueryId>,
    Pg: QueryMetadata<Q::SqlType>,
{
    let query = query.as_query();
    let Some(settings) = settings else {
        let rows = LoadConnection::<DefaultLoadingMode>::load(connection, query)?;
        return rows.map(|row| decode(&row?)).collect();
    };
    let query = WithSettings::<Q::SqlType>::new(&query, settings);
    let rows = LoadConnection::<DefaultLoadingMode>::load(connection, query)?;
    rows.map(|row| decode(&row?)).collect()
}

/// A call, with the connection that it uses.
enum Call<'t> {
    Pool(Pooled),
    Tx(TxCall<'t>),
}

// Without the type of the statement, so that it is compiled once.
impl Call<'_> {
    fn connection(&mut self) -> &mut PgConnection {
        match self {
            Call::Pool(connection) => &mut connection.inner,
            Call::Tx(call) => call.connection(),
        }
    }

    fn failed(self, error: diesel::result::Error) -> Error {
        match self {
            Call::Pool(mut connection) => connection.failed(error),
            Call::Tx(call) => call.failed(error),
        }
    }
}

/// Returns both values.
pub(crate) fn join<A, B>(first: A, second: B) -> (A, B) {
    (first, second)
}

/// Records the number of rows of a statement that returns at most one.
fn returned<R>(row: &Option<R>) {
    #[cfg(feature = "tracing")]
    crate::observation::returned_rows(usize::from(row.is_some()));
    #[cfg(not(feature = "tracing"))]
    let _ = row;
}

impl<'a> Executor<'a> {
    /// Ends the time limits of statements until the end of the transaction.
    pub(crate) fn end_time_limits(&self) -> Result<()> {
        self.execute(diesel::sql_query(WITHOUT_TIME_LIMIT))
            .map(drop)
    }

    /// Begins a call: waits for a connection of the pool, or enters the transaction.
    fn begin_call(&self) -> Result<Call<'_>> {
        match self {
            Executor::Pool(db) => db.checkout().map(Call::Pool),
            Executor::Tx(tx) => tx.enter(Hold::Shared).map(Call::Tx),
            Executor::Part(tx) => tx.enter(Hold::Within).map(Call::Tx),
        }
    }

    fn run<T>(&self, statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>) -> Result<T> {
        let mut call = self.begin_call()?;
        statement(call.connection()).map_err(|error| call.failed(error))
    }

    /// Returns every row of a query.
    pub(crate) fn load<Q, R>(&self, query: Q) -> Result<Vec<R>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId>,
        Pg: QueryMetadata<Q::SqlType>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
    {
        let settings = self.settings(false);
        let every =
            |connection: &mut _| every(connection, query, settings.as_ref(), |row| decoded(row));
        let rows: Vec<R> = self.run(every)?;
        #[cfg(feature = "tracing")]
        crate::observation::returned_rows(rows.len());
        Ok(rows)
    }

    /// Returns the outcome of decoding each row of a query as `R`.
    pub(crate) fn try_each<Q, R>(&self, query: Q) -> Result<Vec<Tried>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId>,
        Pg: QueryMetadata<Q::SqlType>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
    {
        let settings = self.settings(false);
        self.run(|connection| {
            every(connection, query, settings.as_ref(), |row| {
                Ok(tried::<_, R>(row))
            })
        })
    }

    /// Returns the only row of a query, if there is one.
    pub(crate) fn first<Q, R>(&self, query: Q) -> Result<Option<R>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId>,
        Pg: QueryMetadata<Q::SqlType>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
    {
        let settings = self.settings(false);
        let row = self.run(|connection| only(connection, query, settings.as_ref()))?;
        returned(&row);
        Ok(row)
    }

    /// As [`first`](Self::first). diesel finds the prepared query by its text.
    pub(crate) fn first_shaped<Q, R>(&self, query: Q, _shape: u64) -> Result<Option<R>>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId>,
        Pg: QueryMetadata<Q::SqlType>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
    {
        self.first(query)
    }

    /// Returns the only row of a query that always has one.
    pub(crate) fn one<Q, R>(&self, query: Q) -> Result<R>
    where
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId>,
        Pg: QueryMetadata<Q::SqlType>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
    {
        let settings = self.settings(false);
        let row = self.run(|connection| {
            only(connection, query, settings.as_ref())?.ok_or(diesel::result::Error::NotFound)
        });
        returned(&row.as_ref().ok());
        row
    }

    /// Returns the number of rows that a query counts.
    pub(crate) fn count<Q>(&self, query: Q) -> Result<u64>
    where
        Q: AsQuery<SqlType = BigInt, Query: QueryFragment<Pg> + QueryId>,
    {
        self.one::<_, i64>(query).map(unsigned)
    }

    /// Returns the first row of a statement that writes, if there is one.
    fn only<S, Q, R>(&self, query: Q) -> Result<Option<R>>
    where
        Q: AsQuery<Query: QueryFragment<Pg> + QueryId>,
        Pg: QueryMetadata<Q::SqlType>,
        R: FromSqlRow<S, Pg> + 'static,
    {
        let settings = self.settings(true);
        let row = self.run(|connection| only(connection, query, settings.as_ref()))?;
        returned(&row);
        Ok(row)
    }

    /// Inserts a row, and returns it.
    pub(crate) fn insert<N>(&self, new: &N) -> Result<N::Row>
    where
        N: NewRow,
    {
        if self.decodes_first() {
            return self.decoding_first(|executor| executor.insert(new));
        }
        let row: Option<N::Row> = match keyed(insert(new)) {
            KeyedInsert::AllColumns(insert) => self.only(insert),
            KeyedInsert::RequiredColumns(insert) => self.only(insert),
            KeyedInsert::ByText(insert) => self.only(insert),
        }?;
        row.ok_or_else(suppressed::<N>)
    }

    /// Inserts a row or updates the existing one, and returns it.
    pub(crate) fn upsert<N>(&self, new: &N) -> Result<N::Row>
    where
        N: NewRow,
    {
        if self.decodes_first() {
            return self.decoding_first(|executor| executor.upsert(new));
        }
        self.only(upsert(new))?.ok_or_else(suppressed::<N>)
    }

    /// Updates a row, and returns it if it exists.
    pub(crate) fn update<C>(&self, id: C::Id, changes: &C) -> Result<Option<C::Row>>
    where
        C: Changes,
    {
        if self.decodes_first() {
            return self.decoding_first(|executor| executor.update(id, changes));
        }
        self.only(update(id, changes))
    }

    /// Runs a write in a transaction of its own.
    fn decoding_first<T>(&self, write: impl FnOnce(&Executor<'_>) -> Result<T>) -> Result<T> {
        let unit = UnitOfWork::begin(self)?;
        let outcome = write(&unit.executor());
        unit.end(outcome)
    }

    /// Returns the number of rows that a statement has written.
    pub(crate) fn execute<Q>(&self, statement: Q) -> Result<u64>
    where
        Q: QueryFragment<Pg> + QueryId,
    {
        let settings = self.settings(true);
        let written = self.run(|connection| match &settings {
            None => ExecuteDsl::execute(statement, connection),
            Some(settings) => {
                let statement = WithSettings::<()>::new(&statement, settings);
                ExecuteDsl::execute(statement, connection)
            }
        })?;
        Ok(written as u64)
    }

    /// Inserts any number of rows: all of them or none.
    pub(crate) fn insert_all<N: NewRow + Sync>(&self, rows: &[N]) -> Result<u64> {
        for row in rows {
            row.check()?;
        }
        match self {
            Executor::Pool(db) if rows.len() > ROWS_PER_STATEMENT || is_worth_a_copy(rows) => {
                let tx = db.begin(&TransactionOptions::new())?;
                let written = tx.insert_bulk(rows, Hold::Alone);
                tx.end(written)
            }
            Executor::Pool(_) if rows.is_empty() => Ok(0),
            Executor::Pool(_) => self.execute(insert_many(rows)),
            Executor::Tx(tx) => tx.insert_bulk(rows, Hold::Alone),
            Executor::Part(tx) => tx.insert_bulk(rows, Hold::Within),
        }
    }
}

/// A statement that the executor runs.
pub trait Runnable: QueryFragment<Pg> + QueryId {}

impl<S: QueryFragment<Pg> + QueryId> Runnable for S {}

/// A query whose rows can be read as `R`.
///
/// It stands for the bounds of [`Executor::load`], so that a function that is generic over queries
/// needs one.
pub trait Loads<R>: Sized {
    /// Returns every row, as [`Executor::load`] does.
    fn load_all(self, executor: &Executor<'_>) -> Result<Vec<R>>;

    /// Returns the only row, if there is one, as [`Executor::first`] does.
    fn load_first(self, executor: &Executor<'_>) -> Result<Option<R>>;

    /// Returns the only row, if there is one, as [`Executor::first_shaped`] does.
    fn load_first_shaped(self, executor: &Executor<'_>, shape: u64) -> Result<Option<R>>
    where
        Self: 'static;

    /// Returns the only row, as [`Executor::one`] does.
    fn load_one(self, executor: &Executor<'_>) -> Result<R>;
}

impl<Q, R> Loads<R> for Q
where
    Q: Query<SqlType: CompatibleType<R, Pg>> + QueryFragment<Pg> + QueryId,
    Pg: QueryMetadata<Q::SqlType>,
    R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + 'static,
{
    fn load_all(self, executor: &Executor<'_>) -> Result<Vec<R>> {
        executor.load(self)
    }

    fn load_first(self, executor: &Executor<'_>) -> Result<Option<R>> {
        executor.first(self)
    }

    fn load_first_shaped(self, executor: &Executor<'_>, shape: u64) -> Result<Option<R>>
    where
        Self: 'static,
    {
        executor.first_shaped(self, shape)
    }

    fn load_one(self, executor: &Executor<'_>) -> Result<R> {
        executor.one(self)
    }
}
