//! `public.organization_members`: roles, cached by organization and user.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{OrganizationId, OrganizationRole, UserId};

/// The [`OrganizationMemberRepository`] behind the cache: finds the role of a user.
#[derive(Clone)]
pub struct CachedOrganizationMembers(Arc<Inside>);

impl Cached {
    /// Returns the members of organizations.
    pub fn organization_members(&self) -> CachedOrganizationMembers {
        CachedOrganizationMembers(Arc::clone(&self.0))
    }
}

#[repository(observed)]
impl OrganizationMemberRepository for CachedOrganizationMembers {
    fn inner(&self) -> Option<&dyn OrganizationMemberRepository> {
        Some(&self.0.organization_members)
    }

    async fn role_of(
        &self,
        organization_id: OrganizationId,
        user_id: UserId,
    ) -> Result<Option<OrganizationRole>> {
        let key = EntryKey::from(&Key::OrganizationMember(organization_id, user_id));
        match look_up(&self.0.client, key).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => {
                boxed(settle(
                    fill,
                    self.0
                        .organization_members
                        .role_of(organization_id, user_id)
                        .await,
                ))
                .await
            }
        }
    }
}
