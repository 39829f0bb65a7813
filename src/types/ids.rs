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

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result};

/// Returns the UUIDs of ids.
pub(crate) fn uuids<I: Copy + Into<Uuid>>(ids: &[I]) -> Vec<Uuid> {
    let mut uuids = Vec::with_capacity(ids.len());
    for &id in ids {
        uuids.push(id.into());
    }
    uuids
}

macro_rules! ids {
    ($($schema:ident.$table:ident: $repository:ident, $row:ident, $new:ident, $name:ident, $secret:tt;)*) => {$(
        #[doc = concat!("Key of [`", stringify!($row), "`](crate::", stringify!($row), ").")]
        ///
        /// Displayed, parsed and serialized as a hyphenated UUID.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AsExpression, FromSqlRow,
        )]
        #[diesel(sql_type = sql_types::Uuid)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates a key that sorts after every key created before it in this process.
            #[allow(clippy::new_without_default)]
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Returns the UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// Returns the time at which the key was created, to the millisecond; `None` for a UUID
            /// that is not of version 7.
            #[must_use]
            pub fn created_at(&self) -> Option<DateTime<Utc>> {
                time_of(self.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        super::storable::always_storable!($name);

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Uuid::parse_str(text).map(Self).map_err(|error| Error::invalid(stringify!($name), error))
            }
        }

        impl FromSql<sql_types::Uuid, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Uuid::from_sql(value).map(Self)
            }
        }

        impl ToSql<sql_types::Uuid, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                ToSql::<sql_types::Uuid, Pg>::to_sql(&self.0, out)
            }
        }
    )*};
}

crate::__for_each_table!(ids);
ids! {
    public.organization_invitations: Invitations, Invitation, NewInvitation, InvitationId, [];
}

/// Returns the time in a version 7 UUID.
fn time_of(uuid: Uuid) -> Option<DateTime<Utc>> {
    if uuid.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanoseconds) = uuid.get_timestamp()?.to_unix();
    DateTime::from_timestamp(seconds.try_into().ok()?, nanoseconds)
}
