//! The rows that a caller's own statements change.

use crate::write_set::{CACHED_TABLES, Key, Touches, WriteSet};
use crate::{
    AnalysisType, ConfigurationScope, OrganizationId, ProjectId, SetupProfileId, Table, ToolId,
    UserId,
};

/// Rows that a caller's own statements change, as [`Tx::touches`](crate::blocking::Tx::touches)
/// takes them. A row that is created or deleted counts as changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Touched {
    /// A user.
    User(UserId),
    /// The session whose token has this hash.
    UserSession(String),
    /// An organization.
    Organization(OrganizationId),
    /// The membership of a user in an organization.
    OrganizationMember(OrganizationId, UserId),
    /// A project.
    Project(ProjectId),
    /// The membership of a user in a project.
    ProjectMember(ProjectId, UserId),
    /// Settings of a scope.
    Configurations(ConfigurationScope),
    /// A setup profile.
    SetupProfile(SetupProfileId),
    /// A tool.
    Tool(ToolId),
    /// Analyses of a project and type.
    Analyses(ProjectId, AnalysisType),
    /// A row of the application, by its kind and id: see `cache::CachedRow`.
    Own {
        /// The kind.
        kind: &'static str,
        /// The id.
        id: String,
    },
    /// Any rows of a table. If the table has cached rows, everything that is cached becomes
    /// invalid.
    Table(Table),
}

impl Touched {
    /// No cached rows.
    pub const NOTHING: [Self; 0] = [];
}

impl Touches for Touched {
    fn touch(&self, write_set: &mut WriteSet) {
        write_set.add(match self {
            Self::User(id) => Key::User(*id),
            Self::UserSession(token_hash) => Key::UserSession(token_hash.clone()),
            Self::Organization(id) => Key::Organization(*id),
            Self::OrganizationMember(id, user) => Key::OrganizationMember(*id, *user),
            Self::Project(id) => Key::Project(*id),
            Self::ProjectMember(id, user) => Key::ProjectMember(*id, *user),
            Self::Configurations(scope) => Key::from(*scope),
            Self::SetupProfile(id) => Key::SetupProfile(*id),
            Self::Tool(id) => Key::Tool(*id),
            Self::Analyses(id, r#type) => Key::LatestAnalysis(*id, *r#type),
            Self::Own { kind, id } => Key::Own(kind, id.clone()),
            Self::Table(table) => {
                if CACHED_TABLES.contains(table) {
                    write_set.everything();
                }
                return;
            }
        });
    }
}
