//! `setup.integrations`: services that organizations and projects are connected to.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::setup::integrations;
use crate::{
    Change, Document, IntegrationId, IntegrationType, Organization, OrganizationId, Project,
    ProjectId, Secret, SyncStatus, User, UserId,
};

/// A connection to a service: a row of the design's `integrations`.
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
#[diesel(table_name = integrations, check_for_backend(Pg))]
#[diesel(belongs_to(Organization, foreign_key = organization_id))]
#[diesel(belongs_to(Project, foreign_key = project_id))]
#[diesel(belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct Integration {
    /// Key.
    pub id: IntegrationId,
    /// The organization that it serves, if any.
    pub organization_id: Option<OrganizationId>,
    /// The project that it serves, if any.
    pub project_id: Option<ProjectId>,
    /// The service.
    pub r#type: IntegrationType,
    /// Display name.
    pub name: String,
    /// Settings that are no secrets, as the application writes them.
    pub configuration: Document,
    /// What the service is entered with; left out of JSON.
    #[serde(skip)]
    pub credentials: Option<Secret<Document>>,
    /// Where the service sends its events.
    pub webhook_url: Option<String>,
    /// What the service signs its events with; left out of JSON.
    #[serde(skip)]
    pub webhook_secret: Option<Secret<String>>,
    /// Whether it is in use.
    pub is_enabled: bool,
    /// When the last synchronization ended, well or not.
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub last_sync_at: Option<DateTime<Utc>>,
    /// How the last synchronization went.
    pub sync_status: SyncStatus,
    /// Who made it.
    pub created_by: UserId,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// When the row last changed; kept by the database, strictly rising.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// An integration to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = integrations, row = Integration)]
pub struct NewIntegration {
    /// Key; made by [`IntegrationId::new`] unless given.
    #[row(default = IntegrationId::new())]
    pub id: IntegrationId,
    /// The organization that it serves.
    pub organization_id: Option<OrganizationId>,
    /// The project that it serves.
    pub project_id: Option<ProjectId>,
    /// The service.
    pub r#type: IntegrationType,
    /// At most 255 characters.
    pub name: String,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// What the service is entered with.
    pub credentials: Option<Secret<Document>>,
    /// Where the service sends its events.
    pub webhook_url: Option<String>,
    /// What the service signs its events with, at most 255 characters.
    pub webhook_secret: Option<Secret<String>>,
    /// `true` unless given.
    #[row(or = "true")]
    pub is_enabled: Option<bool>,
    /// When the last synchronization ended.
    pub last_sync_at: Option<DateTime<Utc>>,
    /// `never` unless given.
    #[row(or = "'never'")]
    pub sync_status: Option<SyncStatus>,
    /// Who makes it.
    pub created_by: UserId,
}

/// Changes to an integration. What is not named is kept.
///
/// For the outcome of a synchronization see [`record_sync`](crate::IntegrationRepository::record_sync).
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = integrations, row = Integration, id = IntegrationId)]
#[serde(default)]
pub struct IntegrationChanges {
    /// New display name.
    pub name: Option<String>,
    /// New settings, in place of the old.
    pub configuration: Option<Document>,
    /// New credentials; read from JSON, but left out of it.
    #[serde(skip_serializing)]
    pub credentials: Change<Secret<Document>>,
    /// New address for events.
    pub webhook_url: Change<String>,
    /// New secret for events; read from JSON, but left out of it.
    #[serde(skip_serializing)]
    pub webhook_secret: Change<Secret<String>>,
    /// Whether it is in use.
    pub is_enabled: Option<bool>,
    /// Refuse with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// Which integrations are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct IntegrationFilter {
    /// Of this organization.
    pub organization_id: Option<OrganizationId>,
    /// Of this project.
    pub project_id: Option<ProjectId>,
    /// With this service.
    pub r#type: Option<IntegrationType>,
    /// In use or not.
    pub is_enabled: Option<bool>,
    /// Whose last synchronization went so.
    pub sync_status: Option<SyncStatus>,
    /// Made by this user.
    pub created_by: Option<UserId>,
}

impl IntegrationFilter {
    pub(crate) fn query(&self) -> integrations::BoxedQuery<'_, Pg> {
        let mut query = integrations::table.into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(integrations::organization_id.eq(organization_id));
        }
        if let Some(project_id) = self.project_id {
            query = query.filter(integrations::project_id.eq(project_id));
        }
        if let Some(r#type) = self.r#type {
            query = query.filter(integrations::r#type.eq(r#type));
        }
        if let Some(is_enabled) = self.is_enabled {
            query = query.filter(integrations::is_enabled.eq(is_enabled));
        }
        if let Some(sync_status) = self.sync_status {
            query = query.filter(integrations::sync_status.eq(sync_status));
        }
        if let Some(user_id) = self.created_by {
            query = query.filter(integrations::created_by.eq(user_id));
        }
        query
    }
}

orders! {
    /// In which order integrations are listed.
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
