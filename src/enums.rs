//! The design's 26 enums.
//!
//! Each has the database's own words in [`as_str`](UserRole::as_str), `Display`, `FromStr` and serde, and all its
//! values in `ALL`. A word that this version of the crate does not know, because a newer one has added it to the type, is
//! `Unknown` and keeps its row readable; [`unknown_words`] lists those that the process has met.

use std::cmp::Ordering;
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

use crate::statement::{Wire, Word};
use crate::{Error, schema};

/// A word of an enum that this version of the crate does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnknownWord(&'static str);

/// The types and words that were met. They are few, since each was added to a type of the database, and are kept for good,
/// so that a value which holds one is as small and as easily copied as another.
static MET: Mutex<Vec<(&str, &str)>> = Mutex::new(Vec::new());

/// More than this, which no database has, are not kept: they come from a cache that was written to by another.
const MOST_WORDS: usize = 1_000;
/// The longest word of an enum, in bytes.
const LONGEST_WORD: usize = 63;

impl UnknownWord {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    fn met(type_name: &'static str, word: &[u8]) -> Option<Self> {
        let word = std::str::from_utf8(word).ok()?;
        let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = Self::among(&met, type_name, word) {
            return Some(known);
        }
        if met.len() >= MOST_WORDS || word.len() > LONGEST_WORD {
            return None;
        }
        let kept: &'static str = Box::leak(word.into());
        met.push((type_name, kept));
        drop(met);
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "wundr_db",
            r#type = type_name,
            word = kept,
            "the database has an enum word that this version does not know"
        );
        Some(Self(kept))
    }

    fn among(met: &[(&'static str, &'static str)], type_name: &str, word: &str) -> Option<Self> {
        let mut met = met.iter();
        let known = met.find(|(of, known)| *of == type_name && *known == word);
        known.map(|(_, known)| Self(known))
    }

    /// The word, if it was met before.
    fn known(type_name: &str, word: &str) -> Option<Self> {
        let met = MET.lock().unwrap_or_else(PoisonError::into_inner);
        Self::among(&met, type_name, word)
    }
}

/// Returns the enum words that this process has read and does not know, each with its type.
///
/// A word is in the list from the first row that holds it. With the feature `tracing` it is also an event of level WARN
/// with the target `wundr_db`.
#[must_use]
pub fn unknown_words() -> Vec<(&'static str, &'static str)> {
    let met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    met.clone()
}

/// Reads a word by a function.
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
        #[doc = concat!("\n\nThe design's `", $type, "`, in the schema `", stringify!($schema), "`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
        #[diesel(sql_type = schema::$schema::sql_types::$name)]
        #[non_exhaustive]
        pub enum $name {
            $(
                $(#[$value_doc])*
                #[doc = concat!("`", $word, "`.")]
                $value,
            )*
            /// A word that this version of the crate does not know. Only rows that were read have it.
            Unknown(UnknownWord),
        }

        impl $name {
            /// Every value that this version of the crate knows, in the database's order.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// The database's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                    Self::Unknown(word) => word.0,
                }
            }

            /// The value of a word that came from a database, or from the cache.
            fn stored(word: &[u8]) -> Result<Self, crate::error::UnknownWord> {
                match word {
                    $(word if word == $word.as_bytes() => Ok(Self::$value),)*
                    word => match UnknownWord::met($type, word) {
                        Some(word) => Ok(Self::Unknown(word)),
                        None => Err(crate::error::UnknownWord::new($type, word)),
                    },
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        /// Reads a word. One that this version of the crate does not know is refused, except in formats that people do not
        /// read, such as the cache's.
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
                    _ => Err(Error::invalid($type, format_args!("{word:?} is none of its values"))),
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

impl IssueSeverity {
    /// The place in the database's order; before all others for a word that is not known.
    fn rank(self) -> Option<usize> {
        Self::ALL.iter().position(|severity| *severity == self)
    }

    /// The severity of a cursor, which comes from outside.
    pub(crate) fn read(word: &str) -> Option<Self> {
        let unknown = || UnknownWord::known("issue_severity", word).map(Self::Unknown);
        word.parse().ok().or_else(unknown)
    }
}

/// A word that is not known is worse than all others: it may be.
impl Ord for IssueSeverity {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_rank = other.rank().cmp(&self.rank());
        by_rank.then_with(|| self.as_str().cmp(other.as_str()))
    }
}

impl PartialOrd for IssueSeverity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl LogLevel {
    /// The place in the database's order; behind all others for a word that is not known.
    fn rank(self) -> usize {
        let place = Self::ALL.iter().position(|level| *level == self);
        place.unwrap_or(usize::MAX)
    }
}

/// A word that is not known is graver than all others: it may be.
impl Ord for LogLevel {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_rank = self.rank().cmp(&other.rank());
        by_rank.then_with(|| self.as_str().cmp(other.as_str()))
    }
}

impl PartialOrd for LogLevel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
