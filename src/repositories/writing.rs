//! Writes of tables whose rows may be cached.

use super::*;
use crate::mapping::{Changes, Membership, NewRow, TableRow};
use crate::sql::{ExistsById, Sql, exists_by_id};
use crate::write_set::{Everything, Touches};
use crate::{Document, Error, Result};

/// Returns the reason why a statement has written nothing although it has no condition but the
/// row's key. `exists` says whether the row is there afterwards.
pub(super) fn not_written(what: &'static str, exists: bool) -> Error {
    match exists {
        true => Error::Suppressed { what },
        false => Error::NotFound { what },
    }
}

/// Returns the outcome of a deletion that has deleted nothing. `exists` says whether the row is
/// there afterwards.
///
/// # Errors
/// - [`Error::Suppressed`] if it is
pub(super) fn not_deleted(what: &'static str, exists: bool) -> Result<bool> {
    match exists {
        true => Err(Error::Suppressed { what }),
        false => Ok(false),
    }
}

/// Returns the reason why a member was not changed: the parent would lose its last owner, unless
/// the member is no owner or remains one.
///
/// `is_owner` describes the member that is there afterwards, and `remains_owner` the change.
pub(super) fn not_changed<M: Membership>(
    what: &'static str,
    is_owner: Option<bool>,
    remains_owner: bool,
) -> Error {
    match is_owner {
        None => Error::NotFound { what },
        Some(true) if !remains_owner => M::last_owner(),
        Some(_) => Error::Suppressed { what },
    }
}

/// A write of a table whose rows may be cached.
///
/// With a cache it runs in its own unit of work, since its cache entries are fenced before the
/// commit. After an [`Error::Decode`] it does so because its row is decoded before the commit.
/// Otherwise, and in the caller's transaction, it runs as it is.
pub(super) enum Write<'a> {
    Plain(Executor<'a>),
    Unit(UnitOfWork<'a>),
}

#[repository]
impl<'a> Write<'a> {
    /// Begins a write.
    #[unboxed]
    pub(super) async fn begin(executor: &Executor<'a>) -> Result<Self> {
        match executor {
            Executor::Pool(db) if db.has_cache() || db.has_unreadable() => {
                Ok(Self::Unit(UnitOfWork::begin(executor).await?))
            }
            _ => Ok(Self::Plain(executor.writing())),
        }
    }

    /// Begins a write in a `READ COMMITTED` transaction of its own, to run a statement again.
    #[unboxed]
    pub(super) async fn begin_again(executor: &Executor<'a>) -> Result<Self> {
        Ok(Self::Unit(UnitOfWork::begin(executor).await?))
    }

    /// Returns where the write's statements run.
    pub(super) fn executor(&self) -> Executor<'_> {
        match self {
            Self::Plain(executor) => executor.clone(),
            Self::Unit(unit) => unit.executor(),
        }
    }

    /// Ends the write and returns its outcome, which names the cache entries that become stale.
    #[unboxed]
    pub(super) async fn finish<T: Touches + Send>(self, outcome: Result<T>) -> Result<T> {
        if let Ok(written) = &outcome {
            self.executor().record_write(written);
        }
        // Not by `end`: its future would hold another copy of the row.
        match self {
            Self::Plain(_) => outcome,
            Self::Unit(unit) => unit.end(outcome).await,
        }
    }

    /// Ends the write and returns its outcome. `touched` returns the cache entries that become
    /// stale.
    #[unboxed]
    pub(super) async fn finish_touching<T: Send, W: Touches>(
        self,
        outcome: Result<T>,
        touched: impl FnOnce(&T) -> W + Send,
    ) -> Result<T> {
        if let Ok(written) = &outcome {
            self.executor().record_write(&touched(written));
        }
        self.end(outcome).await
    }

    /// Ends a write whose cache entries are already recorded, and returns its outcome.
    #[unboxed]
    pub(super) async fn end<T: Send>(self, outcome: Result<T>) -> Result<T> {
        match self {
            Self::Plain(_) => outcome,
            Self::Unit(unit) => unit.end(outcome).await,
        }
    }
}

/// Inserts a row of a table whose rows may be cached, and returns it.
///
/// # Errors
/// - [`Error::InvalidInput`] if a value cannot be stored
#[repository]
pub(super) async fn created_row<N>(executor: &Executor<'_>, new: &N) -> Result<N::Row>
where
    N: NewRow<Row: Touches + Send> + Sync,
{
    new.check()?;
    let write = Write::begin(executor).await?;
    let outcome = write.executor().insert(new).await;
    write.finish(outcome).await
}

/// Updates a row of a table whose rows may be cached, and returns it.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such row
/// - [`Error::StaleWrite`] if it was changed after the time that the changes expect
/// - [`Error::Suppressed`] if nothing was changed although the row is there
/// - [`Error::InvalidInput`] if a value cannot be stored
#[repository]
pub(super) async fn updated_row<C>(
    executor: &Executor<'_>,
    what: &'static str,
    id: C::Id,
    changes: &C,
) -> Result<C::Row>
where
    C: Changes<Id: Send, Row: TableRow<Id = C::Id> + Touches + Send> + Sync,
{
    changes.check()?;
    let write = Write::begin(executor).await?;
    let outcome = write.executor().update(id, changes).await;
    let row = write.finish(outcome).await?;
    updated_or_reason(executor, what, id, changes, row).await
}

/// Updates a row of a table that is never cached, and returns it.
///
/// # Errors
/// The same as [`updated_row`].
#[repository]
pub(super) async fn updated_row_uncached<C>(
    executor: &Executor<'_>,
    what: &'static str,
    id: C::Id,
    changes: &C,
) -> Result<C::Row>
where
    C: Changes<Id: Send, Row: TableRow<Id = C::Id> + Send> + Sync,
{
    changes.check()?;
    let row = executor.update(id, changes).await?;
    updated_or_reason(executor, what, id, changes, row).await
}

/// Returns the row of an update, or the reason why the update has changed none.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such row
/// - [`Error::StaleWrite`] if it was changed after the time that the changes expect
/// - [`Error::Suppressed`] if it is there nevertheless
#[repository]
pub(super) async fn updated_or_reason<C>(
    executor: &Executor<'_>,
    what: &'static str,
    id: C::Id,
    changes: &C,
    row: Option<C::Row>,
) -> Result<C::Row>
where
    C: Changes<Id: Send, Row: TableRow<Id = C::Id> + Send> + Sync,
{
    match row {
        Some(row) => Ok(row),
        None => {
            let exists = executor.one(exists_by_id::<C::Row>(id)).await?;
            Err(Error::not_updated(what, changes, exists))
        }
    }
}

/// Runs a statement that changes a row of a table whose rows may be cached, and returns the row.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such row
/// - [`Error::Suppressed`] if the statement has changed nothing although the row is there
#[repository]
pub(super) async fn changed_row<Q, R>(
    executor: &Executor<'_>,
    statement: Q,
    what: &'static str,
    id: R::Id,
) -> Result<R>
where
    Q: Loads<R>,
    R: TableRow<Id: Send> + Touches + Send,
    Sql<ExistsById<R>>: Loads<bool>,
{
    let write = Write::begin(executor).await?;
    let outcome = statement.load_first(&write.executor()).await;
    match write.finish(outcome).await? {
        Some(row) => Ok(row),
        None => {
            let exists = exists_by_id::<R>(id).load_one(executor).await?;
            Err(not_written(what, exists))
        }
    }
}

/// Deletes the rows that a statement matches, of a table whose rows may be cached, and returns
/// their number.
#[repository]
pub(super) async fn deleted_rows(executor: &Executor<'_>, statement: impl Runnable) -> Result<u64> {
    let write = Write::begin(executor).await?;
    let outcome = write.executor().execute(statement).await;
    let touched = |deleted: &u64| (*deleted > 0).then_some(Everything);
    write.finish_touching(outcome, touched).await
}

/// Runs a statement that deletes at most one row of a table whose rows may be cached, and returns
/// whether it did. It returns what names the row's cache entries.
#[repository]
pub(super) async fn deleted_row<T, Q>(executor: &Executor<'_>, statement: Q) -> Result<bool>
where
    T: Touches + Send,
    Q: Loads<T> + Send,
{
    let write = Write::begin(executor).await?;
    let outcome = statement.load_first(&write.executor()).await;
    Ok(write.finish(outcome).await?.is_some())
}

/// Runs a statement that deletes rows of a table whose rows may be cached, and returns their
/// number. It returns what names the cache entries of each row.
#[repository]
pub(super) async fn deleted_each<T, Q>(executor: &Executor<'_>, statement: Q) -> Result<u64>
where
    T: Touches + Send,
    Q: Loads<T> + Send,
{
    let write = Write::begin(executor).await?;
    let outcome = statement.load_all(&write.executor()).await;
    Ok(write.finish(outcome).await?.len() as u64)
}

/// Refuses what cannot be merged into a column with a JSON object.
///
/// # Errors
/// - [`Error::InvalidInput`] if it is not a JSON object, or cannot be stored
pub(super) fn check_merged(document: &Document, column: &'static str) -> Result<()> {
    if !document.is_object() {
        return Err(Error::invalid(column, "is not a JSON object"));
    }
    crate::validation::check(document, column, None)
}

impl Executor<'_> {
    /// Records the cache entries that a write makes stale.
    pub(super) fn record_write(&self, what: &(impl Touches + ?Sized)) {
        if let Some(tx) = self.tx() {
            tx.record_write(what);
        }
    }

    /// Returns `true` if writes are fenced.
    pub(super) fn has_cache(&self) -> bool {
        match self {
            Executor::Pool(db) => db.has_cache(),
            another => another.records_writes(),
        }
    }

    /// Returns `true` if [`record_write`](Self::record_write) has an effect. Only then is it worth
    /// reading which cache entries a write makes stale.
    pub(super) fn records_writes(&self) -> bool {
        self.tx().is_some_and(|tx| tx.records_writes())
    }
}
