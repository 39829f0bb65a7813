//! `audit.audit_logs`: who did what to which resource.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wundr_db_macros::{Filter, NewRow};

use super::User;
use crate::page::orders;
use crate::schema::audit::audit_logs;
use crate::{AuditAction, AuditLogId, Document, Organization, OrganizationId, UserId};

/// An entry of the audit log: a row of the design's `audit_logs`. It is written once and never changed.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    Selectable,
    Identifiable,
    Associations,
)]
#[diesel(table_name = audit_logs, primary_key(id, created_at), check_for_backend(Pg))]
#[diesel(belongs_to(Organization, foreign_key = organization_id))]
#[diesel(belongs_to(User, foreign_key = user_id))]
#[non_exhaustive]
pub struct AuditLog {
    /// Key, together with `created_at`.
    pub id: AuditLogId,
    /// Who did it, if it was a user.
    pub user_id: Option<UserId>,
    /// The organization in which it was done.
    pub organization_id: Option<OrganizationId>,
    /// What was done.
    pub action: AuditAction,
    /// The kind of thing it was done to, for example `project`.
    pub resource_type: String,
    /// The thing it was done to.
    pub resource_id: Option<Uuid>,
    /// What the changed fields held before.
    pub old_values: Option<Document>,
    /// What the changed fields hold since.
    pub new_values: Option<Document>,
    /// Whatever else the application writes down.
    pub metadata: Document,
    /// Where the request came from.
    pub ip_address: Option<IpNetwork>,
    /// With which program.
    pub user_agent: Option<String>,
    /// When it was done. The month in UTC decides the partition.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// An entry to be written to the audit log.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = audit_logs, row = AuditLog)]
pub struct NewAuditLog {
    /// Key; made by [`AuditLogId::new`] unless given.
    #[row(default = AuditLogId::new())]
    pub id: AuditLogId,
    /// Who did it.
    pub user_id: Option<UserId>,
    /// The organization in which it was done.
    pub organization_id: Option<OrganizationId>,
    /// What was done.
    pub action: AuditAction,
    /// The kind of thing it was done to, at most 100 characters.
    pub resource_type: String,
    /// The thing it was done to.
    pub resource_id: Option<Uuid>,
    /// What the changed fields held before.
    pub old_values: Option<Document>,
    /// What the changed fields hold since.
    pub new_values: Option<Document>,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub metadata: Option<Document>,
    /// Where the request came from.
    pub ip_address: Option<IpNetwork>,
    /// With which program.
    pub user_agent: Option<String>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Which entries of the audit log are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct AuditLogFilter {
    /// Done by this user.
    pub user_id: Option<UserId>,
    /// Done in this organization.
    pub organization_id: Option<OrganizationId>,
    /// One of these actions; any, if none is named.
    pub actions: Vec<AuditAction>,
    /// Done to this kind of thing.
    pub resource_type: Option<String>,
    /// Done to this thing. The index serves it together with `resource_type`.
    pub resource_id: Option<Uuid>,
    /// Done at this time or later. Both times keep months out of which nothing is wanted from being read.
    pub created_from: Option<DateTime<Utc>>,
    /// Done before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl AuditLogFilter {
    /// Whether every entry of some time is meant.
    pub(crate) fn names_times_only(&self) -> bool {
        let times = Self {
            created_from: self.created_from,
            created_before: self.created_before,
            ..Self::default()
        };
        *self == times
    }

    pub(crate) fn query(&self) -> audit_logs::BoxedQuery<'_, Pg> {
        let mut query = audit_logs::table.into_boxed();
        if let Some(user_id) = self.user_id {
            query = query.filter(audit_logs::user_id.eq(user_id));
        }
        if let Some(organization_id) = self.organization_id {
            query = query.filter(audit_logs::organization_id.eq(organization_id));
        }
        if !self.actions.is_empty() {
            query = query.filter(audit_logs::action.eq_any(&self.actions));
        }
        if let Some(resource_type) = &self.resource_type {
            query = query.filter(audit_logs::resource_type.eq(resource_type));
        }
        if let Some(resource_id) = self.resource_id {
            query = query.filter(audit_logs::resource_id.eq(resource_id));
        }
        if let Some(from) = self.created_from {
            query = query.filter(audit_logs::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(audit_logs::created_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order entries of the audit log are listed.
    AuditLogOrder of AuditLog in audit_logs {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
