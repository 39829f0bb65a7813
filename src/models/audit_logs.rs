//! `audit.audit_logs`: the actions of users on resources.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wundr_db_macros::{Filter, NewRow, TableRow};

use super::{Actor, User};
use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::audit::audit_logs;
use crate::types::timestamp::AnyTime;
use crate::{AuditAction, AuditLogId, Document, Organization, OrganizationId, UserId};

/// An entry of the audit log: a row of the design's `audit_logs`. It is written once. Only an
/// erasure of a person or an organization changes it, and takes these away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = audit_logs, primary_key(id, created_at))]
#[diesel(belongs_to(Organization, foreign_key = organization_id))]
#[diesel(belongs_to(User, foreign_key = user_id))]
#[non_exhaustive]
pub struct AuditLog {
    /// Primary key, together with `created_at`.
    pub id: AuditLogId,
    /// The user that acted; `None` if it was not a user.
    pub user_id: Option<UserId>,
    /// The organization in which the action took place.
    pub organization_id: Option<OrganizationId>,
    /// The action.
    pub action: AuditAction,
    /// The kind of resource, for example `project`.
    pub resource_type: String,
    /// The resource.
    pub resource_id: Option<Uuid>,
    /// The values of the changed fields before the action.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub old_values: Option<Document>,
    /// The values of the changed fields after the action.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub new_values: Option<Document>,
    /// Additional data of the application.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub metadata: Document,
    /// The address that the request came from.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub ip_address: Option<IpNetwork>,
    /// The client program of the request.
    pub user_agent: Option<String>,
    /// The time of the action. Its month in UTC determines the partition.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// An entry to be written to the audit log.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = audit_logs, row = AuditLog)]
#[non_exhaustive]
pub struct NewAuditLog {
    /// Primary key. Default: [`AuditLogId::new`].
    #[row(default = AuditLogId::new())]
    pub id: AuditLogId,
    /// The user that acted.
    pub user_id: Option<UserId>,
    /// The organization in which the action took place.
    pub organization_id: Option<OrganizationId>,
    /// The action.
    pub action: AuditAction,
    /// The kind of resource, at most 100 characters.
    pub resource_type: String,
    /// The resource.
    pub resource_id: Option<Uuid>,
    /// The values of the changed fields before the action.
    pub old_values: Option<Document>,
    /// The values of the changed fields after the action.
    pub new_values: Option<Document>,
    /// Additional data of the application. Default: `{}`.
    #[row(or = "'{}'")]
    pub metadata: Option<Document>,
    /// The address that the request came from.
    pub ip_address: Option<IpNetwork>,
    /// The client program of the request.
    pub user_agent: Option<String>,
    /// The time of the action. Its month in UTC determines the partition. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

impl NewAuditLog {
    /// Fills in what the entry does not say of the actor.
    pub(crate) fn complete(&mut self, actor: &Actor) {
        self.user_id = self.user_id.or(actor.user);
        self.organization_id = self.organization_id.or(actor.organization);
        self.ip_address = self.ip_address.or(actor.ip);
        if self.user_agent.is_none() {
            self.user_agent.clone_from(&actor.user_agent);
        }
        if self.metadata.is_none() {
            let request = actor.request.map(|id| serde_json::json!({ "request": id }));
            self.metadata = request.map(Document::from);
        }
    }
}

/// A filter for entries of the audit log. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AuditLogFilter {
    /// Only actions of this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub user_id: Option<UserId>,
    /// Only actions in this organization.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub organization_id: Option<OrganizationId>,
    /// Only these actions. An empty list matches none.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub actions: Option<Vec<AuditAction>>,
    /// Only actions on this kind of resource.
    pub resource_type: Option<String>,
    /// Only actions on this resource. The index is used if `resource_type` is set, too.
    pub resource_id: Option<Uuid>,
    /// Only actions at this time or later. Months outside both times are not read.
    pub created_from: Option<DateTime<Utc>>,
    /// Only actions before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl AuditLogFilter {
    /// Checks whether the filter restricts nothing but the times.
    pub(crate) fn names_times_only(&self) -> bool {
        let times = Self {
            created_from: self.created_from,
            created_before: self.created_before,
            ..Self::default()
        };
        *self == times
    }

    pub(crate) fn query(&self) -> audit_logs::BoxedQuery<'_, Pg, RowSql<AuditLog>> {
        let mut query = audit_logs::table
            .select(columns_of::<AuditLog>())
            .into_boxed();
        if let Some(user_id) = self.user_id {
            query = query.filter(condition(
                audit_logs::table,
                audit_logs::user_id.eq(user_id),
            ));
        }
        if let Some(organization_id) = self.organization_id {
            query = query.filter(condition(
                audit_logs::table,
                audit_logs::organization_id.eq(organization_id),
            ));
        }
        if let Some(actions) = &self.actions {
            query = query.filter(condition(
                audit_logs::table,
                audit_logs::action.eq_any(actions),
            ));
        }
        if let Some(resource_type) = &self.resource_type {
            query = query.filter(condition(
                audit_logs::table,
                audit_logs::resource_type.eq(resource_type),
            ));
        }
        if let Some(resource_id) = self.resource_id {
            query = query.filter(condition(
                audit_logs::table,
                audit_logs::resource_id.eq(resource_id),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                audit_logs::table,
                audit_logs::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                audit_logs::table,
                audit_logs::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which entries of the audit log are listed.
    AuditLogOrder of AuditLog in audit_logs {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
