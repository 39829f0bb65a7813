//! The enum of the design's tables.

use std::any::TypeId;
use std::fmt;

use diesel::Selectable;
use diesel::pg::{Pg, PgQueryBuilder};
use diesel::query_builder::{QueryBuilder as _, QueryFragment};

use crate::sql::Rows;
use crate::*;

macro_rules! tables {
    ($($name:ident of $row:ident = $table:literal, $secret:expr;)*) => {
        /// A table of the design.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Table {
            $(
                #[doc = concat!("`", $table, "`.")]
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
                    $(Self::$name => $table,)*
                }
            }

            /// Returns the table whose rows are read as this type, alone or as a page with its total.
            pub(crate) fn of(row: TypeId) -> Option<Self> {
                $(
                    if row == TypeId::of::<$row>() || row == TypeId::of::<(Rows<$row>, i64)>() {
                        return Some(Self::$name);
                    }
                )*
                (row == TypeId::of::<Claim>()).then_some(Self::Analyses)
            }

            /// Returns the names of the columns, in the order of the row's fields.
            pub(crate) fn columns(self) -> Vec<String> {
                match self {
                    $(Self::$name => columns::<$row>(),)*
                }
            }

            /// Checks whether the column contains secrets, so that nothing that depends on its
            /// value may be printed.
            pub(crate) fn is_secret(self, column: &str) -> bool {
                let secret: &[&str] = match self {
                    $(Self::$name => &$secret,)*
                };
                secret.contains(&column)
            }
        }
    };
}

tables! {
    Users of User = "public.users", [];
    UserSessions of UserSession = "public.user_sessions", ["token_hash", "refresh_token_hash"];
    Organizations of Organization = "public.organizations", [];
    OrganizationMembers of OrganizationMember = "public.organization_members", [];
    Projects of Project = "public.projects", [];
    ProjectMembers of ProjectMember = "public.project_members", [];
    Analyses of Analysis = "analysis.analyses", [];
    AnalysisResults of AnalysisResult = "analysis.analysis_results", [];
    AnalysisIssues of AnalysisIssue = "analysis.analysis_issues", [];
    AnalysisMetrics of AnalysisMetric = "analysis.analysis_metrics", [];
    DependencyGraphs of DependencyGraph = "analysis.dependency_graphs", [];
    DuplicateGroups of DuplicateGroup = "analysis.duplicate_groups", [];
    SetupProfiles of SetupProfile = "setup.setup_profiles", [];
    SetupSessions of SetupSession = "setup.setup_sessions", [];
    SetupSteps of SetupStep = "setup.setup_steps", [];
    Tools of Tool = "setup.tools", [];
    Configurations of Configuration = "setup.configurations", ["value"];
    Integrations of Integration = "setup.integrations", ["credentials", "webhook_secret"];
    AuditLogs of AuditLog = "audit.audit_logs", [];
    SystemLogs of SystemLog = "audit.system_logs", [];
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Returns the names of a selection's columns, which are quoted and qualified in its SQL.
fn columns<R: Selectable<Pg, SelectExpression: QueryFragment<Pg>>>() -> Vec<String> {
    let mut sql = PgQueryBuilder::new();
    if R::construct_selection().to_sql(&mut sql, &Pg).is_err() {
        return Vec::new();
    }
    let sql = sql.finish();
    let columns = sql
        .split(", ")
        .filter_map(|column| column.rsplit('"').nth(1));
    columns.map(str::to_owned).collect()
}
