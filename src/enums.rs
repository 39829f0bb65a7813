//! The design's 26 enums.
//!
//! Each has the database's own words in [`as_str`](UserRole::as_str), `Display`, `FromStr` and serde, and all its
//! values in `ALL`. A word that this version of the crate does not know, written by a newer one, is an
//! [`Error::Decode`](crate::Error::Decode) that names type and word.

use std::cmp::Ordering;
use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

use crate::error::UnknownWord;
use crate::statement::{Wire, Word};
use crate::{Error, schema};

macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident in $schema:ident as $type:literal {
        $($(#[$value_doc:meta])* $value:ident = $word:literal),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[doc = concat!("\n\nThe design's `", $type, "`, in the schema `", stringify!($schema), "`.")]
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, AsExpression, FromSqlRow,
        )]
        #[diesel(sql_type = schema::$schema::sql_types::$name)]
        #[non_exhaustive]
        pub enum $name {
            $(
                $(#[$value_doc])*
                #[doc = concat!("`", $word, "`.")]
                #[serde(rename = $word)]
                $value,
            )*
        }

        impl $name {
            /// Every value, in the database's order.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// The database's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(word: &str) -> Result<Self, Error> {
                match word {
                    $($word => Ok(Self::$value),)*
                    _ => Err(Error::invalid($type, format_args!("{word:?} is none of its values"))),
                }
            }
        }

        impl FromSql<schema::$schema::sql_types::$name, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                match value.as_bytes() {
                    $(bytes if bytes == $word.as_bytes() => Ok(Self::$value),)*
                    bytes => Err(UnknownWord::new($type, bytes).into()),
                }
            }
        }

        impl ToSql<schema::$schema::sql_types::$name, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.as_str().as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Text, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.as_str().as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Word, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                ToSql::<Text, Pg>::to_sql(self, out)
            }
        }

        impl Wire for schema::$schema::sql_types::$name {
            type Sql = Word;
            type Many = Text;
            const CAST: &'static str = concat!("::", stringify!($schema), ".", $type);
        }
    )*};
}

enums! {
    /// What a user may do on the whole platform.
    UserRole in public as "user_role" {
        Admin = "admin",
        Manager = "manager",
        Developer = "developer",
        Viewer = "viewer",
    }
    /// What an organization has subscribed to.
    SubscriptionPlan in public as "subscription_plan" {
        Free = "free",
        Professional = "professional",
        Enterprise = "enterprise",
    }
    /// What a member may do in an organization.
    OrganizationRole in public as "organization_role" {
        Owner = "owner",
        Admin = "admin",
        Member = "member",
        Viewer = "viewer",
    }
    /// Where a project's repository is kept.
    RepositoryProvider in public as "repository_provider" {
        Github = "github",
        Gitlab = "gitlab",
        Bitbucket = "bitbucket",
        AzureDevops = "azure_devops",
        Local = "local",
    }
    /// Whether a project is in use.
    ProjectStatus in public as "project_status" {
        Active = "active",
        Archived = "archived",
        Deleted = "deleted",
    }
    /// Who sees a project: its members, its organization, everybody.
    ProjectVisibility in public as "project_visibility" {
        Private = "private",
        Internal = "internal",
        Public = "public",
    }
    /// What a member may do in a project.
    ProjectRole in public as "project_role" {
        Owner = "owner",
        Maintainer = "maintainer",
        Contributor = "contributor",
        Viewer = "viewer",
    }
    /// What an analysis looks at.
    AnalysisType in analysis as "analysis_type" {
        Quality = "quality",
        Security = "security",
        Dependencies = "dependencies",
        Duplicates = "duplicates",
        Complexity = "complexity",
        Performance = "performance",
        Architecture = "architecture",
    }
    /// How far an analysis is.
    AnalysisStatus in analysis as "analysis_status" {
        Pending = "pending",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
    /// What kind of finding an issue is.
    IssueType in analysis as "issue_type" {
        CodeQuality = "code_quality",
        Security = "security",
        Performance = "performance",
        Maintainability = "maintainability",
        Accessibility = "accessibility",
        BestPractice = "best_practice",
        DuplicateCode = "duplicate_code",
        Dependency = "dependency",
    }
    /// How bad an issue is. Ordered by severity: `Critical` is the greatest. The database sorts the other way.
    IssueSeverity in analysis as "issue_severity" {
        Critical = "critical",
        High = "high",
        Medium = "medium",
        Low = "low",
        Info = "info",
    }
    /// What has become of an issue.
    IssueStatus in analysis as "issue_status" {
        Open = "open",
        Resolved = "resolved",
        Ignored = "ignored",
        FalsePositive = "false_positive",
    }
    /// What a metric is about.
    MetricCategory in analysis as "metric_category" {
        Quality = "quality",
        Performance = "performance",
        Security = "security",
        Maintainability = "maintainability",
        Complexity = "complexity",
        Coverage = "coverage",
    }
    /// Where a metric is heading.
    TrendDirection in analysis as "trend_direction" {
        Improving = "improving",
        Declining = "declining",
        Stable = "stable",
    }
    /// What kind of machine a setup profile is for.
    SetupCategory in setup as "setup_category" {
        Frontend = "frontend",
        Backend = "backend",
        Fullstack = "fullstack",
        Mobile = "mobile",
        Devops = "devops",
        DataScience = "data_science",
        MachineLearning = "machine_learning",
        Custom = "custom",
    }
    /// Who sees a setup profile: its maker, the organization, everybody.
    ProfileVisibility in setup as "profile_visibility" {
        Private = "private",
        Organization = "organization",
        Public = "public",
    }
    /// How far a setup session is.
    SessionStatus in setup as "session_status" {
        Pending = "pending",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
    /// How far a step of a setup session is.
    StepStatus in setup as "step_status" {
        Pending = "pending",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        Skipped = "skipped",
    }
    /// What a tool is for.
    ToolCategory in setup as "tool_category" {
        Runtime = "runtime",
        PackageManager = "package_manager",
        Editor = "editor",
        VersionControl = "version_control",
        BuildTool = "build_tool",
        Testing = "testing",
        Linting = "linting",
        Documentation = "documentation",
        Deployment = "deployment",
        Database = "database",
        Monitoring = "monitoring",
    }
    /// Where a tool can be installed.
    Platform in setup as "platform" {
        Macos = "macos",
        Linux = "linux",
        Windows = "windows",
        Docker = "docker",
    }
    /// How far a configuration reaches.
    ConfigScope in setup as "config_scope" {
        Global = "global",
        Organization = "organization",
        Project = "project",
    }
    /// What a configuration is about.
    ConfigCategory in setup as "config_category" {
        General = "general",
        Analysis = "analysis",
        Setup = "setup",
        Integrations = "integrations",
        Security = "security",
        Notifications = "notifications",
    }
    /// Which service an integration talks to.
    IntegrationType in setup as "integration_type" {
        Github = "github",
        Gitlab = "gitlab",
        Bitbucket = "bitbucket",
        Jira = "jira",
        Slack = "slack",
        MicrosoftTeams = "microsoft_teams",
        Discord = "discord",
        Webhook = "webhook",
        Email = "email",
    }
    /// How an integration's last synchronization went.
    SyncStatus in setup as "sync_status" {
        Never = "never",
        Success = "success",
        Failed = "failed",
        InProgress = "in_progress",
    }
    /// What somebody did.
    AuditAction in audit as "audit_action" {
        Create = "create",
        Read = "read",
        Update = "update",
        Delete = "delete",
        Login = "login",
        Logout = "logout",
        Invite = "invite",
        Accept = "accept",
        Reject = "reject",
    }
    /// How grave a log line is; ordered, `Fatal` is the greatest.
    LogLevel in audit as "log_level" {
        Debug = "debug",
        Info = "info",
        Warn = "warn",
        Error = "error",
        Fatal = "fatal",
    }
}

impl Ord for IssueSeverity {
    fn cmp(&self, other: &Self) -> Ordering {
        (*other as u8).cmp(&(*self as u8))
    }
}

impl PartialOrd for IssueSeverity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LogLevel {
    fn cmp(&self, other: &Self) -> Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

impl PartialOrd for LogLevel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
