//! `public.user_sessions`.

use diesel::prelude::{ExpressionMethods, IntoSql, QueryDsl};
use diesel::sql_types::Timestamptz;

use super::*;
use crate::mapping::Changes as _;
use crate::schema::public::user_sessions;
use crate::sql::{
    cacheable, columns_of, delete_matching, exists_by_id, find_by_id, is_one_of, parent_id,
    update_matching,
};
use crate::write_set::Key;
use crate::{
    Error, NewUserSession, Page, Paged, Result, UserId, UserSession, UserSessionChanges,
    UserSessionFilter, UserSessionId, UserSessionOrder,
};

/// Stores and finds the sessions of users.
#[repository]
pub trait UserSessionRepository: Send + Sync {
    /// Creates a session.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such user
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewUserSession) -> Result<UserSession>;

    /// Creates any number of sessions, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewUserSession]) -> Result<u64>;

    /// Returns the session with this id, expired or not. Returns `None` if there is none.
    async fn find(&self, id: UserSessionId) -> Result<Option<UserSession>>;

    /// Returns the sessions with these ids, in the order of `ids`, with one query. An id without a
    /// row gets `None`.
    async fn find_many(&self, ids: &[UserSessionId]) -> Result<Vec<Option<UserSession>>>;

    /// Returns the session with this hash of its token that has not expired, by the server's clock.
    /// The schema allows several; it returns the newest.
    async fn find_by_token_hash(&self, token_hash: &str) -> Result<Option<UserSession>>;

    /// Returns the session with this hash of its refresh token, as
    /// [`find_by_token_hash`](Self::find_by_token_hash) does.
    async fn find_by_refresh_token_hash(&self, token_hash: &str) -> Result<Option<UserSession>>;

    /// Returns the sessions of each user, oldest first, with one query. The lists are in the order
    /// of `ids`.
    async fn of_users(&self, ids: &[UserId]) -> Result<Vec<Vec<UserSession>>>;

    /// Checks whether there is a session with this id, expired or not.
    async fn exists(&self, id: UserSessionId) -> Result<bool>;

    /// Returns one page of the sessions that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &UserSessionFilter,
        page: &Page<UserSessionOrder>,
    ) -> Result<Paged<UserSession>>;

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
        filter: &UserSessionFilter,
        page: &Page<UserSessionOrder>,
    ) -> Result<Vec<Paged<UserSession>>>;

    /// Streams the sessions that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a UserSessionFilter) -> RowStream<'a, UserSession>;

    /// Counts the sessions that the filter matches.
    async fn count(&self, filter: &UserSessionFilter) -> Result<u64>;

    /// Updates a session and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such session
    /// - [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(&self, id: UserSessionId, changes: UserSessionChanges) -> Result<UserSession>;

    /// Updates every session that the filter matches, all or none, and returns their number. For
    /// example, sessions of a user end earlier. Changes without an assignment update none.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a value cannot be stored, or the changes set the hash of a
    ///   token, which one session has
    async fn update_many(
        &self,
        filter: &UserSessionFilter,
        changes: UserSessionChanges,
    ) -> Result<u64>;

    /// Records that the session is used now.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such session
    async fn touch(&self, id: UserSessionId) -> Result<UserSession>;

    /// Deletes a session, and returns whether it existed.
    async fn delete(&self, id: UserSessionId) -> Result<bool>;

    /// Deletes every session of a user, and returns their number.
    async fn delete_for_user(&self, user_id: UserId) -> Result<u64>;

    /// Deletes at most `limit` sessions that have expired, by the server's clock, and returns their
    /// number.
    ///
    /// It begins with those that expired first. Call it until it returns 0 to delete them all in
    /// short transactions.
    ///
    /// It skips sessions that another transaction has locked, so that any number of callers may run
    /// at once.
    async fn delete_expired(&self, limit: u32) -> Result<u64>;

    /// Deletes every session that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &UserSessionFilter) -> Result<u64>;
}

/// The [`UserSessionRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct UserSessions<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the sessions of users.
    pub fn user_sessions(&self) -> UserSessions<'static> {
        UserSessions(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the sessions of users within this transaction.
    pub fn user_sessions(&self) -> UserSessions<'_> {
        UserSessions(self.executor())
    }
}

#[repository(observed)]
impl UserSessionRepository for UserSessions<'_> {
    async fn create(&self, new: NewUserSession) -> Result<UserSession> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewUserSession]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn find(&self, id: UserSessionId) -> Result<Option<UserSession>> {
        self.0.first(find_by_id::<UserSession>(id)).await
    }

    async fn find_many(&self, ids: &[UserSessionId]) -> Result<Vec<Option<UserSession>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn find_by_token_hash(&self, token_hash: &str) -> Result<Option<UserSession>> {
        let query = user_sessions::table
            .filter(user_sessions::token_hash.eq(token_hash))
            .filter(user_sessions::expires_at.gt(diesel::dsl::now.into_sql::<Timestamptz>()))
            .order((user_sessions::created_at.desc(), user_sessions::id.desc()))
            .limit(1)
            .select(columns_of::<UserSession>());
        self.0.first(query).await
    }

    async fn find_by_refresh_token_hash(&self, token_hash: &str) -> Result<Option<UserSession>> {
        let query = user_sessions::table
            .filter(user_sessions::refresh_token_hash.eq(token_hash))
            .filter(user_sessions::expires_at.gt(diesel::dsl::now.into_sql::<Timestamptz>()))
            .order((user_sessions::created_at.desc(), user_sessions::id.desc()))
            .limit(1)
            .select(columns_of::<UserSession>());
        self.0.first(query).await
    }

    async fn of_users(&self, ids: &[UserId]) -> Result<Vec<Vec<UserSession>>> {
        let query = user_sessions::table
            .filter(is_one_of(user_sessions::user_id, ids))
            .order((user_sessions::created_at, user_sessions::id))
            .select(columns_of::<UserSession>());
        Ok(grouped_by(
            ids,
            self.0.load::<_, UserSession>(query).await?,
            |row| row.user_id,
        ))
    }

    async fn exists(&self, id: UserSessionId) -> Result<bool> {
        self.0.one(exists_by_id::<UserSession>(id)).await
    }

    async fn list(
        &self,
        filter: &UserSessionFilter,
        page: &Page<UserSessionOrder>,
    ) -> Result<Paged<UserSession>> {
        let rows = filter.query().select(columns_of::<UserSession>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &UserSessionFilter,
        page: &Page<UserSessionOrder>,
    ) -> Result<Vec<Paged<UserSession>>> {
        let rows = filter
            .query()
            .filter(user_sessions::user_id.eq(parent_id(user_sessions::user_id)))
            .select(columns_of::<UserSession>());
        let children = filter
            .query()
            .filter(is_one_of(user_sessions::user_id, ids))
            .select(user_sessions::user_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.user_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a UserSessionFilter) -> RowStream<'a, UserSession> {
        self.0
            .stream(filter.query().select(columns_of::<UserSession>()))
    }

    async fn count(&self, filter: &UserSessionFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(&self, id: UserSessionId, changes: UserSessionChanges) -> Result<UserSession> {
        let write = Write::begin(&self.0).await?;
        let outcome = UserSessions(write.executor()).change(id, changes).await;
        write.finish(outcome).await
    }

    async fn update_many(
        &self,
        filter: &UserSessionFilter,
        changes: UserSessionChanges,
    ) -> Result<u64> {
        for (column, is_set) in [
            ("token_hash", changes.token_hash.is_some()),
            (
                "refresh_token_hash",
                changes.refresh_token_hash.value().is_some(),
            ),
        ] {
            if is_set {
                return Err(Error::invalid(column, "belongs to one session"));
            }
        }
        changes.check()?;
        if changes.is_empty() {
            return Ok(0);
        }
        let ids = filter.query().select(user_sessions::id);
        let statement = update_matching(&changes, ids).returning(user_sessions::token_hash);
        written_sessions(&self.0, statement).await
    }

    async fn touch(&self, id: UserSessionId) -> Result<UserSession> {
        let now = user_sessions::last_used_at.eq(diesel::dsl::now.into_sql::<Timestamptz>());
        let statement = diesel::update(user_sessions::table.find(id))
            .set(now)
            .returning(columns_of::<UserSession>());
        changed_row(&self.0, cacheable(statement), "UserSession", id).await
    }

    async fn delete(&self, id: UserSessionId) -> Result<bool> {
        let statement = diesel::delete(user_sessions::table.find(id));
        let statement = statement.returning(user_sessions::token_hash);
        let write = Write::begin(&self.0).await?;
        let outcome: Result<Option<String>> = write.executor().first(statement).await;
        let key_of = |hash: &Option<String>| hash.clone().map(Key::UserSession);
        let deleted = write.finish_touching(outcome, key_of).await?;
        match deleted {
            Some(_) => Ok(true),
            None => not_deleted("UserSession", self.exists(id).await?),
        }
    }

    async fn delete_for_user(&self, user_id: UserId) -> Result<u64> {
        let of_user = user_sessions::table.filter(user_sessions::user_id.eq(user_id));
        let statement = diesel::delete(of_user).returning(user_sessions::token_hash);
        written_sessions(&self.0, statement).await
    }

    async fn delete_expired(&self, limit: u32) -> Result<u64> {
        let sessions = diesel::alias!(user_sessions as expired);
        let expires_at = sessions.field(user_sessions::expires_at);
        let expired = sessions
            .filter(expires_at.le(diesel::dsl::now.into_sql::<Timestamptz>()))
            .order(expires_at)
            .limit(limit.into())
            .select(sessions.field(user_sessions::id))
            .for_update()
            .skip_locked();
        let among_them = user_sessions::table.filter(user_sessions::id.eq_any(expired));
        // A reader that finds one of these in a cache checks that it has not expired.
        self.0.execute(diesel::delete(among_them)).await
    }

    async fn delete_many(&self, filter: &UserSessionFilter) -> Result<u64> {
        let ids = filter.query().select(user_sessions::id);
        let statement = delete_matching(user_sessions::table, ids);
        let statement = statement.returning(user_sessions::token_hash);
        written_sessions(&self.0, statement).await
    }
}

#[repository]
impl UserSessions<'_> {
    /// Updates a session, and records the cache entry of its previous token hash.
    async fn change(&self, id: UserSessionId, changes: UserSessionChanges) -> Result<UserSession> {
        if changes.token_hash.is_some() && self.0.records_writes() {
            let session = user_sessions::table
                .find(id)
                .select(user_sessions::token_hash)
                .for_update();
            let token_hash: Option<String> = self.0.first(session).await?;
            self.0.record_write(&token_hash.map(Key::UserSession));
        }
        updated_row(&self.0, "UserSession", id, &changes).await
    }
}

/// Runs a statement that returns the token hash of each session that it writes, records their cache
/// entries, and returns their number.
#[repository]
async fn written_sessions<Q>(executor: &Executor<'_>, statement: Q) -> Result<u64>
where
    Q: Loads<String> + Send,
{
    let write = Write::begin(executor).await?;
    let outcome = statement.load_all(&write.executor()).await;
    let written = write
        .finish_touching(outcome, |hashes| keys_of(hashes))
        .await?;
    Ok(written.len() as u64)
}

fn keys_of(token_hashes: &[String]) -> Vec<Key> {
    token_hashes.iter().cloned().map(Key::UserSession).collect()
}
