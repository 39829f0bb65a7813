//! `public.user_sessions`: where users are logged in.
//!
//! The hashes of the tokens are secrets: no form of a session is serialized with them, and `Debug` leaves them out.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use ipnetwork::IpNetwork;
use serde::Serialize;
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::public::user_sessions;
use crate::{Change, User, UserId, UserSessionId};

/// A session of a user: a row of the design's `user_sessions`.
#[derive(Clone, PartialEq, Serialize, Queryable, Selectable, Identifiable, Associations)]
#[diesel(table_name = user_sessions, belongs_to(User, foreign_key = user_id), check_for_backend(Pg))]
#[non_exhaustive]
pub struct UserSession {
    /// Key.
    pub id: UserSessionId,
    /// Who is logged in.
    pub user_id: UserId,
    /// Hash of the token that the client presents; never serialized.
    #[serde(skip)]
    pub token_hash: String,
    /// Hash of the token that a new one is had for; never serialized.
    #[serde(skip)]
    pub refresh_token_hash: Option<String>,
    /// From this time on the session counts no more.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub expires_at: DateTime<Utc>,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// When the session was last used.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub last_used_at: DateTime<Utc>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Where the client is.
    pub ip_address: Option<IpNetwork>,
}

impl fmt::Debug for UserSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UserSession")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .field("expires_at", &self.expires_at)
            .field("created_at", &self.created_at)
            .field("last_used_at", &self.last_used_at)
            .field("user_agent", &self.user_agent)
            .field("ip_address", &self.ip_address)
            .finish_non_exhaustive()
    }
}

/// A session to be created.
#[derive(Clone, PartialEq, NewRow)]
#[row(table = user_sessions, row = UserSession)]
pub struct NewUserSession {
    /// Key; made by [`UserSessionId::new`] unless given.
    #[row(default = UserSessionId::new())]
    pub id: UserSessionId,
    /// Who is logged in.
    pub user_id: UserId,
    /// Hash of the token that the client presents, at most 255 characters.
    pub token_hash: String,
    /// Hash of the token that a new one is had for, at most 255 characters.
    pub refresh_token_hash: Option<String>,
    /// From this time on the session counts no more.
    pub expires_at: DateTime<Utc>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Where the client is.
    pub ip_address: Option<IpNetwork>,
}

impl fmt::Debug for NewUserSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NewUserSession")
            .field("id", &self.id)
            .field("user_id", &self.user_id)
            .field("expires_at", &self.expires_at)
            .field("user_agent", &self.user_agent)
            .field("ip_address", &self.ip_address)
            .finish_non_exhaustive()
    }
}

/// Changes to a session. What is not named is kept. Since they hold secrets, they are not serialized.
#[derive(Clone, PartialEq, Default, Changes)]
#[row(table = user_sessions, row = UserSession, id = UserSessionId)]
pub struct UserSessionChanges {
    /// Hash of a new token.
    pub token_hash: Option<String>,
    /// Hash of a new token to refresh with.
    pub refresh_token_hash: Change<String>,
    /// New end.
    pub expires_at: Option<DateTime<Utc>>,
    /// Last use; see [`touch`](crate::UserSessionRepository::touch) for now.
    pub last_used_at: Option<DateTime<Utc>>,
    /// What the client calls itself now.
    pub user_agent: Change<String>,
    /// Where the client is now.
    pub ip_address: Change<IpNetwork>,
}

impl fmt::Debug for UserSessionChanges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UserSessionChanges")
            .field("expires_at", &self.expires_at)
            .field("last_used_at", &self.last_used_at)
            .field("user_agent", &self.user_agent)
            .field("ip_address", &self.ip_address)
            .finish_non_exhaustive()
    }
}

/// Which sessions are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct UserSessionFilter {
    /// Of this user.
    pub user_id: Option<UserId>,
    /// Not this one: to end all sessions of a user but the one that asks for it.
    pub other_than: Option<UserSessionId>,
    /// Expired or not, by the server's clock.
    pub is_expired: Option<bool>,
    /// Expiring at this time or later.
    pub expires_from: Option<DateTime<Utc>>,
    /// Expiring before this time.
    pub expires_before: Option<DateTime<Utc>>,
    /// Last used at this time or later.
    pub used_from: Option<DateTime<Utc>>,
    /// Last used before this time.
    pub used_before: Option<DateTime<Utc>>,
}

impl UserSessionFilter {
    pub(crate) fn query(&self) -> user_sessions::BoxedQuery<'_, Pg> {
        let now = diesel::dsl::now.into_sql::<Timestamptz>();
        let mut query = user_sessions::table.into_boxed();
        if let Some(user_id) = self.user_id {
            query = query.filter(user_sessions::user_id.eq(user_id));
        }
        if let Some(other_than) = self.other_than {
            query = query.filter(user_sessions::id.ne(other_than));
        }
        match self.is_expired {
            Some(true) => query = query.filter(user_sessions::expires_at.le(now)),
            Some(false) => query = query.filter(user_sessions::expires_at.gt(now)),
            None => {}
        }
        if let Some(from) = self.expires_from {
            query = query.filter(user_sessions::expires_at.ge(from));
        }
        if let Some(before) = self.expires_before {
            query = query.filter(user_sessions::expires_at.lt(before));
        }
        if let Some(from) = self.used_from {
            query = query.filter(user_sessions::last_used_at.ge(from));
        }
        if let Some(before) = self.used_before {
            query = query.filter(user_sessions::last_used_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order sessions are listed.
    UserSessionOrder of UserSession in user_sessions {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// Last used first.
        RecentlyUsed = last_used_at desc,
        /// Those that expire soonest first.
        ExpiringSoonest = expires_at asc,
    }
}

crate::touched::touches!(UserSession, NewUserSession => |session| crate::touched::Key::UserSession(session.token_hash.clone()));
