//! `public.project_members`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::{Changes as _, NewRow as _};
use crate::schema::public::project_members;
use crate::sql::{
    change_member, columns_of, exists_by_id, find_by_id, is_one_of, parent_id, upsert_member,
};
use crate::write_set::{Everything, Key};
use crate::{
    Error, NewProjectMember, Page, Paged, ProjectId, ProjectMember, ProjectMemberChanges,
    ProjectMemberFilter, ProjectMemberId, ProjectMemberOrder, ProjectRole, Result, UserId,
};

/// Stores and finds the members of projects.
///
/// A project that has an owner keeps one. A write that would remove the last owner is refused with
/// [`Error::Check`] and the constraint `project_keeps_an_owner`, also if several owners leave at
/// once. Such a refusal does not fail the transaction.
///
/// If one write makes a user an owner while another removes that user, the removal may be refused
/// although another owner would stay. Only the deletion of the project or the user ends the
/// membership of a last owner.
#[repository]
pub trait ProjectMemberRepository: Send + Sync {
    /// Adds a user as a member.
    ///
    /// # Errors
    /// - [`Error::Unique`] if the user is a member
    /// - [`Error::MissingReference`] if there is no such project or user
    async fn create(&self, new: NewProjectMember) -> Result<ProjectMember>;

    /// Adds any number of users as members, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewProjectMember]) -> Result<u64>;

    /// Adds a user as a member, or updates the membership. A column that is not given a value keeps
    /// its own.
    ///
    /// # Errors
    /// - [`Error::Check`] if the last owner would get another role
    /// - [`Error::MissingReference`] as in [`create`](Self::create)
    async fn upsert(&self, new: NewProjectMember) -> Result<ProjectMember>;

    /// Returns the membership with this id. Returns `None` if there is none.
    async fn find(&self, id: ProjectMemberId) -> Result<Option<ProjectMember>>;

    /// Returns the memberships with these ids, in the order of `ids`, with one query. An id without
    /// a row gets `None`.
    async fn find_many(&self, ids: &[ProjectMemberId]) -> Result<Vec<Option<ProjectMember>>>;

    /// Returns the role of a user in a project. Returns `None` if the user is no member.
    async fn role_of(&self, project_id: ProjectId, user_id: UserId) -> Result<Option<ProjectRole>>;

    /// Returns the members of each project in the order in which they were added, with one query.
    /// The lists are in the order of `ids`.
    async fn of_projects(&self, ids: &[ProjectId]) -> Result<Vec<Vec<ProjectMember>>>;

    /// Checks whether there is a membership with this id.
    async fn exists(&self, id: ProjectMemberId) -> Result<bool>;

    /// Returns one page of the memberships that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &ProjectMemberFilter,
        page: &Page<ProjectMemberOrder>,
    ) -> Result<Paged<ProjectMember>>;

    /// Returns one page for each project: its members that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &ProjectMemberFilter,
        page: &Page<ProjectMemberOrder>,
    ) -> Result<Vec<Paged<ProjectMember>>>;

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
        filter: &ProjectMemberFilter,
        page: &Page<ProjectMemberOrder>,
    ) -> Result<Vec<Paged<ProjectMember>>>;

    /// Streams the memberships that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ProjectMemberFilter) -> RowStream<'a, ProjectMember>;

    /// Counts the memberships that the filter matches.
    async fn count(&self, filter: &ProjectMemberFilter) -> Result<u64>;

    /// Updates a membership and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such membership
    /// - [`Error::Check`] if the last owner would get another role
    /// - [`Error::MissingReference`] if there is no user with the id of the one that added the
    ///   member
    async fn update(
        &self,
        id: ProjectMemberId,
        changes: ProjectMemberChanges,
    ) -> Result<ProjectMember>;

    /// Changes the role of a member.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such membership
    /// - [`Error::Check`] if it is the last owner
    async fn change_role(
        &self,
        project_id: ProjectId,
        user_id: UserId,
        role: ProjectRole,
    ) -> Result<ProjectMember>;

    /// Ends a user's membership of a project, and returns whether there was one.
    ///
    /// # Errors
    /// - [`Error::Check`] if it is the last owner
    async fn remove(&self, project_id: ProjectId, user_id: UserId) -> Result<bool>;

    /// Deletes a membership, and returns whether it existed.
    ///
    /// # Errors
    /// - [`Error::Check`] if it is the last owner
    async fn delete(&self, id: ProjectMemberId) -> Result<bool>;

    /// Deletes every membership that the filter matches, all or none, and returns their number.
    ///
    /// # Errors
    /// - [`Error::Check`] if a project would be left without an owner
    async fn delete_many(&self, filter: &ProjectMemberFilter) -> Result<u64>;
}

/// The [`ProjectMemberRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct ProjectMembers<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the members of projects.
    pub fn project_members(&self) -> ProjectMembers<'static> {
        ProjectMembers(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the members of projects within this transaction.
    pub fn project_members(&self) -> ProjectMembers<'_> {
        ProjectMembers(self.executor())
    }
}

/// The columns that [`remove_members`] reads of each member.
const LEAVING: (
    project_members::id,
    project_members::project_id,
    project_members::role,
) = (
    project_members::id,
    project_members::project_id,
    project_members::role,
);

#[repository(observed)]
impl ProjectMemberRepository for ProjectMembers<'_> {
    async fn create(&self, new: NewProjectMember) -> Result<ProjectMember> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewProjectMember]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn upsert(&self, new: NewProjectMember) -> Result<ProjectMember> {
        new.check()?;
        match steady_first(&self.0, || upsert_member(&new)).await? {
            Some(member) => Ok(member),
            None => {
                let found = self.role_of(new.project_id, new.user_id).await?;
                let is_owner = found.is_some_and(|role| role == ProjectRole::Owner);
                let remains_owner = new.role == ProjectRole::Owner;
                Err(not_changed::<NewProjectMember>(
                    "ProjectMember",
                    Some(is_owner),
                    remains_owner,
                ))
            }
        }
    }

    async fn find(&self, id: ProjectMemberId) -> Result<Option<ProjectMember>> {
        let query = find_by_id::<ProjectMember>(id);
        self.0.first(query).await
    }

    async fn find_many(&self, ids: &[ProjectMemberId]) -> Result<Vec<Option<ProjectMember>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn role_of(&self, project_id: ProjectId, user_id: UserId) -> Result<Option<ProjectRole>> {
        let query = project_members::table
            .filter(project_members::project_id.eq(project_id))
            .filter(project_members::user_id.eq(user_id))
            .select(project_members::role);
        self.0.first(query).await
    }

    async fn of_projects(&self, ids: &[ProjectId]) -> Result<Vec<Vec<ProjectMember>>> {
        let query = project_members::table
            .filter(is_one_of(project_members::project_id, ids))
            .order((project_members::added_at, project_members::id))
            .select(columns_of::<ProjectMember>());
        Ok(grouped_by(
            ids,
            self.0.load::<_, ProjectMember>(query).await?,
            |row| row.project_id,
        ))
    }

    async fn exists(&self, id: ProjectMemberId) -> Result<bool> {
        self.0.one(exists_by_id::<ProjectMember>(id)).await
    }

    async fn list(
        &self,
        filter: &ProjectMemberFilter,
        page: &Page<ProjectMemberOrder>,
    ) -> Result<Paged<ProjectMember>> {
        let rows = filter.query().select(columns_of::<ProjectMember>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &ProjectMemberFilter,
        page: &Page<ProjectMemberOrder>,
    ) -> Result<Vec<Paged<ProjectMember>>> {
        let rows = filter
            .query()
            .filter(project_members::project_id.eq(parent_id(project_members::project_id)))
            .select(columns_of::<ProjectMember>());
        let children = filter
            .query()
            .filter(is_one_of(project_members::project_id, ids))
            .select(project_members::project_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.project_id).await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &ProjectMemberFilter,
        page: &Page<ProjectMemberOrder>,
    ) -> Result<Vec<Paged<ProjectMember>>> {
        let rows = filter
            .query()
            .filter(project_members::user_id.eq(parent_id(project_members::user_id)))
            .select(columns_of::<ProjectMember>());
        let children = filter
            .query()
            .filter(is_one_of(project_members::user_id, ids))
            .select(project_members::user_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.user_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ProjectMemberFilter) -> RowStream<'a, ProjectMember> {
        self.0
            .stream(filter.query().select(columns_of::<ProjectMember>()))
    }

    async fn count(&self, filter: &ProjectMemberFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: ProjectMemberId,
        changes: ProjectMemberChanges,
    ) -> Result<ProjectMember> {
        changes.check()?;
        if changes.is_empty() {
            return self.find(id).await?.ok_or(Error::NotFound {
                what: "ProjectMember",
            });
        }
        let member = || project_members::table.find(id).select(project_members::id);
        let change = || change_member::<NewProjectMember, _>(member(), &changes);
        match steady_first(&self.0, change).await? {
            Some(member) => Ok(member),
            None => {
                let member = self.find(id).await?;
                let is_owner = member.map(|member| member.role == ProjectRole::Owner);
                let remains_owner = changes.role.is_none_or(|role| role == ProjectRole::Owner);
                Err(not_changed::<NewProjectMember>(
                    "ProjectMember",
                    is_owner,
                    remains_owner,
                ))
            }
        }
    }

    async fn change_role(
        &self,
        project_id: ProjectId,
        user_id: UserId,
        role: ProjectRole,
    ) -> Result<ProjectMember> {
        let changes = ProjectMemberChanges::new().role(role);
        let member = || {
            project_members::table
                .filter(project_members::project_id.eq(project_id))
                .filter(project_members::user_id.eq(user_id))
                .select(project_members::id)
        };
        let change = || change_member::<NewProjectMember, _>(member(), &changes);
        match steady_first(&self.0, change).await? {
            Some(member) => Ok(member),
            None => {
                let found = self.role_of(project_id, user_id).await?;
                let is_owner = found.map(|role| role == ProjectRole::Owner);
                let remains_owner = role == ProjectRole::Owner;
                Err(not_changed::<NewProjectMember>(
                    "ProjectMember",
                    is_owner,
                    remains_owner,
                ))
            }
        }
    }

    async fn remove(&self, project_id: ProjectId, user_id: UserId) -> Result<bool> {
        let member = || {
            project_members::table
                .filter(project_members::project_id.eq(project_id))
                .filter(project_members::user_id.eq(user_id))
                .select(LEAVING)
        };
        let key = Key::ProjectMember(project_id, user_id);
        match remove_members::<NewProjectMember, _, _>(&self.0, member, key).await? {
            0 => not_deleted(
                "ProjectMember",
                self.role_of(project_id, user_id).await?.is_some(),
            ),
            _ => Ok(true),
        }
    }

    async fn delete(&self, id: ProjectMemberId) -> Result<bool> {
        // The project and the user of a membership never change.
        let touched = match self.0.has_cache() {
            true => self.find(id).await?,
            false => None,
        };
        let touched = touched.map(|member| Key::ProjectMember(member.project_id, member.user_id));
        let touched = touched.ok_or(Everything);
        let member = || project_members::table.find(id).select(LEAVING);
        match remove_members::<NewProjectMember, _, _>(&self.0, member, touched).await? {
            0 => not_deleted("ProjectMember", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &ProjectMemberFilter) -> Result<u64> {
        let members = || filter.query().order(project_members::id).select(LEAVING);
        remove_members::<NewProjectMember, _, _>(&self.0, members, Everything).await
    }
}
