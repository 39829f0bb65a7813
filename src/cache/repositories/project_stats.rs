//! `cache.project_stats`: numbers that are as old as their lifetime allows.

use std::time::Duration;

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::CachedKind;
use crate::cache::keys::EntryKey;
use crate::{ProjectId, ProjectStats};

/// The [`ProjectStatsRepository`] behind the cache. What it finds of one project may be out of date
/// by [`max_age`](Self::max_age), and by no more: such numbers depend on too many rows to be
/// fenced. Lists and counts come from the database.
#[derive(Clone)]
pub struct AgingProjectStats(Arc<Inside>);

impl Cached {
    /// Returns the active projects' numbers, as old as they may be.
    pub fn project_stats(&self) -> AgingProjectStats {
        AgingProjectStats(Arc::clone(&self.0))
    }
}

impl AgingProjectStats {
    /// Returns the largest age of a result; zero if results are not cached.
    pub fn max_age(&self) -> Duration {
        let settings = &self.0.client.settings;
        settings
            .lifetime_of(CachedKind::ProjectStats)
            .unwrap_or_default()
    }
}

#[repository(observed)]
impl ProjectStatsRepository for AgingProjectStats {
    fn inner(&self) -> Option<&dyn ProjectStatsRepository> {
        Some(&self.0.project_stats)
    }

    async fn find(&self, id: ProjectId) -> Result<Option<ProjectStats>> {
        match look_up(&self.0.client, EntryKey::of_stats(id)).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.0.project_stats.find(id).await)).await,
        }
    }
}
