//! The erasure of persons and organizations, and the places of personal data.

use std::fmt;

use serde::Serialize;

use crate::{AnonymizedMonth, Error, OrganizationId, ProjectId, Result, UserId};

/// The settings of an erasure of a user.
///
/// ```
/// use wundr_db::UserId;
/// use wundr_db::admin::UserErasure;
///
/// # let successor = UserId::new();
/// let erasure = UserErasure::reassigning_to(successor).address("ada@former.example");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct UserErasure {
    /// The user that takes over what the erased one has created. `None` if the row of the user
    /// stays, without personal data, and with it the rows that name it.
    pub successor: Option<UserId>,
    /// Email addresses of the user besides its present one, for example former ones. They are
    /// removed from the logs. Each must contain an `@` between other characters, and have at most
    /// 255 characters.
    pub addresses: Vec<String>,
}

impl UserErasure {
    /// Creates the settings of an erasure that deletes the row of the user. Projects and other rows
    /// that need a creator get the successor as theirs. It also becomes the owner of organizations
    /// and projects that would have none.
    pub fn reassigning_to(successor: UserId) -> Self {
        Self {
            successor: Some(successor),
            addresses: Vec::new(),
        }
    }

    /// Creates the settings of an erasure that keeps the row of the user, inactive and without
    /// personal data. The rows that name the user keep its id.
    pub fn keeping() -> Self {
        Self {
            successor: None,
            addresses: Vec::new(),
        }
    }

    /// Adds an email address that is removed from the logs.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Checks the addresses.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if one of them is not an address.
    pub(crate) fn check(&self) -> Result<()> {
        for address in &self.addresses {
            crate::validation::check(address, "addresses", Some(255))?;
            let parts = address.split_once('@');
            if !parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()) {
                return Err(Error::invalid("addresses", "is not an email address"));
            }
        }
        Ok(())
    }
}

/// What an erasure does with the rows of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErasureAction {
    /// The rows are deleted.
    Deleted,
    /// The rows get the successor.
    Reassigned,
    /// The column becomes NULL.
    Cleared,
    /// The personal data are removed from the rows, which stay.
    Anonymized,
    /// The rows stay as they are.
    Kept,
}

impl ErasureAction {
    /// Returns the reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Deleted => "the row is about the person alone",
            Self::Reassigned => "the row needs a user and is of use to others",
            Self::Cleared => "the row is of use to others without the person",
            Self::Anonymized => "the row is a record of what happened",
            Self::Kept => "the row names a user that has no personal data any more",
        }
    }
}

/// The rows that an erasure found by one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErasedRows {
    /// The table with its schema.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// What was done with the rows.
    pub action: ErasureAction,
    /// The number of rows.
    pub rows: u64,
}

impl fmt::Display for ErasedRows {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            ErasureAction::Deleted => "deleted",
            ErasureAction::Reassigned => "reassigned",
            ErasureAction::Cleared => "cleared",
            ErasureAction::Anonymized => "anonymized",
            ErasureAction::Kept => "kept",
        };
        let Self {
            table,
            column,
            rows,
            ..
        } = self;
        write!(
            formatter,
            "{table}.{column}: {rows} {action}, because {}",
            self.action.reason()
        )
    }
}

/// The result of an erasure of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErasedUser {
    /// The user.
    pub user_id: UserId,
    /// True if the row of the user was deleted. False if it stays without personal data.
    pub is_deleted: bool,
    /// The rows that named the user, with what was done and why: each column that was examined.
    pub rows: Vec<ErasedRows>,
    /// The organizations that have no owner now. Empty if there is a successor.
    pub organizations_without_owner: Vec<OrganizationId>,
    /// The projects that have no owner among their members now. Empty if there is a successor.
    pub projects_without_owner: Vec<ProjectId>,
    /// The sealed months of the audit log with entries that were anonymized, by this erasure or an
    /// earlier one. Keep them where the hashes of the seals are kept.
    pub sealed_months: Vec<AnonymizedMonth>,
}

/// The result of an erasure of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErasedOrganization {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The rows that named the organization, with what was done and why. The rows of its projects
    /// go with these.
    pub rows: Vec<ErasedRows>,
    /// The sealed months of the audit log with entries that were anonymized, by this erasure or an
    /// earlier one. Keep them where the hashes of the seals are kept.
    pub sealed_months: Vec<AnonymizedMonth>,
}

/// A column that has personal data, or the id of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PersonalColumn {
    /// The table with its schema.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// What an erasure does if there is a successor.
    pub with_successor: ErasureAction,
    /// What an erasure does if the row of the user is kept.
    pub without_successor: ErasureAction,
    /// True if it is part of an export. False if it is a secret, or is about another person.
    pub is_exported: bool,
}

/// Returns the columns of the schema that have personal data, or the id of a user.
///
/// Documents and texts of the application are not listed, except those of the logs: what it stores
/// there of a person is its own to know.
#[must_use]
pub fn personal_columns() -> &'static [PersonalColumn] {
    COLUMNS
}

const fn column(
    table: &'static str,
    column: &'static str,
    with_successor: ErasureAction,
    without_successor: ErasureAction,
) -> PersonalColumn {
    PersonalColumn {
        table,
        column,
        with_successor,
        without_successor,
        is_exported: true,
    }
}

const fn secret(table: &'static str, name: &'static str) -> PersonalColumn {
    PersonalColumn {
        is_exported: false,
        ..column(table, name, ErasureAction::Deleted, ErasureAction::Deleted)
    }
}

const COLUMNS: &[PersonalColumn] = {
    use ErasureAction::{Anonymized, Cleared, Deleted, Kept, Reassigned};
    &[
        column("public.user_sessions", "user_id", Deleted, Deleted),
        column("public.user_sessions", "user_agent", Deleted, Deleted),
        column("public.user_sessions", "ip_address", Deleted, Deleted),
        secret("public.user_sessions", "token_hash"),
        secret("public.user_sessions", "refresh_token_hash"),
        secret("public.user_session_families", "predecessor_hash"),
        secret("public.rotated_refresh_tokens", "token_hash"),
        column("public.organization_members", "user_id", Deleted, Deleted),
        column("public.organization_members", "invited_by", Cleared, Kept),
        column(
            "public.organization_invitations",
            "user_id",
            Deleted,
            Deleted,
        ),
        column(
            "public.organization_invitations",
            "invited_by",
            Cleared,
            Kept,
        ),
        column("public.project_members", "user_id", Deleted, Deleted),
        column("public.project_members", "added_by", Cleared, Kept),
        column("public.projects", "created_by", Reassigned, Kept),
        column("analysis.analyses", "created_by", Reassigned, Kept),
        column("analysis.analysis_issues", "resolved_by", Cleared, Kept),
        column("analysis.analysis_pins", "pinned_by", Cleared, Kept),
        column("setup.setup_sessions", "user_id", Deleted, Deleted),
        column("setup.setup_profiles", "created_by", Reassigned, Kept),
        column("setup.configurations", "created_by", Reassigned, Kept),
        column("setup.integrations", "created_by", Reassigned, Kept),
        column("audit.audit_logs", "user_id", Anonymized, Anonymized),
        column("audit.audit_logs", "ip_address", Anonymized, Anonymized),
        column("audit.audit_logs", "user_agent", Anonymized, Anonymized),
        column("audit.audit_logs", "resource_id", Anonymized, Anonymized),
        column("audit.audit_logs", "old_values", Anonymized, Anonymized),
        column("audit.audit_logs", "new_values", Anonymized, Anonymized),
        column("audit.audit_logs", "metadata", Anonymized, Anonymized),
        column("audit.system_logs", "user_id", Anonymized, Anonymized),
        column("audit.system_logs", "message", Anonymized, Anonymized),
        column("audit.system_logs", "data", Anonymized, Anonymized),
        column("public.users", "id", Deleted, Kept),
        column("public.users", "email", Deleted, Anonymized),
        column("public.users", "name", Deleted, Anonymized),
        column("public.users", "avatar_url", Deleted, Anonymized),
        column("public.users", "github_username", Deleted, Anonymized),
        column("public.users", "preferences", Deleted, Anonymized),
        column("public.users", "last_login_at", Deleted, Anonymized),
    ]
};

impl PersonalColumn {
    /// Checks whether the column has the id of a user outside of the logs, so that its rows are
    /// found and treated by it.
    pub(crate) fn is_reference(&self) -> bool {
        let is_log = self.table.starts_with("audit.");
        let is_id = self.column == "user_id" || self.column.ends_with("_by");
        is_id && !is_log
    }
}
