//! `setup.setup_sessions`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::models::setup_lifecycle::SessionAction;
use crate::schema::setup::setup_sessions;
use crate::sql::setup_lifecycle::{AppendLog, TakeSession};
use crate::sql::{
    Sql, columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id, is_one_of, parent_id,
};
use crate::{
    Document, Error, NewSetupSession, Page, Paged, Result, SetupProfileId, SetupSession,
    SetupSessionChanges, SetupSessionFilter, SetupSessionId, SetupSessionOrder, UserId,
};

/// Stores and finds setup sessions.
#[repository]
pub trait SetupSessionRepository: Send + Sync {
    /// Creates a setup session.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such profile or user
    /// - [`Error::Check`] if progress or times contradict what [`NewSetupSession`] says
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewSetupSession) -> Result<SetupSession>;

    /// Creates any number of setup sessions, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewSetupSession]) -> Result<u64>;

    /// Returns the setup session with this id. Returns `None` if there is none.
    async fn find(&self, id: SetupSessionId) -> Result<Option<SetupSession>>;

    /// Returns the setup sessions with these ids, in the order of `ids`, with one query. An id
    /// without a row gets `None`.
    async fn find_many(&self, ids: &[SetupSessionId]) -> Result<Vec<Option<SetupSession>>>;

    /// Checks whether there is a setup session with this id.
    async fn exists(&self, id: SetupSessionId) -> Result<bool>;

    /// Returns one page of the setup sessions that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Paged<SetupSession>>;

    /// Returns one page for each profile: its sessions that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_profiles(
        &self,
        ids: &[SetupProfileId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>>;

    /// Returns one page for each user: its sessions that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>>;

    /// Streams the setup sessions that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupSessionFilter) -> RowStream<'a, SetupSession>;

    /// Counts the setup sessions that the filter matches.
    async fn count(&self, filter: &SetupSessionFilter) -> Result<u64>;

    /// Updates a setup session and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup session
    /// - [`Error::Check`] and [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(
        &self,
        id: SetupSessionId,
        changes: SetupSessionChanges,
    ) -> Result<SetupSession>;

    /// Starts a pending session now.
    ///
    /// From then on its columns follow from its steps, at each
    /// [transition](crate::SetupStepRepository::start) of one of them:
    ///
    /// - Its progress is the percentage of steps that are completed or skipped, rounded down.
    /// - Its current step is the first that runs.
    /// - Its status is failed while a step is, with that step's message. It is completed when all
    ///   steps are completed or skipped, and running otherwise.
    ///
    /// A session without steps completes immediately.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup session
    /// - [`Error::IllegalTransition`] if it is not pending
    async fn start(&self, id: SetupSessionId) -> Result<SetupSession>;

    /// Cancels a pending or running session. Steps that have not ended are skipped. The progress
    /// stays as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup session
    /// - [`Error::IllegalTransition`] if it has ended already
    async fn cancel(&self, id: SetupSessionId) -> Result<SetupSession>;

    /// Appends one entry, any JSON value, to the log.
    ///
    /// The log is neither read nor sent. So concurrent writers do not lose each other's entries,
    /// and a long log adds nothing to the traffic.
    ///
    /// The server rewrites the whole log with each entry, since it is one value of one row. For
    /// thousands of lines, collect some for each call, or write them to the [system
    /// logs](crate::SystemLogRepository).
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup session
    /// - [`Error::InvalidInput`] if the entry cannot be stored
    async fn append_log(&self, id: SetupSessionId, entry: Document) -> Result<()>;

    /// Deletes a setup session with its steps, and returns whether it existed.
    async fn delete(&self, id: SetupSessionId) -> Result<bool>;

    /// Deletes every setup session that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &SetupSessionFilter) -> Result<u64>;
}

/// The [`SetupSessionRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct SetupSessions<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the setup sessions.
    pub fn setup_sessions(&self) -> SetupSessions<'static> {
        SetupSessions(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the setup sessions within this transaction.
    pub fn setup_sessions(&self) -> SetupSessions<'_> {
        SetupSessions(self.executor())
    }
}

#[repository]
impl SetupSessions<'_> {
    /// Makes a transition, or returns the reason why it is refused.
    async fn take(&self, id: SetupSessionId, action: SessionAction) -> Result<SetupSession> {
        for _ in 0..MOST_TRIES {
            let transition = || TakeSession::new(id, action);
            if let Some(session) = steady_first_uncached(&self.0, transition).await? {
                return Ok(session);
            }
            let status = setup_sessions::table
                .find(id)
                .select(setup_sessions::status);
            match self.0.first(status).await? {
                None => {
                    return Err(Error::NotFound {
                        what: "SetupSession",
                    });
                }
                Some(status) => {
                    if let Some(refusal) = action.refusal(status) {
                        return Err(refusal);
                    }
                }
            }
        }
        Err(Error::Suppressed {
            what: "SetupSession",
        })
    }
}

#[repository(observed)]
impl SetupSessionRepository for SetupSessions<'_> {
    async fn create(&self, new: NewSetupSession) -> Result<SetupSession> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewSetupSession]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: SetupSessionId) -> Result<Option<SetupSession>> {
        self.0.first(find_by_id::<SetupSession>(id)).await
    }

    async fn find_many(&self, ids: &[SetupSessionId]) -> Result<Vec<Option<SetupSession>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn exists(&self, id: SetupSessionId) -> Result<bool> {
        self.0.one(exists_by_id::<SetupSession>(id)).await
    }

    async fn list(
        &self,
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Paged<SetupSession>> {
        let rows = filter.query().select(columns_of::<SetupSession>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_profiles(
        &self,
        ids: &[SetupProfileId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>> {
        let rows = filter
            .query()
            .filter(setup_sessions::profile_id.eq(parent_id(setup_sessions::profile_id)))
            .select(columns_of::<SetupSession>());
        let children = filter
            .query()
            .filter(is_one_of(setup_sessions::profile_id, ids))
            .select(setup_sessions::profile_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.profile_id).await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>> {
        let rows = filter
            .query()
            .filter(setup_sessions::user_id.eq(parent_id(setup_sessions::user_id)))
            .select(columns_of::<SetupSession>());
        let children = filter
            .query()
            .filter(is_one_of(setup_sessions::user_id, ids))
            .select(setup_sessions::user_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.user_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupSessionFilter) -> RowStream<'a, SetupSession> {
        self.0
            .stream(filter.query().select(columns_of::<SetupSession>()))
    }

    async fn count(&self, filter: &SetupSessionFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: SetupSessionId,
        changes: SetupSessionChanges,
    ) -> Result<SetupSession> {
        updated_row_uncached(&self.0, "SetupSession", id, &changes).await
    }

    async fn start(&self, id: SetupSessionId) -> Result<SetupSession> {
        self.take(id, SessionAction::Start).await
    }

    async fn cancel(&self, id: SetupSessionId) -> Result<SetupSession> {
        self.take(id, SessionAction::Cancel).await
    }

    async fn append_log(&self, id: SetupSessionId, entry: Document) -> Result<()> {
        let entry = entry.in_array();
        crate::validation::check(&entry, "logs", None)?;
        let statement = Sql(AppendLog::Session(id, &entry));
        match self.0.execute(statement).await? {
            0 => Err(not_written("SetupSession", self.exists(id).await?)),
            _ => Ok(()),
        }
    }

    async fn delete(&self, id: SetupSessionId) -> Result<bool> {
        match self.0.execute(delete_by_id::<SetupSession>(id)).await? {
            0 => not_deleted("SetupSession", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &SetupSessionFilter) -> Result<u64> {
        let ids = filter.query().select(setup_sessions::id);
        self.0
            .execute(delete_matching(setup_sessions::table, ids))
            .await
    }
}
