//! `public.organizations`: whom users and projects belong to.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::public::organizations;
use crate::{Change, Document, OrganizationId, SubscriptionPlan};

/// An organization: a row of the design's `organizations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable, Selectable, Identifiable)]
#[diesel(table_name = organizations, check_for_backend(Pg))]
#[non_exhaustive]
pub struct Organization {
    /// Key.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Unique name in addresses.
    pub slug: String,
    /// What it is.
    pub description: Option<String>,
    /// Settings, as the application writes them.
    pub settings: Document,
    /// What it has subscribed to.
    pub subscription_plan: SubscriptionPlan,
    /// When the row was made.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// When the row last changed; kept by the database, strictly rising.
    #[serde(with = "crate::timestamp")]
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// An organization to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = organizations, row = Organization, conflict = "(slug)", keep(id))]
pub struct NewOrganization {
    /// Key; made by [`OrganizationId::new`] unless given.
    #[row(default = OrganizationId::new())]
    pub id: OrganizationId,
    /// At most 255 characters.
    pub name: String,
    /// At most 100 characters, unique.
    pub slug: String,
    /// What it is.
    pub description: Option<String>,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub settings: Option<Document>,
    /// `free` unless given.
    #[row(or = "'free'")]
    pub subscription_plan: Option<SubscriptionPlan>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to an organization. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = organizations, row = Organization, id = OrganizationId)]
#[serde(default)]
pub struct OrganizationChanges {
    /// New display name.
    pub name: Option<String>,
    /// New name in addresses.
    pub slug: Option<String>,
    /// New description.
    pub description: Change<String>,
    /// New settings, in place of the old; see
    /// [`merge_settings`](crate::OrganizationRepository::merge_settings) for a part of them.
    pub settings: Option<Document>,
    /// New subscription.
    pub subscription_plan: Option<SubscriptionPlan>,
    /// Refuse with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// Which organizations are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct OrganizationFilter {
    /// With this subscription.
    pub subscription_plan: Option<SubscriptionPlan>,
    /// With this text in the name or the slug, without regard to case.
    pub search: Option<String>,
    /// Created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl OrganizationFilter {
    pub(crate) fn query(&self) -> organizations::BoxedQuery<'_, Pg> {
        let mut query = organizations::table.into_boxed();
        if let Some(plan) = self.subscription_plan {
            query = query.filter(organizations::subscription_plan.eq(plan));
        }
        if let Some(search) = &self.search {
            let pattern = crate::text::containing(search);
            query = query.filter(
                crate::text::matches_text!(organizations::name, pattern)
                    .or(crate::text::matches_text!(organizations::slug, pattern)),
            );
        }
        if let Some(from) = self.created_from {
            query = query.filter(organizations::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(organizations::created_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order organizations are listed.
    OrganizationOrder of Organization in organizations {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
        /// By slug.
        Slug = slug asc,
        /// Last changed first.
        RecentlyUpdated = updated_at desc,
    }
}

crate::touched::touches!(Organization, NewOrganization => |organization| crate::touched::Key::Organization(organization.id));
