//! `public.organization_invitations`: the users that are invited to organizations. The table is not
//! part of the design.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;

use crate::{Error, InvitationId, OrganizationId, OrganizationRole, Result, UserId};

/// The longest validity of an invitation.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// An invitation of a user to an organization. It grants nothing until it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Invitation {
    /// Primary key.
    pub id: InvitationId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user that is invited, at most once to an organization at a time.
    pub user_id: UserId,
    /// The role that the user gets when it accepts.
    pub role: OrganizationRole,
    /// The user that has invited this one. `None` if that one was deleted.
    pub invited_by: Option<UserId>,
    /// The time of the invitation.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub invited_at: DateTime<Utc>,
    /// The time from which on it cannot be accepted.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub expires_at: DateTime<Utc>,
}

/// An invitation to be created. It is not read from JSON, because it decides access.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct NewInvitation {
    pub(crate) id: InvitationId,
    pub(crate) organization_id: OrganizationId,
    pub(crate) user_id: UserId,
    pub(crate) role: OrganizationRole,
    pub(crate) invited_by: Option<UserId>,
    valid_for: Duration,
}

impl NewInvitation {
    /// Creates an invitation of a user to an organization, valid for seven days.
    pub fn new(organization_id: OrganizationId, user_id: UserId, role: OrganizationRole) -> Self {
        Self {
            id: InvitationId::new(),
            organization_id,
            user_id,
            role,
            invited_by: None,
            valid_for: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }

    /// Sets the user that invites. Default: none.
    pub fn invited_by(self, user: UserId) -> Self {
        Self {
            invited_by: Some(user),
            ..self
        }
    }

    /// Sets the time for which the invitation can be accepted.
    ///
    /// Default: 7 days. Must be between 1 s and 365 days.
    pub fn valid_for(self, time: Duration) -> Self {
        Self {
            valid_for: time,
            ..self
        }
    }

    /// Returns the validity in microseconds.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if it is out of its bounds
    pub(crate) fn microseconds(&self) -> Result<i64> {
        let allowed = Duration::from_secs(1)..=LONGEST;
        i64::try_from(self.valid_for.as_micros())
            .ok()
            .filter(|_| allowed.contains(&self.valid_for))
            .ok_or_else(|| {
                let valid_for = self.valid_for;
                Error::invalid(
                    "valid_for",
                    format_args!("{valid_for:?} is not within 1 s and 365 days"),
                )
            })
    }
}
