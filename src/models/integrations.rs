//! `setup.integrations`: connections of organizations and projects to external services.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::setup::integrations;
use crate::{
    Change, Document, IntegrationId, IntegrationType, Organization, OrganizationId, Project,
    ProjectId, Protected, Secret, SyncStatus, User, UserId,
};

/// A connection to an external service: a row of the design's `integrations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = integrations)]
#[diesel(belongs_to(Organization, foreign_key = organization_id))]
#[diesel(belongs_to(Project, foreign_key = project_id))]
#[diesel(belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct Integration {
    /// Primary key.
    pub id: IntegrationId,
    /// The organization that uses it, if any.
    pub organization_id: Option<OrganizationId>,
    /// The project that uses it, if any.
    pub project_id: Option<ProjectId>,
    /// The service.
    pub r#type: IntegrationType,
    /// Display name.
    pub name: String,
    /// Settings without secrets, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub configuration: Document,
    /// The credentials for the service. They are left out of JSON.
    #[serde(skip)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub credentials: Option<Protected<Document>>,
    /// The URL to which the service sends its events.
    pub webhook_url: Option<String>,
    /// The secret with which the service signs its events. It is left out of JSON.
    #[serde(skip)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub webhook_secret: Option<Protected<String>>,
    /// True if it is in use.
    pub is_enabled: bool,
    /// The time at which the last synchronization ended, successfully or not.
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub last_sync_at: Option<DateTime<Utc>>,
    /// The outcome of the last synchronization.
    pub sync_status: SyncStatus,
    /// The user that created it.
    pub created_by: UserId,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database. It increases strictly.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// An integration to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = integrations, row = Integration)]
#[row(body(IntegrationBody: type, name, configuration, credentials, webhook_url, webhook_secret, is_enabled))]
#[non_exhaustive]
pub struct NewIntegration {
    /// Primary key. Default: [`IntegrationId::new`].
    #[row(default = IntegrationId::new())]
    pub id: IntegrationId,
    /// The organization that uses it.
    pub organization_id: Option<OrganizationId>,
    /// The project that uses it.
    pub project_id: Option<ProjectId>,
    /// The service.
    pub r#type: IntegrationType,
    /// Display name, at most 255 characters.
    pub name: String,
    /// Settings without secrets, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// The credentials for the service.
    pub credentials: Option<Secret<Document>>,
    /// The URL to which the service sends its events.
    pub webhook_url: Option<String>,
    /// The secret with which the service signs its events, at most 255 characters, or 143 bytes if
    /// it is sealed.
    pub webhook_secret: Option<Secret<String>>,
    /// True if it is in use. Default: `true`.
    #[row(or = "true")]
    pub is_enabled: Option<bool>,
    /// The time at which the last synchronization ended.
    pub last_sync_at: Option<DateTime<Utc>>,
    /// The outcome of the last synchronization. Default: `never`.
    #[row(or = "'never'")]
    pub sync_status: Option<SyncStatus>,
    /// The user that creates it.
    pub created_by: UserId,
}

/// Changes to an integration. A field that is not set keeps its value.
///
/// The outcome of a synchronization is recorded by
/// [`record_sync`](crate::IntegrationRepository::record_sync).
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = integrations, row = Integration, id = IntegrationId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IntegrationChanges {
    /// New display name.
    pub name: Option<String>,
    /// New settings, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub configuration: Option<Document>,
    /// New credentials. They are deserialized, but never serialized.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub credentials: Change<Secret<Document>>,
    /// New URL for events.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub webhook_url: Change<String>,
    /// New secret for events. It is deserialized, but never serialized.
    #[serde(skip_serializing)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub webhook_secret: Change<Secret<String>>,
    /// True if it is in use.
    pub is_enabled: Option<bool>,
    /// If set, the update fails with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row
    /// still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// A filter for integrations. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IntegrationFilter {
    /// Only rows of this organization.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub organization_id: Option<OrganizationId>,
    /// Only rows of this project.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub project_id: Option<ProjectId>,
    /// Only integrations with this service.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub r#type: Option<IntegrationType>,
    /// Only integrations that are in use, or only those that are not.
    pub is_enabled: Option<bool>,
    /// Only integrations whose last synchronization had this outcome.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub sync_status: Option<SyncStatus>,
    /// Only rows created by this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub created_by: Option<UserId>,
}

impl IntegrationFilter {
    pub(crate) fn query(&self) -> integrations::BoxedQuery<'_, Pg, RowSql<Integration>> {
        let mut query = integrations::table
            .select(columns_of::<Integration>())
            .into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(condition(
                integrations::table,
                integrations::organization_id.eq(organization_id),
            ));
        }
        if let Some(project_id) = self.project_id {
            query = query.filter(condition(
                integrations::table,
                integrations::project_id.eq(project_id),
            ));
        }
        if let Some(r#type) = self.r#type {
            query = query.filter(condition(
                integrations::table,
                integrations::r#type.eq(r#type),
            ));
        }
        if let Some(is_enabled) = self.is_enabled {
            query = query.filter(condition(
                integrations::table,
                integrations::is_enabled.eq(is_enabled),
            ));
        }
        if let Some(sync_status) = self.sync_status {
            query = query.filter(condition(
                integrations::table,
                integrations::sync_status.eq(sync_status),
            ));
        }
        if let Some(user_id) = self.created_by {
            query = query.filter(condition(
                integrations::table,
                integrations::created_by.eq(user_id),
            ));
        }
        query
    }
}

orders! {
    /// The order in which integrations are listed.
    IntegrationOrder of Integration in integrations {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
    }
}
