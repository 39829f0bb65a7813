//! `setup.setup_profiles`: recipes for setting up a developer's machine.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::organization_members;
use crate::schema::setup::setup_profiles;
use crate::types::timestamp::AnyTime;
use crate::{
    Change, Document, Organization, OrganizationId, ProfileVisibility, SetupCategory,
    SetupProfileId, User, UserId,
};

/// A recipe for setting up a machine: a row of the design's `setup_profiles`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = setup_profiles)]
#[diesel(belongs_to(Organization, foreign_key = organization_id))]
#[diesel(belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct SetupProfile {
    /// Primary key.
    pub id: SetupProfileId,
    /// Display name.
    pub name: String,
    /// A description of the profile.
    pub description: Option<String>,
    /// The kind of machine.
    pub category: SetupCategory,
    /// Settings of the setup, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub configuration: Document,
    /// Array of the tools to install, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub tools: Document,
    /// Array of the templates to apply, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub templates: Document,
    /// Array of the prerequisites, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub prerequisites: Document,
    /// The estimated duration of the setup, in minutes.
    pub estimated_duration: Option<i32>,
    /// The visibility.
    pub visibility: ProfileVisibility,
    /// True if the profile is featured.
    pub is_featured: bool,
    /// The user that created it.
    pub created_by: UserId,
    /// The organization that the profile belongs to, if any.
    pub organization_id: Option<OrganizationId>,
    /// The time at which the row was created.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database. It increases strictly.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// A setup profile to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = setup_profiles, row = SetupProfile)]
#[row(body(SetupProfileBody: name, description, category, configuration, tools, templates, prerequisites, estimated_duration))]
#[non_exhaustive]
pub struct NewSetupProfile {
    /// Primary key. Default: [`SetupProfileId::new`].
    #[row(default = SetupProfileId::new())]
    pub id: SetupProfileId,
    /// Display name, at most 255 characters.
    pub name: String,
    /// A description of the profile.
    pub description: Option<String>,
    /// The kind of machine.
    pub category: SetupCategory,
    /// Settings of the setup, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// Array of the tools to install, in the application's own format. Default: `[]`.
    #[row(or = "'[]'")]
    pub tools: Option<Document>,
    /// Array of the templates to apply, in the application's own format. Default: `[]`.
    #[row(or = "'[]'")]
    pub templates: Option<Document>,
    /// Array of the prerequisites, in the application's own format. Default: `[]`.
    #[row(or = "'[]'")]
    pub prerequisites: Option<Document>,
    /// The estimated duration of the setup, in minutes.
    pub estimated_duration: Option<i32>,
    /// The visibility. Default: `private`.
    #[row(or = "'private'")]
    pub visibility: Option<ProfileVisibility>,
    /// True if the profile is featured. Default: `false`.
    #[row(or = "false")]
    pub is_featured: Option<bool>,
    /// The user that creates it.
    pub created_by: UserId,
    /// The organization that the profile belongs to.
    pub organization_id: Option<OrganizationId>,
}

/// Changes to a setup profile. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = setup_profiles, row = SetupProfile, id = SetupProfileId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SetupProfileChanges {
    /// New display name.
    pub name: Option<String>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// New category.
    pub category: Option<SetupCategory>,
    /// New settings, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub configuration: Option<Document>,
    /// New tools, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub tools: Option<Document>,
    /// New templates, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub templates: Option<Document>,
    /// New prerequisites, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub prerequisites: Option<Document>,
    /// The estimated duration of the setup, in minutes.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i32>))]
    pub estimated_duration: Change<i32>,
    /// The visibility. Not read from JSON.
    #[serde(skip_deserializing)]
    pub visibility: Option<ProfileVisibility>,
    /// True if the profile is featured. Not read from JSON.
    #[serde(skip_deserializing)]
    pub is_featured: Option<bool>,
    /// The organization that the profile belongs to. Not read from JSON.
    #[serde(skip_deserializing)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<OrganizationId>))]
    pub organization_id: Change<OrganizationId>,
    /// If set, the update fails with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row
    /// still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// A filter for setup profiles. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SetupProfileFilter {
    /// Only profiles for this kind of machine.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub category: Option<SetupCategory>,
    /// Only rows with this visibility.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub visibility: Option<ProfileVisibility>,
    /// Only profiles that this user can see: its own, those of its organizations, and public ones.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub visible_to: Option<UserId>,
    /// Only profiles that are featured, or only those that are not.
    pub is_featured: Option<bool>,
    /// Only rows created by this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub created_by: Option<UserId>,
    /// Only profiles of this organization.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub organization_id: Option<OrganizationId>,
    /// Only rows with this text in the name or the description, ignoring case.
    pub search: Option<String>,
    /// Only rows created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only rows created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl SetupProfileFilter {
    pub(crate) fn query(&self) -> setup_profiles::BoxedQuery<'_, Pg, RowSql<SetupProfile>> {
        let mut query = setup_profiles::table
            .select(columns_of::<SetupProfile>())
            .into_boxed();
        if let Some(category) = self.category {
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::category.eq(category),
            ));
        }
        if let Some(visibility) = self.visibility {
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::visibility.eq(visibility),
            ));
        }
        if let Some(user_id) = self.visible_to {
            let organizations = organization_members::table
                .filter(organization_members::user_id.eq(user_id))
                .select(organization_members::organization_id.nullable());
            let shared = setup_profiles::visibility
                .eq(ProfileVisibility::Organization)
                .and(setup_profiles::organization_id.eq_any(organizations))
                .assume_not_null();
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::created_by
                    .eq(user_id)
                    .or(setup_profiles::visibility.eq(ProfileVisibility::Public))
                    .or(shared),
            ));
        }
        if let Some(is_featured) = self.is_featured {
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::is_featured.eq(is_featured),
            ));
        }
        if let Some(user_id) = self.created_by {
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::created_by.eq(user_id),
            ));
        }
        if let Some(organization_id) = self.organization_id {
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::organization_id.eq(organization_id),
            ));
        }
        if let Some(search) = &self.search {
            let pattern = crate::mapping::expressions::containing(search);
            query = query.filter(condition(
                setup_profiles::table,
                crate::mapping::expressions::matches_text!(setup_profiles::name, pattern)
                    .nullable()
                    .or(crate::mapping::expressions::matches_text!(
                        setup_profiles::description,
                        pattern
                    )),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                setup_profiles::table,
                setup_profiles::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which setup profiles are listed.
    SetupProfileOrder of SetupProfile in setup_profiles {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
    }
}

crate::write_set::touches!(SetupProfile, NewSetupProfile => |profile| crate::write_set::Key::SetupProfile(profile.id));
crate::write_set::touches!(SetupProfileId => |id| crate::write_set::Key::SetupProfile(*id));
