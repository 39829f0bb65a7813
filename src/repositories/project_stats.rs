//! `cache.project_stats`.

use diesel::prelude::QueryDsl;

use super::*;
use crate::sql::project_stats::{StatsOf, page_of_stats};
use crate::sql::{Sql, find_by_id};
use crate::{Page, Paged, ProjectId, ProjectStats, ProjectStatsFilter, ProjectStatsOrder, Result};

/// Reads the statistics of active projects.
#[repository]
pub trait ProjectStatsRepository: Send + Sync {
    /// Returns the statistics of this project, if it is active.
    async fn find(&self, id: ProjectId) -> Result<Option<ProjectStats>>;

    /// Returns the statistics of these projects, in the order of `ids`, with one query. A project
    /// that is not active gets `None`.
    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<ProjectStats>>>;

    /// Returns one page of the projects that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the limit is not within 1 and 100,
    ///   or the cursor is of another list
    async fn list(
        &self,
        filter: &ProjectStatsFilter,
        page: &Page<ProjectStatsOrder>,
    ) -> Result<Paged<ProjectStats>>;

    /// Counts the projects that the filter matches.
    async fn count(&self, filter: &ProjectStatsFilter) -> Result<u64>;
}

/// From this number of projects on, planning takes a negligible part of the time.
const MANY: usize = 64;

/// The [`ProjectStatsRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct ProjectStatsView<'a>(pub(super) Executor<'a>);

impl Db {
    /// Returns the repository of the statistics of active projects.
    pub fn project_stats(&self) -> ProjectStatsView<'static> {
        ProjectStatsView(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the statistics of active projects within this transaction.
    pub fn project_stats(&self) -> ProjectStatsView<'_> {
        ProjectStatsView(self.executor())
    }
}

#[repository(observed)]
impl ProjectStatsRepository for ProjectStatsView<'_> {
    async fn find(&self, id: ProjectId) -> Result<Option<ProjectStats>> {
        self.0.first(find_by_id::<ProjectStats>(id)).await
    }

    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<ProjectStats>>> {
        let rows: Vec<ProjectStats> = if ids.len() < MANY {
            self.0.load(Sql(StatsOf::<false> { ids })).await?
        } else {
            self.0.load(Sql(StatsOf::<true> { ids })).await?
        };
        Ok(in_order_of(ids, rows, |row| row.id))
    }

    async fn list(
        &self,
        filter: &ProjectStatsFilter,
        page: &Page<ProjectStatsOrder>,
    ) -> Result<Paged<ProjectStats>> {
        read_page(
            &self.0,
            page,
            page_of_stats(filter, page)?,
            filter.projects().count(),
        )
        .await
    }

    async fn count(&self, filter: &ProjectStatsFilter) -> Result<u64> {
        self.0.count(filter.projects().count()).await
    }
}
