//! `cache.project_stats`.

use diesel::prelude::{QueryDsl, SelectableHelper};

use super::*;
use crate::schema::cache::project_stats;
use crate::{
    Page, Paged, ProjectId, ProjectStats, ProjectStatsFilter, ProjectStatsOrder, Result, StatsOf,
};

/// Reads the active projects' numbers.
///
/// Every method may return [`Error::Pool`](crate::Error::Pool), [`Error::Connection`](crate::Error::Connection) and
/// [`Error::Timeout`](crate::Error::Timeout); named below is what else.
#[repository]
pub trait ProjectStatsRepository: Send + Sync {
    /// The numbers of this project, if it is active.
    async fn find(&self, id: ProjectId) -> Result<Option<ProjectStats>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<ProjectStats>>>;

    /// One page of the projects that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for a limit that is not within 1 and 100 or a cursor of
    /// another list.
    async fn list(
        &self,
        filter: &ProjectStatsFilter,
        page: &Page<ProjectStatsOrder>,
    ) -> Result<Paged<ProjectStats>>;

    /// How many projects the filter matches.
    async fn count(&self, filter: &ProjectStatsFilter) -> Result<i64>;
}

/// From so many projects on the work takes so much longer than its planning that this does not count.
const MANY: usize = 64;

/// The [`ProjectStatsRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct ProjectStatsView<'a>(pub(super) Source<'a>);

impl Db {
    /// The active projects' numbers.
    pub fn project_stats(&self) -> ProjectStatsView<'static> {
        ProjectStatsView(self.source())
    }
}

impl Tx {
    /// The active projects' numbers, inside this transaction.
    pub fn project_stats(&self) -> ProjectStatsView<'_> {
        ProjectStatsView(self.source())
    }
}

#[repository]
impl ProjectStatsRepository for ProjectStatsView<'_> {
    async fn find(&self, id: ProjectId) -> Result<Option<ProjectStats>> {
        self.0
            .first(
                project_stats::table
                    .find(id)
                    .select(ProjectStats::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<ProjectStats>>> {
        let rows: Vec<ProjectStats> = if ids.len() < MANY {
            self.0.load(StatsOf::<false> { ids }).await?
        } else {
            self.0.load(StatsOf::<true> { ids }).await?
        };
        Ok(in_order_of(ids, rows, |row| row.id))
    }

    async fn list(
        &self,
        filter: &ProjectStatsFilter,
        page: &Page<ProjectStatsOrder>,
    ) -> Result<Paged<ProjectStats>> {
        list!(self, ProjectStats, filter, page, projects)
    }

    async fn count(&self, filter: &ProjectStatsFilter) -> Result<i64> {
        self.0.one(filter.projects().count()).await
    }
}
