//! `setup.setup_sessions`: runs of a setup profile on a user's machine.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::setup::setup_sessions;
use crate::{
    Change, Document, SessionStatus, SetupProfile, SetupProfileId, SetupSessionId, User, UserId,
};

/// A run of a setup profile: a row of the design's `setup_sessions`.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    Selectable,
    Identifiable,
    Associations,
)]
#[diesel(table_name = setup_sessions, check_for_backend(Pg))]
#[diesel(belongs_to(SetupProfile, foreign_key = profile_id))]
#[diesel(belongs_to(User))]
#[non_exhaustive]
pub struct SetupSession {
    /// Key.
    pub id: SetupSessionId,
    /// The profile that is run.
    pub profile_id: SetupProfileId,
    /// Whose machine is set up.
    pub user_id: UserId,
    /// How far it is.
    pub status: SessionStatus,
    /// How far it is, from 0 to 100.
    pub progress: i32,
    /// Name of the step that runs.
    pub current_step: Option<String>,
    /// Settings of this run, as the application writes them.
    pub configuration: Document,
    /// Array of log entries, oldest first, as the application writes them.
    pub logs: Document,
    /// Why it failed.
    pub error_message: Option<String>,
    /// When it began to run.
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub completed_at: Option<DateTime<Utc>>,
    /// How long it ran, in seconds.
    pub duration_seconds: Option<i32>,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A setup session to be created.
///
/// The database checks that `progress` is within 0 and 100, that a session with `completed_at` has an earlier
/// `started_at` and that one without has no `duration_seconds`.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = setup_sessions, row = SetupSession)]
pub struct NewSetupSession {
    /// Key; made by [`SetupSessionId::new`] unless given.
    #[row(default = SetupSessionId::new())]
    pub id: SetupSessionId,
    /// The profile that is run.
    pub profile_id: SetupProfileId,
    /// Whose machine is set up.
    pub user_id: UserId,
    /// `pending` unless given.
    #[row(or = "'pending'")]
    pub status: Option<SessionStatus>,
    /// 0 to 100, 0 unless given.
    #[row(or = "0")]
    pub progress: Option<i32>,
    /// Name of the step that runs, at most 255 characters.
    pub current_step: Option<String>,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// `[]` unless given.
    #[row(or = "'[]'")]
    pub logs: Option<Document>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// When it began to run.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// How long it ran, in seconds.
    pub duration_seconds: Option<i32>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a setup session. What is not named is kept. The checks are those of [`NewSetupSession`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = setup_sessions, row = SetupSession, id = SetupSessionId)]
#[serde(default)]
pub struct SetupSessionChanges {
    /// New status.
    pub status: Option<SessionStatus>,
    /// New progress, 0 to 100.
    pub progress: Option<i32>,
    /// Name of the step that runs.
    pub current_step: Change<String>,
    /// New settings, in place of the old.
    pub configuration: Option<Document>,
    /// New log, in place of the old; see [`append_log`](crate::SetupSessionRepository::append_log) for one entry
    /// more.
    pub logs: Option<Document>,
    /// Why it failed.
    pub error_message: Change<String>,
    /// When it began to run.
    pub started_at: Change<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Change<DateTime<Utc>>,
    /// How long it ran, in seconds.
    pub duration_seconds: Change<i32>,
}

/// Which setup sessions are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct SetupSessionFilter {
    /// Of this profile.
    pub profile_id: Option<SetupProfileId>,
    /// Of this user.
    pub user_id: Option<UserId>,
    /// With this status.
    pub status: Option<SessionStatus>,
    /// Created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl SetupSessionFilter {
    pub(crate) fn query(&self) -> setup_sessions::BoxedQuery<'_, Pg> {
        let mut query = setup_sessions::table.into_boxed();
        if let Some(profile_id) = self.profile_id {
            query = query.filter(setup_sessions::profile_id.eq(profile_id));
        }
        if let Some(user_id) = self.user_id {
            query = query.filter(setup_sessions::user_id.eq(user_id));
        }
        if let Some(status) = self.status {
            query = query.filter(setup_sessions::status.eq(status));
        }
        if let Some(from) = self.created_from {
            query = query.filter(setup_sessions::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(setup_sessions::created_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order setup sessions are listed.
    SetupSessionOrder of SetupSession in setup_sessions {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
