//! `analysis.dependency_graphs`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::schema::analysis::dependency_graphs;
use crate::sql::{
    columns_of, delete_by_id, delete_matching, exists_by_id, find_by_id, is_one_of, parent_id,
};
use crate::{
    AnalysisId, DependencyGraph, DependencyGraphChanges, DependencyGraphFilter, DependencyGraphId,
    DependencyGraphOrder, NewDependencyGraph, Page, Paged, ProjectId, Result,
};

/// Stores and finds dependency graphs.
#[repository]
pub trait DependencyGraphRepository: Send + Sync {
    /// Creates a dependency graph.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such project or analysis
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewDependencyGraph) -> Result<DependencyGraph>;

    /// Creates any number of dependency graphs, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewDependencyGraph]) -> Result<u64>;

    /// Returns the dependency graph with this id. Returns `None` if there is none.
    async fn find(&self, id: DependencyGraphId) -> Result<Option<DependencyGraph>>;

    /// Returns the dependency graphs with these ids, in the order of `ids`, with one query. An id
    /// without a row gets `None`.
    async fn find_many(&self, ids: &[DependencyGraphId]) -> Result<Vec<Option<DependencyGraph>>>;

    /// Returns the newest dependency graph of a project.
    async fn latest(&self, project_id: ProjectId) -> Result<Option<DependencyGraph>>;

    /// Returns the dependency graphs of an analysis, newest first.
    async fn of_analysis(&self, analysis_id: AnalysisId) -> Result<Vec<DependencyGraph>>;

    /// Checks whether there is a dependency graph with this id.
    async fn exists(&self, id: DependencyGraphId) -> Result<bool>;

    /// Returns one page of the dependency graphs that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Paged<DependencyGraph>>;

    /// Returns one page for each project: its graphs that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>>;

    /// Returns one page for each analysis: its graphs that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>>;

    /// Streams the dependency graphs that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a DependencyGraphFilter) -> RowStream<'a, DependencyGraph>;

    /// Counts the dependency graphs that the filter matches.
    async fn count(&self, filter: &DependencyGraphFilter) -> Result<u64>;

    /// Updates a dependency graph and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such dependency graph
    /// - [`Error::MissingReference`] and [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(
        &self,
        id: DependencyGraphId,
        changes: DependencyGraphChanges,
    ) -> Result<DependencyGraph>;

    /// Deletes a dependency graph, and returns whether it existed.
    async fn delete(&self, id: DependencyGraphId) -> Result<bool>;

    /// Deletes every dependency graph that the filter matches, all or none, and returns their
    /// number.
    async fn delete_many(&self, filter: &DependencyGraphFilter) -> Result<u64>;
}

/// The [`DependencyGraphRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct DependencyGraphs<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the dependency graphs.
    pub fn dependency_graphs(&self) -> DependencyGraphs<'static> {
        DependencyGraphs(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the dependency graphs within this transaction.
    pub fn dependency_graphs(&self) -> DependencyGraphs<'_> {
        DependencyGraphs(self.executor())
    }
}

#[repository(observed)]
impl DependencyGraphRepository for DependencyGraphs<'_> {
    async fn create(&self, new: NewDependencyGraph) -> Result<DependencyGraph> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewDependencyGraph]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: DependencyGraphId) -> Result<Option<DependencyGraph>> {
        self.0.first(find_by_id::<DependencyGraph>(id)).await
    }

    async fn find_many(&self, ids: &[DependencyGraphId]) -> Result<Vec<Option<DependencyGraph>>> {
        rows_by_ids(&self.0, ids).await
    }

    async fn latest(&self, project_id: ProjectId) -> Result<Option<DependencyGraph>> {
        let query = dependency_graphs::table
            .filter(dependency_graphs::project_id.eq(project_id))
            .order((
                dependency_graphs::created_at.desc(),
                dependency_graphs::id.desc(),
            ))
            .limit(1)
            .select(columns_of::<DependencyGraph>());
        self.0.first(query).await
    }

    async fn of_analysis(&self, analysis_id: AnalysisId) -> Result<Vec<DependencyGraph>> {
        let query = dependency_graphs::table
            .filter(dependency_graphs::analysis_id.eq(analysis_id))
            .order((
                dependency_graphs::created_at.desc(),
                dependency_graphs::id.desc(),
            ))
            .select(columns_of::<DependencyGraph>());
        self.0.load(query).await
    }

    async fn exists(&self, id: DependencyGraphId) -> Result<bool> {
        self.0.one(exists_by_id::<DependencyGraph>(id)).await
    }

    async fn list(
        &self,
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Paged<DependencyGraph>> {
        let rows = filter.query().select(columns_of::<DependencyGraph>());
        page_of(&self.0, page, rows, filter.query().count()).await
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>> {
        let rows = filter
            .query()
            .filter(dependency_graphs::project_id.eq(parent_id(dependency_graphs::project_id)))
            .select(columns_of::<DependencyGraph>());
        let children = filter
            .query()
            .filter(is_one_of(dependency_graphs::project_id, ids))
            .select(dependency_graphs::project_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.project_id).await
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>> {
        let rows = filter
            .query()
            .filter(dependency_graphs::analysis_id.eq(parent_id(dependency_graphs::analysis_id)))
            .select(columns_of::<DependencyGraph>());
        let children = filter
            .query()
            .filter(is_one_of(dependency_graphs::analysis_id, ids))
            .select(dependency_graphs::analysis_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.analysis_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a DependencyGraphFilter) -> RowStream<'a, DependencyGraph> {
        self.0
            .stream(filter.query().select(columns_of::<DependencyGraph>()))
    }

    async fn count(&self, filter: &DependencyGraphFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: DependencyGraphId,
        changes: DependencyGraphChanges,
    ) -> Result<DependencyGraph> {
        updated_row_uncached(&self.0, "DependencyGraph", id, &changes).await
    }

    async fn delete(&self, id: DependencyGraphId) -> Result<bool> {
        match self.0.execute(delete_by_id::<DependencyGraph>(id)).await? {
            0 => not_deleted("DependencyGraph", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &DependencyGraphFilter) -> Result<u64> {
        let ids = filter.query().select(dependency_graphs::id);
        self.0
            .execute(delete_matching(dependency_graphs::table, ids))
            .await
    }
}
