//! The actor of writes, the tables whose changes are recorded in the audit log, and the seals of
//! its months.

use chrono::{DateTime, NaiveDate, Utc};
use ipnetwork::IpNetwork;
use uuid::Uuid;

use crate::{AuditLogId, OrganizationId, Table, UserId};

/// The user and the request on whose behalf changes are made. A field that is not set is not
/// recorded.
///
/// `Db::acting_as` returns a database whose changes are recorded in the audit log with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Actor {
    /// The user. It must exist: otherwise each write of a watched table fails with
    /// [`Error::MissingReference`](crate::Error::MissingReference).
    pub user: Option<UserId>,
    /// The organization in which the user acts. It must exist.
    pub organization: Option<OrganizationId>,
    /// The address that the request came from.
    pub ip: Option<IpNetwork>,
    /// The client program of the request. The first 1,000 characters are recorded, with U+FFFD in
    /// place of U+0000, which PostgreSQL cannot store.
    pub user_agent: Option<String>,
    /// The id of the request. It is recorded as `request` in the metadata of the entries.
    pub request: Option<Uuid>,
}

/// A table whose changes are recorded in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchedTable {
    /// The table.
    pub table: Table,
    /// The columns whose values are recorded.
    pub columns: Vec<String>,
    /// False if a trigger was disabled, or was dropped together with a column: then some changes
    /// are not recorded. Watch the table again.
    pub is_complete: bool,
}

/// The seal of a month of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditSeal {
    /// The first day of the month, which begins at midnight UTC.
    pub month: NaiveDate,
    /// The number of entries.
    pub entries: u64,
    /// The end of the hash chain over the entries: a SHA-256 in 64 hexadecimal digits. A role that
    /// can write the tables of the seals could seal again; compare the hash with a copy that is
    /// kept elsewhere.
    pub hash: String,
    /// The time at which the month was sealed.
    pub sealed_at: DateTime<Utc>,
}

/// The result of comparing a month of the audit log with its seal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditVerdict {
    /// The log has the same entries as when the month was sealed.
    Intact(AuditSeal),
    /// The log has the same entries as when the month was sealed, and persons or organizations were
    /// erased from some of them afterwards. No entry differs in another way.
    Anonymized {
        /// The seal.
        seal: AuditSeal,
        /// The entries that were anonymized.
        anonymized: AnonymizedMonth,
    },
    /// The log differs from the seal.
    Differs {
        /// The seal.
        seal: AuditSeal,
        /// The first entry that differs, in the order of `(created_at, id)`.
        id: AuditLogId,
        /// What happened to it.
        difference: AuditDifference,
    },
    /// The seal itself was altered: its pages do not lead to its hash.
    Broken(AuditSeal),
}

/// The entries of a sealed month of the audit log from which persons or organizations were erased.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct AnonymizedMonth {
    /// The first day of the month.
    pub month: NaiveDate,
    /// The number of entries.
    pub entries: u64,
    /// The SHA-256 of the digests of these entries before and after, in 64 hexadecimal digits. The
    /// last erasure has returned it. A role that can write the log could have anonymized further
    /// entries since; compare the hash with a copy that is kept elsewhere.
    pub hash: String,
}

/// What happened to an entry of the audit log after its month was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditDifference {
    /// A column of the entry was changed.
    Changed,
    /// The entry was added.
    Added,
    /// The entry was removed from the month.
    Removed,
}
