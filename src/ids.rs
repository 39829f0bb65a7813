//! One newtype for each table's key.
//!
//! Keys are made by the client, as UUID version 7: they sort by time, which keeps the key's index small and its
//! pages warm, and a row's key is known before the row is stored. Two kinds of key cannot be mixed up:
//!
//! ```compile_fail
//! # use wundr_db::{ProjectId, UserId};
//! let user: UserId = ProjectId::new();
//! ```

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// Displayed, parsed and serialized as a hyphenated UUID.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AsExpression, FromSqlRow,
        )]
        #[diesel(sql_type = sql_types::Uuid)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new key, later than every one made before it in this process.
            #[allow(clippy::new_without_default)]
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID itself.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// When the key was made, to the millisecond; `None` for a key that another client made as version 4.
            #[must_use]
            pub fn created_at(&self) -> Option<DateTime<Utc>> {
                time_of(self.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Uuid::parse_str(text).map(Self).map_err(|error| Error::invalid(stringify!($name), error))
            }
        }

        impl FromSql<sql_types::Uuid, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Uuid::from_sql(value).map(Self)
            }
        }

        impl ToSql<sql_types::Uuid, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                ToSql::<sql_types::Uuid, Pg>::to_sql(&self.0, out)
            }
        }
    )*};
}

ids! {
    /// Key of a [`User`](crate::User).
    UserId,
    /// Key of a [`UserSession`](crate::UserSession).
    UserSessionId,
    /// Key of an [`Organization`](crate::Organization).
    OrganizationId,
    /// Key of an [`OrganizationMember`](crate::OrganizationMember).
    OrganizationMemberId,
    /// Key of a [`Project`](crate::Project).
    ProjectId,
    /// Key of a [`ProjectMember`](crate::ProjectMember).
    ProjectMemberId,
    /// Key of an [`Analysis`](crate::Analysis).
    AnalysisId,
    /// Key of an [`AnalysisResult`](crate::AnalysisResult).
    AnalysisResultId,
    /// Key of an [`AnalysisIssue`](crate::AnalysisIssue).
    AnalysisIssueId,
    /// Key of an [`AnalysisMetric`](crate::AnalysisMetric).
    AnalysisMetricId,
    /// Key of a [`DependencyGraph`](crate::DependencyGraph).
    DependencyGraphId,
    /// Key of a [`DuplicateGroup`](crate::DuplicateGroup).
    DuplicateGroupId,
    /// Key of a [`SetupProfile`](crate::SetupProfile).
    SetupProfileId,
    /// Key of a [`SetupSession`](crate::SetupSession).
    SetupSessionId,
    /// Key of a [`SetupStep`](crate::SetupStep).
    SetupStepId,
    /// Key of a [`Tool`](crate::Tool).
    ToolId,
    /// Key of a [`Configuration`](crate::Configuration).
    ConfigurationId,
    /// Key of an [`Integration`](crate::Integration).
    IntegrationId,
    /// Key of an [`AuditLog`](crate::AuditLog).
    AuditLogId,
    /// Key of a [`SystemLog`](crate::SystemLog).
    SystemLogId,
}

/// The time that a version 7 UUID carries.
fn time_of(uuid: Uuid) -> Option<DateTime<Utc>> {
    if uuid.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanoseconds) = uuid.get_timestamp()?.to_unix();
    DateTime::from_timestamp(seconds.try_into().ok()?, nanoseconds)
}
