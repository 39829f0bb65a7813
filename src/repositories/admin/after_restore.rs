//! The care of a database that was restored.

use diesel::sql_query;
use diesel::sql_types::{Array, Text};

use super::super::PartitionRepository;
use super::{AfterRestore, AfterRestoreOptions, Db, Tx, repository};
use crate::models::partitions::unsigned;
use crate::sql::admin::after_restore::{
    END_LEASES, KEPT_FUNCTIONS, MOVE_FENCES, OPEN_FUNCTIONS, REQUEUE, SEARCH_PATH, SET_SEARCH_PATH,
    UNANALYZED,
};
use crate::sql::admin::digests::Name;
use crate::sql::partitions::Number;
use crate::transaction::TransactionOptions;
use crate::write_set::Everything;
use crate::{LogTable, Result};

/// Makes a restored database ready for applications.
///
/// Call it as the owner of the tables after the copy was [compared](super::compare), before the
/// first application connects. It may be called again.
///
/// - Both logs get the partitions of this month and of the
///   [`months_ahead`](AfterRestoreOptions::months_ahead).
/// - Analyses that were running when the backup was made are pending again, and no lease is left.
/// - The fences of leases continue 1,048,576 behind the last one. A worker that outlived the
///   restore may hold a later fence than the backup has, which would be given out a second time.
/// - The database has a `search_path`, which a dump without `--create` does not contain.
/// - Functions of triggers cannot be executed by other roles, and the roles of
///   [`grant`](AfterRestoreOptions::grant) have their rights. A dump without privileges
///   (`--no-acl`) contains neither.
/// - Everything that was cached of the database is invalid. For this call it with the `Db` of a
///   [`Cached`](crate::Cached), or call
///   [`Cached::forget_everything`](crate::Cached::forget_everything).
///
/// It does not end logins. A login that was ended after the backup is valid again: delete the rows
/// of `public.user_sessions` if that is not acceptable.
///
/// # Errors
/// - [`Error::Other`](crate::Error::Other) with the SQLSTATE 42501 if the role is not the owner of
///   the tables
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if `months_ahead` is greater than 120, or
///   a role's name is none
/// - [`Error::Timeout`](crate::Error::Timeout) if a table is locked for longer than 5 s
/// - [`Error::Cache`](crate::Error::Cache) if the cache cannot be reached
///
/// After an error, the partitions that were created stay. Nothing else was done.
///
/// # Examples
/// ```no_run
/// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
/// use wundr_db::admin::{self, AfterRestoreOptions};
///
/// let done = admin::after_restore(&db, &AfterRestoreOptions::new().months_ahead(6)).await?;
/// println!("{} analyses were requeued", done.requeued);
/// # Ok(())
/// # }
/// ```
#[repository]
pub async fn after_restore(db: &Db, options: &AfterRestoreOptions) -> Result<AfterRestore> {
    let mut partitions = 0;
    for log in [LogTable::AuditLogs, LogTable::SystemLogs] {
        partitions += db.partitions().ensure(log, options.months_ahead).await?;
    }
    let tx = db.begin(&TransactionOptions::of_a_unit()).await?;
    let outcome = prepare(&tx, options).await;
    let mut done = tx.end(outcome).await?;
    done.partitions = partitions;
    done.cache = db.has_cache();
    Ok(done)
}

/// Does what is done in one transaction.
#[repository]
async fn prepare(tx: &Tx, options: &AfterRestoreOptions) -> Result<AfterRestore> {
    let executor = tx.executor();
    let limit = sql_query("SET LOCAL lock_timeout = '5s'");
    executor.execute(limit).await?;
    let requeued = executor.execute(sql_query(REQUEUE)).await?;
    let leases = executor.execute(sql_query(END_LEASES)).await?;
    let functions = sql_query(OPEN_FUNCTIONS)
        .into_boxed()
        .bind::<Array<Text>, _>(KEPT_FUNCTIONS);
    let open: Vec<Name> = executor.load(functions).await?;
    for function in &open {
        let revoke = format!("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC", function.name);
        executor.execute(sql_query(revoke)).await?;
    }
    let granted = grant(tx, options).await?;
    executor.execute(sql_query(SET_SEARCH_PATH)).await?;
    let search_path: Option<Name> = executor.first(sql_query(SEARCH_PATH)).await?;
    let unanalyzed: Vec<Name> = executor.load(sql_query(UNANALYZED)).await?;
    // Last: the value of a sequence is not rolled back.
    let fences: Number = executor.one(sql_query(MOVE_FENCES)).await?;
    tx.record_write(&Everything);
    Ok(AfterRestore {
        requeued,
        leases,
        fences_after: unsigned(fences.number),
        partitions: 0,
        search_path: search_path.map(|setting| setting.name),
        revoked: open.into_iter().map(|function| function.name).collect(),
        granted,
        cache: false,
        unanalyzed: unanalyzed.into_iter().map(|table| table.name).collect(),
    })
}

/// Gives the roles their rights, and returns their names.
#[cfg(feature = "migrations")]
#[repository]
async fn grant(tx: &Tx, options: &AfterRestoreOptions) -> Result<Vec<String>> {
    let mut granted = Vec::new();
    for (role, rights) in &options.grants {
        let block = crate::migrations::rights::block(role, Some(*rights))?;
        tx.executor().execute(sql_query(block)).await?;
        granted.push(role.clone());
    }
    Ok(granted)
}

/// There are no rights without the migrations.
#[cfg(not(feature = "migrations"))]
#[repository]
async fn grant(_: &Tx, _: &AfterRestoreOptions) -> Result<Vec<String>> {
    Ok(Vec::new())
}
