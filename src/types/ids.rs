//! A newtype for each table's key.
//!
//! Clients create keys as version 7 UUIDs. They sort by time, which keeps the key's index small and
//! its pages cached. A row's key is known before the row is stored. Two kinds of keys cannot be
//! confused:
//!
//! ```compile_fail
//! # use wundr_db::{ProjectId, UserId};
//! let user: UserId = ProjectId::new();
//! ```

use uuid::Uuid;

/// Returns the UUIDs of ids.
pub(crate) fn uuids<I: Copy + Into<Uuid>>(ids: &[I]) -> Vec<Uuid> {
    let mut uuids = Vec::with_capacity(ids.len());
    for &id in ids {
        uuids.push(id.into());
    }
    uuids
}

/// Declares the keys of an application's tables: newtypes of a UUID, as this crate's are.
///
/// A key is displayed, parsed and serialized as a hyphenated UUID. It can be a field of structs
/// with the derives `TableRow`, `NewRow` and `Changes`, and a value in diesel's expressions. The
/// application needs diesel as a dependency.
///
/// # Examples
/// ```
/// wundr_db::own_ids! {
///     /// Key of a note.
///     pub NoteId;
/// }
///
/// # fn main() {
/// let id = NoteId::new();
/// assert_eq!(id.to_string().parse::<NoteId>().unwrap(), id);
/// # }
/// ```
#[macro_export]
macro_rules! own_ids {
    ($($(#[$doc:meta])* $visibility:vis $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            $crate::diesel::expression::AsExpression, $crate::diesel::deserialize::FromSqlRow,
        )]
        #[diesel(sql_type = $crate::diesel::sql_types::Uuid)]
        $visibility struct $name($crate::uuid::Uuid);

        impl $name {
            /// Creates a key that sorts after every key created before it in this process.
            #[allow(clippy::new_without_default)]
            #[must_use]
            $visibility fn new() -> Self {
                Self($crate::uuid::Uuid::now_v7())
            }

            /// Returns the UUID.
            #[allow(dead_code)]
            #[must_use]
            $visibility const fn as_uuid(&self) -> &$crate::uuid::Uuid {
                &self.0
            }

            /// Returns the time at which the key was created, to the millisecond; `None` for a UUID
            /// that is not of version 7.
            #[allow(dead_code)]
            #[must_use]
            $visibility fn created_at(&self) -> Option<$crate::chrono::DateTime<$crate::chrono::Utc>> {
                $crate::__private::time_of(self.0)
            }
        }

        impl From<$crate::uuid::Uuid> for $name {
            fn from(uuid: $crate::uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for $crate::uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl $crate::__private::validation::Storable for $name {
            fn objection(&self, _: Option<usize>) -> Option<String> {
                None
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                $crate::__private::parse_id(text, stringify!($name)).map(Self)
            }
        }

        impl $crate::__private::serde::Serialize for $name {
            fn serialize<S: $crate::__private::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                $crate::__private::serde::Serialize::serialize(&self.0, serializer)
            }
        }

        impl<'de> $crate::__private::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                <$crate::uuid::Uuid as $crate::__private::serde::Deserialize>::deserialize(deserializer).map(Self)
            }
        }

        impl $crate::diesel::deserialize::FromSql<$crate::diesel::sql_types::Uuid, $crate::diesel::pg::Pg> for $name {
            fn from_sql(value: $crate::diesel::pg::PgValue<'_>) -> $crate::diesel::deserialize::Result<Self> {
                $crate::diesel::deserialize::FromSql::<$crate::diesel::sql_types::Uuid, $crate::diesel::pg::Pg>::from_sql(value).map(Self)
            }
        }

        impl $crate::diesel::serialize::ToSql<$crate::diesel::sql_types::Uuid, $crate::diesel::pg::Pg> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut $crate::diesel::serialize::Output<'b, '_, $crate::diesel::pg::Pg>,
            ) -> $crate::diesel::serialize::Result {
                $crate::diesel::serialize::ToSql::<$crate::diesel::sql_types::Uuid, $crate::diesel::pg::Pg>::to_sql(&self.0, out)
            }
        }
    )*};
}

macro_rules! ids {
    ($($schema:ident.$table:ident: $repository:ident, $row:ident, $new:ident, $name:ident, $secret:tt;)*) => {
        own_ids! {$(
            #[doc = concat!("Key of [`", stringify!($row), "`](crate::", stringify!($row), ").")]
            ///
            /// Displayed, parsed and serialized as a hyphenated UUID.
            pub $name;
        )*}
        $(super::openapi::schema!($name, crate::types::openapi::uuid());)*
    };
}

crate::__for_each_table!(ids);
ids! {
    public.organization_invitations: Invitations, Invitation, NewInvitation, InvitationId, [];
}
