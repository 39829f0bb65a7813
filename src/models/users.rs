//! `public.users`: users of the platform.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::users;
use crate::types::timestamp::AnyTime;
use crate::{Change, Document, UserId, UserRole};

/// A user of the platform: a row of the design's `users`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = users)]
#[non_exhaustive]
pub struct User {
    /// Primary key.
    pub id: UserId,
    /// Email address, unique regardless of the case of ASCII letters.
    pub email: String,
    /// Display name.
    pub name: String,
    /// The user's role on the whole platform.
    pub role: UserRole,
    /// The URL of the user's picture.
    pub avatar_url: Option<String>,
    /// Login name on GitHub.
    pub github_username: Option<String>,
    /// Settings of the user interface, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub preferences: Document,
    /// True if the user may log in. An inactive user keeps its rows.
    pub is_active: bool,
    /// True if the address was confirmed.
    pub email_verified: bool,
    /// The time of the last login, if there was one.
    #[serde(with = "crate::types::timestamp::optional", default)]
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub last_login_at: Option<DateTime<Utc>>,
    /// The time at which the row was created.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database. It increases strictly.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// A user to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = users, row = User, conflict = "(pg_catalog.lower(email COLLATE pg_catalog.\"C\"))", keep(id))]
#[row(body(UserBody: email, name, avatar_url, github_username, preferences))]
#[non_exhaustive]
pub struct NewUser {
    /// Primary key. Default: [`UserId::new`].
    #[row(default = UserId::new())]
    pub id: UserId,
    /// Email address, at most 255 characters, unique regardless of the case of ASCII letters.
    pub email: String,
    /// Display name, at most 255 characters.
    pub name: String,
    /// The user's role on the whole platform. Default: `developer`.
    #[row(or = "'developer'")]
    pub role: Option<UserRole>,
    /// The URL of the user's picture.
    pub avatar_url: Option<String>,
    /// Login name on GitHub, at most 255 characters.
    pub github_username: Option<String>,
    /// Settings of the user interface, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub preferences: Option<Document>,
    /// True if the user may log in. An inactive user keeps its rows. Default: `true`.
    #[row(or = "true")]
    pub is_active: Option<bool>,
    /// True if the address was confirmed. Default: `false`.
    #[row(or = "false")]
    pub email_verified: Option<bool>,
}

/// Changes to a user. A field that is not set keeps its value.
///
/// JSON sets only what does not raise rights. A body that names another field is refused:
///
/// ```
/// use wundr_db::UserChanges;
///
/// let changes: UserChanges = serde_json::from_str(r#"{"name": "Ada"}"#)?;
/// assert_eq!(changes, UserChanges::new().name("Ada"));
///
/// let refused = serde_json::from_str::<UserChanges>(r#"{"name": "Ada", "role": "admin"}"#);
/// assert!(refused.unwrap_err().to_string().starts_with("unknown field `role`"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = users, row = User, id = UserId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UserChanges {
    /// New email address. Not read from JSON, because `email_verified` keeps its value.
    #[serde(skip_deserializing)]
    pub email: Option<String>,
    /// New display name.
    pub name: Option<String>,
    /// New role. Not read from JSON.
    #[serde(skip_deserializing)]
    pub role: Option<UserRole>,
    /// New URL of the picture.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub avatar_url: Change<String>,
    /// New login name on GitHub.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub github_username: Change<String>,
    /// New settings, which replace the old ones.
    /// [`merge_preferences`](crate::UserRepository::merge_preferences) changes a part of them.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub preferences: Option<Document>,
    /// True if the user may log in. Not read from JSON.
    #[serde(skip_deserializing)]
    pub is_active: Option<bool>,
    /// True if the address was confirmed. Not read from JSON.
    #[serde(skip_deserializing)]
    pub email_verified: Option<bool>,
    /// New time of the last login. Not read from JSON.
    #[serde(skip_deserializing)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<DateTime<Utc>>))]
    pub last_login_at: Change<DateTime<Utc>>,
    /// If set, the update fails with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row
    /// still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

impl NewUser {
    /// Checks whether an upsert may deactivate the user or change its role, which ends its
    /// sessions.
    pub(crate) fn ends_sessions(&self) -> bool {
        self.is_active == Some(false) || self.role.is_some()
    }
}

impl UserChanges {
    /// Checks whether an update may deactivate the user or change its role, which ends its
    /// sessions.
    pub(crate) fn ends_sessions(&self) -> bool {
        self.is_active == Some(false) || self.role.is_some()
    }
}

/// A filter for users. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct UserFilter {
    /// Only rows with this role.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub role: Option<UserRole>,
    /// Only rows that are active, or only those that are not.
    pub is_active: Option<bool>,
    /// Only users with a confirmed address, or only those with an unconfirmed one.
    pub email_verified: Option<bool>,
    /// Only users with this text in the name or the address, ignoring case.
    pub search: Option<String>,
    /// Only rows created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only rows created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl UserFilter {
    pub(crate) fn query(&self) -> users::BoxedQuery<'_, Pg, RowSql<User>> {
        let mut query = users::table.select(columns_of::<User>()).into_boxed();
        if let Some(role) = self.role {
            query = query.filter(condition(users::table, users::role.eq(role)));
        }
        if let Some(is_active) = self.is_active {
            query = query.filter(condition(users::table, users::is_active.eq(is_active)));
        }
        if let Some(email_verified) = self.email_verified {
            query = query.filter(condition(
                users::table,
                users::email_verified.eq(email_verified),
            ));
        }
        if let Some(search) = &self.search {
            let pattern = crate::mapping::expressions::containing(search);
            query = query.filter(condition(
                users::table,
                crate::mapping::expressions::matches_text!(users::name, pattern).or(
                    crate::mapping::expressions::like_in_c(
                        users::email,
                        pattern.into_sql::<diesel::sql_types::Text>(),
                    ),
                ),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                users::table,
                users::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                users::table,
                users::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which users are listed.
    UserOrder of User in users {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
        /// By email address.
        Email = email asc,
    }
}

crate::write_set::touches!(User, NewUser => |user| crate::write_set::Key::User(user.id));
