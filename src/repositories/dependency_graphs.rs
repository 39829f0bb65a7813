//! `analysis.dependency_graphs`.

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::schema::analysis::dependency_graphs;
use crate::sql::{Changes as _, NewRow as _, delete_matching};
use crate::{
    AnalysisId, DependencyGraph, DependencyGraphChanges, DependencyGraphFilter, DependencyGraphId,
    DependencyGraphOrder, Error, NewDependencyGraph, Page, Paged, ProjectId, Result,
};

/// Stores and finds dependency graphs.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait DependencyGraphRepository: Send + Sync {
    /// Creates a dependency graph.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] without project or analysis, [`Error::InvalidInput`] if a value cannot be stored.
    async fn create(&self, new: NewDependencyGraph) -> Result<DependencyGraph>;

    /// Creates any number of dependency graphs, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewDependencyGraph]) -> Result<usize>;

    /// The dependency graph with this id.
    async fn find(&self, id: DependencyGraphId) -> Result<Option<DependencyGraph>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[DependencyGraphId]) -> Result<Vec<Option<DependencyGraph>>>;

    /// The newest dependency graph of a project.
    async fn latest(&self, project_id: ProjectId) -> Result<Option<DependencyGraph>>;

    /// The dependency graphs that an analysis made, newest first.
    async fn of_analysis(&self, analysis_id: AnalysisId) -> Result<Vec<DependencyGraph>>;

    /// Whether there is such a dependency graph.
    async fn exists(&self, id: DependencyGraphId) -> Result<bool>;

    /// One page of the dependency graphs that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Paged<DependencyGraph>>;

    /// One page of the graphs of each project that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>>;

    /// One page of the graphs of each analysis that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>>;

    /// All dependency graphs that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a DependencyGraphFilter) -> RowStream<'a, DependencyGraph>;

    /// How many dependency graphs the filter matches.
    async fn count(&self, filter: &DependencyGraphFilter) -> Result<i64>;

    /// Changes a dependency graph; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::ForeignKey`] and [`Error::InvalidInput`] as in [`create`](Self::create).
    async fn update(
        &self,
        id: DependencyGraphId,
        changes: DependencyGraphChanges,
    ) -> Result<DependencyGraph>;

    /// Deletes a dependency graph and tells whether it was there.
    async fn delete(&self, id: DependencyGraphId) -> Result<bool>;

    /// Deletes every dependency graph that the filter matches, all or none, and tells how many.
    async fn delete_many(&self, filter: &DependencyGraphFilter) -> Result<usize>;
}

/// The [`DependencyGraphRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct DependencyGraphs<'a>(Source<'a>);

impl Db {
    /// The dependency graphs.
    pub fn dependency_graphs(&self) -> DependencyGraphs<'static> {
        DependencyGraphs(self.source())
    }
}

impl Tx {
    /// The dependency graphs, inside this transaction.
    pub fn dependency_graphs(&self) -> DependencyGraphs<'_> {
        DependencyGraphs(self.source())
    }
}

#[repository]
impl DependencyGraphRepository for DependencyGraphs<'_> {
    async fn create(&self, new: NewDependencyGraph) -> Result<DependencyGraph> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewDependencyGraph]) -> Result<usize> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: DependencyGraphId) -> Result<Option<DependencyGraph>> {
        self.0
            .first(
                dependency_graphs::table
                    .find(id)
                    .select(DependencyGraph::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[DependencyGraphId]) -> Result<Vec<Option<DependencyGraph>>> {
        let query = dependency_graphs::table
            .filter(dependency_graphs::id.eq_any(ids))
            .select(DependencyGraph::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, DependencyGraph>(query).await?,
            |row| row.id,
        ))
    }

    async fn latest(&self, project_id: ProjectId) -> Result<Option<DependencyGraph>> {
        let query = dependency_graphs::table
            .filter(dependency_graphs::project_id.eq(project_id))
            .order((
                dependency_graphs::created_at.desc(),
                dependency_graphs::id.desc(),
            ))
            .limit(1)
            .select(DependencyGraph::as_select());
        self.0.first(query).await
    }

    async fn of_analysis(&self, analysis_id: AnalysisId) -> Result<Vec<DependencyGraph>> {
        let query = dependency_graphs::table
            .filter(dependency_graphs::analysis_id.eq(analysis_id))
            .order((
                dependency_graphs::created_at.desc(),
                dependency_graphs::id.desc(),
            ))
            .select(DependencyGraph::as_select());
        self.0.load(query).await
    }

    async fn exists(&self, id: DependencyGraphId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                dependency_graphs::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Paged<DependencyGraph>> {
        list!(self, DependencyGraph, filter, page)
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>> {
        list_of!(
            self,
            DependencyGraph,
            dependency_graphs::project_id,
            ids,
            filter,
            page
        )
    }

    async fn list_of_analyses(
        &self,
        ids: &[AnalysisId],
        filter: &DependencyGraphFilter,
        page: &Page<DependencyGraphOrder>,
    ) -> Result<Vec<Paged<DependencyGraph>>> {
        list_of!(
            self,
            DependencyGraph,
            dependency_graphs::analysis_id,
            ids,
            filter,
            page
        )
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a DependencyGraphFilter) -> RowStream<'a, DependencyGraph> {
        self.0
            .stream(filter.query().select(DependencyGraph::as_select()))
    }

    async fn count(&self, filter: &DependencyGraphFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(
        &self,
        id: DependencyGraphId,
        changes: DependencyGraphChanges,
    ) -> Result<DependencyGraph> {
        changes.check()?;
        match self.0.update(id, &changes).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "DependencyGraph",
                &changes,
                self.exists(id).await?,
            )),
        }
    }

    async fn delete(&self, id: DependencyGraphId) -> Result<bool> {
        Ok(self
            .0
            .execute(diesel::delete(dependency_graphs::table.find(id)))
            .await?
            == 1)
    }

    async fn delete_many(&self, filter: &DependencyGraphFilter) -> Result<usize> {
        let ids = filter.query().select(dependency_graphs::id);
        self.0
            .execute(delete_matching(dependency_graphs::table, ids))
            .await
    }
}
