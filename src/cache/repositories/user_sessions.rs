//! `public.user_sessions`, cached by the hash of the token and encrypted with it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::cache_io::boxed;
use super::protocol::fill::{give_up, settle_for};
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::encryption::{seal, unseal};
use crate::cache::entry::Sealed;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{UserId, UserSession, UserSessionId};

/// The [`UserSessionRepository`] behind the cache: finds by the hash of a token. A session that has
/// expired by the database's clock is not found, and one that was ended is not found from the
/// moment that this is acknowledged.
#[derive(Clone)]
pub struct CachedUserSessions(Arc<Inside>);

impl Cached {
    /// Returns the sessions of users.
    pub fn user_sessions(&self) -> CachedUserSessions {
        CachedUserSessions(Arc::clone(&self.0))
    }
}

#[repository(observed)]
impl UserSessionRepository for CachedUserSessions {
    fn inner(&self) -> Option<&dyn UserSessionRepository> {
        Some(&self.0.user_sessions)
    }

    async fn find_by_token_hash(&self, token_hash: &str) -> Result<Option<UserSession>> {
        let key = EntryKey::from(&Key::UserSession(token_hash.to_owned()));
        let found = look_up(&self.0.client, key).await;
        session_after(&self.0, found, token_hash).await
    }
}

/// Returns the session of a look-up, and fills its entry if it was absent.
#[repository]
pub(super) async fn session_after(
    inside: &Inside,
    found: Lookup<'_, Sealed>,
    token_hash: &str,
) -> Result<Option<UserSession>> {
    match found {
        Lookup::Hit(sealed) => match SessionPlaintext::unsealed(token_hash, &sealed) {
            Some(session) if session.expires_at > inside.client.now() => Ok(Some(session)),
            _ => inside.user_sessions.find_by_token_hash(token_hash).await,
        },
        Lookup::Miss(fill) => match inside.user_sessions.find_by_token_hash(token_hash).await {
            Ok(session) => {
                let found = session.as_ref().and_then(|session| {
                    let left = (session.expires_at - inside.client.now()).to_std().ok()?;
                    Some((SessionPlaintext::sealed(session)?, left))
                });
                // Tokens are not guessed, so a negative entry would not be used.
                let (sealed, left) = found.unwrap_or((Sealed(Vec::new()), Duration::ZERO));
                boxed(settle_for(fill, Ok(sealed), left)).await?;
                Ok(session)
            }
            Err(error) => {
                give_up(fill, &error);
                Err(error)
            }
        },
    }
}

/// The plaintext that is encrypted: a session without the hash of its token.
#[derive(Serialize, Deserialize)]
struct SessionPlaintext {
    id: UserSessionId,
    user_id: UserId,
    refresh_token_hash: Option<String>,
    #[serde(with = "crate::types::timestamp")]
    expires_at: DateTime<Utc>,
    #[serde(with = "crate::types::timestamp")]
    created_at: DateTime<Utc>,
    #[serde(with = "crate::types::timestamp")]
    last_used_at: DateTime<Utc>,
    user_agent: Option<String>,
    ip_address: Option<IpNetwork>,
}

impl SessionPlaintext {
    fn sealed(session: &UserSession) -> Option<Sealed> {
        let form = Self {
            id: session.id,
            user_id: session.user_id,
            refresh_token_hash: session.refresh_token_hash.clone(),
            expires_at: session.expires_at,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            user_agent: session.user_agent.clone(),
            ip_address: session.ip_address,
        };
        let open = rmp_serde::to_vec_named(&form).ok()?;
        seal(&session.token_hash, &open).map(Sealed)
    }

    fn unsealed(token_hash: &str, sealed: &Sealed) -> Option<UserSession> {
        let open = unseal(token_hash, &sealed.0)?;
        let form: Self = rmp_serde::from_slice(&open).ok()?;
        Some(UserSession {
            id: form.id,
            user_id: form.user_id,
            token_hash: token_hash.to_owned(),
            refresh_token_hash: form.refresh_token_hash,
            expires_at: form.expires_at,
            created_at: form.created_at,
            last_used_at: form.last_used_at,
            user_agent: form.user_agent,
            ip_address: form.ip_address,
        })
    }
}
