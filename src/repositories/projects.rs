//! `public.projects`.

use diesel::pg::Pg;
use diesel::prelude::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl,
    SelectableHelper,
};
use diesel::sql_types::Timestamptz;

use super::*;
use crate::schema::public::{organization_members, project_members, projects};
use crate::sql::functions::merged;
use crate::sql::{Changes as _, NewRow as _, columns_of, delete_matching, prepared};
use crate::touched::{Everything, Key};
use crate::{
    AnalysisType, Document, Error, NewProject, OrganizationId, OrganizationRole, Page, Paged,
    Project, ProjectChanges, ProjectFilter, ProjectId, ProjectOrder, ProjectStatus,
    ProjectVisibility, Result, UserId,
};

/// Stores and finds projects.
///
/// A project with the status `deleted` is a row as any other to every method but
/// [`visible_to`](ProjectRepository::visible_to): a filter says which status is meant.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait ProjectRepository: Send + Sync {
    /// Creates a project.
    ///
    /// # Errors
    /// [`Error::Check`] with the constraint `valid_repo_url` if the repository's URL begins with neither `http://` nor
    /// `https://`, [`Error::ForeignKey`] if there is no such organization or user, [`Error::InvalidInput`] if a value
    /// cannot be stored.
    async fn create(&self, new: NewProject) -> Result<Project>;

    /// Creates any number of projects, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewProject]) -> Result<usize>;

    /// The project with this id.
    async fn find(&self, id: ProjectId) -> Result<Option<Project>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<Project>>>;

    /// The projects with this repository, oldest first; the design does not make it unique.
    async fn find_by_repository_url(&self, url: &str) -> Result<Vec<Project>>;

    /// The projects of each organization, oldest first: one answer for each id, in their order, by one query.
    async fn of_organizations(&self, ids: &[OrganizationId]) -> Result<Vec<Vec<Project>>>;

    /// Whether there is such a project.
    async fn exists(&self, id: ProjectId) -> Result<bool>;

    /// One page of the projects that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>>;

    /// One page of the projects of each organization that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>>;

    /// One page of the projects of each user who created them that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>>;

    /// One page of the projects that the filter matches and a user can see: those that the user has created or is a
    /// member of, those of an organization whose owner or administrator the user is, internal ones of an
    /// organization that the user is a member of, and public ones; never one with the status `deleted`.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn visible_to(
        &self,
        user_id: UserId,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>>;

    /// All projects that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ProjectFilter) -> RowStream<'a, Project>;

    /// How many projects the filter matches.
    async fn count(&self, filter: &ProjectFilter) -> Result<i64>;

    /// Changes a project; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::StaleWrite`] if it is not as old as the changes expect; [`Error::Check`],
    /// [`Error::ForeignKey`] and [`Error::InvalidInput`] as in [`create`](Self::create).
    async fn update(&self, id: ProjectId, changes: ProjectChanges) -> Result<Project>;

    /// Puts a project away.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::IllegalTransition`] if it is deleted: [`restore`](Self::restore) it first.
    async fn archive(&self, id: ProjectId) -> Result<Project>;

    /// Marks a project as deleted and keeps its row and all that belongs to it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn soft_delete(&self, id: ProjectId) -> Result<Project>;

    /// Brings a project back that was archived or marked as deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn restore(&self, id: ProjectId) -> Result<Project>;

    /// Notes that the project is analyzed now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    async fn touch_last_analyzed(&self, id: ProjectId) -> Result<Project>;

    /// Replaces those fields of the configuration that `configuration` has, and keeps the others.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] if it is not a JSON object.
    async fn merge_configuration(&self, id: ProjectId, configuration: Document) -> Result<Project>;

    /// Deletes a project with its members, analyses, dependency graphs, configurations and integrations, and tells
    /// whether it was there.
    async fn delete(&self, id: ProjectId) -> Result<bool>;

    /// Deletes every project that the filter matches, all or none, and tells how many.
    async fn delete_many(&self, filter: &ProjectFilter) -> Result<usize>;
}

/// The [`ProjectRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Projects<'a>(pub(super) Source<'a>);

impl Db {
    /// The projects.
    pub fn projects(&self) -> Projects<'static> {
        Projects(self.source())
    }
}

impl Tx {
    /// The projects, inside this transaction.
    pub fn projects(&self) -> Projects<'_> {
        Projects(self.source())
    }
}

/// The projects that a filter matches and a user can see.
fn visible(user_id: UserId, filter: &ProjectFilter) -> projects::BoxedQuery<'_, Pg> {
    let joined = project_members::table
        .filter(project_members::user_id.eq(user_id))
        .select(project_members::project_id);
    let organizations = organization_members::table
        .filter(organization_members::user_id.eq(user_id))
        .select(organization_members::organization_id.nullable());
    let managed = organizations.filter(
        organization_members::role
            .eq(OrganizationRole::Owner)
            .or(organization_members::role.eq(OrganizationRole::Admin)),
    );
    filter
        .query()
        .filter(projects::status.ne(ProjectStatus::Deleted))
        .filter(
            projects::visibility
                .eq(ProjectVisibility::Public)
                .or(projects::created_by.eq(user_id))
                .or(projects::id.eq_any(joined))
                .or(projects::organization_id.eq_any(managed))
                .or(projects::visibility
                    .eq(ProjectVisibility::Internal)
                    .and(projects::organization_id.eq_any(organizations))),
        )
}

#[repository]
impl ProjectRepository for Projects<'_> {
    async fn create(&self, new: NewProject) -> Result<Project> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert(&new).await;
        write.finish(outcome).await
    }

    async fn create_many(&self, new: &[NewProject]) -> Result<usize> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn find(&self, id: ProjectId) -> Result<Option<Project>> {
        self.0
            .first(projects::table.find(id).select(Project::as_select()))
            .await
    }

    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<Project>>> {
        let query = projects::table
            .filter(projects::id.eq_any(ids))
            .select(Project::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, Project>(query).await?,
            |row| row.id,
        ))
    }

    async fn find_by_repository_url(&self, url: &str) -> Result<Vec<Project>> {
        let query = projects::table
            .filter(projects::repository_url.eq(url))
            .order((projects::created_at, projects::id))
            .select(Project::as_select());
        self.0.load(query).await
    }

    async fn of_organizations(&self, ids: &[OrganizationId]) -> Result<Vec<Vec<Project>>> {
        let query = projects::table
            .filter(projects::organization_id.eq_any(ids))
            .order((projects::created_at, projects::id))
            .select(Project::as_select());
        Ok(grouped_by(
            ids,
            self.0.load::<_, Project>(query).await?,
            |row| row.organization_id,
        ))
    }

    async fn exists(&self, id: ProjectId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                projects::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>> {
        list!(self, Project, filter, page)
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>> {
        list_of!(self, Project, projects::organization_id, ids, filter, page)
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Vec<Paged<Project>>> {
        list_of!(self, Project, projects::created_by, ids, filter, page)
    }

    async fn visible_to(
        &self,
        user_id: UserId,
        filter: &ProjectFilter,
        page: &Page<ProjectOrder>,
    ) -> Result<Paged<Project>> {
        let rows = visible(user_id, filter).select(columns_of::<Project>());
        page!(self, Project, page, rows, visible(user_id, filter).count())
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ProjectFilter) -> RowStream<'a, Project> {
        self.0.stream(filter.query().select(Project::as_select()))
    }

    async fn count(&self, filter: &ProjectFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(&self, id: ProjectId, changes: ProjectChanges) -> Result<Project> {
        changes.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().update(id, &changes).await;
        match write.finish(outcome).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "Project",
                &changes,
                self.exists(id).await?,
            )),
        }
    }

    async fn archive(&self, id: ProjectId) -> Result<Project> {
        let not_deleted = projects::status.ne(ProjectStatus::Deleted);
        let statement = diesel::update(projects::table.find(id).filter(not_deleted))
            .set(projects::status.eq(ProjectStatus::Archived))
            .returning(Project::as_returning());
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().first(prepared(statement)).await;
        match write.finish(outcome).await? {
            Some(project) => Ok(project),
            None if self.exists(id).await? => Err(Error::illegal_transition(
                "Project",
                ProjectStatus::Deleted.as_str(),
                ProjectStatus::Archived.as_str(),
                "archive",
            )),
            None => Err(Error::NotFound { what: "Project" }),
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
            .returning(Project::as_returning());
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().first(prepared(statement)).await;
        write
            .finish(outcome)
            .await?
            .ok_or(Error::NotFound { what: "Project" })
    }

    async fn merge_configuration(&self, id: ProjectId, configuration: Document) -> Result<Project> {
        if !configuration.is_object() {
            return Err(Error::invalid("configuration", "is not a JSON object"));
        }
        crate::checks::check(&configuration, "configuration", None)?;
        let merged = projects::configuration.eq(merged(projects::configuration, configuration));
        let statement = diesel::update(projects::table.find(id))
            .set(merged)
            .returning(Project::as_returning());
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().first(prepared(statement)).await;
        write
            .finish(outcome)
            .await?
            .ok_or(Error::NotFound { what: "Project" })
    }

    async fn delete(&self, id: ProjectId) -> Result<bool> {
        let write = Write::begin(&self.0).await?;
        let outcome = delete_project(&write.source(), id).await;
        write.finish(outcome).await
    }

    async fn delete_many(&self, filter: &ProjectFilter) -> Result<usize> {
        let ids = filter.query().select(projects::id);
        let statement = delete_matching(projects::table, ids);
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().execute(statement).await;
        write
            .finish_touching(outcome, |deleted| (*deleted > 0).then_some(Everything))
            .await
    }
}

/// Deletes a project, and notes what goes with it.
#[repository]
async fn delete_project(source: &Source<'_>, id: ProjectId) -> Result<bool> {
    if source.takes_notes() {
        touch_project(source, id).await?;
    }
    let statement = diesel::delete(projects::table.find(id));
    Ok(source.execute(statement).await? == 1)
}

/// Notes a project and what goes with it. It stays locked, so that nothing new refers to it.
#[repository]
pub(super) async fn touch_project(source: &Source<'_>, id: ProjectId) -> Result<()> {
    let project = projects::table.find(id).select(projects::id).for_update();
    source.first::<_, ProjectId>(project).await?;
    let members = project_members::table
        .filter(project_members::project_id.eq(id))
        .select(project_members::user_id);
    for user in source.load::<_, UserId>(members).await? {
        source.touch(&Key::ProjectMember(id, user));
    }
    for &r#type in AnalysisType::ALL {
        source.touch(&Key::LatestAnalysis(id, r#type));
    }
    source.touch(&Key::Configurations(id.into()));
    source.touch(&Key::Project(id));
    Ok(())
}
