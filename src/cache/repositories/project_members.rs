//! `public.project_members`: roles, cached by project and user.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{ProjectId, ProjectRole, UserId};

/// The [`ProjectMemberRepository`] behind the cache: finds the role of a user.
#[derive(Clone)]
pub struct CachedProjectMembers(Arc<Inside>);

impl Cached {
    /// Returns the members of projects.
    pub fn project_members(&self) -> CachedProjectMembers {
        CachedProjectMembers(Arc::clone(&self.0))
    }
}

#[repository(observed)]
impl ProjectMemberRepository for CachedProjectMembers {
    fn inner(&self) -> Option<&dyn ProjectMemberRepository> {
        Some(&self.0.project_members)
    }

    async fn role_of(&self, project_id: ProjectId, user_id: UserId) -> Result<Option<ProjectRole>> {
        let key = EntryKey::from(&Key::ProjectMember(project_id, user_id));
        match look_up(&self.0.client, key).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => {
                boxed(settle(
                    fill,
                    self.0.project_members.role_of(project_id, user_id).await,
                ))
                .await
            }
        }
    }
}
