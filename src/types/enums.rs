//! The design's 26 enums.
//!
//! [`as_str`](UserRole::as_str), `Display`, `FromStr` and serde use the database's names of the
//! values. `ALL` lists the values. A newer version of the crate may have added values to a type of
//! the database. Such a value is read as `Unknown`, which keeps its row readable. [`unknown_words`]
//! lists those that this process has read.

use std::fmt;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::encoding::{Encoding, Unknown};
use crate::{Error, schema};

/// The name of an enum value that this version of the crate does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnknownWord(pub(super) &'static str);

/// The types and names of the unknown values that were read.
///
/// They are few, since each was added to a type of the database. They are leaked, so that
/// `UnknownWord` stays small and `Copy`.
static UNKNOWN: Mutex<Vec<(&str, &str)>> = Mutex::new(Vec::new());

/// The limit of stored names. No database has more; further ones come from a cache that another
/// program has written to.
const MOST_WORDS: usize = 1_000;
/// The longest name of an enum value, in bytes.
const LONGEST_WORD: usize = 63;

impl UnknownWord {
    /// Returns the value's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Returns a word that is stored for good; `None` if it cannot be a name, or too many are
    /// stored.
    fn intern(type_name: &'static str, word: &[u8]) -> Option<Self> {
        let word = std::str::from_utf8(word).ok()?;
        let mut words = UNKNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = Self::among(&words, type_name, word) {
            return Some(known);
        }
        if words.len() >= MOST_WORDS || word.len() > LONGEST_WORD {
            return None;
        }
        let kept: &'static str = Box::leak(word.into());
        words.push((type_name, kept));
        drop(words);
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "wundr_db",
            r#type = type_name,
            word = kept,
            "the database has an enum value that this version of the crate does not have"
        );
        Some(Self(kept))
    }

    /// Searches the stored words.
    fn among(words: &[(&'static str, &'static str)], type_name: &str, word: &str) -> Option<Self> {
        let mut words = words.iter();
        let known = words.find(|(of, known)| *of == type_name && *known == word);
        known.map(|(_, known)| Self(known))
    }

    /// Returns the name if it was read before.
    pub(super) fn known(type_name: &str, word: &str) -> Option<Self> {
        let words = UNKNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        Self::among(&words, type_name, word)
    }
}

/// Returns the enum values that this process has read and does not have, as pairs of type and name.
///
/// A value is in the list from the first row that contains it. With the feature `tracing` it is
/// also logged at level WARN with the target `wundr_db`.
#[must_use]
pub fn unknown_words() -> Vec<(&'static str, &'static str)> {
    let words = UNKNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    words.clone()
}

/// A visitor that parses the name of a value by a function.
struct WordOf<F>(F, &'static [&'static str]);

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for WordOf<F> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "one of {:?}", self.1)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        (self.0)(word).ok_or_else(|| E::unknown_variant(word, self.1))
    }
}

macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident in $schema:ident as $type:literal {
        $($(#[$value_doc:meta])* $value:ident = $word:literal),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[doc = concat!("\n\nThe design's type `", $type, "`, in the schema `", stringify!($schema), "`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
        #[diesel(sql_type = schema::$schema::sql_types::$name)]
        #[non_exhaustive]
        pub enum $name {
            $(
                $(#[$value_doc])*
                #[doc = concat!("`", $word, "`.")]
                $value,
            )*
            /// A value that this version of the crate does not have. Only rows that were read
            /// contain it.
            Unknown(UnknownWord),
        }

        impl $name {
            /// The values that this version of the crate has, in the database's order.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// Returns the database's name of the value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                    Self::Unknown(word) => word.0,
                }
            }

            /// Parses a name that was read from the database or the cache.
            fn stored(word: &[u8]) -> Result<Self, crate::error::UnknownWord> {
                match word {
                    $(word if word == $word.as_bytes() => Ok(Self::$value),)*
                    word => match UnknownWord::intern($type, word) {
                        Some(word) => Ok(Self::Unknown(word)),
                        None => Err(crate::error::UnknownWord::new($type, word)),
                    },
                }
            }
        }

        super::storable::always_storable!($name);
        super::openapi::schema!($name, crate::types::openapi::one_of(Self::ALL.iter().map(|value| value.as_str())));

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        /// Parses the name of a value.
        ///
        /// An unknown name is rejected, except in formats that are not human-readable, such as the
        /// cache's.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const WORDS: &[&str] = &[$($word),*];
                let is_stored = !deserializer.is_human_readable();
                deserializer.deserialize_str(WordOf(|word: &str| {
                    if is_stored { Self::stored(word.as_bytes()).ok() } else { word.parse().ok() }
                }, WORDS))
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
                    _ => Err(Error::invalid($type, format_args!("{word:?} is not one of its values"))),
                }
            }
        }

        impl FromSql<schema::$schema::sql_types::$name, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Self::stored(value.as_bytes())?)
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

        impl ToSql<Unknown, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                ToSql::<Text, Pg>::to_sql(self, out)
            }
        }

        // For `min` and `max`, by the order of the database.
        impl diesel::sql_types::SqlOrd for schema::$schema::sql_types::$name {}

        impl Encoding for schema::$schema::sql_types::$name {
            type Sql = Unknown;
            type InArray = Text;
            const CAST: &'static str = concat!("::", stringify!($schema), ".", $type);
        }
    )*};
}

enums! {
    /// A user's role on the whole platform, ordered by power: `Admin` is the greatest.
    ///
    /// The database sorts the other way.
    UserRole in public as "user_role" {
        Admin = "admin",
        Manager = "manager",
        Developer = "developer",
        Viewer = "viewer",
    }
    /// An organization's subscription.
    SubscriptionPlan in public as "subscription_plan" {
        Free = "free",
        Professional = "professional",
        Enterprise = "enterprise",
    }
    /// A member's role in an organization, ordered by power: `Owner` is the greatest.
    ///
    /// The database sorts the other way.
    OrganizationRole in public as "organization_role" {
        Owner = "owner",
        Admin = "admin",
        Member = "member",
        Viewer = "viewer",
    }
    /// The host of a project's repository.
    RepositoryProvider in public as "repository_provider" {
        Github = "github",
        Gitlab = "gitlab",
        Bitbucket = "bitbucket",
        AzureDevops = "azure_devops",
        Local = "local",
    }
    /// The state of a project.
    ProjectStatus in public as "project_status" {
        Active = "active",
        Archived = "archived",
        Deleted = "deleted",
    }
    /// The users that can see a project: its members, its organization, or all.
    ProjectVisibility in public as "project_visibility" {
        Private = "private",
        Internal = "internal",
        Public = "public",
    }
    /// A member's role in a project, ordered by power: `Owner` is the greatest.
    ///
    /// The database sorts the other way.
    ProjectRole in public as "project_role" {
        Owner = "owner",
        Maintainer = "maintainer",
        Contributor = "contributor",
        Viewer = "viewer",
    }
    /// The subject of an analysis.
    AnalysisType in analysis as "analysis_type" {
        Quality = "quality",
        Security = "security",
        Dependencies = "dependencies",
        Duplicates = "duplicates",
        Complexity = "complexity",
        Performance = "performance",
        Architecture = "architecture",
    }
    /// The state of an analysis.
    AnalysisStatus in analysis as "analysis_status" {
        Pending = "pending",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
    /// The kind of an issue.
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
    /// The severity of an issue.
    ///
    /// `Critical` is the greatest. The database sorts the other way.
    IssueSeverity in analysis as "issue_severity" {
        Critical = "critical",
        High = "high",
        Medium = "medium",
        Low = "low",
        Info = "info",
    }
    /// The state of an issue.
    IssueStatus in analysis as "issue_status" {
        Open = "open",
        Resolved = "resolved",
        Ignored = "ignored",
        FalsePositive = "false_positive",
    }
    /// The subject of a metric.
    MetricCategory in analysis as "metric_category" {
        Quality = "quality",
        Performance = "performance",
        Security = "security",
        Maintainability = "maintainability",
        Complexity = "complexity",
        Coverage = "coverage",
    }
    /// The direction of a metric's change.
    TrendDirection in analysis as "trend_direction" {
        Improving = "improving",
        Declining = "declining",
        Stable = "stable",
    }
    /// The kind of development that a setup profile is for.
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
    /// The users that can see a setup profile: its creator, the organization, or all.
    ProfileVisibility in setup as "profile_visibility" {
        Private = "private",
        Organization = "organization",
        Public = "public",
    }
    /// The state of a setup session.
    SessionStatus in setup as "session_status" {
        Pending = "pending",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        Cancelled = "cancelled",
    }
    /// The state of a step of a setup session.
    StepStatus in setup as "step_status" {
        Pending = "pending",
        Running = "running",
        Completed = "completed",
        Failed = "failed",
        Skipped = "skipped",
    }
    /// The purpose of a tool.
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
    /// A platform that a tool can be installed on.
    Platform in setup as "platform" {
        Macos = "macos",
        Linux = "linux",
        Windows = "windows",
        Docker = "docker",
    }
    /// The scope of a configuration.
    ConfigScope in setup as "config_scope" {
        Global = "global",
        Organization = "organization",
        Project = "project",
    }
    /// The subject of a configuration.
    ConfigCategory in setup as "config_category" {
        General = "general",
        Analysis = "analysis",
        Setup = "setup",
        Integrations = "integrations",
        Security = "security",
        Notifications = "notifications",
    }
    /// The service that an integration connects to.
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
    /// The result of an integration's last synchronization.
    SyncStatus in setup as "sync_status" {
        Never = "never",
        Success = "success",
        Failed = "failed",
        InProgress = "in_progress",
    }
    /// An action that the audit log records.
    ///
    /// The design has no value for archiving, restoring, moving or the like. Such an action is an
    /// `Update`, with the changed fields in `old_values` and `new_values`, and a word of the
    /// application in `metadata`: `{"action": "archive"}`. So reads by `actions` find it, and the
    /// triggers of watched tables record the same. An export is a `Read`, and a withdrawn
    /// invitation a `Delete`.
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
    /// The level of a log entry. `Fatal` is the greatest.
    LogLevel in audit as "log_level" {
        Debug = "debug",
        Info = "info",
        Warn = "warn",
        Error = "error",
        Fatal = "fatal",
    }
}
