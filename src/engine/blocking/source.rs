//! Where a repository's statements run, and how.

use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::query_dsl::methods::{ExecuteDsl, LoadQuery};
use diesel::{OptionalExtension, QueryResult, RunQueryDsl};

use super::{Db, Tx};
use crate::Result;
use crate::statement::copy::is_worth_a_copy;
use crate::statement::{
    Changes, Found, Insert, NewRow, ROWS_PER_STATEMENT, Typed, Update, Upsert, found, insert,
    insert_many, update, upsert,
};
use crate::transaction::{Hold, TransactionOptions};

/// Where a repository's statements run.
#[derive(Clone)]
pub(crate) enum Source<'a> {
    Pool(Db),
    /// A transaction, beside other calls.
    Tx(&'a Tx),
    /// A transaction that the call has to itself already.
    Part(&'a Tx),
}

/// Both, which came one after the other.
pub(crate) fn at_once<A, B>(first: A, second: B) -> (A, B) {
    (first, second)
}

impl<'a> Source<'a> {
    pub(crate) fn tx(&self) -> Option<&'a Tx> {
        match *self {
            Source::Pool(_) => None,
            Source::Tx(tx) | Source::Part(tx) => Some(tx),
        }
    }

    fn run<T>(&self, statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>) -> Result<T> {
        match self {
            Source::Pool(db) => db.checkout()?.run(statement),
            Source::Tx(tx) => tx.run(Hold::Shared, statement),
            Source::Part(tx) => tx.run(Hold::Within, statement),
        }
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

    /// As [`first`](Self::first). diesel knows the query by its text.
    pub(crate) fn first_shaped<'q, Q, R>(&self, query: Q, _shape: u64) -> Result<Option<R>>
    where
        Q: LoadQuery<'q, PgConnection, R> + RunQueryDsl<PgConnection>,
    {
        self.first(query)
    }

    /// The only row of a query that always has one.
    pub(crate) fn one<'q, Q, R>(&self, query: Q) -> Result<R>
    where
        Q: LoadQuery<'q, PgConnection, R> + RunQueryDsl<PgConnection>,
    {
        self.run(|connection| query.get_result(connection))
    }

    /// The row as it was inserted.
    pub(crate) fn insert<'q, N>(&self, new: &'q N) -> Result<N::Row>
    where
        N: NewRow,
        Insert<'q, N>: LoadQuery<'q, PgConnection, N::Row>,
        Typed<'q, N, true>: LoadQuery<'q, PgConnection, N::Row>,
        Typed<'q, N, false>: LoadQuery<'q, PgConnection, N::Row>,
    {
        match found(insert(new)) {
            Found::Whole(insert) => self.one(insert),
            Found::Bare(insert) => self.one(insert),
            Found::ByText(insert) => self.one(insert),
        }
    }

    /// The row as it was inserted, or as it is after an update.
    pub(crate) fn upsert<'q, N>(&self, new: &'q N) -> Result<N::Row>
    where
        N: NewRow,
        Upsert<'q, N>: LoadQuery<'q, PgConnection, N::Row>,
    {
        self.one(upsert(new))
    }

    /// The row as it is after an update, if there is one.
    pub(crate) fn update<'q, C>(&self, id: C::Id, changes: &'q C) -> Result<Option<C::Row>>
    where
        C: Changes,
        Update<'q, C>: LoadQuery<'q, PgConnection, C::Row>,
    {
        self.first(update(id, changes))
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
            Source::Pool(db) if rows.len() > ROWS_PER_STATEMENT || is_worth_a_copy(rows) => {
                let tx = db.begin(&TransactionOptions::new())?;
                let written = tx.insert_bulk(rows, Hold::Alone);
                tx.end(written)
            }
            Source::Pool(_) if rows.is_empty() => Ok(0),
            Source::Pool(_) => self.execute(insert_many(rows)),
            Source::Tx(tx) => tx.insert_bulk(rows, Hold::Alone),
            Source::Part(tx) => tx.insert_bulk(rows, Hold::Within),
        }
    }
}
