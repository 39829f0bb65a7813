//! `public.projects`, cached by id.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{Project, ProjectId};

/// The [`ProjectRepository`] behind the cache: finds by id.
#[derive(Clone)]
pub struct CachedProjects(Arc<Inside>);

impl Cached {
    /// Returns the projects.
    pub fn projects(&self) -> CachedProjects {
        CachedProjects(Arc::clone(&self.0))
    }
}

#[repository]
impl ProjectRepository for CachedProjects {
    fn inner(&self) -> Option<&dyn ProjectRepository> {
        Some(&self.0.projects)
    }

    async fn find(&self, id: ProjectId) -> Result<Option<Project>> {
        match look_up(&self.0.client, EntryKey::from(&Key::Project(id))).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.0.projects.find(id).await)).await,
        }
    }

    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<Project>>> {
        let batch = Batch::look_up(&self.0.client, ids, Key::Project).await;
        match batch.missing_ids() {
            None => Ok(batch.into_rows()),
            Some(missing) => batch.fill(self.0.projects.find_many(&missing).await).await,
        }
    }
}
