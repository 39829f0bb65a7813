//! The export of an organization into an archive, and its import.

use diesel::sql_query;
use diesel::sql_types::{Array, Text};

use super::{
    ArchiveHeader, ArchivedColumn, ArchivedTable, ConflictPolicy, ConflictReason, Db,
    ExportedOrganization, ImportConflict, ImportedOrganization, ImportedTable, Input, Output, Tx,
    repository,
};
use crate::models::partitions::unsigned;
use crate::sql::admin::binary_rows::{BinaryRows, Section};
use crate::sql::admin::digests::{MIGRATIONS, MOMENT, MomentRow, Name, PIN};
use crate::sql::admin::organization::{
    COLUMNS, ColumnRow, ConflictRow, DROP_STAGING, ORGANIZATION_NAME, PREPARE_IMPORT, STAGING,
    USER_COLUMNS, UserColumn, condition, conflicts, create_staging, insert, tables,
};
use crate::sql::partitions::Number;
use crate::transaction::TransactionOptions;
use crate::write_set::Everything;
use crate::{Error, OrganizationId, Result};

/// The first bytes of an archive, with the version of its form.
const BEGIN: &[u8] = b"WUNDRORG\0\0\0\x01";

/// The last bytes of an archive.
const END: &[u8] = b"WUNDREND";

/// The largest header, in bytes.
const LARGEST_HEADER: usize = 1 << 20;

/// Returns the tables of an organization's archive: a table comes after those that its foreign keys
/// name.
///
/// User sessions, setup sessions and their steps belong to users, and tools and the system log to
/// the platform. They are not exported.
#[must_use]
pub fn organization_tables() -> Vec<&'static str> {
    tables()
}

/// Exports an organization with all its rows, and the users that these name.
///
/// The tables are those of [`organization_tables`]. All rows are of one moment. They are written by
/// binary `COPY`, in a stream with a header of columns, types and migrations, and a checksum for
/// each table. The rows are not held in memory. The archive contains addresses of users, and
/// secrets as they are stored: keep it as the database is kept.
///
/// The caller needs `SELECT` on these tables. The time limit of statements does not apply.
///
/// # Errors
/// - [`Error::NotFound`] if there is no such organization
/// - [`Error::InvalidInput`] if the output fails. What was written to it is no archive.
/// - [`Error::Other`] with the SQLSTATE 42501 if the role may not read a table
///
/// # Cancel safety
/// If the future is dropped, the connection is closed. What was written is no archive.
///
/// # Examples
/// ```no_run
/// # async fn example(db: wundr_db::Db, id: wundr_db::OrganizationId) -> wundr_db::Result<()> {
/// use wundr_db::admin::{self, ConflictPolicy, Input, Output};
///
/// let mut archive = Vec::new();
/// let exported = admin::export_organization(&db, id, Output::immediate(&mut archive)).await?;
/// println!("{} bytes", exported.bytes);
/// let input = Input::immediate(&archive[..]);
/// admin::import_organization(&db, input, ConflictPolicy::Refuse).await?;
/// # Ok(())
/// # }
/// ```
#[repository]
pub async fn export_organization(
    db: &Db,
    id: OrganizationId,
    mut output: Output<'_>,
) -> Result<ExportedOrganization> {
    let patient = super::patient(db)?;
    let tx = patient.begin(&TransactionOptions::of_a_snapshot()).await?;
    let exported = export(&tx, id, &mut output).await;
    tx.rollback().await;
    let exported = exported?;
    output.close().await?;
    Ok(exported)
}

#[repository]
async fn export(
    tx: &Tx,
    id: OrganizationId,
    output: &mut Output<'_>,
) -> Result<ExportedOrganization> {
    let executor = tx.executor();
    let _: Number = executor.one(sql_query(PIN)).await?;
    let moment: MomentRow = executor.one(sql_query(MOMENT)).await?;
    let organization = sql_query(ORGANIZATION_NAME)
        .into_boxed()
        .bind::<diesel::sql_types::Uuid, _>(id);
    let organization: Option<Name> = executor.first(organization).await?;
    organization.ok_or(Error::NotFound {
        what: "Organization",
    })?;
    let migrations: Vec<Name> = executor.load(sql_query(MIGRATIONS)).await?;
    let mut migrations: Vec<_> = migrations.into_iter().map(|version| version.name).collect();
    migrations.sort_unstable();
    let users = sql_query(USER_COLUMNS)
        .into_boxed()
        .bind::<Array<Text>, _>(tables());
    let users: Vec<UserColumn> = executor.load(users).await?;
    let columns = columns_of(tx).await?;
    let header = ArchiveHeader {
        organization: id,
        taken_at: moment.taken_at,
        server_version: moment.server_version,
        migrations,
        tables: columns.iter().map(|table| table.archived()).collect(),
    };
    let json = serde_json::to_vec(&header).map_err(|error| Error::invalid("archive", error))?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes();
    let beginning = [BEGIN, &length, &json].concat();
    output.write(&beginning).await?;
    let mut exported = ExportedOrganization {
        organization: id,
        taken_at: moment.taken_at,
        tables: Vec::new(),
        bytes: (beginning.len() + END.len()) as u64,
    };
    for table in &columns {
        let (name, columns) = (table.name.as_str(), table.columns().join(", "));
        let condition = condition(name, &users, id);
        let copy = format!(
            "COPY (SELECT {columns} FROM {name} AS r WHERE {condition}) TO STDOUT WITH (FORMAT binary)"
        );
        let (mut rows, mut outcome, mut bytes) = (BinaryRows::default(), Ok(0), 0);
        let mut seen = |copied: &[u8]| {
            bytes += copied.len() as u64;
            if outcome.is_ok() {
                outcome = rows.take(copied);
            }
        };
        tx.copy_out(&copy, output, &mut seen).await?;
        outcome?;
        if !rows.is_over() {
            return Err(Error::invalid("archive", "the server ended COPY too early"));
        }
        output.write(&rows.checksum.to_bytes()).await?;
        exported.bytes += bytes + 8;
        exported.tables.push((name.to_owned(), rows.rows));
    }
    output.write(END).await?;
    Ok(exported)
}

/// Imports an organization from an archive of [`export_organization`], all of it or nothing.
///
/// A row that the database has in the same form is left as it is, so that an import can be
/// repeated. `policy` decides about a row that it has in another form, or that a unique value
/// keeps from being inserted. A user that the database has is kept as it is.
///
/// The rows of each table are copied into a temporary table first, in which they take their size a
/// second time. Listeners of [`Db::follow`] are not notified of the analyses. Watched tables get
/// their entries in the audit log. An entry of the archive's audit log is a conflict if its month
/// is sealed and does not contain it. A run in progress gets a lease with another fence; when that
/// expires, it is abandoned.
///
/// The caller needs `INSERT` and `SELECT` on the tables, and `TEMPORARY` on the database. The time
/// limit of statements does not apply. Behind a cache, everything that was cached is invalid
/// afterwards.
///
/// # Errors
/// Nothing was written.
///
/// - [`Error::InvalidInput`] if the input fails or is damaged; if the database lacks a table, a
///   column or a migration of the archive; or, with [`ConflictPolicy::Refuse`], if a row conflicts.
///   The error names up to ten of these rows.
/// - [`Error::MissingReference`] if a row was not inserted that another row of the archive needs
/// - Those of an insert
///
/// # Cancel safety
/// If the future is dropped, nothing was written.
#[repository]
pub async fn import_organization(
    db: &Db,
    mut input: Input<'_>,
    policy: ConflictPolicy,
) -> Result<ImportedOrganization> {
    let mut rest = Vec::new();
    let header = header(&mut input, &mut rest).await?;
    let patient = super::patient(db)?;
    let options = TransactionOptions::of_a_unit_that_may_pause();
    let tx = patient.begin(&options).await?;
    let imported = import(&tx, &header, rest, &mut input, policy).await;
    tx.end(imported).await
}

/// Reads the header. `rest` is what was read beyond it.
#[repository]
async fn header(input: &mut Input<'_>, rest: &mut Vec<u8>) -> Result<ArchiveHeader> {
    let begin = read(input, rest, BEGIN.len() + 4).await?;
    let length = begin.strip_prefix(BEGIN);
    let length = length.and_then(|length| length.try_into().ok());
    let length = length.map(|length| u32::from_be_bytes(length) as usize);
    let length = length.filter(|&length| length <= LARGEST_HEADER);
    let length =
        length.ok_or_else(|| Error::invalid("archive", "is not that of an organization"))?;
    let json = read(input, rest, length).await?;
    serde_json::from_slice(&json).map_err(|error| Error::invalid("archive", error))
}

/// Returns the next bytes of the archive.
#[repository]
async fn read(input: &mut Input<'_>, rest: &mut Vec<u8>, length: usize) -> Result<Vec<u8>> {
    while rest.len() < length {
        match input.next().await? {
            Some(bytes) => rest.extend_from_slice(&bytes),
            None => return Err(Error::invalid("archive", "ends too early")),
        }
    }
    Ok(rest.drain(..length).collect())
}

#[repository]
async fn import(
    tx: &Tx,
    header: &ArchiveHeader,
    mut rest: Vec<u8>,
    input: &mut Input<'_>,
    policy: ConflictPolicy,
) -> Result<ImportedOrganization> {
    let executor = tx.executor();
    let _: Number = executor.one(sql_query(PREPARE_IMPORT)).await?;
    let applied: Vec<Name> = executor.load(sql_query(MIGRATIONS)).await?;
    for version in &header.migrations {
        if !applied.iter().any(|applied| applied.name == *version) {
            let reason = format_args!("the database lacks its migration {version}");
            return Err(Error::invalid("archive", reason));
        }
    }
    let known = columns_of(tx).await?;
    let mut imported = ImportedOrganization {
        organization: header.organization,
        taken_at: header.taken_at,
        tables: Vec::new(),
        conflicts: Vec::new(),
    };
    for archived in &header.tables {
        let table = known.iter().find(|table| table.name == archived.name);
        let fitting = table.filter(|table| table.has(archived));
        let Some(table) = fitting else {
            let reason = format_args!("the database has other columns in {}", archived.name);
            return Err(Error::invalid("archive", reason));
        };
        let section = Section {
            rest: std::mem::take(&mut rest),
            ..Section::default()
        };
        rest = import_table(tx, table, archived, section, input, &mut imported).await?;
        refuse_conflicts(policy, &imported)?;
    }
    if read(input, &mut rest, END.len()).await? != END {
        return Err(Error::invalid("archive", "has no end"));
    }
    tx.record_write(&Everything);
    Ok(imported)
}

/// Imports the rows of a table. Returns what was read beyond them.
#[repository]
async fn import_table(
    tx: &Tx,
    table: &TableColumns,
    archived: &ArchivedTable,
    mut section: Section,
    input: &mut Input<'_>,
    imported: &mut ImportedOrganization,
) -> Result<Vec<u8>> {
    let executor = tx.executor();
    let name = table.name.as_str();
    // These names are those of the database as well, which has quoted them.
    let columns: Vec<String> = archived
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect();
    let list = columns.join(", ");
    executor
        .execute(sql_query(create_staging(name, &list)))
        .await?;
    let copy = format!("COPY {STAGING} ({list}) FROM STDIN WITH (FORMAT binary)");
    let copied = tx.copy_in(&copy, input, &mut section).await?;
    let Section { rows, mut rest } = section;
    let checksum = read(input, &mut rest, 8).await?;
    if copied != rows.rows || checksum != rows.checksum.to_bytes() {
        let reason = format_args!("the rows of {name} are damaged");
        return Err(Error::invalid("archive", reason));
    }
    let inserted = executor.execute(sql_query(insert(name, &list))).await?;
    let conflicts = sql_query(conflicts(name, &columns, &table.keys));
    let conflicts: Vec<ConflictRow> = executor.load(conflicts).await?;
    executor.execute(sql_query(DROP_STAGING)).await?;
    imported.tables.push(ImportedTable {
        table: name.to_owned(),
        rows: copied,
        inserted,
        conflicts: conflicts.first().map_or(0, |row| unsigned(row.number)),
    });
    let conflicts = conflicts.into_iter().map(|row| ImportConflict {
        table: name.to_owned(),
        key: row.key,
        reason: match row.is_taken {
            true => ConflictReason::Taken,
            false => ConflictReason::Different,
        },
    });
    imported.conflicts.extend(conflicts);
    Ok(rest)
}

/// Returns an error if there are conflicts that the policy does not accept.
fn refuse_conflicts(policy: ConflictPolicy, imported: &ImportedOrganization) -> Result<()> {
    let Some(table) = imported.tables.last() else {
        return Ok(());
    };
    if policy == ConflictPolicy::Keep || table.conflicts == 0 {
        return Ok(());
    }
    let named = imported.conflicts.iter().take(10).map(|conflict| {
        let reason = match conflict.reason {
            ConflictReason::Different => "different",
            ConflictReason::Taken => "taken",
        };
        format!("{} ({reason})", conflict.key)
    });
    let named: Vec<String> = named.collect();
    let reason = format_args!(
        "{} rows of {} conflict with the database: {}",
        table.conflicts,
        table.table,
        named.join(", ")
    );
    Err(Error::invalid("archive", reason))
}

/// The columns of a table that are archived.
struct TableColumns {
    name: String,
    columns: Vec<ArchivedColumn>,
    keys: Vec<String>,
}

impl TableColumns {
    fn archived(&self) -> ArchivedTable {
        ArchivedTable {
            name: self.name.clone(),
            columns: self.columns.clone(),
        }
    }

    fn columns(&self) -> Vec<&str> {
        let names = self.columns.iter().map(|column| column.name.as_str());
        names.collect()
    }

    /// Checks whether the table has every column of an archive, with the same type.
    fn has(&self, archived: &ArchivedTable) -> bool {
        let mut columns = archived.columns.iter();
        columns.all(|column| self.columns.contains(column))
    }
}

/// Returns the columns of all tables of an archive.
#[repository]
async fn columns_of(tx: &Tx) -> Result<Vec<TableColumns>> {
    let query = sql_query(COLUMNS)
        .into_boxed()
        .bind::<Array<Text>, _>(tables());
    let rows: Vec<ColumnRow> = tx.executor().load(query).await?;
    let mut found: Vec<TableColumns> = Vec::new();
    for row in rows {
        if found.last().is_none_or(|table| table.name != row.name) {
            found.push(TableColumns {
                name: row.name,
                columns: Vec::new(),
                keys: Vec::new(),
            });
        }
        let Some(table) = found.last_mut() else {
            continue;
        };
        if row.is_key {
            table.keys.push(row.column.clone());
        }
        table.columns.push(ArchivedColumn {
            name: row.column,
            r#type: row.r#type,
        });
    }
    Ok(found)
}
