//! The archive of an organization.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::OrganizationId;

/// The decision about rows of an archive that the database has in another form.
///
/// Users are shared by organizations. A user that the database has is kept, whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConflictPolicy {
    /// The import is refused, and nothing is written.
    Refuse,
    /// The row of the database is kept, and the conflict is reported.
    Keep,
}

/// The beginning of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchiveHeader {
    pub(crate) organization: OrganizationId,
    pub(crate) taken_at: DateTime<Utc>,
    pub(crate) server_version: i32,
    pub(crate) migrations: Vec<String>,
    pub(crate) tables: Vec<ArchivedTable>,
}

/// A table of an archive, with its columns in the order of the values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivedTable {
    pub(crate) name: String,
    pub(crate) columns: Vec<ArchivedColumn>,
}

/// A column, in quotes if it needs them, and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ArchivedColumn {
    pub(crate) name: String,
    pub(crate) r#type: String,
}

/// What was written to an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExportedOrganization {
    /// The organization.
    pub organization: OrganizationId,
    /// The server's time of the snapshot.
    pub taken_at: DateTime<Utc>,
    /// The tables in the order of the archive, with their numbers of rows.
    pub tables: Vec<(String, u64)>,
    /// The number of bytes.
    pub bytes: u64,
}

/// What was read from an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportedOrganization {
    /// The organization.
    pub organization: OrganizationId,
    /// The server's time of the archive's snapshot.
    pub taken_at: DateTime<Utc>,
    /// The tables in the order of the archive.
    pub tables: Vec<ImportedTable>,
    /// The conflicts: of each table at most 100.
    pub conflicts: Vec<ImportConflict>,
}

/// The rows of a table that were imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportedTable {
    /// The table with its schema.
    pub table: String,
    /// The number of rows of the archive.
    pub rows: u64,
    /// The number of rows that were inserted.
    pub inserted: u64,
    /// The number of rows that were not inserted, and that the database does not have in the same
    /// form. The remaining ones were there already.
    pub conflicts: u64,
}

/// A row of an archive that was not imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportConflict {
    /// The table with its schema.
    pub table: String,
    /// The first column of the row's key.
    pub key: String,
    /// The reason.
    pub reason: ConflictReason,
}

/// The reason why a row of an archive was not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConflictReason {
    /// The database has a row with the same key and other values.
    Different,
    /// Another row of the database has a value that is unique, for example the address of a user.
    /// Of the audit log: the month of the entry is sealed.
    Taken,
}
