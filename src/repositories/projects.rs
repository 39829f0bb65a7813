//! `public.projects`.

use diesel::pg::Pg;
use diesel::prelude::{ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl};
use diesel::sql_types::Timestamptz;

use super::*;
use crate::mapping::RowSql;
use crate::models::access::ProjectFacts;
use crate::schema::public::{project_members, projects};
use crate::sql::access::{FactsOfProjects, Visible};
use crate::sql::functions::merged;
use crate::sql::{
    cacheable, columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id, is_one_of,
    parent_id,
};
use crate::write_set::Key;
use crate::{
    Access, AnalysisType, Document, Error, NewProject, OrganizationId, Page, Paged, Project,
    ProjectChanges, ProjectFilter, ProjectId, ProjectOrder, ProjectRole, ProjectStatus, Result,
    UserId,
};

/// Stores and finds projects.
///
/// A project with the status `deleted` is a row like any other, except for
/// [`visible_to`](ProjectRepository::visible_to). Use a filter to select by status.
#[repository]
pub trait ProjectRepository: Send + Sync {
    /// Creates a project.
    ///
    /// # Errors
    /// - [`Error::Check`] with the constraint `valid_repo_url` if the repository's URL begins with
    ///   neither `http://` nor `https://`
    /// - [`Error::MissingReference`] if there is no such organization or user
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewProject) -> Result<Project>;

    /// Creates any number of projects, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewProject]) -> Result<u64>;

    /// Returns the project with this id. Returns `None` if there is none.
    async fn find(&self, id: ProjectId) -> Result<Option<Project>>;

    /// Returns the projects with these ids, in the order of `ids`, with one query. An id without a
    /// row gets `None`.
    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<Project>>>;

    /// Returns the projects with this repository, oldest first. The schema allows several.
    async fn find_by_repository_url(&self, url: &str) -> Result<Vec<Project>>;

    /// Returns the projects of each organization, oldest first, with one query. The lists are in
    /// the order of `ids`.
    async fn of_organizations(&self, ids: &[OrganizationId]) -> Result<Vec<Vec<Project>>>;

    /// Checks whether there is a project with this id.
    async fn exists(&self, id: ProjectId) -> Result<bool>;

    /// Returns one page of the projects that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>>;

    /// Returns one page for each organization: its projects that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>>;

    /// Returns one page for each user: the projects that the user has created and the filter
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
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>>;

    /// Returns one page of the projects that the filter matches and a user can see.
    ///
    /// A user can see
    ///
    /// - projects that the user has created or is a member of,
    /// - projects of an organization of which the user is an owner or administrator,
    /// - internal projects of an organization that the user is a member of,
    /// - public projects,
    /// - every project, if the user is an administrator of the platform,
    ///
    /// but never a project with the status `deleted`, and nothing if the user is inactive.
    /// [`access`](Self::access) has the same rule.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn visible_to(
        &self,
        user_id: UserId,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>>;

    /// Returns the access of a user to a project. Returns `None` if the user cannot see it.
    ///
    /// It is `Some` for the projects that [`visible_to`](Self::visible_to) returns, and for no
    /// others. The role is the greatest that one of these sources grants:
    ///
    /// | source | role |
    /// |---|---|
    /// | [`ProjectMember`](crate::AccessSource::ProjectMember) | the role of the membership |
    /// | [`Creator`](crate::AccessSource::Creator) | `owner` |
    /// | [`OrganizationMember`](crate::AccessSource::OrganizationMember) | `owner` for an owner of the organization, `maintainer` for an administrator |
    /// | [`Platform`](crate::AccessSource::Platform) | `owner` |
    /// | [`Internal`](crate::AccessSource::Internal), [`Public`](crate::AccessSource::Public) | `viewer` |
    ///
    /// An archived project is like an active one. An invitation grants nothing before there is a
    /// membership.
    ///
    /// From the acknowledgement of a write on that removes a member, lowers a role, deactivates a
    /// user, or changes a project, the result follows it. Behind a cache this holds in every
    /// process, if the write went through this crate with the cache. The tier within the process is
    /// not used.
    ///
    /// ```no_run
    /// # async fn example(db: wundr_db::Db, user: wundr_db::UserId, id: wundr_db::ProjectId) -> wundr_db::Result<()> {
    /// use wundr_db::{Error, ProjectRepository, ProjectRole};
    ///
    /// let access = db.projects().access(user, id).await?;
    /// if access.is_none_or(|access| access.role < ProjectRole::Maintainer) {
    ///     return Err(Error::NotFound { what: "Project" });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    async fn access(&self, user_id: UserId, id: ProjectId) -> Result<Option<Access<ProjectRole>>>;

    /// Returns the [`access`](Self::access) of a user to each project, in the order of `ids`, with
    /// one query.
    async fn access_many(
        &self,
        user_id: UserId,
        ids: &[ProjectId],
    ) -> Result<Vec<Option<Access<ProjectRole>>>>;

    /// Streams the projects that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ProjectFilter) -> RowStream<'a, Project>;

    /// Counts the projects that the filter matches.
    async fn count(&self, filter: &ProjectFilter) -> Result<u64>;

    /// Updates a project and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such project
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - [`Error::Check`], [`Error::MissingReference`] and [`Error::InvalidInput`] as in
    ///   [`create`](Self::create)
    async fn update(&self, id: ProjectId, changes: ProjectChanges) -> Result<Project>;

    /// Archives a project.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such project
    /// - [`Error::IllegalTransition`] if it is deleted: [`restore`](Self::restore) it first
    async fn archive(&self, id: ProjectId) -> Result<Project>;

    /// Marks a project as deleted, and keeps its row and everything that belongs to it.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such project
    async fn soft_delete(&self, id: ProjectId) -> Result<Project>;

    /// Makes a project active again that was archived or marked as deleted.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such project
    async fn restore(&self, id: ProjectId) -> Result<Project>;

    /// Records that the project is analyzed now.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such project
    async fn touch_last_analyzed(&self, id: ProjectId) -> Result<Project>;

    /// Merges `configuration` into the configuration: replaces the fields that it has, and keeps
    /// the others.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such project
    /// - [`Error::InvalidInput`] if it is not a JSON object
    async fn merge_configuration(&self, id: ProjectId, configuration: Document) -> Result<Project>;

    /// Deletes a project with its members, analyses, dependency graphs, configurations and
    /// integrations, and returns whether it existed.
    async fn delete(&self, id: ProjectId) -> Result<bool>;

    /// Deletes every project that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &ProjectFilter) -> Result<u64>;
}

/// The [`ProjectRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Projects<'a>(pub(super) Executor<'a>);

impl Db {
    /// Returns the repository of projects.
    pub fn projects(&self) -> Projects<'static> {
        Projects(self.executor())
    }
}

impl Tx {
    /// Returns the repository of projects within this transaction.
    pub fn projects(&self) -> Projects<'_> {
        Projects(self.executor())
    }
}

/// Returns the query of the projects that a filter matches and a user can see.
fn visible(
    user_id: UserId,
    filter: &ProjectFilter,
) -> projects::BoxedQuery<'_, Pg, RowSql<Project>> {
    filter.query().filter(Visible(user_id))
}

#[repository(observed)]
impl ProjectRepository for Projects<'_> {
    async fn create(&self, new: NewProject) -> Result<Project> {
        created_row(&self.0, &new).await
    }

    async fn create_many(&self, new: &[NewProject]) -> Result<u64> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn find(&self, id: ProjectId) -> Result<Option<Project>> {
        self.0.first(find_by_id::<Project>(id)).await
    }

    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<Project>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn find_by_repository_url(&self, url: &str) -> Result<Vec<Project>> {
        let query = projects::table
            .filter(projects::repository_url.eq(url))
            .order((projects::created_at, projects::id))
            .select(columns_of::<Project>());
        self.0.load(query).await
    }

    async fn of_organizations(&self, ids: &[OrganizationId]) -> Result<Vec<Vec<Project>>> {
        let query = projects::table
            .filter(is_one_of(projects::organization_id, ids))
            .order((projects::created_at, projects::id))
            .select(columns_of::<Project>());
        Ok(grouped_by(
            ids,
            self.0.load::<_, Project>(query).await?,
            |row| row.organization_id,
        ))
    }

    async fn exists(&self, id: ProjectId) -> Result<bool> {
        self.0.one(exists_by_id::<Project>(id)).await
    }

    async fn list(
        &self,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>> {
        let rows = filter.query().select(columns_of::<Project>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>> {
        let rows = filter
            .query()
            .filter(projects::organization_id.eq(parent_id(projects::organization_id)))
            .select(columns_of::<Project>());
        let children = filter
            .query()
            .filter(is_one_of(projects::organization_id, ids))
            .select(projects::organization_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| {
            row.organization_id
        })
        .await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>> {
        let rows = filter
            .query()
            .filter(projects::created_by.eq(parent_id(projects::created_by)))
            .select(columns_of::<Project>());
        let children = filter
            .query()
            .filter(is_one_of(projects::created_by, ids))
            .select(projects::created_by);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.created_by).await
    }

    async fn visible_to(
        &self,
        user_id: UserId,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>> {
        let rows = visible(user_id, filter).select(columns_of::<Project>());
        page_of(&self.0, page, rows, visible(user_id, filter).count()).await
    }

    async fn access(&self, user_id: UserId, id: ProjectId) -> Result<Option<Access<ProjectRole>>> {
        let facts = FactsOfProjects::new(user_id, std::slice::from_ref(&id));
        let facts = self.0.first::<_, ProjectFacts>(facts).await?;
        Ok(facts.and_then(|facts| facts.access()))
    }

    async fn access_many(
        &self,
        user_id: UserId,
        ids: &[ProjectId],
    ) -> Result<Vec<Option<Access<ProjectRole>>>> {
        let facts = FactsOfProjects::new(user_id, ids);
        let facts = self.0.load::<_, ProjectFacts>(facts).await?;
        let facts = in_order_of(ids, facts, |facts| facts.id).into_iter();
        Ok(facts.map(|facts| facts?.access()).collect())
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ProjectFilter) -> RowStream<'a, Project> {
        self.0
            .stream(filter.query().select(columns_of::<Project>()))
    }

    async fn count(&self, filter: &ProjectFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(&self, id: ProjectId, changes: ProjectChanges) -> Result<Project> {
        updated_row(&self.0, "Project", id, &changes).await
    }

    async fn archive(&self, id: ProjectId) -> Result<Project> {
        let not_deleted = projects::status.ne(ProjectStatus::Deleted);
        let statement = diesel::update(projects::table.find(id).filter(not_deleted))
            .set(projects::status.eq(ProjectStatus::Archived))
            .returning(columns_of::<Project>());
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().first(cacheable(statement)).await;
        match write.finish(outcome).await? {
            Some(project) => Ok(project),
            None => match self.find(id).await?.map(|project| project.status) {
                Some(ProjectStatus::Deleted) => Err(Error::illegal_transition(
                    "Project",
                    ProjectStatus::Deleted.as_str(),
                    ProjectStatus::Archived.as_str(),
                    "archive",
                )),
                found => Err(not_written("Project", found.is_some())),
            },
        }
    }

    async fn soft_delete(&self, id: ProjectId) -> Result<Project> {
        self.update(id, ProjectChanges::new().status(ProjectStatus::Deleted))
            .await
    }

    async fn restore(&self, id: ProjectId) -> Result<Project> {
        self.update(id, ProjectChanges::new().status(ProjectStatus::Active))
            .await
    }

    async fn touch_last_analyzed(&self, id: ProjectId) -> Result<Project> {
        let now =
            projects::last_analyzed_at.eq(diesel::dsl::now.into_sql::<Timestamptz>().nullable());
        let statement = diesel::update(projects::table.find(id))
            .set(now)
            .returning(columns_of::<Project>());
        changed_row(&self.0, cacheable(statement), "Project", id).await
    }

    async fn merge_configuration(&self, id: ProjectId, configuration: Document) -> Result<Project> {
        check_merged(&configuration, "configuration")?;
        let merged = projects::configuration.eq(merged(projects::configuration, configuration));
        let statement = diesel::update(projects::table.find(id))
            .set(merged)
            .returning(columns_of::<Project>());
        changed_row(&self.0, cacheable(statement), "Project", id).await
    }

    async fn delete(&self, id: ProjectId) -> Result<bool> {
        let write = Write::begin(&self.0).await?;
        let outcome = delete_project(&write.executor(), id).await;
        match write.finish(outcome).await? {
            true => Ok(true),
            false => not_deleted("Project", self.exists(id).await?),
        }
    }

    async fn delete_many(&self, filter: &ProjectFilter) -> Result<u64> {
        let ids = filter.query().select(projects::id);
        let statement = delete_matching(projects::table, ids);
        deleted_rows(&self.0, statement).await
    }
}

/// Deletes a project, and records the cache entries that become stale.
#[repository]
async fn delete_project(executor: &Executor<'_>, id: ProjectId) -> Result<bool> {
    if executor.records_writes() {
        touch_project(executor, id).await?;
    }
    let statement = delete_by_id::<Project>(id);
    Ok(executor.execute(statement).await? == 1)
}

/// Records the cache entries of a project and of its rows. The project stays locked, so that no new
/// row can refer to it.
#[repository]
pub(super) async fn touch_project(executor: &Executor<'_>, id: ProjectId) -> Result<()> {
    let project = projects::table.find(id).select(projects::id).for_update();
    executor.first::<_, ProjectId>(project).await?;
    let members = project_members::table
        .filter(project_members::project_id.eq(id))
        .select(project_members::user_id);
    for user in executor.load::<_, UserId>(members).await? {
        executor.record_write(&Key::ProjectMember(id, user));
    }
    for &r#type in AnalysisType::ALL {
        executor.record_write(&Key::LatestAnalysis(id, r#type));
    }
    executor.record_write(&Key::ProjectConfigurations(id));
    executor.record_write(&Key::Project(id));
    Ok(())
}
