//! `setup.setup_steps`.

use std::collections::HashMap;

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::models::setup_lifecycle::StepAction;
use crate::schema::setup::{setup_sessions, setup_steps};
use crate::sql::setup_lifecycle::{AppendLog, TakeStep};
use crate::sql::{
    Sql, columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id, is_one_of,
};
use crate::{
    Error, NewSetupStep, Page, Paged, Result, SetupSessionId, SetupStep, SetupStepChanges,
    SetupStepFilter, SetupStepId, SetupStepOrder,
};

/// Stores and finds setup steps.
#[repository]
pub trait SetupStepRepository: Send + Sync {
    /// Creates a setup step.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such session
    /// - [`Error::Check`] if the times contradict what [`NewSetupStep`] says
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewSetupStep) -> Result<SetupStep>;

    /// Creates any number of setup steps, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewSetupStep]) -> Result<u64>;

    /// Returns the setup step with this id. Returns `None` if there is none.
    async fn find(&self, id: SetupStepId) -> Result<Option<SetupStep>>;

    /// Returns the setup steps with these ids, in the order of `ids`, with one query. An id without
    /// a row gets `None`.
    async fn find_many(&self, ids: &[SetupStepId]) -> Result<Vec<Option<SetupStep>>>;

    /// Returns the steps of a session, in their order.
    async fn of_session(&self, session_id: SetupSessionId) -> Result<Vec<SetupStep>>;

    /// Returns the steps of each session, in their order, with one query. A session that does not
    /// exist has none.
    async fn of_sessions(&self, session_ids: &[SetupSessionId]) -> Result<Vec<Vec<SetupStep>>>;

    /// Checks whether there is a setup step with this id.
    async fn exists(&self, id: SetupStepId) -> Result<bool>;

    /// Returns one page of the setup steps that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &SetupStepFilter,
        page: &Page<SetupStepOrder>,
    ) -> Result<Paged<SetupStep>>;

    /// Streams the setup steps that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupStepFilter) -> RowStream<'a, SetupStep>;

    /// Counts the setup steps that the filter matches.
    async fn count(&self, filter: &SetupStepFilter) -> Result<u64>;

    /// Updates a setup step and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup step
    /// - [`Error::Check`] and [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(&self, id: SetupStepId, changes: SetupStepChanges) -> Result<SetupStep>;

    /// Starts a pending step of a running session now. Several steps may run at the same time.
    ///
    /// The same statement updates the session, as [its
    /// `start`](crate::SetupSessionRepository::start) describes.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup step
    /// - [`Error::IllegalTransition`] if the step is not pending or the session is not running; the
    ///   error says which
    async fn start(&self, id: SetupStepId) -> Result<SetupStep>;

    /// Completes a running step now. The duration is rounded to seconds, and is at least 1.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup step
    /// - [`Error::IllegalTransition`] if the step is not running, or the session neither running
    ///   nor failed, by another step
    async fn complete(&self, id: SetupStepId) -> Result<SetupStep>;

    /// Marks a running step as failed, with the reason. Its session is failed until the step is
    /// [retried](Self::retry) or [skipped](Self::skip).
    ///
    /// # Errors
    /// - The errors of [`complete`](Self::complete)
    /// - [`Error::InvalidInput`] if the message cannot be stored
    async fn fail(&self, id: SetupStepId, message: &str) -> Result<SetupStep>;

    /// Skips a step that is pending, running or failed. The session continues as if the step was
    /// completed.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup step
    /// - [`Error::IllegalTransition`] if the step was completed or skipped, or the session has
    ///   ended other than by a failure
    async fn skip(&self, id: SetupStepId) -> Result<SetupStep>;

    /// Resets a failed step to pending, so that it can be started again. Its logs stay. Its session
    /// is running again unless another step is failed.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup step
    /// - [`Error::IllegalTransition`] if the step has not failed or the session was cancelled
    async fn retry(&self, id: SetupStepId) -> Result<SetupStep>;

    /// Appends text to the output of the step.
    ///
    /// As with [the session's log](crate::SetupSessionRepository::append_log), only the text is
    /// sent, and the server rewrites the column.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup step
    /// - [`Error::InvalidInput`] if the text cannot be stored
    async fn append_log(&self, id: SetupStepId, text: &str) -> Result<()>;

    /// Deletes a setup step, and returns whether it existed.
    async fn delete(&self, id: SetupStepId) -> Result<bool>;

    /// Deletes every setup step that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &SetupStepFilter) -> Result<u64>;
}

/// The [`SetupStepRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct SetupSteps<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the setup steps.
    pub fn setup_steps(&self) -> SetupSteps<'static> {
        SetupSteps(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the setup steps within this transaction.
    pub fn setup_steps(&self) -> SetupSteps<'_> {
        SetupSteps(self.executor())
    }
}

#[repository]
impl SetupSteps<'_> {
    /// Makes a transition, or returns the reason why it is refused.
    async fn take(&self, id: SetupStepId, action: StepAction) -> Result<SetupStep> {
        action.check()?;
        for _ in 0..MOST_TRIES {
            let transition = || TakeStep::new(id, &action);
            if let Some(step) = steady_first_uncached(&self.0, transition).await? {
                return Ok(step);
            }
            let states = setup_steps::table
                .inner_join(setup_sessions::table)
                .filter(setup_steps::id.eq(id))
                .select((setup_steps::status, setup_sessions::status));
            match self.0.first(states).await? {
                None => return Err(Error::NotFound { what: "SetupStep" }),
                Some((step, session)) => {
                    if let Some(refusal) = action.refusal(step, session) {
                        return Err(refusal);
                    }
                }
            }
        }
        Err(Error::Suppressed { what: "SetupStep" })
    }
}

#[repository(observed)]
impl SetupStepRepository for SetupSteps<'_> {
    async fn create(&self, new: NewSetupStep) -> Result<SetupStep> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewSetupStep]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: SetupStepId) -> Result<Option<SetupStep>> {
        self.0.first(find_by_id::<SetupStep>(id)).await
    }

    async fn find_many(&self, ids: &[SetupStepId]) -> Result<Vec<Option<SetupStep>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn of_session(&self, session_id: SetupSessionId) -> Result<Vec<SetupStep>> {
        let query = setup_steps::table
            .filter(setup_steps::session_id.eq(session_id))
            .order((setup_steps::step_order, setup_steps::id))
            .select(columns_of::<SetupStep>());
        self.0.load(query).await
    }

    async fn of_sessions(&self, session_ids: &[SetupSessionId]) -> Result<Vec<Vec<SetupStep>>> {
        let query = setup_steps::table
            .filter(is_one_of(setup_steps::session_id, session_ids))
            .order((setup_steps::step_order, setup_steps::id))
            .select(columns_of::<SetupStep>());
        let mut steps: HashMap<SetupSessionId, Vec<SetupStep>> = HashMap::new();
        for step in self.0.load::<_, SetupStep>(query).await? {
            steps.entry(step.session_id).or_default().push(step);
        }
        let steps_of = |id| steps.get(id).cloned().unwrap_or_default();
        Ok(session_ids.iter().map(steps_of).collect())
    }

    async fn exists(&self, id: SetupStepId) -> Result<bool> {
        self.0.one(exists_by_id::<SetupStep>(id)).await
    }

    async fn list(
        &self,
        filter: &SetupStepFilter,
        page: &Page<SetupStepOrder>,
    ) -> Result<Paged<SetupStep>> {
        let rows = filter.query().select(columns_of::<SetupStep>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupStepFilter) -> RowStream<'a, SetupStep> {
        self.0
            .stream(filter.query().select(columns_of::<SetupStep>()))
    }

    async fn count(&self, filter: &SetupStepFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(&self, id: SetupStepId, changes: SetupStepChanges) -> Result<SetupStep> {
        updated_row_uncached(&self.0, "SetupStep", id, &changes).await
    }

    async fn start(&self, id: SetupStepId) -> Result<SetupStep> {
        self.take(id, StepAction::Start).await
    }

    async fn complete(&self, id: SetupStepId) -> Result<SetupStep> {
        self.take(id, StepAction::Complete).await
    }

    async fn fail(&self, id: SetupStepId, message: &str) -> Result<SetupStep> {
        self.take(id, StepAction::Fail(message.to_owned())).await
    }

    async fn skip(&self, id: SetupStepId) -> Result<SetupStep> {
        self.take(id, StepAction::Skip).await
    }

    async fn retry(&self, id: SetupStepId) -> Result<SetupStep> {
        self.take(id, StepAction::Retry).await
    }

    async fn append_log(&self, id: SetupStepId, text: &str) -> Result<()> {
        crate::validation::check(&text.to_owned(), "logs", None)?;
        match self.0.execute(Sql(AppendLog::Step(id, text))).await? {
            0 => Err(not_written("SetupStep", self.exists(id).await?)),
            _ => Ok(()),
        }
    }

    async fn delete(&self, id: SetupStepId) -> Result<bool> {
        match self.0.execute(delete_by_id::<SetupStep>(id)).await? {
            0 => not_deleted("SetupStep", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &SetupStepFilter) -> Result<u64> {
        let ids = filter.query().select(setup_steps::id);
        self.0
            .execute(delete_matching(setup_steps::table, ids))
            .await
    }
}
