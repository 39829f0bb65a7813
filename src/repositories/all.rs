//! One trait for what has every repository: a database, a transaction, and a database behind a
//! cache.

use super::*;
use crate::{Error, NewAnalysis, Result};

/// Calls a macro with each repository: the name of its accessor, its trait and its type. Those
/// before the `;` have a cached form.
macro_rules! each_repository {
    ($then:ident!) => {
        $then! {
            users: UserRepository as Users,
            user_sessions: UserSessionRepository as UserSessions,
            organizations: OrganizationRepository as Organizations,
            organization_members: OrganizationMemberRepository as OrganizationMembers,
            projects: ProjectRepository as Projects,
            project_members: ProjectMemberRepository as ProjectMembers,
            project_stats: ProjectStatsRepository as ProjectStatsView,
            analyses: AnalysisRepository as Analyses,
            trends: TrendRepository as Trends,
            setup_profiles: SetupProfileRepository as SetupProfiles,
            tools: ToolRepository as Tools,
            configurations: ConfigurationRepository as Configurations;
            invitations: InvitationRepository as Invitations,
            analysis_results: AnalysisResultRepository as AnalysisResults,
            analysis_issues: AnalysisIssueRepository as AnalysisIssues,
            analysis_metrics: AnalysisMetricRepository as AnalysisMetrics,
            dependency_graphs: DependencyGraphRepository as DependencyGraphs,
            duplicate_groups: DuplicateGroupRepository as DuplicateGroups,
            quality_gates: QualityGateRepository as QualityGates,
            dashboard: DashboardRepository as Dashboards,
            setup_sessions: SetupSessionRepository as SetupSessions,
            setup_steps: SetupStepRepository as SetupSteps,
            integrations: IntegrationRepository as Integrations,
            audit_logs: AuditLogRepository as AuditLogs,
            system_logs: SystemLogRepository as SystemLogs,
            partitions: PartitionRepository as Partitions
        }
    };
}
#[cfg(feature = "redis")]
pub(crate) use each_repository;

/// What has no repository: each method of it returns [`Error::Unsupported`].
struct Absent;

macro_rules! declare {
    (
        $($cached:ident: $cached_trait:ident as $cached_type:ident),*;
        $($name:ident: $repository:ident as $type:ident),*
    ) => {
        declare! { $($cached: $cached_trait,)* $($name: $repository),* }
    };
    ($($name:ident: $repository:ident),*) => {
        /// What has every repository: [`Db`], [`Tx`], `Cached`, and what an application puts in
        /// their place.
        ///
        /// A function that takes it works on the pool, within a transaction and behind the cache,
        /// and uses as many repositories as it needs. What [`Db::for_organization`] and
        /// [`Db::acting_as`] return is a `Db`, too.
        ///
        /// It can be used as `dyn`, for example as `Arc<dyn Repositories>` in the state of a web
        /// service. Each accessor therefore allocates a box, which the accessors of the types
        /// themselves do not.
        ///
        /// A test double implements the accessors that its test needs. The repositories of the
        /// others are those of [`inner`](Self::inner), or refuse each call with
        /// [`Error::Unsupported`].
        pub trait Repositories: Send + Sync {
            $(
                #[doc = concat!("Returns the [`", stringify!($repository), "`].")]
                fn $name(&self) -> Box<dyn $repository + '_> {
                    match self.inner() {
                        Some(inner) => inner.$name(),
                        None => Box::new(Absent),
                    }
                }
            )*

            /// Creates an ingest of a new analysis, as [`Analyses::ingest`] does.
            ///
            /// # Errors
            /// - [`Error::Unsupported`] of a double that does not have it
            fn ingest(&self, new: NewAnalysis) -> Result<Ingest<'_>> {
                match self.inner() {
                    Some(inner) => inner.ingest(new),
                    None => Err(Error::Unsupported {
                        method: "Repositories::ingest",
                    }),
                }
            }

            /// Returns what reads and writes the tables of an application.
            ///
            /// # Errors
            /// - [`Error::Unsupported`] of a double that does not have it
            fn own_tables(&self) -> Result<OwnTables<'_>> {
                match self.inner() {
                    Some(inner) => inner.own_tables(),
                    None => Err(Error::Unsupported {
                        method: "Repositories::own_tables",
                    }),
                }
            }

            /// Returns what has the repositories that a double does not implement.
            fn inner(&self) -> Option<&dyn Repositories> {
                None
            }
        }

        $(impl $repository for Absent {})*

        impl Repositories for Db {
            $(fn $name(&self) -> Box<dyn $repository + '_> {
                Box::new(Db::$name(self))
            })*

            fn ingest(&self, new: NewAnalysis) -> Result<Ingest<'_>> {
                Ok(Db::analyses(self).ingest(new))
            }

            fn own_tables(&self) -> Result<OwnTables<'_>> {
                Ok(Db::own_tables(self))
            }
        }

        impl Repositories for Tx {
            $(fn $name(&self) -> Box<dyn $repository + '_> {
                Box::new(Tx::$name(self))
            })*

            fn ingest(&self, new: NewAnalysis) -> Result<Ingest<'_>> {
                Ok(Tx::analyses(self).ingest(new))
            }

            fn own_tables(&self) -> Result<OwnTables<'_>> {
                Ok(Tx::own_tables(self))
            }
        }


        impl<T: Repositories + ?Sized> Repositories for &T {
            $(fn $name(&self) -> Box<dyn $repository + '_> {
                T::$name(self)
            })*

            fn ingest(&self, new: NewAnalysis) -> Result<Ingest<'_>> {
                T::ingest(self, new)
            }

            fn own_tables(&self) -> Result<OwnTables<'_>> {
                T::own_tables(self)
            }

            fn inner(&self) -> Option<&dyn Repositories> {
                T::inner(self)
            }
        }
    };
}

each_repository!(declare!);
