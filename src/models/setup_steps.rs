//! `setup.setup_steps`: the steps of setup sessions.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::setup::setup_steps;
use crate::{Change, SetupSession, SetupSessionId, SetupStepId, StepStatus};

/// A step of a setup session: a row of the design's `setup_steps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = setup_steps)]
#[diesel(belongs_to(SetupSession, foreign_key = session_id))]
#[non_exhaustive]
pub struct SetupStep {
    /// Primary key.
    pub id: SetupStepId,
    /// The session.
    pub session_id: SetupSessionId,
    /// Display name.
    pub name: String,
    /// A description of the step.
    pub description: Option<String>,
    /// The position in the session. It is not unique.
    pub step_order: i32,
    /// The name of the tool that the step installs.
    pub tool_name: Option<String>,
    /// The command that the step runs.
    pub command: Option<String>,
    /// The status.
    pub status: StepStatus,
    /// The output of the step.
    pub logs: Option<String>,
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

/// A setup step to be created. The database checks that `completed_at` is not before `started_at`.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = setup_steps, row = SetupStep)]
#[row(body(SetupStepBody: name, description, step_order, tool_name, command))]
#[non_exhaustive]
pub struct NewSetupStep {
    /// Primary key. Default: [`SetupStepId::new`].
    #[row(default = SetupStepId::new())]
    pub id: SetupStepId,
    /// The session.
    pub session_id: SetupSessionId,
    /// Display name, at most 255 characters.
    pub name: String,
    /// A description of the step.
    pub description: Option<String>,
    /// The position in the session.
    pub step_order: i32,
    /// The name of the tool that the step installs, at most 255 characters.
    pub tool_name: Option<String>,
    /// The command that the step runs.
    pub command: Option<String>,
    /// The status. Default: `pending`.
    #[row(or = "'pending'")]
    pub status: Option<StepStatus>,
    /// The output of the step.
    pub logs: Option<String>,
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

/// Changes to a setup step. A field that is not set keeps its value. The check is that of
/// [`NewSetupStep`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = setup_steps, row = SetupStep, id = SetupStepId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SetupStepChanges {
    /// New display name.
    pub name: Option<String>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// New position in the session.
    pub step_order: Option<i32>,
    /// The name of the tool that the step installs.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub tool_name: Change<String>,
    /// The command that the step runs.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub command: Change<String>,
    /// New status. Not read from JSON.
    #[serde(skip_deserializing)]
    pub status: Option<StepStatus>,
    /// New output, which replaces the old.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub logs: Change<String>,
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

/// A filter for setup steps. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SetupStepFilter {
    /// Only steps of this session.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub session_id: Option<SetupSessionId>,
    /// Only rows with this status.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub status: Option<StepStatus>,
    /// Only steps that install this tool.
    pub tool_name: Option<String>,
}

impl SetupStepFilter {
    pub(crate) fn query(&self) -> setup_steps::BoxedQuery<'_, Pg, RowSql<SetupStep>> {
        let mut query = setup_steps::table
            .select(columns_of::<SetupStep>())
            .into_boxed();
        if let Some(session_id) = self.session_id {
            query = query.filter(condition(
                setup_steps::table,
                setup_steps::session_id.eq(session_id),
            ));
        }
        if let Some(status) = self.status {
            query = query.filter(condition(
                setup_steps::table,
                setup_steps::status.eq(status),
            ));
        }
        if let Some(tool_name) = &self.tool_name {
            query = query.filter(condition(
                setup_steps::table,
                setup_steps::tool_name.eq(tool_name),
            ));
        }
        query
    }
}

orders! {
    /// The order in which setup steps are listed.
    SetupStepOrder of SetupStep in setup_steps {
        /// By position in the session.
        #[default]
        StepOrder = step_order asc,
        /// Newest first.
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
