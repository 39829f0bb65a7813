//! The kinds of cached entries.

use std::time::Duration;

/// A kind of cached entry. Each has its own lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CachedKind {
    /// Users by id, and their ids by address.
    User,
    /// The state of users on the platform and all of their memberships, which decide access.
    Standing,
    /// Sessions by the hash of their token, sealed with it.
    UserSession,
    /// Organizations by id, and their ids by slug.
    Organization,
    /// Roles of users in organizations.
    OrganizationMember,
    /// Projects by id.
    Project,
    /// Roles of users in projects.
    ProjectMember,
    /// The settings of a scope, from which the effective ones follow.
    Configuration,
    /// Setup profiles by id.
    SetupProfile,
    /// Tools by id.
    Tool,
    /// The newest analysis of a project and type.
    LatestAnalysis,
    /// Statistics of projects, as old as their lifetime allows.
    ProjectStats,
    /// Trends of metrics, as old as their lifetime allows.
    Trend,
    /// Rows of the application: see [`CachedRow`](super::CachedRow).
    Own,
}

impl CachedKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::User,
        Self::Standing,
        Self::UserSession,
        Self::Organization,
        Self::OrganizationMember,
        Self::Project,
        Self::ProjectMember,
        Self::Configuration,
        Self::SetupProfile,
        Self::Tool,
        Self::LatestAnalysis,
        Self::ProjectStats,
        Self::Trend,
        Self::Own,
    ];

    /// Checks whether an entry may be as old as its lifetime, because it depends on too many rows
    /// to be fenced.
    pub(crate) const fn is_aging(self) -> bool {
        matches!(self, Self::ProjectStats | Self::Trend)
    }

    /// Returns the kind's word in keys.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Standing => "standing",
            Self::UserSession => "session",
            Self::Organization => "organization",
            Self::OrganizationMember => "organization_member",
            Self::Project => "project",
            Self::ProjectMember => "project_member",
            Self::Configuration => "configurations",
            Self::SetupProfile => "setup_profile",
            Self::Tool => "tool",
            Self::LatestAnalysis => "latest_analysis",
            Self::ProjectStats => "project_stats",
            Self::Trend => "trend",
            Self::Own => "own",
        }
    }

    /// Returns the lifetime of an entry by default.
    pub(super) const fn lifetime(self) -> Duration {
        match self {
            // Users, sessions and roles decide access; statistics and trends may be this old.
            Self::User
            | Self::Standing
            | Self::UserSession
            | Self::OrganizationMember
            | Self::ProjectMember
            | Self::ProjectStats
            | Self::Trend => Duration::from_secs(60),
            _ => Duration::from_secs(600),
        }
    }
}
