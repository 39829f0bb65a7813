//! `public.projects`, cached by id.

use super::protocol::batch::{look_up_all, settle_all};
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
        cached!(
            self,
            EntryKey::from(&Key::Project(id)),
            self.0.projects.find(id)
        )
    }

    async fn find_many(&self, ids: &[ProjectId]) -> Result<Vec<Option<Project>>> {
        cached_many!(self, ids, Key::Project, projects)
    }
}
