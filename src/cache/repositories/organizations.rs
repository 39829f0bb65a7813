//! `public.organizations`, cached by id and by slug, with the access of users.

use super::access::AtOneMoment;
use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::protocol::secondary_key::{lookup, remember};
use super::*;
use crate::cache::CachedKind;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{Access, Organization, OrganizationId, OrganizationRole, UserId};

/// The [`OrganizationRepository`] behind the cache: finds by id and by slug, and the access of a
/// user.
#[derive(Clone)]
pub struct CachedOrganizations(Arc<Inside>);

impl Cached {
    /// Returns the organizations.
    pub fn organizations(&self) -> CachedOrganizations {
        CachedOrganizations(Arc::clone(&self.0))
    }
}

#[repository(observed)]
impl OrganizationRepository for CachedOrganizations {
    fn inner(&self) -> Option<&dyn OrganizationRepository> {
        Some(&self.0.organizations)
    }

    async fn find(&self, id: OrganizationId) -> Result<Option<Organization>> {
        match look_up(&self.0.client, EntryKey::from(&Key::Organization(id))).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.0.organizations.find(id).await)).await,
        }
    }

    async fn find_many(&self, ids: &[OrganizationId]) -> Result<Vec<Option<Organization>>> {
        let batch = Batch::look_up(&self.0.client, ids, Key::Organization).await;
        match batch.missing_ids() {
            None => Ok(batch.into_rows()),
            Some(missing) => {
                batch
                    .fill(self.0.organizations.find_many(&missing).await)
                    .await
            }
        }
    }

    async fn access(
        &self,
        user_id: UserId,
        id: OrganizationId,
    ) -> Result<Option<Access<OrganizationRole>>> {
        let keys = [Key::Organization(id)];
        for is_last in [false, true] {
            match self.0.at_one_moment::<Organization>(user_id, &keys).await {
                AtOneMoment::All(standing, organizations) => {
                    let exists = organizations.iter().any(Option::is_some);
                    let standing = standing.filter(|_| exists);
                    return Ok(standing.and_then(|standing| standing.access_to_organization(id)));
                }
                AtOneMoment::Missing if !is_last => {
                    boxed(self.0.fill_standing(user_id)).await?;
                    self.find(id).await?;
                }
                AtOneMoment::Missing | AtOneMoment::Unavailable => break,
            }
        }
        self.0.organizations.access(user_id, id).await
    }

    async fn find_by_slug(&self, slug: &str) -> Result<Option<Organization>> {
        let key = EntryKey::of_unique(CachedKind::Organization, slug);
        if let Some((id, as_stored)) = lookup(&self.0.client, &key).await
            && let Some(organization) = self.find(id).await?
            && organization.slug == as_stored
        {
            return Ok(Some(organization));
        }
        let organization = self.0.organizations.find_by_slug(slug).await?;
        if let Some(organization) = &organization {
            remember(&self.0.client, &key, organization.id, &organization.slug).await;
        }
        Ok(organization)
    }
}
