//! `setup.setup_profiles`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::schema::setup::setup_profiles;
use crate::sql::{columns_of, delete_matching, exists_by_id, find_by_id, is_one_of, parent_id};
use crate::{
    NewSetupProfile, OrganizationId, Page, Paged, ProfileVisibility, Result, SetupProfile,
    SetupProfileChanges, SetupProfileFilter, SetupProfileId, SetupProfileOrder, UserId,
};

/// Stores and finds setup profiles.
#[repository]
pub trait SetupProfileRepository: Send + Sync {
    /// Creates a setup profile.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such user or organization
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewSetupProfile) -> Result<SetupProfile>;

    /// Creates any number of setup profiles, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewSetupProfile]) -> Result<u64>;

    /// Returns the setup profile with this id. Returns `None` if there is none.
    async fn find(&self, id: SetupProfileId) -> Result<Option<SetupProfile>>;

    /// Returns the setup profiles with these ids, in the order of `ids`, with one query. An id
    /// without a row gets `None`.
    async fn find_many(&self, ids: &[SetupProfileId]) -> Result<Vec<Option<SetupProfile>>>;

    /// Returns one page of the profiles that the filter matches and this user can see: its own,
    /// those of an organization that the user is a member of, and public ones.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn visible_to(
        &self,
        user_id: UserId,
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Paged<SetupProfile>>;

    /// Returns one page of the profiles that are featured and public.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn featured(&self, page: &Page<SetupProfileOrder>) -> Result<Paged<SetupProfile>>;

    /// Checks whether there is a setup profile with this id.
    async fn exists(&self, id: SetupProfileId) -> Result<bool>;

    /// Returns one page of the setup profiles that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Paged<SetupProfile>>;

    /// Returns one page for each organization: its profiles that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Vec<Paged<SetupProfile>>>;

    /// Returns one page for each user: the profiles that the user has created and the filter
    /// matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Vec<Paged<SetupProfile>>>;

    /// Streams the setup profiles that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupProfileFilter) -> RowStream<'a, SetupProfile>;

    /// Counts the setup profiles that the filter matches.
    async fn count(&self, filter: &SetupProfileFilter) -> Result<u64>;

    /// Updates a setup profile and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such setup profile
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - The errors of [`create`](Self::create)
    async fn update(
        &self,
        id: SetupProfileId,
        changes: SetupProfileChanges,
    ) -> Result<SetupProfile>;

    /// Deletes a setup profile, and returns whether it existed.
    ///
    /// # Errors
    /// - [`Error::StillReferenced`] while sessions of it are kept
    async fn delete(&self, id: SetupProfileId) -> Result<bool>;

    /// Deletes every setup profile that the filter matches, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`delete`](Self::delete).
    async fn delete_many(&self, filter: &SetupProfileFilter) -> Result<u64>;
}

/// The [`SetupProfileRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct SetupProfiles<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the setup profiles.
    pub fn setup_profiles(&self) -> SetupProfiles<'static> {
        SetupProfiles(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the setup profiles within this transaction.
    pub fn setup_profiles(&self) -> SetupProfiles<'_> {
        SetupProfiles(self.executor())
    }
}

#[repository(observed)]
impl SetupProfileRepository for SetupProfiles<'_> {
    async fn create(&self, new: NewSetupProfile) -> Result<SetupProfile> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewSetupProfile]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn find(&self, id: SetupProfileId) -> Result<Option<SetupProfile>> {
        self.0.first(find_by_id::<SetupProfile>(id)).await
    }

    async fn find_many(&self, ids: &[SetupProfileId]) -> Result<Vec<Option<SetupProfile>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn visible_to(
        &self,
        user_id: UserId,
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Paged<SetupProfile>> {
        self.list(&filter.clone().visible_to(user_id), page).await
    }

    async fn featured(&self, page: &Page<SetupProfileOrder>) -> Result<Paged<SetupProfile>> {
        let featured = SetupProfileFilter::new()
            .is_featured(true)
            .visibility(ProfileVisibility::Public);
        self.list(&featured, page).await
    }

    async fn exists(&self, id: SetupProfileId) -> Result<bool> {
        self.0.one(exists_by_id::<SetupProfile>(id)).await
    }

    async fn list(
        &self,
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Paged<SetupProfile>> {
        let rows = filter.query().select(columns_of::<SetupProfile>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Vec<Paged<SetupProfile>>> {
        let rows = filter
            .query()
            .filter(setup_profiles::organization_id.eq(parent_id(setup_profiles::organization_id)))
            .select(columns_of::<SetupProfile>());
        let children = filter
            .query()
            .filter(is_one_of(setup_profiles::organization_id, ids))
            .select(setup_profiles::organization_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| {
            row.organization_id
        })
        .await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SetupProfileFilter,
        page: &Page<SetupProfileOrder>,
    ) -> Result<Vec<Paged<SetupProfile>>> {
        let rows = filter
            .query()
            .filter(setup_profiles::created_by.eq(parent_id(setup_profiles::created_by)))
            .select(columns_of::<SetupProfile>());
        let children = filter
            .query()
            .filter(is_one_of(setup_profiles::created_by, ids))
            .select(setup_profiles::created_by);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.created_by).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SetupProfileFilter) -> RowStream<'a, SetupProfile> {
        self.0
            .stream(filter.query().select(columns_of::<SetupProfile>()))
    }

    async fn count(&self, filter: &SetupProfileFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: SetupProfileId,
        changes: SetupProfileChanges,
    ) -> Result<SetupProfile> {
        updated_row(&self.0, "SetupProfile", id, &changes).await
    }

    async fn delete(&self, id: SetupProfileId) -> Result<bool> {
        let statement =
            diesel::delete(setup_profiles::table.find(id)).returning(setup_profiles::id);
        match deleted_row::<SetupProfileId, _>(&self.0, statement).await? {
            true => Ok(true),
            false => not_deleted("SetupProfile", self.exists(id).await?),
        }
    }

    async fn delete_many(&self, filter: &SetupProfileFilter) -> Result<u64> {
        let ids = filter.query().select(setup_profiles::id);
        let statement = delete_matching(setup_profiles::table, ids).returning(setup_profiles::id);
        deleted_each::<SetupProfileId, _>(&self.0, statement).await
    }
}
