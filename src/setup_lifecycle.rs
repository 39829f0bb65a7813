//! The life of a setup session and of its steps. The session's status, progress and current step follow from its steps,
//! in the statement that takes the step.
//!
//! Every statement locks the session first and then its steps, and reads what it has locked: a lock is taken on the
//! newest version of a row, so that of two steps that end at once the second counts the first, though its statement
//! began before the first was committed.

use diesel::dsl::{AsSelect, SqlTypeOf};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Jsonb, Text, Uuid};
use diesel::{QueryResult, Selectable};

use crate::{
    Document, Error, Result, SessionStatus, SetupSession, SetupSessionId, SetupStep, SetupStepId,
    StepStatus,
};

/// What happens to a step.
#[derive(Debug)]
pub(crate) enum StepAction {
    Start,
    Complete,
    Fail(String),
    Skip,
    Retry,
}

impl StepAction {
    /// The method that does it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Complete => "complete",
            Self::Fail(_) => "fail",
            Self::Skip => "skip",
            Self::Retry => "retry",
        }
    }

    /// The states of a step that it leads from.
    const fn from(&self) -> &'static [StepStatus] {
        use StepStatus::{Failed, Pending, Running};
        match self {
            Self::Start => &[Pending],
            Self::Complete | Self::Fail(_) => &[Running],
            Self::Skip => &[Pending, Running, Failed],
            Self::Retry => &[Failed],
        }
    }

    const fn to(&self) -> StepStatus {
        match self {
            Self::Start => StepStatus::Running,
            Self::Complete => StepStatus::Completed,
            Self::Fail(_) => StepStatus::Failed,
            Self::Skip => StepStatus::Skipped,
            Self::Retry => StepStatus::Pending,
        }
    }

    /// The states of the session in which it may happen. What runs when another step fails may still end.
    const fn within(&self) -> &'static [SessionStatus] {
        use SessionStatus::{Failed, Pending, Running};
        match self {
            Self::Start => &[Running],
            Self::Complete | Self::Fail(_) | Self::Retry => &[Running, Failed],
            Self::Skip => &[Pending, Running, Failed],
        }
    }

    /// Refuses what the database could only refuse without naming the column.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Fail(message) => crate::checks::check(message, "error_message", None),
            Self::Start | Self::Complete | Self::Skip | Self::Retry => Ok(()),
        }
    }

    /// Why it cannot happen, or `None` if it can.
    pub(crate) fn refusal(&self, step: StepStatus, session: SessionStatus) -> Option<Error> {
        if !self.from().contains(&step) {
            let (from, to) = (step.as_str(), self.to().as_str());
            return Some(Error::illegal_transition(
                "SetupStep",
                from,
                to,
                self.name(),
            ));
        }
        if !self.within().contains(&session) {
            let from = session.as_str();
            let tried = match self {
                Self::Start => "the start of a step",
                Self::Complete => "the completion of a step",
                Self::Fail(_) => "the failure of a step",
                Self::Skip => "the skipping of a step",
                Self::Retry => "the retry of a step",
            };
            return Some(Error::illegal_transition(
                "SetupSession",
                from,
                "running",
                tried,
            ));
        }
        None
    }

    fn push_changes<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("status = '");
        out.push_sql(self.to().as_str());
        out.push_sql("', error_message = ");
        match self {
            Self::Fail(message) => out.push_bind_param::<Text, _>(message)?,
            _ => out.push_sql("NULL"),
        }
        out.push_sql(match self {
            Self::Start => {
                ", started_at = pg_catalog.now(), completed_at = NULL, duration_seconds = NULL"
            }
            Self::Retry => ", started_at = NULL, completed_at = NULL, duration_seconds = NULL",
            Self::Complete | Self::Fail(_) | Self::Skip => END_OF_STEP,
        });
        Ok(())
    }
}

/// A step that never began has an end but no duration.
const END_OF_STEP: &str = ", completed_at = GREATEST(pg_catalog.now(), setup_steps.started_at), \
     duration_seconds = CASE WHEN setup_steps.started_at IS NOT NULL THEN LEAST(GREATEST(EXTRACT(EPOCH FROM \
     GREATEST(pg_catalog.now(), setup_steps.started_at) - setup_steps.started_at), 1), 2147483647)::integer END";

/// Locks the session's steps: they are known as they are now.
const LOCKED_STEPS: &str = "step AS MATERIALIZED (\
     SELECT s.id, s.name, s.step_order, s.status, s.error_message FROM setup.setup_steps AS s \
     JOIN session ON session.id = s.session_id FOR NO KEY UPDATE OF s)";

/// What the session's columns are, by its steps as `current` has them.
const FOLLOWING: &str = "progress = state.progress, current_step = state.current_step, status = state.status, \
     error_message = CASE WHEN state.status = 'failed' THEN state.error_message END, \
     started_at = state.started_at, \
     completed_at = CASE WHEN state.status IN ('completed', 'failed') \
         THEN GREATEST(pg_catalog.now(), state.started_at) END, \
     duration_seconds = CASE WHEN state.status IN ('completed', 'failed') THEN LEAST(GREATEST(EXTRACT(EPOCH FROM \
         GREATEST(pg_catalog.now(), state.started_at) - state.started_at), 1), 2147483647)::integer END \
     FROM state WHERE setup_sessions.id = state.id";

/// `state`: one row for the session, by its steps in `current`.
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

fn push_words<'w>(words: impl Iterator<Item = &'w str>, out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql(" IN (");
    for (index, word) in words.enumerate() {
        out.push_sql(if index == 0 { "'" } else { ", '" });
        out.push_sql(word);
        out.push_sql("'");
    }
    out.push_sql(")");
}

/// Takes a step, and the session with it. No row where the state of one of them does not allow it.
pub(crate) struct TakeStep<'a> {
    id: SetupStepId,
    action: &'a StepAction,
    returning: <SetupStep as Selectable<Pg>>::SelectExpression,
}

impl<'a> TakeStep<'a> {
    pub(crate) fn new(id: SetupStepId, action: &'a StepAction) -> Self {
        Self {
            id,
            action,
            returning: <SetupStep as Selectable<Pg>>::construct_selection(),
        }
    }
}

impl QueryFragment<Pg> for TakeStep<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH session AS MATERIALIZED (SELECT id, status, started_at FROM setup.setup_sessions \
             WHERE id = (SELECT session_id FROM setup.setup_steps WHERE id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(") FOR NO KEY UPDATE), ");
        out.push_sql(LOCKED_STEPS);
        out.push_sql(", taken AS (UPDATE setup.setup_steps SET ");
        self.action.push_changes(&mut out)?;
        out.push_sql(" FROM session, step WHERE setup_steps.id = step.id AND step.id = ");
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(" AND step.status");
        push_words(
            self.action.from().iter().map(|word| word.as_str()),
            &mut out,
        );
        out.push_sql(" AND session.status");
        push_words(
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
        out.push_sql(FOLLOWING);
        out.push_sql(" AND EXISTS (SELECT FROM taken)) SELECT * FROM taken");
        Ok(())
    }
}

/// What happens to a session as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SessionAction {
    Start,
    Cancel,
}

impl SessionAction {
    const fn from(self) -> &'static [SessionStatus] {
        match self {
            Self::Start => &[SessionStatus::Pending],
            Self::Cancel => &[SessionStatus::Pending, SessionStatus::Running],
        }
    }

    /// Why it cannot happen, or `None` if it can.
    pub(crate) fn refusal(self, session: SessionStatus) -> Option<Error> {
        if self.from().contains(&session) {
            return None;
        }
        let (to, name) = match self {
            Self::Start => (SessionStatus::Running, "start"),
            Self::Cancel => (SessionStatus::Cancelled, "cancel"),
        };
        let (from, to) = (session.as_str(), to.as_str());
        Some(Error::illegal_transition("SetupSession", from, to, name))
    }
}

/// Starts or cancels a session. No row where its state does not allow it.
pub(crate) struct TakeSession {
    id: SetupSessionId,
    action: SessionAction,
    returning: <SetupSession as Selectable<Pg>>::SelectExpression,
}

impl TakeSession {
    pub(crate) fn new(id: SetupSessionId, action: SessionAction) -> Self {
        Self {
            id,
            action,
            returning: <SetupSession as Selectable<Pg>>::construct_selection(),
        }
    }
}

impl QueryFragment<Pg> for TakeSession {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH session AS MATERIALIZED (SELECT id, status, started_at FROM setup.setup_sessions WHERE id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(" AND status");
        push_words(
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
                out.push_sql(FOLLOWING);
            }
            SessionAction::Cancel => {
                out.push_sql(", skipped AS (UPDATE setup.setup_steps SET status = 'skipped'");
                out.push_sql(END_OF_STEP);
                out.push_sql(
                    " FROM step WHERE setup_steps.id = step.id AND step.status IN ('pending', 'running')) \
                     UPDATE setup.setup_sessions SET status = 'cancelled', current_step = NULL, \
                     completed_at = CASE WHEN session.started_at IS NOT NULL \
                         THEN GREATEST(pg_catalog.now(), session.started_at) END, \
                     duration_seconds = CASE WHEN session.started_at IS NOT NULL THEN \
                         LEAST(GREATEST(EXTRACT(EPOCH FROM GREATEST(pg_catalog.now(), session.started_at) \
                         - session.started_at), 1), 2147483647)::integer END \
                     FROM session WHERE setup_sessions.id = session.id",
                );
            }
        }
        out.push_sql(" RETURNING ");
        self.returning.walk_ast(out)
    }
}

/// Adds to a log where it lies.
pub(crate) enum AppendLog<'a> {
    /// To a session's array, in an array of its own, so that an entry that is an array stays one entry. A stored null
    /// is an empty array; another value that is no array becomes the first entry.
    Session(SetupSessionId, &'a Document),
    /// To a step's text.
    Step(SetupStepId, &'a str),
}

impl QueryFragment<Pg> for AppendLog<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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

/// Known by its text, which depends on what happens alone.
macro_rules! statements {
    ($($statement:ty),*) => {$(
        impl QueryId for $statement {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }

        #[cfg(feature = "blocking")]
        impl<C> diesel::RunQueryDsl<C> for $statement {}
    )*};
}
statements!(TakeStep<'_>, TakeSession, AppendLog<'_>);

impl Query for TakeStep<'_> {
    type SqlType = SqlTypeOf<AsSelect<SetupStep, Pg>>;
}

impl Query for TakeSession {
    type SqlType = SqlTypeOf<AsSelect<SetupSession, Pg>>;
}
