//! `public.organization_members`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::{Changes as _, NewRow as _};
use crate::schema::public::organization_members;
use crate::sql::{
    change_member, columns_of, exists_by_id, find_by_id, is_one_of, parent_id, upsert_member,
};
use crate::write_set::{Everything, Key};
use crate::{
    Error, NewOrganizationMember, OrganizationId, OrganizationMember, OrganizationMemberChanges,
    OrganizationMemberFilter, OrganizationMemberId, OrganizationMemberOrder, OrganizationRole,
    Page, Paged, Result, UserId,
};

/// Stores and finds the members of organizations.
///
/// An organization that has an owner keeps one. A write that would remove the last owner is refused
/// with [`Error::Check`] and the constraint `organization_keeps_an_owner`, also if several owners
/// leave at once. Such a refusal does not fail the transaction.
///
/// If one write makes a user an owner while another removes that user, the removal may be refused
/// although another owner would stay. Only the deletion of the organization or the user ends the
/// membership of a last owner.
#[repository]
pub trait OrganizationMemberRepository: Send + Sync {
    /// Adds a user as a member.
    ///
    /// # Errors
    /// - [`Error::Unique`] if the user is a member
    /// - [`Error::MissingReference`] if there is no such organization or user
    async fn create(&self, new: NewOrganizationMember) -> Result<OrganizationMember>;

    /// Adds any number of users as members, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewOrganizationMember]) -> Result<u64>;

    /// Adds a user as a member, or updates the membership. A column that is not given a value keeps
    /// its own.
    ///
    /// # Errors
    /// - [`Error::Check`] if the last owner would get another role
    /// - [`Error::MissingReference`] as in [`create`](Self::create)
    async fn upsert(&self, new: NewOrganizationMember) -> Result<OrganizationMember>;

    /// Returns the membership with this id. Returns `None` if there is none.
    async fn find(&self, id: OrganizationMemberId) -> Result<Option<OrganizationMember>>;

    /// Returns the memberships with these ids, in the order of `ids`, with one query. An id without
    /// a row gets `None`.
    async fn find_many(
        &self,
        ids: &[OrganizationMemberId],
    ) -> Result<Vec<Option<OrganizationMember>>>;

    /// Returns the role of a user in an organization. Returns `None` if the user is no member.
    async fn role_of(
        &self,
        organization_id: OrganizationId,
        user_id: UserId,
    ) -> Result<Option<OrganizationRole>>;

    /// Returns the members of each organization in the order in which they joined, with one query.
    /// The lists are in the order of `ids`.
    async fn of_organizations(
        &self,
        ids: &[OrganizationId],
    ) -> Result<Vec<Vec<OrganizationMember>>>;

    /// Checks whether there is a membership with this id.
    async fn exists(&self, id: OrganizationMemberId) -> Result<bool>;

    /// Returns one page of the memberships that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &OrganizationMemberFilter,
        page: &Page<OrganizationMemberOrder>,
    ) -> Result<Paged<OrganizationMember>>;

    /// Returns one page for each organization: its members that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &OrganizationMemberFilter,
        page: &Page<OrganizationMemberOrder>,
    ) -> Result<Vec<Paged<OrganizationMember>>>;

    /// Returns one page for each user: its memberships that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &OrganizationMemberFilter,
        page: &Page<OrganizationMemberOrder>,
    ) -> Result<Vec<Paged<OrganizationMember>>>;

    /// Streams the memberships that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(
        &'a self,
        filter: &'a OrganizationMemberFilter,
    ) -> RowStream<'a, OrganizationMember>;

    /// Counts the memberships that the filter matches.
    async fn count(&self, filter: &OrganizationMemberFilter) -> Result<u64>;

    /// Updates a membership and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such membership
    /// - [`Error::Check`] if the last owner would get another role
    /// - [`Error::MissingReference`] if there is no user with the id of the one that invited the
    ///   member
    async fn update(
        &self,
        id: OrganizationMemberId,
        changes: OrganizationMemberChanges,
    ) -> Result<OrganizationMember>;

    /// Changes the role of a member.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such membership
    /// - [`Error::Check`] if it is the last owner
    async fn change_role(
        &self,
        organization_id: OrganizationId,
        user_id: UserId,
        role: OrganizationRole,
    ) -> Result<OrganizationMember>;

    /// Ends a user's membership of an organization, and returns whether there was one.
    ///
    /// # Errors
    /// - [`Error::Check`] if it is the last owner
    async fn remove(&self, organization_id: OrganizationId, user_id: UserId) -> Result<bool>;

    /// Deletes a membership, and returns whether it existed.
    ///
    /// # Errors
    /// - [`Error::Check`] if it is the last owner
    async fn delete(&self, id: OrganizationMemberId) -> Result<bool>;

    /// Deletes every membership that the filter matches, all or none, and returns their number.
    ///
    /// # Errors
    /// - [`Error::Check`] if an organization would be left without an owner
    async fn delete_many(&self, filter: &OrganizationMemberFilter) -> Result<u64>;
}

/// The [`OrganizationMemberRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct OrganizationMembers<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the members of organizations.
    pub fn organization_members(&self) -> OrganizationMembers<'static> {
        OrganizationMembers(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the members of organizations within this transaction.
    pub fn organization_members(&self) -> OrganizationMembers<'_> {
        OrganizationMembers(self.executor())
    }
}

/// The columns that [`remove_members`] reads of each member.
const LEAVING: (
    organization_members::id,
    organization_members::organization_id,
    organization_members::role,
) = (
    organization_members::id,
    organization_members::organization_id,
    organization_members::role,
);

#[repository(observed)]
impl OrganizationMemberRepository for OrganizationMembers<'_> {
    async fn create(&self, new: NewOrganizationMember) -> Result<OrganizationMember> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewOrganizationMember]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn upsert(&self, new: NewOrganizationMember) -> Result<OrganizationMember> {
        new.check()?;
        match steady_first(&self.0, || upsert_member(&new)).await? {
            Some(member) => Ok(member),
            None => {
                let found = self.role_of(new.organization_id, new.user_id).await?;
                let is_owner = found.is_some_and(|role| role == OrganizationRole::Owner);
                let remains_owner = new.role == OrganizationRole::Owner;
                Err(not_changed::<NewOrganizationMember>(
                    "OrganizationMember",
                    Some(is_owner),
                    remains_owner,
                ))
            }
        }
    }

    async fn find(&self, id: OrganizationMemberId) -> Result<Option<OrganizationMember>> {
        let query = find_by_id::<OrganizationMember>(id);
        self.0.first(query).await
    }

    async fn find_many(
        &self,
        ids: &[OrganizationMemberId],
    ) -> Result<Vec<Option<OrganizationMember>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn role_of(
        &self,
        organization_id: OrganizationId,
        user_id: UserId,
    ) -> Result<Option<OrganizationRole>> {
        let query = organization_members::table
            .filter(organization_members::organization_id.eq(organization_id))
            .filter(organization_members::user_id.eq(user_id))
            .select(organization_members::role);
        self.0.first(query).await
    }

    async fn of_organizations(
        &self,
        ids: &[OrganizationId],
    ) -> Result<Vec<Vec<OrganizationMember>>> {
        let query = organization_members::table
            .filter(is_one_of(organization_members::organization_id, ids))
            .order((organization_members::joined_at, organization_members::id))
            .select(columns_of::<OrganizationMember>());
        Ok(grouped_by(
            ids,
            self.0.load::<_, OrganizationMember>(query).await?,
            |row| row.organization_id,
        ))
    }

    async fn exists(&self, id: OrganizationMemberId) -> Result<bool> {
        self.0.one(exists_by_id::<OrganizationMember>(id)).await
    }

    async fn list(
        &self,
        filter: &OrganizationMemberFilter,
        page: &Page<OrganizationMemberOrder>,
    ) -> Result<Paged<OrganizationMember>> {
        let rows = filter.query().select(columns_of::<OrganizationMember>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &OrganizationMemberFilter,
        page: &Page<OrganizationMemberOrder>,
    ) -> Result<Vec<Paged<OrganizationMember>>> {
        let rows = filter
            .query()
            .filter(
                organization_members::organization_id
                    .eq(parent_id(organization_members::organization_id)),
            )
            .select(columns_of::<OrganizationMember>());
        let children = filter
            .query()
            .filter(is_one_of(organization_members::organization_id, ids))
            .select(organization_members::organization_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| {
            row.organization_id
        })
        .await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &OrganizationMemberFilter,
        page: &Page<OrganizationMemberOrder>,
    ) -> Result<Vec<Paged<OrganizationMember>>> {
        let rows = filter
            .query()
            .filter(organization_members::user_id.eq(parent_id(organization_members::user_id)))
            .select(columns_of::<OrganizationMember>());
        let children = filter
            .query()
            .filter(is_one_of(organization_members::user_id, ids))
            .select(organization_members::user_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.user_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(
        &'a self,
        filter: &'a OrganizationMemberFilter,
    ) -> RowStream<'a, OrganizationMember> {
        self.0
            .stream(filter.query().select(columns_of::<OrganizationMember>()))
    }

    async fn count(&self, filter: &OrganizationMemberFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: OrganizationMemberId,
        changes: OrganizationMemberChanges,
    ) -> Result<OrganizationMember> {
        changes.check()?;
        if changes.is_empty() {
            return self.find(id).await?.ok_or(Error::NotFound {
                what: "OrganizationMember",
            });
        }
        let member = || {
            organization_members::table
                .find(id)
                .select(organization_members::id)
        };
        let change = || change_member::<NewOrganizationMember, _>(member(), &changes);
        match steady_first(&self.0, change).await? {
            Some(member) => Ok(member),
            None => {
                let member = self.find(id).await?;
                let is_owner = member.map(|member| member.role == OrganizationRole::Owner);
                let remains_owner = changes
                    .role
                    .is_none_or(|role| role == OrganizationRole::Owner);
                Err(not_changed::<NewOrganizationMember>(
                    "OrganizationMember",
                    is_owner,
                    remains_owner,
                ))
            }
        }
    }

    async fn change_role(
        &self,
        organization_id: OrganizationId,
        user_id: UserId,
        role: OrganizationRole,
    ) -> Result<OrganizationMember> {
        let changes = OrganizationMemberChanges::new().role(role);
        let member = || {
            organization_members::table
                .filter(organization_members::organization_id.eq(organization_id))
                .filter(organization_members::user_id.eq(user_id))
                .select(organization_members::id)
        };
        let change = || change_member::<NewOrganizationMember, _>(member(), &changes);
        match steady_first(&self.0, change).await? {
            Some(member) => Ok(member),
            None => {
                let found = self.role_of(organization_id, user_id).await?;
                let is_owner = found.map(|role| role == OrganizationRole::Owner);
                let remains_owner = role == OrganizationRole::Owner;
                Err(not_changed::<NewOrganizationMember>(
                    "OrganizationMember",
                    is_owner,
                    remains_owner,
                ))
            }
        }
    }

    async fn remove(&self, organization_id: OrganizationId, user_id: UserId) -> Result<bool> {
        let member = || {
            organization_members::table
                .filter(organization_members::organization_id.eq(organization_id))
                .filter(organization_members::user_id.eq(user_id))
                .select(LEAVING)
        };
        let key = Key::OrganizationMember(organization_id, user_id);
        match remove_members::<NewOrganizationMember, _, _>(&self.0, member, key).await? {
            0 => not_deleted(
                "OrganizationMember",
                self.role_of(organization_id, user_id).await?.is_some(),
            ),
            _ => Ok(true),
        }
    }

    async fn delete(&self, id: OrganizationMemberId) -> Result<bool> {
        // The organization and the user of a membership never change.
        let touched = match self.0.has_cache() {
            true => self.find(id).await?,
            false => None,
        };
        let touched =
            touched.map(|member| Key::OrganizationMember(member.organization_id, member.user_id));
        let touched = touched.ok_or(Everything);
        let member = || organization_members::table.find(id).select(LEAVING);
        match remove_members::<NewOrganizationMember, _, _>(&self.0, member, touched).await? {
            0 => not_deleted("OrganizationMember", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &OrganizationMemberFilter) -> Result<u64> {
        let members = || {
            filter
                .query()
                .order(organization_members::id)
                .select(LEAVING)
        };
        remove_members::<NewOrganizationMember, _, _>(&self.0, members, Everything).await
    }
}
