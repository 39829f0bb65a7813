//! The transitions between the states of a setup session and of its steps.
//!
//! The session's status, progress and current step are derived from its steps, in the statement
//! that changes a step.
//!
//! Every statement locks the session first and then its steps, and reads the locked rows. A lock is
//! taken on the newest version of a row. So if two steps end at the same time, the second statement
//! counts the first step, although it began before the first was committed.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Jsonb, Text, Uuid};

use super::run_times::{push_duration, push_end, push_end_if};
use super::{Identity, Sql, Statement};
use crate::mapping::{Columns, RowSql, columns_of};
use crate::models::setup_lifecycle::{SessionAction, StepAction};
use crate::{Document, SetupSession, SetupSessionId, SetupStep, SetupStepId};

/// Writes the assignments of the UPDATE.
fn push_changes<'b>(action: &'b StepAction, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql("status = '");
    out.push_sql(action.to().as_str());
    out.push_sql("', error_message = ");
    match action {
        StepAction::Fail(message) => out.push_bind_param::<Text, _>(message)?,
        _ => out.push_sql("NULL"),
    }
    match action {
        StepAction::Start => out.push_sql(
            ", started_at = pg_catalog.now(), completed_at = NULL, duration_seconds = NULL",
        ),
        StepAction::Retry => {
            out.push_sql(", started_at = NULL, completed_at = NULL, duration_seconds = NULL");
        }
        StepAction::Complete | StepAction::Fail(_) | StepAction::Skip => push_end_of_step(out),
    }
    Ok(())
}

/// The SQL of `step`, which locks the session's steps and reads their current state.
const LOCKED_STEPS: &str = "step AS MATERIALIZED (\
     SELECT s.id, s.name, s.step_order, s.status, s.error_message FROM setup.setup_steps AS s \
     JOIN session ON session.id = s.session_id FOR NO KEY UPDATE OF s)";

/// Writes the assignments that end a step. A step that never started gets an end but no duration.
fn push_end_of_step(out: &mut AstPass<'_, '_, Pg>) {
    const START: &str = "setup_steps.started_at";
    out.push_sql(", completed_at = ");
    push_end(START, out);
    out.push_sql(", duration_seconds = CASE WHEN setup_steps.started_at IS NOT NULL THEN ");
    push_duration(START, out);
    out.push_sql(" END");
}

/// Writes the assignments that derive the session's columns from `state`.
fn push_derived_columns(out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql(
        "progress = state.progress, current_step = state.current_step, status = state.status, \
         error_message = CASE WHEN state.status = 'failed' THEN state.error_message END, \
         started_at = state.started_at, ",
    );
    push_end_if(
        "state.status IN ('completed', 'failed')",
        "state.started_at",
        out,
    );
    out.push_sql(" FROM state WHERE setup_sessions.id = state.id");
}

/// Writes `state`: one row for the session, derived from its steps in `current`.
fn push_state(started_at: &str, pending: &str, out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql(
        "state AS (SELECT session.id, steps.current_step, steps.error_message, \
         CASE WHEN steps.total = 0 THEN 100 ELSE 100 * steps.done / steps.total END::integer AS progress, ",
    );
    out.push_sql(started_at);
    out.push_sql(" AS started_at, (CASE ");
    out.push_sql(pending);
    out.push_sql(
        "WHEN steps.has_failed THEN 'failed' WHEN steps.done = steps.total THEN 'completed' ELSE 'running' END)\
         ::setup.session_status AS status FROM session CROSS JOIN (SELECT pg_catalog.count(*) AS total, \
         pg_catalog.count(*) FILTER (WHERE status IN ('completed', 'skipped')) AS done, \
         pg_catalog.bool_or(status = 'failed') AS has_failed, \
         (pg_catalog.array_agg(name ORDER BY step_order, id) FILTER (WHERE status = 'running'))[1] AS current_step, \
         (pg_catalog.array_agg(error_message ORDER BY step_order, id) FILTER (WHERE status = 'failed'))[1] \
         AS error_message FROM current) AS steps)",
    );
}

/// Writes `IN` with these words.
fn push_in_list<'w>(words: impl Iterator<Item = &'w str>, out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql(" IN (");
    for (index, word) in words.enumerate() {
        out.push_sql(if index == 0 { "'" } else { ", '" });
        out.push_sql(word);
        out.push_sql("'");
    }
    out.push_sql(")");
}

/// The statement that changes the state of a step and updates the session. It returns no row if the
/// state of one of them does not allow it.
pub(crate) struct TakeStep<'a> {
    id: SetupStepId,
    action: &'a StepAction,
    returning: Columns<SetupStep>,
}

impl<'a> TakeStep<'a> {
    pub(crate) fn new(id: SetupStepId, action: &'a StepAction) -> Sql<Self> {
        Sql(Self {
            id,
            action,
            returning: columns_of::<SetupStep>(),
        })
    }
}

impl Statement for TakeStep<'_> {
    type SqlType = RowSql<SetupStep>;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH session AS MATERIALIZED (SELECT id, status, started_at FROM setup.setup_sessions \
             WHERE id = (SELECT session_id FROM setup.setup_steps WHERE id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(") FOR NO KEY UPDATE), ");
        out.push_sql(LOCKED_STEPS);
        out.push_sql(", taken AS (UPDATE setup.setup_steps SET ");
        push_changes(self.action, &mut out)?;
        out.push_sql(" FROM session, step WHERE setup_steps.id = step.id AND step.id = ");
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(" AND step.status");
        push_in_list(
            self.action.from().iter().map(|word| word.as_str()),
            &mut out,
        );
        out.push_sql(" AND session.status");
        push_in_list(
            self.action.within().iter().map(|word| word.as_str()),
            &mut out,
        );
        out.push_sql(" RETURNING ");
        self.returning.walk_ast(out.reborrow())?;
        out.push_sql(
            "), current AS (SELECT step.id, step.name, step.step_order, \
             CASE WHEN taken.id IS NULL THEN step.status ELSE taken.status END AS status, \
             CASE WHEN taken.id IS NULL THEN step.error_message ELSE taken.error_message END AS error_message \
             FROM step LEFT JOIN taken ON taken.id = step.id), ",
        );
        push_state(
            "CASE WHEN session.status = 'pending' THEN session.started_at \
             ELSE COALESCE(session.started_at, pg_catalog.now() - INTERVAL '1 second') END",
            "WHEN session.status = 'pending' THEN 'pending' ",
            &mut out,
        );
        out.push_sql(", followed AS (UPDATE setup.setup_sessions SET ");
        push_derived_columns(&mut out);
        out.push_sql(" AND EXISTS (SELECT FROM taken)) SELECT * FROM taken");
        Ok(())
    }
}

/// The statement that starts or cancels a session. It returns no row if the session's state does
/// not allow it.
pub(crate) struct TakeSession {
    id: SetupSessionId,
    action: SessionAction,
    returning: Columns<SetupSession>,
}

impl TakeSession {
    pub(crate) fn new(id: SetupSessionId, action: SessionAction) -> Sql<Self> {
        Sql(Self {
            id,
            action,
            returning: columns_of::<SetupSession>(),
        })
    }
}

impl Statement for TakeSession {
    type SqlType = RowSql<SetupSession>;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH session AS MATERIALIZED (SELECT id, status, started_at FROM setup.setup_sessions WHERE id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(" AND status");
        push_in_list(
            self.action.from().iter().map(|word| word.as_str()),
            &mut out,
        );
        out.push_sql(" FOR NO KEY UPDATE), ");
        out.push_sql(LOCKED_STEPS);
        match self.action {
            SessionAction::Start => {
                out.push_sql(", current AS (SELECT * FROM step), ");
                push_state("pg_catalog.now()", "", &mut out);
                out.push_sql(" UPDATE setup.setup_sessions SET ");
                push_derived_columns(&mut out);
            }
            SessionAction::Cancel => {
                out.push_sql(", skipped AS (UPDATE setup.setup_steps SET status = 'skipped'");
                push_end_of_step(&mut out);
                out.push_sql(
                    " FROM step WHERE setup_steps.id = step.id AND step.status IN ('pending', 'running')) \
                     UPDATE setup.setup_sessions SET status = 'cancelled', current_step = NULL, ",
                );
                push_end_if(
                    "session.started_at IS NOT NULL",
                    "session.started_at",
                    &mut out,
                );
                out.push_sql(" FROM session WHERE setup_sessions.id = session.id");
            }
        }
        out.push_sql(" RETURNING ");
        self.returning.walk_ast(out)
    }
}

/// The statement that appends to a log, without reading the log first.
pub(crate) enum AppendLog<'a> {
    /// Appends to a session's array. The entry is bound in an array of its own, so that an entry
    /// that is an array stays one entry. A stored null counts as an empty array. Any other value
    /// that is not an array becomes the first entry.
    Session(SetupSessionId, &'a Document),
    /// Appends to a step's text.
    Step(SetupStepId, &'a str),
}

impl Statement for AppendLog<'_> {
    type SqlType = ();
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::Session(id, entry) => {
                out.push_sql(
                    "UPDATE setup.setup_sessions SET logs = CASE WHEN logs = 'null' THEN '[]' ELSE logs END || ",
                );
                out.push_bind_param::<Jsonb, _>(entry)?;
                out.push_sql(" WHERE id = ");
                out.push_bind_param::<Uuid, _>(id)
            }
            Self::Step(id, text) => {
                out.push_sql("UPDATE setup.setup_steps SET logs = COALESCE(logs, '') || ");
                out.push_bind_param::<Text, _>(text)?;
                out.push_sql(" WHERE id = ");
                out.push_bind_param::<Uuid, _>(id)
            }
        }
    }
}
