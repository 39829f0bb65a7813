//! The reports about a server and a database.

use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

use super::{
    Activity, Db, Facts, Indexes, Locks, Readiness, Replication, Statements, Tables, Thresholds,
    UnitOfWork, Unnamed, Unordered, Unrelated, Warning, archiver, repository,
};
use crate::sql::admin::activity::{ACTIVITY, LOCKS};
use crate::sql::admin::document::Document;
use crate::sql::admin::readiness::facts;
use crate::sql::admin::relations::{BOUND, INDEXES, TABLES};
use crate::sql::admin::replication::REPLICATION;
use crate::sql::admin::statements::{EXTENSION, Extension};
use crate::{Error, Result};

/// Checks the server's settings: monitoring, reports of the log by pgBadger, secrets in the log,
/// timeouts, durability, and the archive.
///
/// Any role may call it. The timeouts are those of the session that asks. One statement.
///
/// # Examples
///
/// ```no_run
/// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
/// use wundr_db::admin;
///
/// for check in admin::readiness(&db).await?.open() {
///     println!("{:?} {}: {} ({})", check.verdict, check.name, check.value, check.advice);
/// }
/// # Ok(())
/// # }
/// ```
#[repository]
pub async fn readiness(db: &Db) -> Result<Readiness> {
    let document: Document = db.executor().one(sql_query(facts())).await?;
    Ok(document.decode::<Facts>("readiness")?.into())
}

/// Returns the sessions of the database, and what keeps VACUUM from removing rows.
///
/// Any role may call it. Only a member of `pg_monitor` sees the state and the statement of the
/// sessions of other roles. One statement.
#[repository]
pub async fn activity(db: &Db) -> Result<Activity> {
    let document: Document = db.executor().one(sql_query(ACTIVITY)).await?;
    Ok(document.decode::<Activity>("activity")?.named())
}

/// Returns the sessions that wait for locks in the database, and those that block them.
///
/// Any role may call it. Only a member of `pg_monitor` sees the state and the statement of the
/// sessions of other roles. One statement, which locks no table.
#[repository]
pub async fn locks(db: &Db) -> Result<Locks> {
    let document: Document = db.executor().one(sql_query(LOCKS)).await?;
    Ok(document.decode::<Unordered>("locks")?.into())
}

/// Returns the tables of the database.
///
/// Any role may call it.
///
/// # Errors
/// - [`Error::Timeout`] if another session locks a table exclusively for more than 2 s. The size of
///   a table is read under a lock.
#[repository]
pub async fn tables(db: &Db) -> Result<Tables> {
    under_locks(db, TABLES).await?.decode("tables")
}

/// Returns the indexes of the database.
///
/// Any role may call it. An index gets an estimate of its bloat if the role can read its columns.
///
/// # Errors
/// - [`Error::Timeout`] if another session locks a table exclusively for more than 2 s. The size of
///   an index is read under a lock.
#[repository]
pub async fn indexes(db: &Db) -> Result<Indexes> {
    let document = under_locks(db, INDEXES).await?;
    Ok(document.decode::<Unrelated>("indexes")?.into())
}

/// Runs a query that locks tables, within a bound for each lock.
#[repository]
async fn under_locks(db: &Db, query: &'static str) -> Result<Document> {
    let executor = db.executor();
    let unit = UnitOfWork::begin(&executor).await?;
    let outcome = match unit.executor().execute(sql_query(BOUND)).await {
        Ok(_) => unit.executor().one(sql_query(query)).await,
        Err(error) => Err(error),
    };
    unit.end(outcome).await
}

/// Returns the standbys of the server and its replication slots.
///
/// Any role may call it. Only a member of `pg_monitor` sees the state of the standbys. One
/// statement.
#[repository]
pub async fn replication(db: &Db) -> Result<Replication> {
    let document: Document = db.executor().one(sql_query(REPLICATION)).await?;
    document.decode("replication")
}

/// Returns the `top` statements of the database that took most time, after `pg_stat_statements`.
///
/// Any role that may use the extension's schema may call it. Only a member of `pg_monitor` sees the
/// texts of other roles' statements.
///
/// # Errors
/// The same as [`statements_of`].
///
/// # Examples
///
/// ```no_run
/// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
/// use wundr_db::admin;
///
/// for statement in admin::statements(&db, 10).await?.statements {
///     let name = statement.name.unwrap_or("of another program");
///     println!("{name}: {} calls, {:.2} ms each", statement.calls, statement.mean_ms);
/// }
/// # Ok(())
/// # }
/// ```
#[repository]
pub async fn statements(db: &Db, top: u32) -> Result<Statements> {
    let database = db.config().target.database.clone();
    statements_of(db, &database, top).await
}

/// Returns the `top` statements of another database of the server that took most time.
///
/// So one copy of the extension, in the database that `db` is connected to, serves all databases.
///
/// # Errors
/// - [`Error::NotFound`] if the extension is not in the database that `db` is connected to
/// - [`Error::InvalidInput`] if `database` contains a zero character
/// - [`Error::Other`] with `55000` if the extension is not preloaded, with `42501` if the role may
///   not use its schema
#[repository]
pub async fn statements_of(db: &Db, database: &str, top: u32) -> Result<Statements> {
    if database.contains('\0') {
        return Err(Error::invalid("database", "contains a zero character"));
    }
    let executor = db.executor();
    let extension: Option<Extension> = executor.first(sql_query(EXTENSION)).await?;
    let extension = extension.ok_or(Error::NotFound {
        what: "extension pg_stat_statements",
    })?;
    let query = sql_query(extension.statements())
        .into_boxed()
        .bind::<BigInt, _>(i64::from(top))
        .bind::<Text, _>(database);
    let document: Document = executor.one(query).await?;
    Ok(Statements::new(
        document.decode::<Unnamed>("statements")?,
        extension.version,
    ))
}

/// Returns what exceeds the thresholds, of all reports but that of the statements.
///
/// An empty result means that all that the role sees is within the thresholds.
///
/// # Errors
/// The same as [`tables`] and [`indexes`].
#[repository]
pub async fn warnings(db: &Db, thresholds: &Thresholds) -> Result<Vec<Warning>> {
    let mut warnings = activity(db).await?.warnings(thresholds);
    warnings.extend(locks(db).await?.warnings(thresholds));
    warnings.extend(archiver(db).await?.warnings(thresholds));
    warnings.extend(replication(db).await?.warnings(thresholds));
    warnings.extend(tables(db).await?.warnings(thresholds));
    warnings.extend(indexes(db).await?.warnings(thresholds));
    Ok(warnings)
}
