//! `public.organization_members`: the members of organizations.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::Membership;
use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::organization_members;
use crate::types::timestamp::AnyTime;
use crate::{
    Change, Organization, OrganizationId, OrganizationMemberId, OrganizationRole, User, UserId,
};

/// A user's membership of an organization: a row of the design's `organization_members`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = organization_members)]
#[diesel(belongs_to(Organization, foreign_key = organization_id), belongs_to(User, foreign_key = user_id))]
#[non_exhaustive]
pub struct OrganizationMember {
    /// Primary key.
    pub id: OrganizationMemberId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user, which is a member of the organization at most once.
    pub user_id: UserId,
    /// The user's role in the organization.
    pub role: OrganizationRole,
    /// The time at which the user became a member.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub joined_at: DateTime<Utc>,
    /// The user that invited this one.
    pub invited_by: Option<UserId>,
}

/// A membership to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = organization_members, row = OrganizationMember)]
#[row(conflict = "(organization_id, user_id)", keep(id))]
#[non_exhaustive]
pub struct NewOrganizationMember {
    /// Primary key. Default: [`OrganizationMemberId::new`].
    #[row(default = OrganizationMemberId::new())]
    pub id: OrganizationMemberId,
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user.
    pub user_id: UserId,
    /// The user's role in the organization.
    pub role: OrganizationRole,
    /// The time at which the user became a member. Default: `now()`.
    #[row(or = "now()")]
    pub joined_at: Option<DateTime<Utc>>,
    /// The user that invited this one.
    pub invited_by: Option<UserId>,
}

impl Membership for NewOrganizationMember {
    type Changes = OrganizationMemberChanges;
    const PARENT: &'static str = "organization_id";
    const OWNER: &'static str = "'owner'::public.organization_role";
    const TABLE: &'static str = "organization_members";
    const KEEPS_AN_OWNER: &'static str = "organization_keeps_an_owner";
}

/// Changes to a membership. A field that is not set keeps its value. They are not read from JSON,
/// because they decide access.
#[derive(Debug, Clone, PartialEq, Default, Changes)]
#[row(table = organization_members, row = OrganizationMember, id = OrganizationMemberId)]
#[non_exhaustive]
pub struct OrganizationMemberChanges {
    /// New role.
    pub role: Option<OrganizationRole>,
    /// The user that invited this one.
    pub invited_by: Change<UserId>,
}

/// A filter for memberships. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OrganizationMemberFilter {
    /// Only rows of this organization.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub organization_id: Option<OrganizationId>,
    /// Only rows of this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub user_id: Option<UserId>,
    /// Only rows with this role.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub role: Option<OrganizationRole>,
    /// Only members that this user invited.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub invited_by: Option<UserId>,
    /// Only members since this time or later.
    pub joined_from: Option<DateTime<Utc>>,
    /// Only members since before this time.
    pub joined_before: Option<DateTime<Utc>>,
}

impl OrganizationMemberFilter {
    pub(crate) fn query(
        &self,
    ) -> organization_members::BoxedQuery<'_, Pg, RowSql<OrganizationMember>> {
        let mut query = organization_members::table
            .select(columns_of::<OrganizationMember>())
            .into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(condition(
                organization_members::table,
                organization_members::organization_id.eq(organization_id),
            ));
        }
        if let Some(user_id) = self.user_id {
            query = query.filter(condition(
                organization_members::table,
                organization_members::user_id.eq(user_id),
            ));
        }
        if let Some(role) = self.role {
            query = query.filter(condition(
                organization_members::table,
                organization_members::role.eq(role),
            ));
        }
        if let Some(invited_by) = self.invited_by {
            query = query.filter(condition(
                organization_members::table,
                organization_members::invited_by.eq(invited_by),
            ));
        }
        if let Some(from) = self.joined_from {
            query = query.filter(condition(
                organization_members::table,
                organization_members::joined_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.joined_before {
            query = query.filter(condition(
                organization_members::table,
                organization_members::joined_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which memberships are listed.
    OrganizationMemberOrder of OrganizationMember in organization_members {
        /// Latest joined first.
        #[default]
        Newest = joined_at desc,
        /// Earliest joined first.
        Oldest = joined_at asc,
    }
}

crate::write_set::touches!(OrganizationMember, NewOrganizationMember => |member| crate::write_set::Key::OrganizationMember(member.organization_id, member.user_id));
