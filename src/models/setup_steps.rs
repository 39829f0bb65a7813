//! `setup.setup_steps`: what a setup session does, one after the other.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::setup::setup_steps;
use crate::{Change, SetupSession, SetupSessionId, SetupStepId, StepStatus};

/// A step of a setup session: a row of the design's `setup_steps`.
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
#[diesel(table_name = setup_steps, check_for_backend(Pg))]
#[diesel(belongs_to(SetupSession, foreign_key = session_id))]
#[non_exhaustive]
pub struct SetupStep {
    /// Key.
    pub id: SetupStepId,
    /// The session that it is a part of.
    pub session_id: SetupSessionId,
    /// Display name.
    pub name: String,
    /// What the step does.
    pub description: Option<String>,
    /// Its place in the session; the design does not make it unique.
    pub step_order: i32,
    /// The tool that it installs, by name.
    pub tool_name: Option<String>,
    /// The command that it runs.
    pub command: Option<String>,
    /// How far it is.
    pub status: StepStatus,
    /// What it has printed.
    pub logs: Option<String>,
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

/// A setup step to be created. The database checks that `completed_at` is not before `started_at`.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = setup_steps, row = SetupStep)]
pub struct NewSetupStep {
    /// Key; made by [`SetupStepId::new`] unless given.
    #[row(default = SetupStepId::new())]
    pub id: SetupStepId,
    /// The session that it is a part of.
    pub session_id: SetupSessionId,
    /// At most 255 characters.
    pub name: String,
    /// What the step does.
    pub description: Option<String>,
    /// Its place in the session.
    pub step_order: i32,
    /// The tool that it installs, by name, at most 255 characters.
    pub tool_name: Option<String>,
    /// The command that it runs.
    pub command: Option<String>,
    /// `pending` unless given.
    #[row(or = "'pending'")]
    pub status: Option<StepStatus>,
    /// What it has printed.
    pub logs: Option<String>,
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

/// Changes to a setup step. What is not named is kept. The check is that of [`NewSetupStep`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = setup_steps, row = SetupStep, id = SetupStepId)]
#[serde(default)]
pub struct SetupStepChanges {
    /// New display name.
    pub name: Option<String>,
    /// New description.
    pub description: Change<String>,
    /// New place in the session.
    pub step_order: Option<i32>,
    /// The tool that it installs, by name.
    pub tool_name: Change<String>,
    /// The command that it runs.
    pub command: Change<String>,
    /// New status.
    pub status: Option<StepStatus>,
    /// What it has printed, in place of the old.
    pub logs: Change<String>,
    /// Why it failed.
    pub error_message: Change<String>,
    /// When it began to run.
    pub started_at: Change<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Change<DateTime<Utc>>,
    /// How long it ran, in seconds.
    pub duration_seconds: Change<i32>,
}

/// Which setup steps are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct SetupStepFilter {
    /// Of this session.
    pub session_id: Option<SetupSessionId>,
    /// With this status.
    pub status: Option<StepStatus>,
    /// That install this tool.
    pub tool_name: Option<String>,
}

impl SetupStepFilter {
    pub(crate) fn query(&self) -> setup_steps::BoxedQuery<'_, Pg> {
        let mut query = setup_steps::table.into_boxed();
        if let Some(session_id) = self.session_id {
            query = query.filter(setup_steps::session_id.eq(session_id));
        }
        if let Some(status) = self.status {
            query = query.filter(setup_steps::status.eq(status));
        }
        if let Some(tool_name) = &self.tool_name {
            query = query.filter(setup_steps::tool_name.eq(tool_name));
        }
        query
    }
}

orders! {
    /// In which order setup steps are listed.
    SetupStepOrder of SetupStep in setup_steps {
        /// By their place in the session.
        #[default]
        StepOrder = step_order asc,
        /// Newest first.
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
