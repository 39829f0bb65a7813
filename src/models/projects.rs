//! `public.projects`: what is analyzed.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::public::projects;
use crate::{
    Change, Document, Organization, OrganizationId, ProjectId, ProjectStatus, ProjectVisibility,
    RepositoryProvider, User, UserId,
};

/// A project: a row of the design's `projects`.
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
#[diesel(table_name = projects, check_for_backend(Pg))]
#[diesel(belongs_to(Organization, foreign_key = organization_id), belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct Project {
    /// Key.
    pub id: ProjectId,
    /// The organization that it belongs to, if it belongs to one.
    pub organization_id: Option<OrganizationId>,
    /// Display name.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Where its repository is: `http://` or `https://`.
    pub repository_url: Option<String>,
    /// Who keeps its repository.
    pub repository_provider: Option<RepositoryProvider>,
    /// What the provider tells of the repository.
    pub repository_data: Option<Document>,
    /// How it is analyzed, as the application writes it.
    pub configuration: Document,
    /// Whether it is in use.
    pub status: ProjectStatus,
    /// Who sees it.
    pub visibility: ProjectVisibility,
    /// Who created it.
    pub created_by: UserId,
    /// When the row was made.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// When the row last changed; kept by the database, strictly rising.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
    /// Last analysis, if there was one.
    #[serde(with = "crate::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub last_analyzed_at: Option<DateTime<Utc>>,
}

/// A project to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = projects, row = Project)]
pub struct NewProject {
    /// Key; made by [`ProjectId::new`] unless given.
    #[row(default = ProjectId::new())]
    pub id: ProjectId,
    /// The organization that it belongs to.
    pub organization_id: Option<OrganizationId>,
    /// At most 255 characters.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Where its repository is: `http://` or `https://`.
    pub repository_url: Option<String>,
    /// Who keeps its repository.
    pub repository_provider: Option<RepositoryProvider>,
    /// What the provider tells of the repository.
    pub repository_data: Option<Document>,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// `active` unless given.
    #[row(or = "'active'")]
    pub status: Option<ProjectStatus>,
    /// `private` unless given.
    #[row(or = "'private'")]
    pub visibility: Option<ProjectVisibility>,
    /// Who creates it.
    pub created_by: UserId,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
    /// Last analysis, where there was one.
    pub last_analyzed_at: Option<DateTime<Utc>>,
}

/// Changes to a project. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = projects, row = Project, id = ProjectId)]
#[serde(default)]
pub struct ProjectChanges {
    /// Another organization, or none.
    pub organization_id: Change<OrganizationId>,
    /// New display name.
    pub name: Option<String>,
    /// New description.
    pub description: Change<String>,
    /// New place of the repository.
    pub repository_url: Change<String>,
    /// Who keeps the repository now.
    pub repository_provider: Change<RepositoryProvider>,
    /// What the provider tells now.
    pub repository_data: Change<Document>,
    /// New configuration, in place of the old; see
    /// [`merge_configuration`](crate::ProjectRepository::merge_configuration) for a part of it.
    pub configuration: Option<Document>,
    /// New status.
    pub status: Option<ProjectStatus>,
    /// Who sees it now.
    pub visibility: Option<ProjectVisibility>,
    /// Last analysis.
    pub last_analyzed_at: Change<DateTime<Utc>>,
    /// Refuse with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// Which projects are meant. What is not named does not matter: projects with the status `deleted` are meant too.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct ProjectFilter {
    /// Of this organization.
    pub organization_id: Option<OrganizationId>,
    /// Created by this user.
    pub created_by: Option<UserId>,
    /// With this status.
    pub status: Option<ProjectStatus>,
    /// With this visibility.
    pub visibility: Option<ProjectVisibility>,
    /// With this repository.
    pub repository_url: Option<String>,
    /// With a repository at this provider.
    pub repository_provider: Option<RepositoryProvider>,
    /// With this text in the name or the description, without regard to case.
    pub search: Option<String>,
    /// With a configuration that contains this one: PostgreSQL's `@>`.
    pub configuration_contains: Option<Document>,
    /// Created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
    /// Last changed at this time or later.
    pub updated_from: Option<DateTime<Utc>>,
    /// Last changed before this time.
    pub updated_before: Option<DateTime<Utc>>,
}

impl ProjectFilter {
    pub(crate) fn query(&self) -> projects::BoxedQuery<'_, Pg> {
        let mut query = projects::table.into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(projects::organization_id.eq(organization_id));
        }
        if let Some(created_by) = self.created_by {
            query = query.filter(projects::created_by.eq(created_by));
        }
        if let Some(status) = self.status {
            query = query.filter(projects::status.eq(status));
        }
        if let Some(visibility) = self.visibility {
            query = query.filter(projects::visibility.eq(visibility));
        }
        if let Some(url) = &self.repository_url {
            query = query.filter(projects::repository_url.eq(url));
        }
        if let Some(provider) = self.repository_provider {
            query = query.filter(projects::repository_provider.eq(provider));
        }
        if let Some(search) = &self.search {
            let pattern = crate::text::containing(search);
            query = query.filter(
                crate::text::matches_text!(projects::name, pattern)
                    .or(crate::text::matches_text!(projects::description, pattern)),
            );
        }
        if let Some(configuration) = &self.configuration_contains {
            query = query.filter(projects::configuration.contains(configuration));
        }
        if let Some(from) = self.created_from {
            query = query.filter(projects::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(projects::created_at.lt(before));
        }
        if let Some(from) = self.updated_from {
            query = query.filter(projects::updated_at.ge(from));
        }
        if let Some(before) = self.updated_before {
            query = query.filter(projects::updated_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order projects are listed.
    ProjectOrder of Project in projects {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
        /// Last changed first.
        RecentlyUpdated = updated_at desc,
    }
}

crate::touched::touches!(Project, NewProject => |project| crate::touched::Key::Project(project.id));
