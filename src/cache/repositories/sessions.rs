//! Logins behind the cache: the session by the hash of its token, and the user by its id, with one
//! command.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up_after, read_two};
use super::user_sessions::session_after;
use super::*;
use crate::User;
use crate::cache::keys::EntryKey;
use crate::crypto::session_keys::Presented;
use crate::write_set::Key;

/// Reads sessions and users from the cache.
///
/// The entry of a session is fenced when the session is rotated or ended, and that of a user when
/// the user is written. Both are read, so that a user that was deactivated is rejected even if its
/// session was opened after the snapshot of the deactivating transaction.
struct CacheReader(Cached);

impl From<&Cached> for SessionSource {
    fn from(cached: &Cached) -> Self {
        Self::new(cached.db().clone(), Arc::new(CacheReader(cached.clone())))
    }
}

#[repository]
impl SessionReader for CacheReader {
    async fn session_of(&self, token: &Presented) -> Result<Option<FoundSession>> {
        let inside = &self.0.0;
        let client = &inside.client;
        let now = client.now();
        if token.end <= now {
            return Ok(None);
        }
        let session_name = EntryKey::from(&Key::UserSession(token.hash.clone()));
        let user_name = EntryKey::from(&Key::User(token.user_id));
        let (session, user) = read_two(client, &session_name, &user_name).await;
        let session = look_up_after(client, session_name, session).await;
        let session = session_after(inside, session, &token.hash).await?;
        let Some(session) = session.filter(|session| session.user_id == token.user_id) else {
            return Ok(None);
        };
        let user = match look_up_after(client, user_name, user).await {
            Lookup::Hit(user) => user,
            Lookup::Miss(fill) => {
                boxed(settle(fill, inside.users.find(token.user_id).await)).await?
            }
        };
        let user: Option<User> = user.filter(|user: &User| user.is_active);
        Ok(user.map(|user| FoundSession { session, user, now }))
    }
}
