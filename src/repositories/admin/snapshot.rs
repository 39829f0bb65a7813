//! Snapshots with the digests of all tables, and the comparison of a copy with them.

use std::collections::BTreeMap;
use std::fmt;

use diesel::sql_query;

use super::{Aspect, Comparison, Db, Digests, TableDigest, Tx, repository};
use crate::Result;
use crate::models::partitions::unsigned;
use crate::sql::admin::digests::{
    DEFINITIONS, EXPORT_SNAPSHOT, HashRow, MIGRATIONS, MIGRATIONS_TABLE, MOMENT, MomentRow, Name,
    ObjectRow, PIN, SEQUENCES, SequenceRow, TABLES, hash, lock,
};
use crate::sql::partitions::Number;
use crate::transaction::TransactionOptions;

/// A moment of the database, which a backup and its digests share.
///
/// [`snapshot`] creates one. It holds a connection of its own with a read-only transaction, and no
/// connection of the `Db`. Meanwhile `VACUUM` keeps the rows that the snapshot sees, and a change
/// of a table's definition waits, as during `pg_dump`.
///
/// If it is dropped, the connection is closed, and the server ends the transaction.
pub struct Snapshot {
    tx: Tx,
    id: String,
    tables: Vec<String>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Snapshot")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Exports a snapshot of the database, for a backup that is compared later.
///
/// `pg_dump --snapshot=ID` dumps what the snapshot sees, while others write. The digests of the
/// same rows are [`Snapshot::digests`]. [`compare`] finds out whether a copy has them.
///
/// The caller needs `SELECT` on every table of the database, as for `pg_dump`. The time limits of
/// the `Db` for statements and idle transactions do not apply; a lock is waited for at most 10 s.
///
/// # Errors
/// - [`Error::Timeout`](crate::Error::Timeout) if a table is locked for longer, for example by a
///   migration
/// - [`Error::Other`](crate::Error::Other) with the SQLSTATE 42501 if the role may not read a table
///
/// # Cancel safety
/// If the future is dropped, the connection is closed and the transaction ends.
///
/// # Examples
/// ```no_run
/// # async fn example(db: wundr_db::Db, copy: wundr_db::Db) -> wundr_db::Result<()> {
/// use wundr_db::admin;
///
/// let snapshot = admin::snapshot(&db).await?;
/// println!("pg_dump -Fd -f wundr.dir --snapshot={} wundr", snapshot.id());
/// let digests = snapshot.digests().await?;
/// // After the end of pg_dump:
/// snapshot.end().await?;
///
/// // In the restored copy:
/// let comparison = admin::compare(&copy, &digests).await?;
/// assert!(comparison.is_equal(), "{comparison}");
/// # Ok(())
/// # }
/// ```
#[repository]
pub async fn snapshot(db: &Db) -> Result<Snapshot> {
    let patient = super::patient(db)?;
    // The tables are locked before the snapshot is taken: TRUNCATE would remove rows that the
    // snapshot still counts, and a dropped table could not be read.
    let tables: Vec<Name> = patient.executor().load(sql_query(TABLES)).await?;
    let tables: Vec<String> = tables.into_iter().map(|table| table.name).collect();
    let mut tx = patient.begin(&TransactionOptions::of_a_snapshot()).await?;
    match begin(&mut tx, &tables).await {
        Ok(id) => Ok(Snapshot { tx, id, tables }),
        Err(error) => {
            tx.rollback().await;
            Err(error)
        }
    }
}

/// Locks the tables, pins the settings of the session and exports the snapshot.
#[repository]
async fn begin(tx: &mut Tx, tables: &[String]) -> Result<String> {
    let executor = tx.executor();
    // The only statement before LOCK that sees no rows, and takes no snapshot.
    for setting in ["lock_timeout = '10s'", "statement_timeout = 0"] {
        executor
            .execute(sql_query(format!("SET LOCAL {setting}")))
            .await?;
    }
    for table in tables {
        executor.execute(sql_query(lock(table))).await?;
    }
    let _: Number = executor.one(sql_query(PIN)).await?;
    let exported: Name = executor.one(sql_query(EXPORT_SNAPSHOT)).await?;
    Ok(exported.name)
}

#[repository]
impl Snapshot {
    /// Returns the id, for `pg_dump --snapshot`. It is valid until the snapshot is dropped.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Computes the digests of all tables, sequences and definitions.
    ///
    /// It reads every row once. 100 MB take some 2 s.
    ///
    /// # Errors
    /// - [`Error::Other`](crate::Error::Other) with the SQLSTATE 42501 if the role may not read a
    ///   table, or a policy of row-level security would hide rows from it
    pub async fn digests(&self) -> Result<Digests> {
        let executor = self.tx.executor();
        let moment: MomentRow = executor.one(sql_query(MOMENT)).await?;
        let mut tables = BTreeMap::new();
        for table in &self.tables {
            let row: HashRow = executor.one(sql_query(hash(table))).await?;
            let digest = TableDigest::new(unsigned(row.number), row.digest);
            tables.insert(table.clone(), digest);
        }
        let sequences: Vec<SequenceRow> = executor.load(sql_query(SEQUENCES)).await?;
        let objects: Vec<ObjectRow> = executor.load(sql_query(DEFINITIONS)).await?;
        let mut definitions: BTreeMap<Aspect, BTreeMap<String, String>> = BTreeMap::new();
        for object in objects {
            let aspect = Aspect::parse(&object.aspect).unwrap_or(Aspect::Table);
            let definition = object.definition.unwrap_or_default();
            definitions
                .entry(aspect)
                .or_default()
                .insert(object.name, definition);
        }
        let has_migrations: Option<Name> = executor.first(sql_query(MIGRATIONS_TABLE)).await?;
        if has_migrations.is_some() {
            let applied: Vec<Name> = executor.load(sql_query(MIGRATIONS)).await?;
            let applied = applied
                .into_iter()
                .map(|version| (version.name, "applied".to_owned()));
            definitions.insert(Aspect::Migration, applied.collect());
        }
        Ok(Digests {
            taken_at: moment.taken_at,
            database: moment.database,
            server_version: moment.server_version,
            tables,
            sequences: sequences
                .into_iter()
                .map(|sequence| (sequence.name, sequence.value))
                .collect(),
            definitions,
        })
    }

    /// Ends the snapshot. To drop it has the same effect.
    #[unboxed]
    pub async fn end(self) -> Result<()> {
        self.tx.rollback().await;
        Ok(())
    }
}

/// Compares a copy of a database with the digests of the original, row by row and object by object.
///
/// A row that is missing, added or changed changes the digest of its table. Among the objects are
/// those that a restore loses: constraints that are not validated, indexes that are not valid,
/// triggers that are disabled, partitions, privileges, settings of the database, and migrations.
/// [`Comparison::differences`] names each difference.
///
/// A server of another major version prints some views, functions and defaults differently: these
/// are differences then, and the rows are not.
///
/// Compare before [`after_restore`](super::after_restore) and before an application writes.
///
/// # Errors
/// The same as [`snapshot`] and [`Snapshot::digests`].
#[repository]
pub async fn compare(db: &Db, original: &Digests) -> Result<Comparison> {
    let snapshot = snapshot(db).await?;
    let digests = snapshot.digests().await?;
    snapshot.end().await?;
    Ok(original.compare(&digests))
}
