//! `public.project_members`: the members of projects.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::Membership;
use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::project_members;
use crate::types::timestamp::AnyTime;
use crate::{Change, Project, ProjectId, ProjectMemberId, ProjectRole, User, UserId};

/// A user's membership of a project: a row of the design's `project_members`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = project_members)]
#[diesel(belongs_to(Project, foreign_key = project_id), belongs_to(User, foreign_key = user_id))]
#[non_exhaustive]
pub struct ProjectMember {
    /// Primary key.
    pub id: ProjectMemberId,
    /// The project.
    pub project_id: ProjectId,
    /// The user, which is a member of the project at most once.
    pub user_id: UserId,
    /// The user's role in the project.
    pub role: ProjectRole,
    /// The time at which the user was added.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub added_at: DateTime<Utc>,
    /// The user that added this one.
    pub added_by: Option<UserId>,
}

/// A membership to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = project_members, row = ProjectMember)]
#[row(conflict = "(project_id, user_id)", keep(id))]
#[non_exhaustive]
pub struct NewProjectMember {
    /// Primary key. Default: [`ProjectMemberId::new`].
    #[row(default = ProjectMemberId::new())]
    pub id: ProjectMemberId,
    /// The project.
    pub project_id: ProjectId,
    /// The user.
    pub user_id: UserId,
    /// The user's role in the project.
    pub role: ProjectRole,
    /// The time at which the user was added. Default: `now()`.
    #[row(or = "now()")]
    pub added_at: Option<DateTime<Utc>>,
    /// The user that added this one.
    pub added_by: Option<UserId>,
}

impl Membership for NewProjectMember {
    type Changes = ProjectMemberChanges;
    const PARENT: &'static str = "project_id";
    const OWNER: &'static str = "'owner'::public.project_role";
    const TABLE: &'static str = "project_members";
    const KEEPS_AN_OWNER: &'static str = "project_keeps_an_owner";
}

/// Changes to a membership. A field that is not set keeps its value. They are not read from JSON,
/// because they decide access.
#[derive(Debug, Clone, PartialEq, Default, Changes)]
#[row(table = project_members, row = ProjectMember, id = ProjectMemberId)]
#[non_exhaustive]
pub struct ProjectMemberChanges {
    /// New role.
    pub role: Option<ProjectRole>,
    /// The user that added this one.
    pub added_by: Change<UserId>,
}

/// A filter for memberships. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProjectMemberFilter {
    /// Only rows of this project.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub project_id: Option<ProjectId>,
    /// Only rows of this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub user_id: Option<UserId>,
    /// Only rows with this role.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub role: Option<ProjectRole>,
    /// Only members that this user added.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub added_by: Option<UserId>,
    /// Only members since this time or later.
    pub added_from: Option<DateTime<Utc>>,
    /// Only members since before this time.
    pub added_before: Option<DateTime<Utc>>,
}

impl ProjectMemberFilter {
    pub(crate) fn query(&self) -> project_members::BoxedQuery<'_, Pg, RowSql<ProjectMember>> {
        let mut query = project_members::table
            .select(columns_of::<ProjectMember>())
            .into_boxed();
        if let Some(project_id) = self.project_id {
            query = query.filter(condition(
                project_members::table,
                project_members::project_id.eq(project_id),
            ));
        }
        if let Some(user_id) = self.user_id {
            query = query.filter(condition(
                project_members::table,
                project_members::user_id.eq(user_id),
            ));
        }
        if let Some(role) = self.role {
            query = query.filter(condition(
                project_members::table,
                project_members::role.eq(role),
            ));
        }
        if let Some(added_by) = self.added_by {
            query = query.filter(condition(
                project_members::table,
                project_members::added_by.eq(added_by),
            ));
        }
        if let Some(from) = self.added_from {
            query = query.filter(condition(
                project_members::table,
                project_members::added_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.added_before {
            query = query.filter(condition(
                project_members::table,
                project_members::added_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which memberships are listed.
    ProjectMemberOrder of ProjectMember in project_members {
        /// Latest added first.
        #[default]
        Newest = added_at desc,
        /// Earliest added first.
        Oldest = added_at asc,
    }
}

crate::write_set::touches!(ProjectMember, NewProjectMember => |member| crate::write_set::Key::ProjectMember(member.project_id, member.user_id));
