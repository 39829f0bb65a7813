//! The functions that select the audited tables, written once for both engines.

use super::super::migrations::{open, watching as on_its_own_thread};
use super::repository;
use crate::migrations::watching;
use crate::{Config, Result, Table, WatchedTable};

/// Records every change of a table in the audit log from now on, with the values of these columns.
///
/// Triggers record it, for every client of the database. An entry has the action `create`, `update`
/// or `delete`, the type of the resource (`user` for `public.users`), the id of the row, and the
/// role of the session in its metadata. [`Db::acting_as`](crate::Db::acting_as) adds the actor. An
/// update that changes none of the columns is not recorded; name `updated_at` to record each. An
/// entry of an update has the changed columns only. Rows that `ON DELETE CASCADE` deletes are
/// recorded, and so is `TRUNCATE`, by one entry without an id.
///
/// A table that is watched already gets the new columns. Call it again after a listed column was
/// renamed: until then, updates of the listed columns fail. The role must be that of the
/// migrations. Writers of the table wait until the triggers are created, and those are waited for
/// at most 5 s.
///
/// A `COPY` of many rows takes longer into a watched table, because each row gets an entry. A user
/// or an organization that entries name cannot be deleted.
///
/// # Errors
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if a column contains secrets or does not
///   exist, if there is no column, or if the table is one of the logs
/// - [`Error::Timeout`](crate::Error::Timeout) if a transaction holds the table for longer than 5 s
/// - [`Error::Other`](crate::Error::Other) with SQLSTATE 42501 if the role does not own the table
#[repository]
pub async fn watch(config: &Config, table: Table, columns: &[&str]) -> Result<()> {
    let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
    watching::check(table, &columns)?;
    let connection = open(config).await?;
    on_its_own_thread(connection, move |connection, watch| {
        watching::replace(connection, watch, table, Some(&columns))
    })
    .await
}

/// Ends the recording of a table's changes. Entries that were written stay. Does nothing if the
/// table is not watched.
///
/// # Errors
/// The same as [`watch`].
#[repository]
pub async fn unwatch(config: &Config, table: Table) -> Result<()> {
    let connection = open(config).await?;
    on_its_own_thread(connection, move |connection, watch| {
        watching::replace(connection, watch, table, None)
    })
    .await
}

/// Returns the tables whose changes are recorded, with the columns.
///
/// # Errors
/// - [`Error::Other`](crate::Error::Other) with SQLSTATE 42883 if the migrations have not been run
#[repository]
pub async fn watched(config: &Config) -> Result<Vec<WatchedTable>> {
    on_its_own_thread(open(config).await?, watching::list).await
}
