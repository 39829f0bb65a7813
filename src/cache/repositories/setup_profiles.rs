//! `setup.setup_profiles`, cached by id.

use super::protocol::batch::{look_up_all, settle_all};
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

#[repository]
impl SetupProfileRepository for CachedSetupProfiles {
    fn inner(&self) -> Option<&dyn SetupProfileRepository> {
        Some(&self.0.setup_profiles)
    }

    async fn find(&self, id: SetupProfileId) -> Result<Option<SetupProfile>> {
        cached!(
            self,
            EntryKey::from(&Key::SetupProfile(id)),
            self.0.setup_profiles.find(id)
        )
    }

    async fn find_many(&self, ids: &[SetupProfileId]) -> Result<Vec<Option<SetupProfile>>> {
        cached_many!(self, ids, Key::SetupProfile, setup_profiles)
    }
}
