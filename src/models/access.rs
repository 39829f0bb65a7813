//! The access of users to projects and organizations: the role that decides, and its source.

use diesel::Queryable;
use serde::{Deserialize, Serialize};

#[cfg(feature = "redis")]
use crate::{OrganizationId, Project, ProjectStatus, UserId};
use crate::{OrganizationRole, ProjectId, ProjectRole, ProjectVisibility, UserRole};

/// The access of a user to a project or an organization.
///
/// ```
/// use wundr_db::{Access, AccessSource, ProjectRole};
///
/// /// Checks whether a user may change a project.
/// fn may_change(access: Option<Access<ProjectRole>>) -> bool {
///     access.is_some_and(|access| access.role >= ProjectRole::Maintainer)
/// }
///
/// let reader = Access::new(ProjectRole::Viewer, AccessSource::Public);
/// assert!(!may_change(Some(reader)) && !may_change(None));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Access<R> {
    /// The greatest role that a source grants.
    pub role: R,
    /// The source that grants the role. If several do, the first in the order of [`AccessSource`].
    pub source: AccessSource,
}

/// The source of an [`Access`], the most specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccessSource {
    /// The user is a member of the project.
    ProjectMember,
    /// The user has created the project.
    Creator,
    /// The user is a member of the organization. In a project: its owner or administrator.
    OrganizationMember,
    /// The user is an administrator of the platform.
    Platform,
    /// The project is internal, and the user is a member of its organization.
    Internal,
    /// The project is public.
    Public,
}

impl<R> Access<R> {
    /// Creates an access.
    #[must_use]
    pub const fn new(role: R, source: AccessSource) -> Self {
        Self { role, source }
    }
}

/// What a query reads of a project to determine the access of a user.
#[derive(Debug, Clone, Copy, Queryable)]
pub(crate) struct ProjectFacts {
    pub(crate) id: ProjectId,
    pub(crate) is_creator: bool,
    pub(crate) visibility: ProjectVisibility,
    pub(crate) platform: UserRole,
    pub(crate) organization: Option<OrganizationRole>,
    pub(crate) project: Option<ProjectRole>,
}

impl ProjectFacts {
    /// Returns the access of an active user to a project that is not deleted.
    ///
    /// The result is `Some` if and only if the condition `sql::access::Visible` holds.
    pub(crate) fn access(&self) -> Option<Access<ProjectRole>> {
        let organization = self.organization.and_then(|role| match role {
            OrganizationRole::Owner => Some(ProjectRole::Owner),
            OrganizationRole::Admin => Some(ProjectRole::Maintainer),
            _ => None,
        });
        let viewer_if = |holds: bool| holds.then_some(ProjectRole::Viewer);
        let owner_if = |holds: bool| holds.then_some(ProjectRole::Owner);
        let is_internal = self.visibility == ProjectVisibility::Internal;
        let is_public = self.visibility == ProjectVisibility::Public;
        greatest([
            (self.project, AccessSource::ProjectMember),
            (owner_if(self.is_creator), AccessSource::Creator),
            (organization, AccessSource::OrganizationMember),
            (
                owner_if(self.platform == UserRole::Admin),
                AccessSource::Platform,
            ),
            (
                viewer_if(is_internal && self.organization.is_some()),
                AccessSource::Internal,
            ),
            (viewer_if(is_public), AccessSource::Public),
        ])
    }
}

/// Returns the greatest role that is granted, and the first of its sources.
fn greatest<R: Ord + Copy>(
    granted: impl IntoIterator<Item = (Option<R>, AccessSource)>,
) -> Option<Access<R>> {
    let mut best: Option<Access<R>> = None;
    for (role, source) in granted {
        if let Some(role) = role
            && best.is_none_or(|best| role > best.role)
        {
            best = Some(Access::new(role, source));
        }
    }
    best
}

/// Returns the access of an active user to an organization.
pub(crate) fn organization_access(
    platform: UserRole,
    member: Option<OrganizationRole>,
) -> Option<Access<OrganizationRole>> {
    let is_admin = platform == UserRole::Admin;
    greatest([
        (member, AccessSource::OrganizationMember),
        (
            is_admin.then_some(OrganizationRole::Owner),
            AccessSource::Platform,
        ),
    ])
}

/// What a query reads of a user: its state on the platform and all of its memberships, at one
/// moment.
///
/// The cache holds it. Together with a project it determines the access to that project.
#[cfg(feature = "redis")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable)]
pub(crate) struct Standing {
    pub(crate) is_active: bool,
    pub(crate) role: UserRole,
    /// In the order of their ids, with the roles in the same places of the other list.
    pub(crate) organizations: Vec<OrganizationId>,
    pub(crate) organization_roles: Vec<OrganizationRole>,
    pub(crate) projects: Vec<ProjectId>,
    pub(crate) project_roles: Vec<ProjectRole>,
}

#[cfg(feature = "redis")]
impl Standing {
    /// Returns the access of the user with this standing to a project.
    pub(crate) fn access_to(
        &self,
        user_id: UserId,
        project: &Project,
    ) -> Option<Access<ProjectRole>> {
        if !self.is_active || project.status == ProjectStatus::Deleted {
            return None;
        }
        let organization = project
            .organization_id
            .and_then(|id| role_in(&self.organizations, &self.organization_roles, &id));
        let facts = ProjectFacts {
            id: project.id,
            is_creator: project.created_by == user_id,
            visibility: project.visibility,
            platform: self.role,
            organization,
            project: role_in(&self.projects, &self.project_roles, &project.id),
        };
        facts.access()
    }

    /// Returns the access of the user with this standing to an organization that exists.
    pub(crate) fn access_to_organization(
        &self,
        id: OrganizationId,
    ) -> Option<Access<OrganizationRole>> {
        let role = role_in(&self.organizations, &self.organization_roles, &id);
        let access = organization_access(self.role, role);
        access.filter(|_| self.is_active)
    }
}

/// Returns the role in the place of the id.
#[cfg(feature = "redis")]
fn role_in<I: Ord, R: Copy>(ids: &[I], roles: &[R], id: &I) -> Option<R> {
    let place = ids.binary_search(id).ok()?;
    roles.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::{Access, AccessSource, ProjectFacts, organization_access};
    use crate::{OrganizationRole, ProjectId, ProjectRole, ProjectVisibility, UserRole};

    fn facts() -> ProjectFacts {
        ProjectFacts {
            id: ProjectId::new(),
            is_creator: false,
            visibility: ProjectVisibility::Private,
            platform: UserRole::Developer,
            organization: None,
            project: None,
        }
    }

    #[test]
    fn the_greatest_role_decides_and_the_most_specific_source_is_named() {
        assert_eq!(facts().access(), None);
        let viewer = ProjectFacts {
            project: Some(ProjectRole::Viewer),
            visibility: ProjectVisibility::Public,
            ..facts()
        };
        let as_member = Access::new(ProjectRole::Viewer, AccessSource::ProjectMember);
        assert_eq!(viewer.access(), Some(as_member));
        let administrator = ProjectFacts {
            organization: Some(OrganizationRole::Admin),
            ..viewer
        };
        let by_organization =
            Access::new(ProjectRole::Maintainer, AccessSource::OrganizationMember);
        assert_eq!(administrator.access(), Some(by_organization));
        let creator = ProjectFacts {
            is_creator: true,
            platform: UserRole::Admin,
            ..administrator
        };
        let created = Access::new(ProjectRole::Owner, AccessSource::Creator);
        assert_eq!(creator.access(), Some(created));
    }

    #[test]
    fn an_internal_project_is_seen_by_members_of_its_organization_alone() {
        let internal = ProjectFacts {
            visibility: ProjectVisibility::Internal,
            ..facts()
        };
        assert_eq!(internal.access(), None);
        let member = ProjectFacts {
            organization: Some(OrganizationRole::Viewer),
            ..internal
        };
        let access = Access::new(ProjectRole::Viewer, AccessSource::Internal);
        assert_eq!(member.access(), Some(access));
    }

    #[test]
    fn an_administrator_of_the_platform_owns_every_organization() {
        assert_eq!(organization_access(UserRole::Manager, None), None);
        let access = Access::new(OrganizationRole::Owner, AccessSource::Platform);
        let viewer = Some(OrganizationRole::Viewer);
        assert_eq!(organization_access(UserRole::Admin, viewer), Some(access));
    }
}
