//! `public.user_sessions`: login sessions of users.
//!
//! The hashes of the tokens are secrets. They are never serialized, and `Debug` leaves them out.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::user_sessions;
use crate::types::timestamp::AnyTime;
use crate::{Change, User, UserId, UserSessionId};

/// A session of a user: a row of the design's `user_sessions`.
#[derive(Clone, PartialEq, Serialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = user_sessions, belongs_to(User, foreign_key = user_id))]
#[non_exhaustive]
pub struct UserSession {
    /// Primary key.
    pub id: UserSessionId,
    /// The user that is logged in.
    pub user_id: UserId,
    /// Hash of the token that the client presents. It is never serialized.
    #[serde(skip)]
    pub token_hash: String,
    /// Hash of the refresh token, which the client exchanges for a new token. It is never
    /// serialized.
    #[serde(skip)]
    pub refresh_token_hash: Option<String>,
    /// The time from which on the session is no longer valid.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub expires_at: DateTime<Utc>,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last use.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub last_used_at: DateTime<Utc>,
    /// The name that the client gives itself.
    pub user_agent: Option<String>,
    /// The address of the client.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
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
#[non_exhaustive]
pub struct NewUserSession {
    /// Primary key. Default: [`UserSessionId::new`].
    #[row(default = UserSessionId::new())]
    pub id: UserSessionId,
    /// The user that is logged in.
    pub user_id: UserId,
    /// Hash of the token that the client presents, at most 255 characters.
    pub token_hash: String,
    /// Hash of the refresh token, at most 255 characters.
    pub refresh_token_hash: Option<String>,
    /// The time from which on the session is no longer valid.
    pub expires_at: DateTime<Utc>,
    /// The name that the client gives itself.
    pub user_agent: Option<String>,
    /// The address of the client.
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

/// Changes to a session. A field that is not set keeps its value. The changes hold secrets and are
/// never serialized.
#[derive(Clone, PartialEq, Default, Changes)]
#[row(table = user_sessions, row = UserSession, id = UserSessionId)]
#[non_exhaustive]
pub struct UserSessionChanges {
    /// Hash of a new token.
    pub token_hash: Option<String>,
    /// Hash of a new refresh token.
    pub refresh_token_hash: Change<String>,
    /// New time of expiry.
    pub expires_at: Option<DateTime<Utc>>,
    /// New time of the last use. [`touch`](crate::UserSessionRepository::touch) sets it to the
    /// current time.
    pub last_used_at: Option<DateTime<Utc>>,
    /// New name that the client gives itself.
    pub user_agent: Change<String>,
    /// New address of the client.
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

/// A filter for sessions. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UserSessionFilter {
    /// Only rows of this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub user_id: Option<UserId>,
    /// Only sessions other than this one. This serves to end all sessions of a user but the current
    /// one.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub other_than: Option<UserSessionId>,
    /// Only sessions that have expired by the server's clock, or only those that have not.
    pub is_expired: Option<bool>,
    /// Only sessions that expire at this time or later.
    pub expires_from: Option<DateTime<Utc>>,
    /// Only sessions that expire before this time.
    pub expires_before: Option<DateTime<Utc>>,
    /// Only sessions that were last used at this time or later.
    pub used_from: Option<DateTime<Utc>>,
    /// Only sessions that were last used before this time.
    pub used_before: Option<DateTime<Utc>>,
}

impl UserSessionFilter {
    pub(crate) fn query(&self) -> user_sessions::BoxedQuery<'_, Pg, RowSql<UserSession>> {
        let now = diesel::dsl::now.into_sql::<Timestamptz>();
        let mut query = user_sessions::table
            .select(columns_of::<UserSession>())
            .into_boxed();
        if let Some(user_id) = self.user_id {
            query = query.filter(condition(
                user_sessions::table,
                user_sessions::user_id.eq(user_id),
            ));
        }
        if let Some(other_than) = self.other_than {
            query = query.filter(condition(
                user_sessions::table,
                user_sessions::id.ne(other_than),
            ));
        }
        match self.is_expired {
            Some(true) => {
                query = query.filter(condition(
                    user_sessions::table,
                    user_sessions::expires_at.le(now),
                ))
            }
            Some(false) => {
                query = query.filter(condition(
                    user_sessions::table,
                    user_sessions::expires_at.gt(now),
                ))
            }
            None => {}
        }
        if let Some(from) = self.expires_from {
            query = query.filter(condition(
                user_sessions::table,
                user_sessions::expires_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.expires_before {
            query = query.filter(condition(
                user_sessions::table,
                user_sessions::expires_at.lt(AnyTime::of_filter(before)),
            ));
        }
        if let Some(from) = self.used_from {
            query = query.filter(condition(
                user_sessions::table,
                user_sessions::last_used_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.used_before {
            query = query.filter(condition(
                user_sessions::table,
                user_sessions::last_used_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which sessions are listed.
    UserSessionOrder of UserSession in user_sessions {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// Most recently used first.
        RecentlyUsed = last_used_at desc,
        /// Next to expire first.
        ExpiringSoonest = expires_at asc,
    }
}

crate::write_set::touches!(UserSession, NewUserSession => |session| crate::write_set::Key::UserSession(session.token_hash.clone()));
