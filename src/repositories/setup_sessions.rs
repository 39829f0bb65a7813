//! `setup.setup_sessions`.

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::schema::setup::setup_sessions;
use crate::setup_lifecycle::{AppendLog, SessionAction, TakeSession};
use crate::sql::{Changes as _, NewRow as _, delete_matching};
use crate::{
    Document, Error, NewSetupSession, Page, Paged, Result, SetupProfileId, SetupSession,
    SetupSessionChanges, SetupSessionFilter, SetupSessionId, SetupSessionOrder, UserId,
};

/// Stores and finds setup sessions.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait SetupSessionRepository: Send + Sync {
    /// Creates a setup session.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] if there is no such profile or user, [`Error::Check`] if progress or times contradict what
    /// [`NewSetupSession`] says, [`Error::InvalidInput`] if a value cannot be stored.
    async fn create(&self, new: NewSetupSession) -> Result<SetupSession>;

    /// Creates any number of setup sessions, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewSetupSession]) -> Result<usize>;

    /// The setup session with this id.
    async fn find(&self, id: SetupSessionId) -> Result<Option<SetupSession>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[SetupSessionId]) -> Result<Vec<Option<SetupSession>>>;

    /// Whether there is such a setup session.
    async fn exists(&self, id: SetupSessionId) -> Result<bool>;

    /// One page of the setup sessions that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Paged<SetupSession>>;

    /// One page of the sessions of each profile that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_profiles(
        &self,
        ids: &[SetupProfileId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>>;

    /// One page of the sessions of each user that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>>;

    /// All setup sessions that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupSessionFilter) -> RowStream<'a, SetupSession>;

    /// How many setup sessions the filter matches.
    async fn count(&self, filter: &SetupSessionFilter) -> Result<i64>;

    /// Changes a setup session; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Check`] and [`Error::InvalidInput`] as in [`create`](Self::create).
    async fn update(
        &self,
        id: SetupSessionId,
        changes: SetupSessionChanges,
    ) -> Result<SetupSession>;

    /// Starts a pending session now. From then on its status, progress and current step follow from its steps, at
    /// each step that one of them [takes](crate::SetupStepRepository::start): progress is the percentage of steps
    /// that are completed or skipped, rounded down; the current step is the first that runs; the session is failed
    /// while a step is, with that step's message, completed when all are completed or skipped, and running otherwise.
    /// A session without steps completes at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] if it is not pending.
    async fn start(&self, id: SetupSessionId) -> Result<SetupSession>;

    /// Ends a pending or running session that is no longer wanted. Steps that had not ended are skipped; the progress
    /// stays where it was.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] if it has ended already.
    async fn cancel(&self, id: SetupSessionId) -> Result<SetupSession>;

    /// Adds one entry, whatever JSON it is, to the end of the log. The log is neither read nor sent: writers do not
    /// lose each other's entries, and a long log costs them nothing on the way. In the server it costs: the log is one
    /// value of one row, which is written anew with each entry. For thousands of lines, collect some for each call, or
    /// write them to the [system logs](crate::SystemLogRepository).
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] if the entry cannot be stored.
    async fn append_log(&self, id: SetupSessionId, entry: Document) -> Result<()>;

    /// Deletes a setup session with its steps, and tells whether it was there.
    async fn delete(&self, id: SetupSessionId) -> Result<bool>;

    /// Deletes every setup session that the filter matches, all or none, and tells how many.
    async fn delete_many(&self, filter: &SetupSessionFilter) -> Result<usize>;
}

/// The [`SetupSessionRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct SetupSessions<'a>(Source<'a>);

impl Db {
    /// The setup sessions.
    pub fn setup_sessions(&self) -> SetupSessions<'static> {
        SetupSessions(self.source())
    }
}

impl Tx {
    /// The setup sessions, inside this transaction.
    pub fn setup_sessions(&self) -> SetupSessions<'_> {
        SetupSessions(self.source())
    }
}

#[repository]
impl SetupSessions<'_> {
    /// Starts or cancels, or tells why that cannot be.
    async fn take(&self, id: SetupSessionId, action: SessionAction) -> Result<SetupSession> {
        for _ in 0..MOST_TRIES {
            let taken = steady!(self, plain source => source.first(TakeSession::new(id, action)));
            if let Some(session) = taken? {
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

#[repository]
impl SetupSessionRepository for SetupSessions<'_> {
    async fn create(&self, new: NewSetupSession) -> Result<SetupSession> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewSetupSession]) -> Result<usize> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: SetupSessionId) -> Result<Option<SetupSession>> {
        self.0
            .first(
                setup_sessions::table
                    .find(id)
                    .select(SetupSession::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[SetupSessionId]) -> Result<Vec<Option<SetupSession>>> {
        let query = setup_sessions::table
            .filter(setup_sessions::id.eq_any(ids))
            .select(SetupSession::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, SetupSession>(query).await?,
            |row| row.id,
        ))
    }

    async fn exists(&self, id: SetupSessionId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                setup_sessions::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Paged<SetupSession>> {
        list!(self, SetupSession, filter, page)
    }

    async fn list_of_profiles(
        &self,
        ids: &[SetupProfileId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>> {
        list_of!(
            self,
            SetupSession,
            setup_sessions::profile_id,
            ids,
            filter,
            page
        )
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SetupSessionFilter,
        page: &Page<SetupSessionOrder>,
    ) -> Result<Vec<Paged<SetupSession>>> {
        list_of!(
            self,
            SetupSession,
            setup_sessions::user_id,
            ids,
            filter,
            page
        )
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupSessionFilter) -> RowStream<'a, SetupSession> {
        self.0
            .stream(filter.query().select(SetupSession::as_select()))
    }

    async fn count(&self, filter: &SetupSessionFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(
        &self,
        id: SetupSessionId,
        changes: SetupSessionChanges,
    ) -> Result<SetupSession> {
        changes.check()?;
        match self.0.update(id, &changes).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "SetupSession",
                &changes,
                self.exists(id).await?,
            )),
        }
    }

    async fn start(&self, id: SetupSessionId) -> Result<SetupSession> {
        self.take(id, SessionAction::Start).await
    }

    async fn cancel(&self, id: SetupSessionId) -> Result<SetupSession> {
        self.take(id, SessionAction::Cancel).await
    }

    async fn append_log(&self, id: SetupSessionId, entry: Document) -> Result<()> {
        let entry = entry.in_array();
        crate::checks::check(&entry, "logs", None)?;
        let statement = AppendLog::Session(id, &entry);
        match self.0.execute(statement).await? {
            0 => Err(Error::NotFound {
                what: "SetupSession",
            }),
            _ => Ok(()),
        }
    }

    async fn delete(&self, id: SetupSessionId) -> Result<bool> {
        Ok(self
            .0
            .execute(diesel::delete(setup_sessions::table.find(id)))
            .await?
            == 1)
    }

    async fn delete_many(&self, filter: &SetupSessionFilter) -> Result<usize> {
        let ids = filter.query().select(setup_sessions::id);
        self.0
            .execute(delete_matching(setup_sessions::table, ids))
            .await
    }
}
