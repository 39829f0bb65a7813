//! `analysis.analyses`: the newest of a project and type are cached.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::entry::Latest;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{Analysis, AnalysisType, ProjectId};

/// The [`AnalysisRepository`] behind the cache: finds the newest analysis of a project and type.
#[derive(Clone)]
pub struct CachedAnalyses(Arc<Inside>);

impl Cached {
    /// Returns the analyses. Their ingests begin at [`Analyses`], which this dereferences to.
    pub fn analyses(&self) -> CachedAnalyses {
        CachedAnalyses(Arc::clone(&self.0))
    }
}

impl Deref for CachedAnalyses {
    type Target = Analyses<'static>;

    fn deref(&self) -> &Analyses<'static> {
        &self.0.analyses
    }
}

#[repository(observed)]
impl AnalysisRepository for CachedAnalyses {
    fn inner(&self) -> Option<&dyn AnalysisRepository> {
        Some(&self.0.analyses)
    }

    async fn latest(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>> {
        Ok(self.newest(project_id, r#type).await?.any)
    }

    async fn latest_completed(
        &self,
        project_id: ProjectId,
        r#type: AnalysisType,
    ) -> Result<Option<Analysis>> {
        Ok(self.newest(project_id, r#type).await?.completed)
    }
}

#[repository]
impl CachedAnalyses {
    async fn newest(&self, project_id: ProjectId, r#type: AnalysisType) -> Result<Latest> {
        let key = EntryKey::from(&Key::LatestAnalysis(project_id, r#type));
        match look_up(&self.0.client, key).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.read(project_id, r#type).await)).await,
        }
    }

    async fn read(&self, project_id: ProjectId, r#type: AnalysisType) -> Result<Latest> {
        Ok(Latest {
            any: self.0.analyses.latest(project_id, r#type).await?,
            completed: self.0.analyses.latest_completed(project_id, r#type).await?,
        })
    }
}
