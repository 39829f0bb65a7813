//! `public.projects`, cached by id, with the access of users.

use std::collections::HashMap;

use super::access::{AtOneMoment, distinct};
use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{Access, Project, ProjectId, ProjectRole, UserId};

/// The [`ProjectRepository`] behind the cache: finds by id, and the access of a user.
#[derive(Clone)]
pub struct CachedProjects(Arc<Inside>);

impl Cached {
    /// Returns the projects.
    pub fn projects(&self) -> CachedProjects {
        CachedProjects(Arc::clone(&self.0))
    }
}

#[repository(observed)]
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

    async fn access(&self, user_id: UserId, id: ProjectId) -> Result<Option<Access<ProjectRole>>> {
        match self.cached_access(user_id, &[id]).await? {
            Some(access) => Ok(access.into_iter().next().flatten()),
            None => self.0.projects.access(user_id, id).await,
        }
    }

    async fn access_many(
        &self,
        user_id: UserId,
        ids: &[ProjectId],
    ) -> Result<Vec<Option<Access<ProjectRole>>>> {
        match self.cached_access(user_id, ids).await? {
            Some(access) => Ok(access),
            None => self.0.projects.access_many(user_id, ids).await,
        }
    }
}

#[repository]
impl CachedProjects {
    /// Returns the access of a user to each project. `None` if the cache does not have what decides
    /// it.
    #[unboxed]
    async fn cached_access(
        &self,
        user_id: UserId,
        ids: &[ProjectId],
    ) -> Result<Option<Vec<Option<Access<ProjectRole>>>>> {
        let rows = distinct(ids);
        let keys: Vec<Key> = rows.iter().copied().map(Key::Project).collect();
        for is_last in [false, true] {
            match self.0.at_one_moment::<Project>(user_id, &keys).await {
                AtOneMoment::All(standing, projects) => {
                    let projects: HashMap<_, _> = rows.iter().zip(projects).collect();
                    let access = |id: &ProjectId| {
                        let project = projects.get(id)?.as_ref()?;
                        standing.as_ref()?.access_to(user_id, project)
                    };
                    return Ok(Some(ids.iter().map(access).collect()));
                }
                AtOneMoment::Missing if !is_last => {
                    boxed(self.0.fill_standing(user_id)).await?;
                    self.find_many(&rows).await?;
                }
                AtOneMoment::Missing | AtOneMoment::Unavailable => break,
            }
        }
        Ok(None)
    }
}
