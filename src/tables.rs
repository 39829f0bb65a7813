//! The list of the design's tables, and the enum of them.

use std::fmt;

/// Calls a macro with the list of the tables. Everything that needs all of them takes them from
/// here.
///
/// An entry has the name with its schema, the repository, the row, the row to be created, the key,
/// and the columns that contain secrets. The name is also that of the accessor on `Db` and `Tx`.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_table {
    ($then:ident) => {
        $then! {
            public.users: Users, User, NewUser, UserId, [];
            public.user_sessions: UserSessions, UserSession, NewUserSession, UserSessionId, ["token_hash", "refresh_token_hash"];
            public.organizations: Organizations, Organization, NewOrganization, OrganizationId, [];
            public.organization_members: OrganizationMembers, OrganizationMember, NewOrganizationMember, OrganizationMemberId, [];
            public.projects: Projects, Project, NewProject, ProjectId, [];
            public.project_members: ProjectMembers, ProjectMember, NewProjectMember, ProjectMemberId, [];
            analysis.analyses: Analyses, Analysis, NewAnalysis, AnalysisId, [];
            analysis.analysis_results: AnalysisResults, AnalysisResult, NewAnalysisResult, AnalysisResultId, [];
            analysis.analysis_issues: AnalysisIssues, AnalysisIssue, NewAnalysisIssue, AnalysisIssueId, [];
            analysis.analysis_metrics: AnalysisMetrics, AnalysisMetric, NewAnalysisMetric, AnalysisMetricId, [];
            analysis.dependency_graphs: DependencyGraphs, DependencyGraph, NewDependencyGraph, DependencyGraphId, [];
            analysis.duplicate_groups: DuplicateGroups, DuplicateGroup, NewDuplicateGroup, DuplicateGroupId, [];
            setup.setup_profiles: SetupProfiles, SetupProfile, NewSetupProfile, SetupProfileId, [];
            setup.setup_sessions: SetupSessions, SetupSession, NewSetupSession, SetupSessionId, [];
            setup.setup_steps: SetupSteps, SetupStep, NewSetupStep, SetupStepId, [];
            setup.tools: Tools, Tool, NewTool, ToolId, [];
            setup.configurations: Configurations, Configuration, NewConfiguration, ConfigurationId, ["value"];
            setup.integrations: Integrations, Integration, NewIntegration, IntegrationId, ["credentials", "webhook_secret"];
            audit.audit_logs: AuditLogs, AuditLog, NewAuditLog, AuditLogId, [];
            audit.system_logs: SystemLogs, SystemLog, NewSystemLog, SystemLogId, [];
        }
    };
}

macro_rules! tables {
    ($($schema:ident.$table:ident: $name:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
        /// A table of the design.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Table {
            $(
                #[doc = concat!("`", stringify!($schema), ".", stringify!($table), "`.")]
                $name,
            )*
        }

        impl Table {
            /// All tables, in the order of the design.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the table's name with its schema.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!(stringify!($schema), ".", stringify!($table)),)*
                }
            }

            /// Returns the type of a resource that is a row of the table, as entries of the audit
            /// log name it: `user` for `public.users`.
            #[cfg(feature = "migrations")]
            pub(crate) fn resource_type(self) -> &'static str {
                let table = match self {
                    $(Self::$name => stringify!($table),)*
                };
                match table {
                    "analyses" => "analysis",
                    table => table.strip_suffix('s').unwrap_or(table),
                }
            }

            /// Returns the names of the columns that contain secrets.
            pub(crate) const fn secrets(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &$secret,)*
                }
            }

            /// Checks whether the column contains secrets, so that nothing that depends on its
            /// value may be printed.
            pub(crate) fn is_secret(self, column: &str) -> bool {
                self.secrets().contains(&column)
            }
        }
    };
}

__for_each_table!(tables);

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
