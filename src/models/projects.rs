//! `public.projects`: the projects that are analyzed.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::projects;
use crate::types::timestamp::AnyTime;
use crate::{
    Change, Document, Organization, OrganizationId, ProjectId, ProjectStatus, ProjectVisibility,
    RepositoryProvider, User, UserId,
};

/// A project: a row of the design's `projects`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = projects)]
#[diesel(belongs_to(Organization, foreign_key = organization_id), belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct Project {
    /// Primary key.
    pub id: ProjectId,
    /// The organization that the project belongs to, if any.
    pub organization_id: Option<OrganizationId>,
    /// Display name.
    pub name: String,
    /// A description.
    pub description: Option<String>,
    /// The URL of the repository, which begins with `http://` or `https://`.
    pub repository_url: Option<String>,
    /// The provider that hosts the repository.
    pub repository_provider: Option<RepositoryProvider>,
    /// The provider's data about the repository.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub repository_data: Option<Document>,
    /// The configuration of its analyses, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub configuration: Document,
    /// The status.
    pub status: ProjectStatus,
    /// The visibility.
    pub visibility: ProjectVisibility,
    /// The user that created it.
    pub created_by: UserId,
    /// The time at which the row was created.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database. It increases strictly.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
    /// The time of the last analysis, if there was one.
    #[serde(with = "crate::types::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub last_analyzed_at: Option<DateTime<Utc>>,
}

/// A project to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = projects, row = Project)]
#[row(body(ProjectBody: name, description, repository_url, repository_provider, repository_data, configuration))]
#[non_exhaustive]
pub struct NewProject {
    /// Primary key. Default: [`ProjectId::new`].
    #[row(default = ProjectId::new())]
    pub id: ProjectId,
    /// The organization that the project belongs to.
    pub organization_id: Option<OrganizationId>,
    /// Display name, at most 255 characters.
    pub name: String,
    /// A description.
    pub description: Option<String>,
    /// The URL of the repository, which begins with `http://` or `https://`.
    pub repository_url: Option<String>,
    /// The provider that hosts the repository.
    pub repository_provider: Option<RepositoryProvider>,
    /// The provider's data about the repository.
    pub repository_data: Option<Document>,
    /// The configuration of its analyses, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// The status. Default: `active`.
    #[row(or = "'active'")]
    pub status: Option<ProjectStatus>,
    /// The visibility. Default: `private`.
    #[row(or = "'private'")]
    pub visibility: Option<ProjectVisibility>,
    /// The user that creates it.
    pub created_by: UserId,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
    /// The time of the last analysis, if there was one.
    pub last_analyzed_at: Option<DateTime<Utc>>,
}

/// Changes to a project. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = projects, row = Project, id = ProjectId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProjectChanges {
    /// New organization, or none. Not read from JSON.
    #[serde(skip_deserializing)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<OrganizationId>))]
    pub organization_id: Change<OrganizationId>,
    /// New display name.
    pub name: Option<String>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// New URL of the repository.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub repository_url: Change<String>,
    /// New provider of the repository.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<RepositoryProvider>))]
    pub repository_provider: Change<RepositoryProvider>,
    /// New data of the provider.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub repository_data: Change<Document>,
    /// New configuration, which replaces the old one.
    /// [`merge_configuration`](crate::ProjectRepository::merge_configuration) changes a part of it.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub configuration: Option<Document>,
    /// New status. Not read from JSON.
    #[serde(skip_deserializing)]
    pub status: Option<ProjectStatus>,
    /// New visibility. Not read from JSON.
    #[serde(skip_deserializing)]
    pub visibility: Option<ProjectVisibility>,
    /// New time of the last analysis. Not read from JSON.
    #[serde(skip_deserializing)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<DateTime<Utc>>))]
    pub last_analyzed_at: Change<DateTime<Utc>>,
    /// If set, the update fails with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row
    /// still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// A filter for projects. A field that is not set matches every row, including projects with the
/// status `deleted`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProjectFilter {
    /// Only rows of this organization.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub organization_id: Option<OrganizationId>,
    /// Only projects that this user created.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub created_by: Option<UserId>,
    /// Only rows with this status.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub status: Option<ProjectStatus>,
    /// Only rows with this visibility.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub visibility: Option<ProjectVisibility>,
    /// Only projects with this repository URL.
    pub repository_url: Option<String>,
    /// Only projects with a repository at this provider.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub repository_provider: Option<RepositoryProvider>,
    /// Only rows with this text in the name or the description, ignoring case.
    pub search: Option<String>,
    /// Only projects whose configuration contains this one, by PostgreSQL's operator `@>`.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    #[cfg_attr(feature = "utoipa", param(value_type = Option<serde_json::Value>, inline))]
    pub configuration_contains: Option<Document>,
    /// Only rows created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only rows created before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// Only projects that were last changed at this time or later.
    pub updated_from: Option<DateTime<Utc>>,
    /// Only projects that were last changed before this time.
    pub updated_before: Option<DateTime<Utc>>,
}

impl ProjectFilter {
    pub(crate) fn query(&self) -> projects::BoxedQuery<'_, Pg, RowSql<Project>> {
        let mut query = projects::table.select(columns_of::<Project>()).into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(condition(
                projects::table,
                projects::organization_id.eq(organization_id),
            ));
        }
        if let Some(created_by) = self.created_by {
            query = query.filter(condition(
                projects::table,
                projects::created_by.eq(created_by),
            ));
        }
        if let Some(status) = self.status {
            query = query.filter(condition(projects::table, projects::status.eq(status)));
        }
        if let Some(visibility) = self.visibility {
            query = query.filter(condition(
                projects::table,
                projects::visibility.eq(visibility),
            ));
        }
        if let Some(url) = &self.repository_url {
            query = query.filter(condition(projects::table, projects::repository_url.eq(url)));
        }
        if let Some(provider) = self.repository_provider {
            query = query.filter(condition(
                projects::table,
                projects::repository_provider.eq(provider),
            ));
        }
        if let Some(search) = &self.search {
            let pattern = crate::mapping::expressions::containing(search);
            query = query.filter(condition(
                projects::table,
                crate::mapping::expressions::matches_text!(projects::name, pattern).or(
                    crate::mapping::expressions::matches_text!(projects::description, pattern),
                ),
            ));
        }
        if let Some(configuration) = &self.configuration_contains {
            query = query.filter(condition(
                projects::table,
                projects::configuration.contains(configuration),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                projects::table,
                projects::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                projects::table,
                projects::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        if let Some(from) = self.updated_from {
            query = query.filter(condition(
                projects::table,
                projects::updated_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.updated_before {
            query = query.filter(condition(
                projects::table,
                projects::updated_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which projects are listed.
    ProjectOrder of Project in projects {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
        /// Most recently changed first.
        RecentlyUpdated = updated_at desc,
    }
}

crate::write_set::touches!(Project, NewProject => |project| crate::write_set::Key::Project(project.id));
