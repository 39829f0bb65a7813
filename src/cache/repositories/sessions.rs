//! Logins behind the cache: the session by the hash of its token, and the user by its id.

use super::*;
use crate::crypto::session_keys::Presented;

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
        let now = self.0.0.store.now();
        if token.end <= now {
            return Ok(None);
        }
        let sessions = self.0.user_sessions();
        let Some(session) = sessions.find_by_token_hash(&token.hash).await? else {
            return Ok(None);
        };
        let user = self.0.users().find(session.user_id).await?;
        let user = user.filter(|user| user.is_active);
        Ok(user.map(|user| FoundSession { session, user, now }))
    }
}
