//! Streams of cached repositories that own the repository and the filter.

use super::cached::*;
use crate::engine::asynchronous::RowStream;
use crate::engine::asynchronous::owned_streams::owned_streams;
use crate::engine::asynchronous::repositories::*;
use crate::models::*;

owned_streams! {
    AnalysisRepository as CachedAnalyses: Analysis by AnalysisFilter;
    ConfigurationRepository as CachedConfigurations: Configuration by ConfigurationFilter;
    OrganizationMemberRepository as CachedOrganizationMembers: OrganizationMember by OrganizationMemberFilter;
    OrganizationRepository as CachedOrganizations: Organization by OrganizationFilter;
    ProjectMemberRepository as CachedProjectMembers: ProjectMember by ProjectMemberFilter;
    ProjectRepository as CachedProjects: Project by ProjectFilter;
    SetupProfileRepository as CachedSetupProfiles: SetupProfile by SetupProfileFilter;
    ToolRepository as CachedTools: Tool by ToolFilter;
    UserSessionRepository as CachedUserSessions: UserSession by UserSessionFilter;
    UserRepository as CachedUsers: User by UserFilter;
}
