//! `setup.setup_profiles`, cached by id.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{SetupProfile, SetupProfileId};

/// The [`SetupProfileRepository`] behind the cache: finds by id.
#[derive(Clone)]
pub struct CachedSetupProfiles(Arc<Inside>);

impl Cached {
    /// Returns the setup profiles.
    pub fn setup_profiles(&self) -> CachedSetupProfiles {
        CachedSetupProfiles(Arc::clone(&self.0))
    }
}

#[repository(observed)]
impl SetupProfileRepository for CachedSetupProfiles {
    fn inner(&self) -> Option<&dyn SetupProfileRepository> {
        Some(&self.0.setup_profiles)
    }

    async fn find(&self, id: SetupProfileId) -> Result<Option<SetupProfile>> {
        match look_up(&self.0.client, EntryKey::from(&Key::SetupProfile(id))).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.0.setup_profiles.find(id).await)).await,
        }
    }

    async fn find_many(&self, ids: &[SetupProfileId]) -> Result<Vec<Option<SetupProfile>>> {
        let batch = Batch::look_up(&self.0.client, ids, Key::SetupProfile).await;
        match batch.missing_ids() {
            None => Ok(batch.into_rows()),
            Some(missing) => {
                batch
                    .fill(self.0.setup_profiles.find_many(&missing).await)
                    .await
            }
        }
    }
}
