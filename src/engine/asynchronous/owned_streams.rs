//! Streams that own the repository and the filter, for the body of a response.

use super::{RowStream, repositories::*};
use crate::models::*;

/// Declares `into_stream` of repositories.
macro_rules! owned_streams {
    ($($repository:ident as $type:ty: $row:ident by $filter:ident;)*) => {$(
        impl $type {
            /// Streams the rows that the filter matches, in no particular order.
            ///
            /// The stream owns the repository and the filter, so that it can be the body of a
            /// response. It is sent when it is polled for the first time. Dropped early, it closes
            /// its connection and ends the query.
            pub fn into_stream(self, filter: $filter) -> RowStream<'static, $row> {
                RowStream::owning(self, filter, |repository, filter| {
                    $repository::stream(repository, filter)
                })
            }
        }
    )*};
}

pub(crate) use owned_streams;

// Through the path of its re-export, which would be unused in a build without a cache.
self::owned_streams! {
    AnalysisRepository as Analyses<'static>: Analysis by AnalysisFilter;
    AnalysisIssueRepository as AnalysisIssues<'static>: AnalysisIssue by AnalysisIssueFilter;
    AnalysisMetricRepository as AnalysisMetrics<'static>: AnalysisMetric by AnalysisMetricFilter;
    AnalysisResultRepository as AnalysisResults<'static>: AnalysisResult by AnalysisResultFilter;
    AuditLogRepository as AuditLogs<'static>: AuditLog by AuditLogFilter;
    ConfigurationRepository as Configurations<'static>: Configuration by ConfigurationFilter;
    DependencyGraphRepository as DependencyGraphs<'static>: DependencyGraph by DependencyGraphFilter;
    DuplicateGroupRepository as DuplicateGroups<'static>: DuplicateGroup by DuplicateGroupFilter;
    IntegrationRepository as Integrations<'static>: Integration by IntegrationFilter;
    OrganizationMemberRepository as OrganizationMembers<'static>: OrganizationMember by OrganizationMemberFilter;
    OrganizationRepository as Organizations<'static>: Organization by OrganizationFilter;
    ProjectMemberRepository as ProjectMembers<'static>: ProjectMember by ProjectMemberFilter;
    ProjectRepository as Projects<'static>: Project by ProjectFilter;
    SetupProfileRepository as SetupProfiles<'static>: SetupProfile by SetupProfileFilter;
    SetupSessionRepository as SetupSessions<'static>: SetupSession by SetupSessionFilter;
    SetupStepRepository as SetupSteps<'static>: SetupStep by SetupStepFilter;
    SystemLogRepository as SystemLogs<'static>: SystemLog by SystemLogFilter;
    ToolRepository as Tools<'static>: Tool by ToolFilter;
    UserSessionRepository as UserSessions<'static>: UserSession by UserSessionFilter;
    UserRepository as Users<'static>: User by UserFilter;
}
