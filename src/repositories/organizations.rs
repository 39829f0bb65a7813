//! `public.organizations`.

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::schema::public::{organization_members, organizations, projects};
use crate::sql::functions::merged;
use crate::sql::{Changes as _, NewRow as _, delete_matching, prepared};
use crate::touched::{Everything, Key};
use crate::{
    Document, Error, NewOrganization, Organization, OrganizationChanges, OrganizationFilter,
    OrganizationId, OrganizationOrder, OrganizationRole, Page, Paged, ProjectId, Result,
    SubscriptionPlan, UserId,
};

/// Stores and finds organizations.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait OrganizationRepository: Send + Sync {
    /// Creates an organization.
    ///
    /// # Errors
    /// [`Error::Unique`] if the slug is taken, [`Error::InvalidInput`] if a value cannot be stored.
    async fn create(&self, new: NewOrganization) -> Result<Organization>;

    /// Creates any number of organizations, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewOrganization]) -> Result<usize>;

    /// Creates an organization, or changes the one with the same slug: what is not given is kept.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if a value cannot be stored.
    async fn upsert(&self, new: NewOrganization) -> Result<Organization>;

    /// The organization with this id.
    async fn find(&self, id: OrganizationId) -> Result<Option<Organization>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[OrganizationId]) -> Result<Vec<Option<Organization>>>;

    /// The organization with this slug.
    async fn find_by_slug(&self, slug: &str) -> Result<Option<Organization>>;

    /// The organizations that a user is a member of, by name, and what the user may do in each.
    async fn of_user(&self, user_id: UserId) -> Result<Vec<(Organization, OrganizationRole)>>;

    /// Whether there is such an organization.
    async fn exists(&self, id: OrganizationId) -> Result<bool>;

    /// One page of the organizations that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &OrganizationFilter,
        page: &Page<OrganizationOrder>,
    ) -> Result<Paged<Organization>>;

    /// All organizations that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a OrganizationFilter) -> RowStream<'a, Organization>;

    /// How many organizations the filter matches.
    async fn count(&self, filter: &OrganizationFilter) -> Result<i64>;

    /// Changes an organization; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::StaleWrite`] if it is not as old as the changes expect; [`Error::Unique`] and
    /// [`Error::InvalidInput`] as in [`create`](Self::create).
    async fn update(
        &self,
        id: OrganizationId,
        changes: OrganizationChanges,
    ) -> Result<Organization>;

    /// Changes what the organization has subscribed to.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn change_plan(&self, id: OrganizationId, plan: SubscriptionPlan)
    -> Result<Organization>;

    /// Replaces those fields of the settings that `settings` has, and keeps the others.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] if it is not a JSON object.
    async fn merge_settings(&self, id: OrganizationId, settings: Document) -> Result<Organization>;

    /// Deletes an organization with its memberships, projects, configurations and integrations, and tells whether it
    /// was there.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] while setup profiles or log entries name the organization.
    async fn delete(&self, id: OrganizationId) -> Result<bool>;

    /// Deletes every organization that the filter matches, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    async fn delete_many(&self, filter: &OrganizationFilter) -> Result<usize>;
}

/// The [`OrganizationRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Organizations<'a>(Source<'a>);

impl Db {
    /// The organizations.
    pub fn organizations(&self) -> Organizations<'static> {
        Organizations(self.source())
    }
}

impl Tx {
    /// The organizations, inside this transaction.
    pub fn organizations(&self) -> Organizations<'_> {
        Organizations(self.source())
    }
}

#[repository]
impl OrganizationRepository for Organizations<'_> {
    async fn create(&self, new: NewOrganization) -> Result<Organization> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert(&new).await;
        write.finish(outcome).await
    }

    async fn create_many(&self, new: &[NewOrganization]) -> Result<usize> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn upsert(&self, new: NewOrganization) -> Result<Organization> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().upsert(&new).await;
        write.finish(outcome).await
    }

    async fn find(&self, id: OrganizationId) -> Result<Option<Organization>> {
        self.0
            .first(
                organizations::table
                    .find(id)
                    .select(Organization::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[OrganizationId]) -> Result<Vec<Option<Organization>>> {
        let query = organizations::table
            .filter(organizations::id.eq_any(ids))
            .select(Organization::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, Organization>(query).await?,
            |row| row.id,
        ))
    }

    async fn find_by_slug(&self, slug: &str) -> Result<Option<Organization>> {
        let query = organizations::table
            .filter(organizations::slug.eq(slug))
            .select(Organization::as_select());
        self.0.first(query).await
    }

    async fn of_user(&self, user_id: UserId) -> Result<Vec<(Organization, OrganizationRole)>> {
        let query = organizations::table
            .inner_join(organization_members::table)
            .filter(organization_members::user_id.eq(user_id))
            .order((organizations::name, organizations::id))
            .select((Organization::as_select(), organization_members::role));
        self.0.load(query).await
    }

    async fn exists(&self, id: OrganizationId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                organizations::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &OrganizationFilter,
        page: &Page<OrganizationOrder>,
    ) -> Result<Paged<Organization>> {
        list!(self, Organization, filter, page)
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a OrganizationFilter) -> RowStream<'a, Organization> {
        self.0
            .stream(filter.query().select(Organization::as_select()))
    }

    async fn count(&self, filter: &OrganizationFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(
        &self,
        id: OrganizationId,
        changes: OrganizationChanges,
    ) -> Result<Organization> {
        changes.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().update(id, &changes).await;
        match write.finish(outcome).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "Organization",
                &changes,
                self.exists(id).await?,
            )),
        }
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
        if !settings.is_object() {
            return Err(Error::invalid("settings", "is not a JSON object"));
        }
        crate::checks::check(&settings, "settings", None)?;
        let merged = organizations::settings.eq(merged(organizations::settings, settings));
        let statement = diesel::update(organizations::table.find(id))
            .set(merged)
            .returning(Organization::as_returning());
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().first(prepared(statement)).await;
        write.finish(outcome).await?.ok_or(Error::NotFound {
            what: "Organization",
        })
    }

    async fn delete(&self, id: OrganizationId) -> Result<bool> {
        let write = Write::begin(&self.0).await?;
        let outcome = delete_organization(&write.source(), id).await;
        write.finish(outcome).await
    }

    async fn delete_many(&self, filter: &OrganizationFilter) -> Result<usize> {
        let ids = filter.query().select(organizations::id);
        let statement = delete_matching(organizations::table, ids);
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().execute(statement).await;
        write
            .finish_touching(outcome, |deleted| (*deleted > 0).then_some(Everything))
            .await
    }
}

/// Deletes an organization, and notes what goes with it. While it is locked, nothing new can refer to it.
#[repository]
async fn delete_organization(source: &Source<'_>, id: OrganizationId) -> Result<bool> {
    if source.takes_notes() {
        let organization = organizations::table
            .find(id)
            .select(organizations::id)
            .for_update();
        source.first::<_, OrganizationId>(organization).await?;
        let members = organization_members::table
            .filter(organization_members::organization_id.eq(id))
            .select(organization_members::user_id);
        for user in source.load::<_, UserId>(members).await? {
            source.touch(&Key::OrganizationMember(id, user));
        }
        let projects = projects::table
            .filter(projects::organization_id.eq(id))
            .select(projects::id);
        for project in source.load::<_, ProjectId>(projects).await? {
            touch_project(source, project).await?;
        }
        source.touch(&Key::Configurations(id.into()));
        source.touch(&Key::Organization(id));
    }
    let statement = diesel::delete(organizations::table.find(id));
    Ok(source.execute(statement).await? == 1)
}
