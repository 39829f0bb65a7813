//! `public.organizations`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::models::access::organization_access;
use crate::schema::public::{organization_members, organizations, projects};
use crate::sql::access::FactsOfOrganization;
use crate::sql::functions::merged;
use crate::sql::{
    Sql, cacheable, columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id,
};
use crate::write_set::Key;
use crate::{
    Access, Document, NewOrganization, Organization, OrganizationChanges, OrganizationFilter,
    OrganizationId, OrganizationOrder, OrganizationRole, Page, Paged, ProjectId, Result,
    SubscriptionPlan, UserId, UserRole,
};

/// Stores and finds organizations.
#[repository]
pub trait OrganizationRepository: Send + Sync {
    /// Creates an organization.
    ///
    /// # Errors
    /// - [`Error::Unique`] if the slug is taken
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewOrganization) -> Result<Organization>;

    /// Creates any number of organizations, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewOrganization]) -> Result<u64>;

    /// Creates an organization, or updates the one with the same slug. A column that is not given a
    /// value keeps its own.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn upsert(&self, new: NewOrganization) -> Result<Organization>;

    /// Returns the organization with this id. Returns `None` if there is none.
    async fn find(&self, id: OrganizationId) -> Result<Option<Organization>>;

    /// Returns the organizations with these ids, in the order of `ids`, with one query. An id
    /// without a row gets `None`.
    async fn find_many(&self, ids: &[OrganizationId]) -> Result<Vec<Option<Organization>>>;

    /// Returns the organization with this slug.
    async fn find_by_slug(&self, slug: &str) -> Result<Option<Organization>>;

    /// Returns the organizations that a user is a member of, sorted by name, with the role of the
    /// user in each.
    async fn of_user(&self, user_id: UserId) -> Result<Vec<(Organization, OrganizationRole)>>;

    /// Checks whether there is an organization with this id.
    async fn exists(&self, id: OrganizationId) -> Result<bool>;

    /// Returns one page of the organizations that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &OrganizationFilter,
        page: &Page<OrganizationOrder>,
    ) -> Result<Paged<Organization>>;

    /// Streams the organizations that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a OrganizationFilter) -> RowStream<'a, Organization>;

    /// Counts the organizations that the filter matches.
    async fn count(&self, filter: &OrganizationFilter) -> Result<u64>;

    /// Returns the access of a user to an organization. Returns `None` if the user has none.
    ///
    /// The role is that of the membership, or `owner` for an administrator of the platform. An
    /// inactive user has no access. What [`ProjectRepository::access`] says of removals holds here
    /// as well.
    async fn access(
        &self,
        user_id: UserId,
        id: OrganizationId,
    ) -> Result<Option<Access<OrganizationRole>>>;

    /// Updates an organization and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such organization
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - [`Error::Unique`] and [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(
        &self,
        id: OrganizationId,
        changes: OrganizationChanges,
    ) -> Result<Organization>;

    /// Changes the organization's subscription plan.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such organization
    async fn change_plan(&self, id: OrganizationId, plan: SubscriptionPlan)
    -> Result<Organization>;

    /// Merges `settings` into the settings: replaces the fields that it has, and keeps the others.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such organization
    /// - [`Error::InvalidInput`] if it is not a JSON object
    async fn merge_settings(&self, id: OrganizationId, settings: Document) -> Result<Organization>;

    /// Deletes an organization with its memberships, projects, configurations and integrations, and
    /// returns whether it existed.
    ///
    /// # Errors
    /// - [`Error::StillReferenced`] while setup profiles or log entries name the organization
    async fn delete(&self, id: OrganizationId) -> Result<bool>;

    /// Deletes every organization that the filter matches, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`delete`](Self::delete).
    async fn delete_many(&self, filter: &OrganizationFilter) -> Result<u64>;
}

/// The [`OrganizationRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Organizations<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the organizations.
    pub fn organizations(&self) -> Organizations<'static> {
        Organizations(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the organizations within this transaction.
    pub fn organizations(&self) -> Organizations<'_> {
        Organizations(self.executor())
    }
}

#[repository(observed)]
impl OrganizationRepository for Organizations<'_> {
    async fn create(&self, new: NewOrganization) -> Result<Organization> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewOrganization]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn upsert(&self, new: NewOrganization) -> Result<Organization> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().upsert(&new).await;
        write.finish(outcome).await
    }

    async fn find(&self, id: OrganizationId) -> Result<Option<Organization>> {
        self.0.first(find_by_id::<Organization>(id)).await
    }

    async fn find_many(&self, ids: &[OrganizationId]) -> Result<Vec<Option<Organization>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn find_by_slug(&self, slug: &str) -> Result<Option<Organization>> {
        let query = organizations::table
            .filter(organizations::slug.eq(slug))
            .select(columns_of::<Organization>());
        self.0.first(query).await
    }

    async fn of_user(&self, user_id: UserId) -> Result<Vec<(Organization, OrganizationRole)>> {
        let query = organizations::table
            .inner_join(organization_members::table)
            .filter(organization_members::user_id.eq(user_id))
            .order((organizations::name, organizations::id))
            .select((columns_of::<Organization>(), organization_members::role));
        self.0.load(query).await
    }

    async fn exists(&self, id: OrganizationId) -> Result<bool> {
        self.0.one(exists_by_id::<Organization>(id)).await
    }

    async fn list(
        &self,
        filter: &OrganizationFilter,
        page: &Page<OrganizationOrder>,
    ) -> Result<Paged<Organization>> {
        let rows = filter.query().select(columns_of::<Organization>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a OrganizationFilter) -> RowStream<'a, Organization> {
        self.0
            .stream(filter.query().select(columns_of::<Organization>()))
    }

    async fn count(&self, filter: &OrganizationFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn access(
        &self,
        user_id: UserId,
        id: OrganizationId,
    ) -> Result<Option<Access<OrganizationRole>>> {
        let facts = Sql(FactsOfOrganization { user_id, id });
        let facts: Option<(UserRole, Option<OrganizationRole>)> = self.0.first(facts).await?;
        Ok(facts.and_then(|(platform, member)| organization_access(platform, member)))
    }

    async fn update(
        &self,
        id: OrganizationId,
        changes: OrganizationChanges,
    ) -> Result<Organization> {
        updated_row(&self.0, "Organization", id, &changes).await
    }

    async fn change_plan(
        &self,
        id: OrganizationId,
        plan: SubscriptionPlan,
    ) -> Result<Organization> {
        self.update(id, OrganizationChanges::new().subscription_plan(plan))
            .await
    }

    async fn merge_settings(&self, id: OrganizationId, settings: Document) -> Result<Organization> {
        check_merged(&settings, "settings")?;
        let merged = organizations::settings.eq(merged(organizations::settings, settings));
        let statement = diesel::update(organizations::table.find(id))
            .set(merged)
            .returning(columns_of::<Organization>());
        changed_row(&self.0, cacheable(statement), "Organization", id).await
    }

    async fn delete(&self, id: OrganizationId) -> Result<bool> {
        let write = Write::begin(&self.0).await?;
        let outcome = delete_organization(&write.executor(), id).await;
        match write.finish(outcome).await? {
            true => Ok(true),
            false => not_deleted("Organization", self.exists(id).await?),
        }
    }

    async fn delete_many(&self, filter: &OrganizationFilter) -> Result<u64> {
        let ids = filter.query().select(organizations::id);
        let statement = delete_matching(organizations::table, ids);
        deleted_rows(&self.0, statement).await
    }
}

/// Deletes an organization, and records the cache entries that become stale. While the organization
/// is locked, no new row can refer to it.
#[repository]
pub(super) async fn delete_organization(
    executor: &Executor<'_>,
    id: OrganizationId,
) -> Result<bool> {
    if executor.records_writes() {
        let organization = organizations::table
            .find(id)
            .select(organizations::id)
            .for_update();
        executor.first::<_, OrganizationId>(organization).await?;
        let members = organization_members::table
            .filter(organization_members::organization_id.eq(id))
            .select(organization_members::user_id);
        for user in executor.load::<_, UserId>(members).await? {
            executor.record_write(&Key::OrganizationMember(id, user));
        }
        let projects = projects::table
            .filter(projects::organization_id.eq(id))
            .select(projects::id);
        for project in executor.load::<_, ProjectId>(projects).await? {
            touch_project(executor, project).await?;
        }
        executor.record_write(&Key::OrganizationConfigurations(id));
        executor.record_write(&Key::Organization(id));
    }
    let statement = delete_by_id::<Organization>(id);
    Ok(executor.execute(statement).await? == 1)
}
