//! Where a repository's statements run, and how.

use std::sync::{Mutex, PoisonError};

use diesel::pg::{Pg, PgConnection};
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::query_dsl::methods::{ExecuteDsl, LoadQuery};
use diesel::{OptionalExtension, QueryResult, RunQueryDsl};

use super::pool::Pooled;
use super::{Db, Tx};
use crate::Result;
use crate::statement::copy::is_worth_a_copy;
use crate::statement::{
    Changes, Insert, NewRow, ROWS_PER_STATEMENT, Update, Upsert, insert, insert_many, update,
    upsert,
};
use crate::transaction::TransactionOptions;

/// Where a repository's statements run.
#[derive(Clone)]
pub(crate) enum Source<'a> {
    Pool(Db),
    Tx(&'a Tx),
    Held(&'a Held),
}

/// A connection for several statements outside a transaction, one after the other.
pub(crate) struct Held(Mutex<Pooled>);

/// One connection for all that is asked of its [`source`](Hold::source): held for that, or the transaction's.
pub(crate) enum Hold<'a> {
    Own(Held),
    Another(Source<'a>),
}

impl Hold<'_> {
    pub(crate) fn source(&self) -> Source<'_> {
        match self {
            Hold::Own(held) => Source::Held(held),
            Hold::Another(source) => source.clone(),
        }
    }

    /// Both answers. libpq takes one statement at a time, so these came one after the other.
    #[allow(clippy::unused_self)]
    pub(crate) fn together<A, B>(&self, first: A, second: B) -> (A, B) {
        (first, second)
    }
}

/// Both, which came one after the other.
pub(crate) fn at_once<A, B>(first: A, second: B) -> (A, B) {
    (first, second)
}

impl<'a> Source<'a> {
    fn run<T>(&self, statement: impl FnOnce(&mut PgConnection) -> QueryResult<T>) -> Result<T> {
        match self {
            Source::Pool(db) => db.checkout()?.run(statement),
            Source::Held(held) => held
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .run(statement),
            Source::Tx(tx) => statement(&mut tx.lock()?.inner).map_err(|error| tx.failed(error)),
        }
    }

    /// One connection for what several methods ask. A connection of the pool is waited for here.
    pub(crate) fn hold(&self) -> Result<Hold<'a>> {
        Ok(match self {
            Source::Pool(db) => Hold::Own(Held(Mutex::new(db.checkout()?))),
            another => Hold::Another(another.clone()),
        })
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
    {
        self.one(insert(new))
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
                let written = tx.insert_bulk(rows)?;
                tx.commit()?;
                Ok(written)
            }
            Source::Pool(_) | Source::Held(_) if rows.is_empty() => Ok(0),
            Source::Pool(_) | Source::Held(_) => self.execute(insert_many(rows)),
            Source::Tx(tx) => tx.insert_bulk(rows),
        }
    }
}
