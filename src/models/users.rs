//! `public.users`: who uses the platform.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::public::users;
use crate::{Change, Document, UserId, UserRole};

/// A user of the platform: a row of the design's `users`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable, Identifiable)]
#[diesel(table_name = users, check_for_backend(Pg))]
#[non_exhaustive]
pub struct User {
    /// Key.
    pub id: UserId,
    /// Unique without regard to the case of ASCII letters.
    pub email: String,
    /// Display name.
    pub name: String,
    /// What the user may do on the whole platform.
    pub role: UserRole,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// Login name on GitHub.
    pub github_username: Option<String>,
    /// Settings of the user interface, as the application writes them.
    pub preferences: Document,
    /// A user who is not active keeps its rows and cannot log in.
    pub is_active: bool,
    /// Whether the address was confirmed.
    pub email_verified: bool,
    /// Last login, if there was one.
    #[serde(with = "crate::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub last_login_at: Option<DateTime<Utc>>,
    /// When the row was made.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// When the row last changed; kept by the database, strictly rising.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// A user to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = users, row = User, conflict = "(pg_catalog.lower(email COLLATE pg_catalog.\"C\"))", keep(id))]
pub struct NewUser {
    /// Key; made by [`UserId::new`] unless given.
    #[row(default = UserId::new())]
    pub id: UserId,
    /// At most 255 characters, unique without regard to the case of ASCII letters.
    pub email: String,
    /// At most 255 characters.
    pub name: String,
    /// `developer` unless given.
    #[row(or = "'developer'")]
    pub role: Option<UserRole>,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// Login name on GitHub, at most 255 characters.
    pub github_username: Option<String>,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub preferences: Option<Document>,
    /// `true` unless given.
    #[row(or = "true")]
    pub is_active: Option<bool>,
    /// `false` unless given.
    #[row(or = "false")]
    pub email_verified: Option<bool>,
}

/// Changes to a user. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = users, row = User, id = UserId)]
#[serde(default)]
pub struct UserChanges {
    /// New address.
    pub email: Option<String>,
    /// New display name.
    pub name: Option<String>,
    /// New role.
    pub role: Option<UserRole>,
    /// New picture.
    pub avatar_url: Change<String>,
    /// New login name on GitHub.
    pub github_username: Change<String>,
    /// New settings, in place of the old; see
    /// [`merge_preferences`](crate::UserRepository::merge_preferences) for a part of them.
    pub preferences: Option<Document>,
    /// Whether the user may log in.
    pub is_active: Option<bool>,
    /// Whether the address was confirmed.
    pub email_verified: Option<bool>,
    /// Last login.
    pub last_login_at: Change<DateTime<Utc>>,
    /// Refuse with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// Which users are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct UserFilter {
    /// With this role.
    pub role: Option<UserRole>,
    /// Active or not.
    pub is_active: Option<bool>,
    /// With an address that was confirmed, or not.
    pub email_verified: Option<bool>,
    /// With this text in the name or the address, without regard to case.
    pub search: Option<String>,
    /// Created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl UserFilter {
    pub(crate) fn query(&self) -> users::BoxedQuery<'_, Pg> {
        let mut query = users::table.into_boxed();
        if let Some(role) = self.role {
            query = query.filter(users::role.eq(role));
        }
        if let Some(is_active) = self.is_active {
            query = query.filter(users::is_active.eq(is_active));
        }
        if let Some(email_verified) = self.email_verified {
            query = query.filter(users::email_verified.eq(email_verified));
        }
        if let Some(search) = &self.search {
            let pattern = crate::text::containing(search);
            query = query.filter(crate::text::matches_text!(users::name, pattern).or(
                crate::text::like_in_c(users::email, pattern.into_sql::<diesel::sql_types::Text>()),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(users::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(users::created_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order users are listed.
    UserOrder of User in users {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
        /// By address.
        Email = email asc,
    }
}

crate::touched::touches!(User, NewUser => |user| crate::touched::Key::User(user.id));
