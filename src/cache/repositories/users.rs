//! `public.users`, cached by id and by address.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::protocol::secondary_key::{lookup, remember};
use super::*;
use crate::cache::CachedKind;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{User, UserId};

/// The [`UserRepository`] behind the cache: finds by id and by address.
#[derive(Clone)]
pub struct CachedUsers(Arc<Inside>);

impl Cached {
    /// Returns the users.
    pub fn users(&self) -> CachedUsers {
        CachedUsers(Arc::clone(&self.0))
    }
}

#[repository(observed)]
impl UserRepository for CachedUsers {
    fn inner(&self) -> Option<&dyn UserRepository> {
        Some(&self.0.users)
    }

    async fn find(&self, id: UserId) -> Result<Option<User>> {
        match look_up(&self.0.client, EntryKey::from(&Key::User(id))).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.0.users.find(id).await)).await,
        }
    }

    async fn find_many(&self, ids: &[UserId]) -> Result<Vec<Option<User>>> {
        let batch = Batch::look_up(&self.0.client, ids, Key::User).await;
        match batch.missing_ids() {
            None => Ok(batch.into_rows()),
            Some(missing) => batch.fill(self.0.users.find_many(&missing).await).await,
        }
    }

    async fn find_by_email(&self, email: &str) -> Result<Option<User>> {
        let key = EntryKey::of_unique(CachedKind::User, email);
        if let Some((id, as_stored)) = lookup(&self.0.client, &key).await
            && let Some(user) = self.find(id).await?
            && user.email == as_stored
        {
            return Ok(Some(user));
        }
        let user = self.0.users.find_by_email(email).await?;
        if let Some(user) = &user {
            remember(&self.0.client, &key, user.id, &user.email).await;
        }
        Ok(user)
    }
}
