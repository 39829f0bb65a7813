//! `public.organizations`: organizations, to which users and projects belong.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::organizations;
use crate::types::timestamp::AnyTime;
use crate::{Change, Document, OrganizationId, SubscriptionPlan};

/// An organization: a row of the design's `organizations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = organizations)]
#[non_exhaustive]
pub struct Organization {
    /// Primary key.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Unique name in URLs.
    pub slug: String,
    /// A description.
    pub description: Option<String>,
    /// Settings, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub settings: Document,
    /// The subscription plan.
    pub subscription_plan: SubscriptionPlan,
    /// The time at which the row was created.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database. It increases strictly.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// An organization to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = organizations, row = Organization, conflict = "(slug)", keep(id))]
#[row(body(OrganizationBody: name, slug, description, settings))]
#[non_exhaustive]
pub struct NewOrganization {
    /// Primary key. Default: [`OrganizationId::new`].
    #[row(default = OrganizationId::new())]
    pub id: OrganizationId,
    /// Display name, at most 255 characters.
    pub name: String,
    /// Unique name in URLs, at most 100 characters.
    pub slug: String,
    /// A description.
    pub description: Option<String>,
    /// Settings, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub settings: Option<Document>,
    /// The subscription plan. Default: `free`.
    #[row(or = "'free'")]
    pub subscription_plan: Option<SubscriptionPlan>,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to an organization. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = organizations, row = Organization, id = OrganizationId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OrganizationChanges {
    /// New display name.
    pub name: Option<String>,
    /// New name in URLs.
    pub slug: Option<String>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// New settings, which replace the old ones.
    /// [`merge_settings`](crate::OrganizationRepository::merge_settings) changes a part of them.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub settings: Option<Document>,
    /// New subscription plan. Not read from JSON.
    #[serde(skip_deserializing)]
    pub subscription_plan: Option<SubscriptionPlan>,
    /// If set, the update fails with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row
    /// still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// A filter for organizations. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OrganizationFilter {
    /// Only organizations with this subscription plan.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub subscription_plan: Option<SubscriptionPlan>,
    /// Only organizations with this text in the name or the slug, ignoring case.
    pub search: Option<String>,
    /// Only rows created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only rows created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl OrganizationFilter {
    pub(crate) fn query(&self) -> organizations::BoxedQuery<'_, Pg, RowSql<Organization>> {
        let mut query = organizations::table
            .select(columns_of::<Organization>())
            .into_boxed();
        if let Some(plan) = self.subscription_plan {
            query = query.filter(condition(
                organizations::table,
                organizations::subscription_plan.eq(plan),
            ));
        }
        if let Some(search) = &self.search {
            let pattern = crate::mapping::expressions::containing(search);
            query = query.filter(condition(
                organizations::table,
                crate::mapping::expressions::matches_text!(organizations::name, pattern).or(
                    crate::mapping::expressions::matches_text!(organizations::slug, pattern),
                ),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                organizations::table,
                organizations::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                organizations::table,
                organizations::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which organizations are listed.
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
        /// Most recently changed first.
        RecentlyUpdated = updated_at desc,
    }
}

crate::write_set::touches!(Organization, NewOrganization => |organization| crate::write_set::Key::Organization(organization.id));
