//! The tables of an application, read and written as those of this crate are.

use std::any::TypeId;

use diesel::QuerySource;
use diesel::pg::Pg;
use diesel::query_builder::{
    BoxedSelectStatement, DeleteStatement, QueryFragment, SelectQuery, UpdateStatement,
};
use diesel::query_dsl::CompatibleType;
use diesel::query_dsl::methods::FilterDsl;

use super::*;
use crate::mapping::condition::Condition;
use crate::mapping::{Changes, NewRow, TableRow};
use crate::models::partitions::unsigned;
use crate::schema::together::is_of_this_crate;
use crate::sql::{
    OwnPage, OwnPageWithTotal, Rows as Records, Sql, delete_by_id, exists_by_id, find_by_id,
    own_page,
};
use crate::write_set::Everything;
use crate::{Error, Page, PageOrder, Paged, Result};

/// Reads and writes the tables of an application: on the pool, or in a transaction.
///
/// [`Db::own_tables`] and [`Tx::own_tables`] return it. It executes what the derives
/// [`TableRow`](macro@crate::TableRow), [`NewRow`](macro@crate::NewRow) and
/// [`Changes`](macro@crate::Changes) describe, and diesel's queries. An application's repository
/// holds one.
///
/// What holds for the repositories of this crate holds here: statements that are prepared once on a
/// connection, calls at the same time in a transaction, futures that may be dropped, the
/// organization and the actor of the `Db`.
///
/// # Observation
/// A repository of the application has spans and metrics by `#[repository(observed)]`. What is
/// called without one has those of its checkouts and transactions alone.
///
/// # The cache
/// A write of an application's table does not touch the cache. If the table is one of this crate,
/// the whole cache is invalidated: its repository invalidates only the rows that it writes. A
/// trigger of an application that writes a cached table is not found. A transaction that changes
/// rows which `Cached::of` caches names them, by `Tx::touches`.
///
/// # Secrets
/// A row of this crate is neither sealed on its way in nor opened on its way out. A database with
/// keys refuses new rows and changes of the tables with secrets, which are `setup.integrations` and
/// `setup.configurations`: their repositories write them.
///
/// # Errors
/// Each method returns the errors that every call may return, see [`Error`], and those of the
/// table's constraints.
///
/// # Examples
/// ```no_run
/// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
/// use wundr_db::diesel::prelude::*;
/// use wundr_db::schema::public::users;
/// use wundr_db::{User, UserId};
///
/// let own = db.own_tables();
/// let query = users::table.filter(users::is_active.eq(true)).select(User::as_select());
/// let active: Vec<User> = own.load(query).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OwnTables<'a>(Executor<'a>);

impl Db {
    /// Returns what reads and writes the tables of an application.
    pub fn own_tables(&self) -> OwnTables<'static> {
        OwnTables(self.executor())
    }
}

impl Tx {
    /// Returns what reads and writes the tables of an application within this transaction.
    pub fn own_tables(&self) -> OwnTables<'_> {
        OwnTables(self.executor())
    }
}

impl OwnTables<'_> {
    /// Returns the observer of the calls, for the code of `#[repository(observed)]`.
    #[doc(hidden)]
    #[must_use]
    pub fn observer(&self) -> &crate::observation::CallObserver {
        self.0.observer()
    }
}

/// A statement of diesel that writes one table.
#[diagnostic::on_unimplemented(message = "`{Self}` is not an `UPDATE` or a `DELETE` of diesel")]
pub trait WritesTable {
    /// The table.
    type Table: 'static;
}

impl<T: QuerySource + 'static, U, V, R> WritesTable for UpdateStatement<T, U, V, R> {
    type Table = T;
}

impl<T: QuerySource + 'static, U, R> WritesTable for DeleteStatement<T, U, R> {
    type Table = T;
}

/// Returns the name of a type without its path.
fn name_of<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

/// Refuses rows whose secrets would be stored in the clear although the database has keys: only the
/// table's repository seals them.
///
/// # Errors
/// - [`Error::InvalidInput`] if the table has sealed columns and the database has keys
fn check_secrets<T: 'static>(executor: &Executor<'_>) -> Result<()> {
    let sealed = [
        TypeId::of::<crate::schema::setup::integrations::table>(),
        TypeId::of::<crate::schema::setup::configurations::table>(),
    ];
    if executor.secrets().is_some() && sealed.contains(&TypeId::of::<T>()) {
        let reason = "has secrets, which its repository seals";
        return Err(Error::invalid("table", reason));
    }
    Ok(())
}

/// Begins a write of a table. That of an application's runs as it is.
#[repository]
async fn begin_write<'e, T: 'static>(executor: &Executor<'e>) -> Result<Write<'e>> {
    if is_of_this_crate(TypeId::of::<T>()) {
        Write::begin(executor).await
    } else {
        Ok(Write::Plain(executor.writing()))
    }
}

/// Ends a write of a table and returns its outcome.
#[repository]
async fn end_write<T: 'static, R: Send>(write: Write<'_>, outcome: Result<R>) -> Result<R> {
    if is_of_this_crate(TypeId::of::<T>()) {
        write.finish_touching(outcome, |_| Everything).await
    } else {
        write.end(outcome).await
    }
}

#[repository]
impl OwnTables<'_> {
    /// Creates a row, and returns it.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a value cannot be stored
    /// - [`Error::Unique`] and the others of the table's constraints
    pub async fn create<N>(&self, new: N) -> Result<N::Row>
    where
        N: NewRow<Row: Send> + Send,
    {
        new.check()?;
        check_secrets::<N::Table>(&self.0)?;
        let write = begin_write::<N::Table>(&self.0).await?;
        let outcome = write.executor().insert(&new).await;
        end_write::<N::Table, _>(write, outcome).await
    }

    /// Creates any number of rows, all or none, and returns their number. Many rows are sent by
    /// `COPY`.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    pub async fn create_many<N>(&self, new: &[N]) -> Result<u64>
    where
        N: NewRow,
    {
        check_secrets::<N::Table>(&self.0)?;
        let write = begin_write::<N::Table>(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        end_write::<N::Table, _>(write, outcome).await
    }

    /// Creates a row, or updates the one with the same natural key, which the option `conflict` of
    /// [`NewRow`](macro@crate::NewRow) names. Returns the row. Without that option it does not
    /// compile.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    pub async fn upsert<N>(&self, new: N) -> Result<N::Row>
    where
        N: NewRow<Row: Send> + Send,
    {
        const { assert!(N::CONFLICT.is_some(), "#[row(conflict = ...)] is missing") };
        new.check()?;
        check_secrets::<N::Table>(&self.0)?;
        let write = begin_write::<N::Table>(&self.0).await?;
        let outcome = write.executor().upsert(&new).await;
        end_write::<N::Table, _>(write, outcome).await
    }

    /// Returns the row with this key. Returns `None` if there is none.
    pub async fn find<R>(&self, id: R::Id) -> Result<Option<R>>
    where
        R: TableRow<Id: Send> + Send,
    {
        self.0.first(find_by_id::<R>(id)).await
    }

    /// Returns the rows with these keys, in the order of `ids`, with one query. A key without a row
    /// gets `None`.
    pub async fn find_many<R>(&self, ids: &[R::Id]) -> Result<Vec<Option<R>>>
    where
        R: TableRow<Id: Send + Sync> + Clone + Send,
    {
        rows_by_ids(&self.0, ids).await
    }

    /// Checks whether there is a row with this key.
    pub async fn exists<R>(&self, id: R::Id) -> Result<bool>
    where
        R: TableRow<Id: Send>,
    {
        self.0.one(exists_by_id::<R>(id)).await
    }

    /// Updates a row and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such row
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - [`Error::InvalidInput`] if a value cannot be stored
    /// - [`Error::Unique`] and the others of the table's constraints
    pub async fn update<C>(&self, id: C::Id, changes: C) -> Result<C::Row>
    where
        C: Changes<Id: Send, Row: TableRow<Id = C::Id> + Send> + Send + Sync,
    {
        changes.check()?;
        check_secrets::<C::Table>(&self.0)?;
        let write = begin_write::<C::Table>(&self.0).await?;
        let outcome = write.executor().update(id, &changes).await;
        let row = end_write::<C::Table, _>(write, outcome).await?;
        updated_or_reason(&self.0, name_of::<C::Row>(), id, &changes, row).await
    }

    /// Deletes the row with this key, and returns whether it existed.
    ///
    /// # Errors
    /// - [`Error::StillReferenced`] while other rows refer to it
    pub async fn delete<R>(&self, id: R::Id) -> Result<bool>
    where
        R: TableRow<Id: Send>,
    {
        let write = begin_write::<R::Table>(&self.0).await?;
        let outcome = write.executor().execute(delete_by_id::<R>(id)).await;
        match end_write::<R::Table, _>(write, outcome).await? {
            0 => {
                let exists = self.0.one(exists_by_id::<R>(id)).await?;
                not_deleted(name_of::<R>(), exists)
            }
            _ => Ok(true),
        }
    }

    /// Executes an `UPDATE` or a `DELETE` of diesel, and returns the number of rows that it has
    /// written.
    pub async fn execute<Q>(&self, statement: Q) -> Result<u64>
    where
        Q: WritesTable + Runnable + Send,
    {
        let write = begin_write::<Q::Table>(&self.0).await?;
        let outcome = write.executor().execute(statement).await;
        end_write::<Q::Table, _>(write, outcome).await
    }

    /// Returns every row of a query.
    pub async fn load<Q, R>(&self, query: Q) -> Result<Vec<R>>
    where
        Q: Loads<R> + SelectQuery + Send,
        R: Send,
    {
        query.load_all(&self.0).await
    }

    /// Returns the only row of a query. Returns `None` if there is none.
    pub async fn first<Q, R>(&self, query: Q) -> Result<Option<R>>
    where
        Q: Loads<R> + SelectQuery + Send,
        R: Send,
    {
        query.load_first(&self.0).await
    }

    /// Returns the only row of a query that always has one, for example of `count()`.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is none
    pub async fn one<Q, R>(&self, query: Q) -> Result<R>
    where
        Q: Loads<R> + SelectQuery + Send,
        R: Send,
    {
        query.load_one(&self.0).await
    }

    /// Streams the rows of a query as they come. The stream of a `Db` owns its connection, so that
    /// it can be the body of a response.
    #[asynchronous_only]
    pub fn stream<'q, Q, R>(&self, query: Q) -> RowStream<'q, R>
    where
        Self: 'q,
        Q: diesel::query_builder::AsQuery<
                SqlType: CompatibleType<R, Pg>,
                Query: Runnable + SelectQuery + 'q,
            >,
        R: diesel::deserialize::FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg>
            + Send
            + 'static,
    {
        self.0.stream(query)
    }

    /// Returns one page of the rows of a query, in an order that [`orders!`](crate::orders)
    /// declares. If the page requests the total, the same statement counts the rows of all pages.
    ///
    /// The query is any query of diesel that can be boxed, by `into_boxed`: with joins, conditions
    /// and columns of several tables. It has neither an order nor a limit.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, the cursor is of another
    ///   list, or the query has an order or a limit
    pub async fn page<'q, O, S, F, G>(
        &self,
        query: BoxedSelectStatement<'q, S, F, Pg, G>,
        page: &Page<O>,
    ) -> Result<Paged<O::Row>>
    where
        O: PageOrder<Row: Send + 'static> + Sync,
        S: CompatibleType<O::Row, Pg, SqlType: 'static>,
        BoxedSelectStatement<'q, S, F, Pg, G>:
            FilterDsl<Condition<'static>, Output = BoxedSelectStatement<'q, S, F, Pg, G>> + Send,
        Sql<OwnPage<BoxedSelectStatement<'q, S, F, Pg, G>, S::SqlType>>: Loads<O::Row>,
        Sql<OwnPageWithTotal<BoxedSelectStatement<'q, S, F, Pg, G>, S::SqlType>>:
            Loads<(Records<O::Row>, i64)>,
    {
        if query.order.is_some() {
            return Err(Error::invalid("query", "a query of pages has no order"));
        }
        if !query.limit_offset.is_noop(&Pg)? {
            return Err(Error::invalid("query", "a query of pages has no limit"));
        }
        let limit = page.rows_to_fetch()?;
        let (condition, order) = page
            .sort()
            .column()
            .page(page.cursor(), page.is_backward())?;
        let rows = own_page(query, condition, order, limit, FilterDsl::filter);
        let (rows, total) = if page.wants_total() {
            let (Records(rows), total) = rows.with_total().load_one(&self.0).await?;
            (rows, Some(unsigned(total)))
        } else {
            (rows.rows().load_all(&self.0).await?, None)
        };
        Ok(page.answer(rows, total, |row| page.sort().cursor(row)))
    }
}
