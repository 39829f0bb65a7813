//! `setup.setup_sessions`: runs of a setup profile on a user's machine.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::setup::setup_sessions;
use crate::types::timestamp::AnyTime;
use crate::{
    Change, Document, SessionStatus, SetupProfile, SetupProfileId, SetupSessionId, User, UserId,
};

/// A run of a setup profile: a row of the design's `setup_sessions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = setup_sessions)]
#[diesel(belongs_to(SetupProfile, foreign_key = profile_id))]
#[diesel(belongs_to(User))]
#[non_exhaustive]
pub struct SetupSession {
    /// Primary key.
    pub id: SetupSessionId,
    /// The profile.
    pub profile_id: SetupProfileId,
    /// The user whose machine is set up.
    pub user_id: UserId,
    /// The status.
    pub status: SessionStatus,
    /// The progress in percent, 0 to 100.
    pub progress: i32,
    /// The name of the running step.
    pub current_step: Option<String>,
    /// Settings of this run, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub configuration: Document,
    /// Array of log entries, oldest first, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub logs: Document,
    /// The reason of the failure.
    pub error_message: Option<String>,
    /// The time at which the run began.
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub started_at: Option<DateTime<Utc>>,
    /// The time at which the run ended.
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub completed_at: Option<DateTime<Utc>>,
    /// The duration of the run, in seconds.
    pub duration_seconds: Option<i32>,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A setup session to be created.
///
/// The database checks that `progress` is between 0 and 100. If `completed_at` is set, it requires
/// an earlier `started_at`; otherwise `duration_seconds` must not be set.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = setup_sessions, row = SetupSession)]
#[row(body(SetupSessionBody: configuration))]
#[non_exhaustive]
pub struct NewSetupSession {
    /// Primary key. Default: [`SetupSessionId::new`].
    #[row(default = SetupSessionId::new())]
    pub id: SetupSessionId,
    /// The profile.
    pub profile_id: SetupProfileId,
    /// The user whose machine is set up.
    pub user_id: UserId,
    /// The status. Default: `pending`.
    #[row(or = "'pending'")]
    pub status: Option<SessionStatus>,
    /// The progress in percent, 0 to 100. Default: 0.
    #[row(or = "0")]
    pub progress: Option<i32>,
    /// The name of the running step, at most 255 characters.
    pub current_step: Option<String>,
    /// Settings of this run, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// Array of log entries, oldest first, in the application's own format. Default: `[]`.
    #[row(or = "'[]'")]
    pub logs: Option<Document>,
    /// The reason of the failure.
    pub error_message: Option<String>,
    /// The time at which the run began.
    pub started_at: Option<DateTime<Utc>>,
    /// The time at which the run ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// The duration of the run, in seconds.
    pub duration_seconds: Option<i32>,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a setup session. A field that is not set keeps its value. The checks are those of
/// [`NewSetupSession`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = setup_sessions, row = SetupSession, id = SetupSessionId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SetupSessionChanges {
    /// New status. Not read from JSON.
    #[serde(skip_deserializing)]
    pub status: Option<SessionStatus>,
    /// New progress in percent, 0 to 100.
    pub progress: Option<i32>,
    /// The name of the running step.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub current_step: Change<String>,
    /// New settings, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub configuration: Option<Document>,
    /// New log, which replaces the old one.
    /// [`append_log`](crate::SetupSessionRepository::append_log) appends an entry.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub logs: Option<Document>,
    /// The reason of the failure.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub error_message: Change<String>,
    /// The time at which the run began.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<DateTime<Utc>>))]
    pub started_at: Change<DateTime<Utc>>,
    /// The time at which the run ended.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<DateTime<Utc>>))]
    pub completed_at: Change<DateTime<Utc>>,
    /// The duration of the run, in seconds.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i32>))]
    pub duration_seconds: Change<i32>,
}

/// A filter for setup sessions. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SetupSessionFilter {
    /// Only sessions of this profile.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub profile_id: Option<SetupProfileId>,
    /// Only rows of this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub user_id: Option<UserId>,
    /// Only rows with this status.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub status: Option<SessionStatus>,
    /// Only rows created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only rows created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl SetupSessionFilter {
    pub(crate) fn query(&self) -> setup_sessions::BoxedQuery<'_, Pg, RowSql<SetupSession>> {
        let mut query = setup_sessions::table
            .select(columns_of::<SetupSession>())
            .into_boxed();
        if let Some(profile_id) = self.profile_id {
            query = query.filter(condition(
                setup_sessions::table,
                setup_sessions::profile_id.eq(profile_id),
            ));
        }
        if let Some(user_id) = self.user_id {
            query = query.filter(condition(
                setup_sessions::table,
                setup_sessions::user_id.eq(user_id),
            ));
        }
        if let Some(status) = self.status {
            query = query.filter(condition(
                setup_sessions::table,
                setup_sessions::status.eq(status),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                setup_sessions::table,
                setup_sessions::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                setup_sessions::table,
                setup_sessions::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which setup sessions are listed.
    SetupSessionOrder of SetupSession in setup_sessions {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
