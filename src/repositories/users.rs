//! `public.users`.

use diesel::prelude::{ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl};
use diesel::sql_types::{Text, Timestamptz};

use super::*;
use crate::mapping::{Changes as _, NewRow as _};
#[cfg(feature = "redis")]
use crate::models::access::Standing;
use crate::schema::public::{organization_members, project_members, user_sessions, users};
use crate::sql::functions::{folded, merged};
#[cfg(feature = "redis")]
use crate::sql::{Sql, access::StandingOf};
use crate::sql::{cacheable, columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id};
use crate::write_set::{Everything, Key};
use crate::{
    Document, NewUser, OrganizationId, Page, Paged, ProjectId, Result, User, UserChanges,
    UserFilter, UserId, UserOrder,
};

/// Stores and finds users.
#[repository]
pub trait UserRepository: Send + Sync {
    /// Creates a user.
    ///
    /// # Errors
    /// - [`Error::Unique`] if the address is taken
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewUser) -> Result<User>;

    /// Creates any number of users, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewUser]) -> Result<u64>;

    /// Creates a user, or updates the one with the same address. A column that is not given a value
    /// keeps its own.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn upsert(&self, new: NewUser) -> Result<User>;

    /// Returns the user with this id. Returns `None` if there is none.
    async fn find(&self, id: UserId) -> Result<Option<User>>;

    /// Returns the users with these ids, in the order of `ids`, with one query. An id without a row
    /// gets `None`.
    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<Option<User>>>;

    /// Returns the user with this address, without regard to the case of its ASCII letters. Other
    /// letters are compared as they are, in every database.
    async fn find_by_email(&self, email: &str) -> Result<Option<User>>;

    /// Returns the users with this login name on GitHub, oldest first. The schema allows several.
    async fn find_by_github_username(&self, name: &str) -> Result<Vec<User>>;

    /// Checks whether there is a user with this id.
    async fn exists(&self, id: UserId) -> Result<bool>;

    /// Returns one page of the users that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(&self, filter: &UserFilter, page: &Page<UserOrder>) -> Result<Paged<User>>;

    /// Streams the users that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a UserFilter) -> RowStream<'a, User>;

    /// Counts the users that the filter matches.
    async fn count(&self, filter: &UserFilter) -> Result<u64>;

    /// Updates a user and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such user
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - [`Error::Unique`] and [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(&self, id: UserId, changes: UserChanges) -> Result<User>;

    /// Enables or disables login for a user.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such user
    async fn set_active(&self, id: UserId, is_active: bool) -> Result<User>;

    /// Records that the user has logged in now.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such user
    async fn touch_last_login(&self, id: UserId) -> Result<User>;

    /// Merges `preferences` into the preferences: replaces the fields that it has, and keeps the
    /// others.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such user
    /// - [`Error::InvalidInput`] if it is not a JSON object
    async fn merge_preferences(&self, id: UserId, preferences: Document) -> Result<User>;

    /// Deletes a user with its sessions and memberships, and returns whether it existed.
    ///
    /// # Errors
    /// - [`Error::StillReferenced`] while projects, analyses, configurations or log entries name
    ///   the user; disable such an account with [`set_active`](Self::set_active), or erase it by
    ///   `admin::erase_user`
    async fn delete(&self, id: UserId) -> Result<bool>;

    /// Deletes every user that the filter matches, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`delete`](Self::delete).
    async fn delete_many(&self, filter: &UserFilter) -> Result<u64>;
}

/// The [`UserRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Users<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the users.
    pub fn users(&self) -> Users<'static> {
        Users(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the users within this transaction.
    pub fn users(&self) -> Users<'_> {
        Users(self.executor())
    }
}

#[cfg(feature = "redis")]
#[repository]
impl Users<'_> {
    /// Returns the state of a user on the platform and all of its memberships.
    #[unboxed]
    pub(crate) async fn standing(&self, id: UserId) -> Result<Option<Standing>> {
        self.0.first(Sql(StandingOf(id))).await
    }
}

#[repository(observed)]
impl UserRepository for Users<'_> {
    async fn create(&self, new: NewUser) -> Result<User> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewUser]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn upsert(&self, new: NewUser) -> Result<User> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        if new.ends_sessions() && write.executor().records_writes() {
            let user = users::table
                .filter(folded(users::email).eq(folded((&new.email).into_sql::<Text>())))
                .select(users::id);
            if let Some(id) = write.executor().first::<_, UserId>(user).await? {
                record_sessions(&write.executor(), id).await?;
            }
        }
        let outcome = write.executor().upsert(&new).await;
        write.finish(outcome).await
    }

    async fn find(&self, id: UserId) -> Result<Option<User>> {
        self.0.first(find_by_id::<User>(id)).await
    }

    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<Option<User>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn find_by_email(&self, email: &str) -> Result<Option<User>> {
        let query = users::table
            .filter(folded(users::email).eq(folded(email.into_sql::<Text>())))
            .select(columns_of::<User>());
        self.0.first(query).await
    }

    async fn find_by_github_username(&self, name: &str) -> Result<Vec<User>> {
        let query = users::table
            .filter(users::github_username.eq(name))
            .order(users::id)
            .select(columns_of::<User>());
        self.0.load(query).await
    }

    async fn exists(&self, id: UserId) -> Result<bool> {
        self.0.one(exists_by_id::<User>(id)).await
    }

    async fn list(&self, filter: &UserFilter, page: &Page<UserOrder>) -> Result<Paged<User>> {
        let rows = filter.query().select(columns_of::<User>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a UserFilter) -> RowStream<'a, User> {
        self.0.stream(filter.query().select(columns_of::<User>()))
    }

    async fn count(&self, filter: &UserFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(&self, id: UserId, changes: UserChanges) -> Result<User> {
        changes.check()?;
        let write = Write::begin(&self.0).await?;
        if changes.ends_sessions() {
            record_sessions(&write.executor(), id).await?;
        }
        let outcome = write.executor().update(id, &changes).await;
        let row = write.finish(outcome).await?;
        updated_or_reason(&self.0, "User", id, &changes, row).await
    }

    async fn set_active(&self, id: UserId, is_active: bool) -> Result<User> {
        self.update(id, UserChanges::new().is_active(is_active))
            .await
    }

    async fn touch_last_login(&self, id: UserId) -> Result<User> {
        let now = users::last_login_at.eq(diesel::dsl::now.into_sql::<Timestamptz>().nullable());
        let statement = diesel::update(users::table.find(id))
            .set(now)
            .returning(columns_of::<User>());
        changed_row(&self.0, cacheable(statement), "User", id).await
    }

    async fn merge_preferences(&self, id: UserId, preferences: Document) -> Result<User> {
        check_merged(&preferences, "preferences")?;
        let merged = users::preferences.eq(merged(users::preferences, preferences));
        let statement = diesel::update(users::table.find(id))
            .set(merged)
            .returning(columns_of::<User>());
        changed_row(&self.0, cacheable(statement), "User", id).await
    }

    async fn delete(&self, id: UserId) -> Result<bool> {
        let write = Write::begin(&self.0).await?;
        let outcome = delete_user(&write.executor(), id).await;
        match write.finish(outcome).await? {
            true => Ok(true),
            false => not_deleted("User", self.exists(id).await?),
        }
    }

    async fn delete_many(&self, filter: &UserFilter) -> Result<u64> {
        let ids = filter.query().select(users::id);
        let statement = delete_matching(users::table, ids);
        deleted_rows(&self.0, statement).await
    }
}

/// Deletes a user, and records the cache entries that become stale.
#[repository]
async fn delete_user(executor: &Executor<'_>, id: UserId) -> Result<bool> {
    touch_user(executor, id).await?;
    let statement = delete_by_id::<User>(id);
    Ok(executor.execute(statement).await? == 1)
}

/// Records the cache entries of a user, and of its sessions and memberships. The user stays locked,
/// so that no new row can refer to it.
#[repository]
pub(super) async fn touch_user(executor: &Executor<'_>, id: UserId) -> Result<()> {
    if executor.records_writes() {
        let user = users::table.find(id).select(users::id).for_update();
        executor.first::<_, UserId>(user).await?;
        record_sessions_of_locked(executor, id).await?;
        let organizations = organization_members::table
            .filter(organization_members::user_id.eq(id))
            .select(organization_members::organization_id);
        for organization in executor.load::<_, OrganizationId>(organizations).await? {
            executor.record_write(&Key::OrganizationMember(organization, id));
        }
        let projects = project_members::table
            .filter(project_members::user_id.eq(id))
            .select(project_members::project_id);
        for project in executor.load::<_, ProjectId>(projects).await? {
            executor.record_write(&Key::ProjectMember(project, id));
        }
        executor.record_write(&Key::User(id));
        // The memberships of other organizations are not seen here, and are deleted as well.
        if executor.organization().is_some() {
            executor.record_write(&Everything);
        }
    }
    Ok(())
}

/// Records the cache entries of a user's sessions, which a write of the user may end. While the
/// user is locked, no session is opened for it.
#[repository]
async fn record_sessions(executor: &Executor<'_>, id: UserId) -> Result<()> {
    if executor.records_writes() {
        let user = users::table.find(id).select(users::id).for_no_key_update();
        executor.first::<_, UserId>(user).await?;
        record_sessions_of_locked(executor, id).await?;
    }
    Ok(())
}

/// Records the cache entries of the sessions of a user that is locked. The sessions are locked,
/// too: a concurrent rotation of a token would move its session to a hash that is not recorded
/// here.
#[repository]
async fn record_sessions_of_locked(executor: &Executor<'_>, id: UserId) -> Result<()> {
    let sessions = user_sessions::table
        .filter(user_sessions::user_id.eq(id))
        .select(user_sessions::token_hash)
        .for_update();
    for token_hash in executor.load::<_, String>(sessions).await? {
        executor.record_write(&Key::UserSession(token_hash));
    }
    Ok(())
}
