//! `setup.setup_profiles`: recipes for setting up a developer's machine.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::public::organization_members;
use crate::schema::setup::setup_profiles;
use crate::{
    Change, Document, Organization, OrganizationId, ProfileVisibility, SetupCategory,
    SetupProfileId, User, UserId,
};

/// A recipe for setting up a machine: a row of the design's `setup_profiles`.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    Selectable,
    Identifiable,
    Associations,
)]
#[diesel(table_name = setup_profiles, check_for_backend(Pg))]
#[diesel(belongs_to(Organization, foreign_key = organization_id))]
#[diesel(belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct SetupProfile {
    /// Key.
    pub id: SetupProfileId,
    /// Display name.
    pub name: String,
    /// What the profile is good for.
    pub description: Option<String>,
    /// What kind of machine it is for.
    pub category: SetupCategory,
    /// Settings of the setup, as the application writes them.
    pub configuration: Document,
    /// Array of the tools to install, as the application writes them.
    pub tools: Document,
    /// Array of the templates to lay out, as the application writes them.
    pub templates: Document,
    /// Array of what has to be there first, as the application writes it.
    pub prerequisites: Document,
    /// How long the setup may take, in minutes.
    pub estimated_duration: Option<i32>,
    /// Who sees the profile.
    pub visibility: ProfileVisibility,
    /// Whether the profile is put forward.
    pub is_featured: bool,
    /// Who made it.
    pub created_by: UserId,
    /// The organization that it is made for, if any.
    pub organization_id: Option<OrganizationId>,
    /// When the row was made.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// When the row last changed; kept by the database, strictly rising.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// A setup profile to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = setup_profiles, row = SetupProfile)]
pub struct NewSetupProfile {
    /// Key; made by [`SetupProfileId::new`] unless given.
    #[row(default = SetupProfileId::new())]
    pub id: SetupProfileId,
    /// At most 255 characters.
    pub name: String,
    /// What the profile is good for.
    pub description: Option<String>,
    /// What kind of machine it is for.
    pub category: SetupCategory,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub configuration: Option<Document>,
    /// `[]` unless given.
    #[row(or = "'[]'")]
    pub tools: Option<Document>,
    /// `[]` unless given.
    #[row(or = "'[]'")]
    pub templates: Option<Document>,
    /// `[]` unless given.
    #[row(or = "'[]'")]
    pub prerequisites: Option<Document>,
    /// How long the setup may take, in minutes.
    pub estimated_duration: Option<i32>,
    /// `private` unless given.
    #[row(or = "'private'")]
    pub visibility: Option<ProfileVisibility>,
    /// `false` unless given.
    #[row(or = "false")]
    pub is_featured: Option<bool>,
    /// Who makes it.
    pub created_by: UserId,
    /// The organization that it is made for.
    pub organization_id: Option<OrganizationId>,
}

/// Changes to a setup profile. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = setup_profiles, row = SetupProfile, id = SetupProfileId)]
#[serde(default)]
pub struct SetupProfileChanges {
    /// New display name.
    pub name: Option<String>,
    /// New description.
    pub description: Change<String>,
    /// New category.
    pub category: Option<SetupCategory>,
    /// New settings, in place of the old.
    pub configuration: Option<Document>,
    /// New tools, in place of the old.
    pub tools: Option<Document>,
    /// New templates, in place of the old.
    pub templates: Option<Document>,
    /// New prerequisites, in place of the old.
    pub prerequisites: Option<Document>,
    /// How long the setup may take, in minutes.
    pub estimated_duration: Change<i32>,
    /// Who sees the profile.
    pub visibility: Option<ProfileVisibility>,
    /// Whether the profile is put forward.
    pub is_featured: Option<bool>,
    /// The organization that it is made for.
    pub organization_id: Change<OrganizationId>,
    /// Refuse with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// Which setup profiles are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct SetupProfileFilter {
    /// For this kind of machine.
    pub category: Option<SetupCategory>,
    /// With this visibility.
    pub visibility: Option<ProfileVisibility>,
    /// Seen by this user: its own, those of an organization that it is a member of, and public ones.
    pub visible_to: Option<UserId>,
    /// Put forward or not.
    pub is_featured: Option<bool>,
    /// Made by this user.
    pub created_by: Option<UserId>,
    /// Made for this organization.
    pub organization_id: Option<OrganizationId>,
    /// With this text in the name or the description, without regard to case.
    pub search: Option<String>,
    /// Created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl SetupProfileFilter {
    pub(crate) fn query(&self) -> setup_profiles::BoxedQuery<'_, Pg> {
        let mut query = setup_profiles::table.into_boxed();
        if let Some(category) = self.category {
            query = query.filter(setup_profiles::category.eq(category));
        }
        if let Some(visibility) = self.visibility {
            query = query.filter(setup_profiles::visibility.eq(visibility));
        }
        if let Some(user_id) = self.visible_to {
            let organizations = organization_members::table
                .filter(organization_members::user_id.eq(user_id))
                .select(organization_members::organization_id.nullable());
            let shared = setup_profiles::visibility
                .eq(ProfileVisibility::Organization)
                .and(setup_profiles::organization_id.eq_any(organizations))
                .assume_not_null();
            query = query.filter(
                setup_profiles::created_by
                    .eq(user_id)
                    .or(setup_profiles::visibility.eq(ProfileVisibility::Public))
                    .or(shared),
            );
        }
        if let Some(is_featured) = self.is_featured {
            query = query.filter(setup_profiles::is_featured.eq(is_featured));
        }
        if let Some(user_id) = self.created_by {
            query = query.filter(setup_profiles::created_by.eq(user_id));
        }
        if let Some(organization_id) = self.organization_id {
            query = query.filter(setup_profiles::organization_id.eq(organization_id));
        }
        if let Some(search) = &self.search {
            let pattern = crate::text::containing(search);
            query = query.filter(
                crate::text::matches_text!(setup_profiles::name, pattern)
                    .nullable()
                    .or(crate::text::matches_text!(
                        setup_profiles::description,
                        pattern
                    )),
            );
        }
        if let Some(from) = self.created_from {
            query = query.filter(setup_profiles::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(setup_profiles::created_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order setup profiles are listed.
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

crate::touched::touches!(SetupProfile, NewSetupProfile => |profile| crate::touched::Key::SetupProfile(profile.id));
crate::touched::touches!(SetupProfileId => |id| crate::touched::Key::SetupProfile(*id));
