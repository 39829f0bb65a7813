//! `setup.configurations`: settings of the platform, of organizations and of projects.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::public::projects;
use crate::schema::setup::configurations;
use crate::{
    Change, ConfigCategory, ConfigScope, ConfigurationId, Document, Error, Organization,
    OrganizationId, Project, ProjectId, Result, SettingValue, User, UserId,
};

macro_rules! is_of_organization {
    ($id:expr) => {
        configurations::organization_id
            .eq($id)
            .and(configurations::project_id.is_null())
    };
}

/// The scope of a setting. Every value satisfies the design's `config_scope_check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConfigurationScope {
    /// The whole platform.
    Global,
    /// An organization. Its settings override global ones.
    Organization(OrganizationId),
    /// A project. Its settings override those of its organization.
    Project(ProjectId),
}

impl ConfigurationScope {
    /// Returns the value of the column `scope`.
    #[must_use]
    pub const fn kind(self) -> ConfigScope {
        match self {
            Self::Global => ConfigScope::Global,
            Self::Organization(_) => ConfigScope::Organization,
            Self::Project(_) => ConfigScope::Project,
        }
    }

    /// Returns the value of the column `organization_id`. It is `None` for a project, whose
    /// organization may change.
    #[must_use]
    pub const fn organization_id(self) -> Option<OrganizationId> {
        match self {
            Self::Organization(id) => Some(id),
            Self::Global | Self::Project(_) => None,
        }
    }

    /// Returns the value of the column `project_id`.
    #[must_use]
    pub const fn project_id(self) -> Option<ProjectId> {
        match self {
            Self::Project(id) => Some(id),
            Self::Global | Self::Organization(_) => None,
        }
    }

    /// Returns the query for the scope's own settings.
    pub(crate) fn own(self) -> configurations::BoxedQuery<'static, Pg, RowSql<Configuration>> {
        let query = configurations::table
            .select(columns_of::<Configuration>())
            .into_boxed();
        match self {
            Self::Global => query.filter(condition(
                configurations::table,
                configurations::scope.eq(ConfigScope::Global),
            )),
            Self::Organization(id) => {
                query.filter(condition(configurations::table, is_of_organization!(id)))
            }
            Self::Project(id) => query.filter(condition(
                configurations::table,
                configurations::project_id.eq(id),
            )),
        }
    }

    /// Returns the query for the settings that apply in the scope: its own and those of the wider
    /// scopes.
    pub(crate) fn applicable(
        self,
    ) -> configurations::BoxedQuery<'static, Pg, RowSql<Configuration>> {
        let query = configurations::table
            .select(columns_of::<Configuration>())
            .into_boxed()
            .filter(condition(
                configurations::table,
                configurations::scope.eq(ConfigScope::Global),
            ));
        match self {
            Self::Global => query,
            Self::Organization(id) => {
                query.or_filter(condition(configurations::table, is_of_organization!(id)))
            }
            Self::Project(id) => {
                // A scalar subquery leaves the indexes usable; a set would not.
                let organization_id = projects::table
                    .find(id)
                    .select(projects::organization_id)
                    .single_value();
                query
                    .or_filter(condition(
                        configurations::table,
                        is_of_organization!(organization_id),
                    ))
                    .or_filter(condition(
                        configurations::table,
                        configurations::project_id.eq(id),
                    ))
            }
        }
    }
}

impl From<OrganizationId> for ConfigurationScope {
    fn from(id: OrganizationId) -> Self {
        Self::Organization(id)
    }
}

impl From<ProjectId> for ConfigurationScope {
    fn from(id: ProjectId) -> Self {
        Self::Project(id)
    }
}

impl TryFrom<&Configuration> for ConfigurationScope {
    type Error = Error;

    /// Returns the scope of a setting. It exists for every stored row.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the row was constructed with a scope but without its id, or
    ///   with an unknown scope.
    fn try_from(row: &Configuration) -> Result<Self> {
        let scope = match row.scope {
            ConfigScope::Global => Some(Self::Global),
            ConfigScope::Organization => row.organization_id.map(Self::Organization),
            ConfigScope::Project => row.project_id.map(Self::Project),
            ConfigScope::Unknown(_) => None,
        };
        scope.ok_or_else(|| Error::invalid("scope", format_args!("{} without its id", row.scope)))
    }
}

/// A setting: a row of the design's `configurations`. [`ConfigurationScope::try_from`] returns its
/// scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = configurations)]
#[diesel(belongs_to(Organization, foreign_key = organization_id))]
#[diesel(belongs_to(Project, foreign_key = project_id))]
#[diesel(belongs_to(User, foreign_key = created_by))]
#[non_exhaustive]
pub struct Configuration {
    /// Primary key.
    pub id: ConfigurationId,
    /// The organization that the setting belongs to. Other clients may set it together with a
    /// project.
    pub organization_id: Option<OrganizationId>,
    /// The project that the setting belongs to.
    pub project_id: Option<ProjectId>,
    /// The kind of scope.
    pub scope: ConfigScope,
    /// The category of the setting.
    pub category: ConfigCategory,
    /// The name, unique within scope and category.
    pub name: String,
    /// The value.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub value: SettingValue,
    /// A description of the setting.
    pub description: Option<String>,
    /// True if the value is encrypted: it is sealed in the database.
    pub is_encrypted: bool,
    /// The user that created it.
    pub created_by: UserId,
    /// The time at which the row was created.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database. It increases strictly.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// A setting to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = configurations, row = Configuration, bare)]
#[row(
    conflict = "(organization_id, project_id, category, name)",
    keep(id, created_by)
)]
#[non_exhaustive]
pub struct NewConfiguration {
    pub(crate) id: ConfigurationId,
    pub(crate) organization_id: Option<OrganizationId>,
    pub(crate) project_id: Option<ProjectId>,
    scope: ConfigScope,
    category: ConfigCategory,
    name: String,
    pub(crate) value: Document,
    description: Option<String>,
    // Not an `Option`: a new value must always come with its flag.
    pub(crate) is_encrypted: bool,
    created_by: UserId,
}

impl NewConfiguration {
    /// Creates a setting from the fields that are required. The name has at most 255 characters.
    #[must_use]
    pub fn new(
        scope: impl Into<ConfigurationScope>,
        category: ConfigCategory,
        name: impl Into<String>,
        value: impl Into<Document>,
        created_by: UserId,
    ) -> Self {
        let scope = scope.into();
        Self {
            id: ConfigurationId::new(),
            organization_id: scope.organization_id(),
            project_id: scope.project_id(),
            scope: scope.kind(),
            category,
            name: name.into(),
            value: value.into(),
            description: None,
            is_encrypted: false,
            created_by,
        }
    }

    /// Sets the primary key. Default: [`ConfigurationId::new`].
    #[must_use]
    pub fn id(self, id: ConfigurationId) -> Self {
        Self { id, ..self }
    }

    /// Sets the description of the setting.
    #[must_use]
    pub fn description(self, description: impl Into<String>) -> Self {
        Self {
            description: Some(description.into()),
            ..self
        }
    }

    /// Sets whether the value is encrypted. Default: `false`, also if an upsert replaces an
    /// encrypted value.
    ///
    /// An encrypted value is sealed with the keys of the `Db`, and bound to the setting. Without
    /// keys it is refused.
    #[must_use]
    pub fn is_encrypted(self, is_encrypted: bool) -> Self {
        Self {
            is_encrypted,
            ..self
        }
    }
}

/// The fields of a [`NewConfiguration`] that a body of a request may have. It has none that raises
/// rights, and refuses unknown ones.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConfigurationBody {
    /// The category of the setting.
    pub category: ConfigCategory,
    /// The name, at most 255 characters.
    pub name: String,
    /// The value.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub value: Document,
    /// A description of the setting.
    pub description: Option<String>,
}

impl ConfigurationBody {
    /// Creates the [`NewConfiguration`] from the fields, and from what a body does not decide.
    #[must_use]
    pub fn into_new(
        self,
        scope: impl Into<ConfigurationScope>,
        created_by: UserId,
    ) -> NewConfiguration {
        let new = NewConfiguration::new(scope, self.category, self.name, self.value, created_by);
        NewConfiguration {
            description: self.description,
            ..new
        }
    }
}

/// Changes to a setting. A field that is not set keeps its value. The scope cannot change.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = configurations, row = Configuration, id = ConfigurationId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConfigurationChanges {
    /// New category.
    pub category: Option<ConfigCategory>,
    /// New name.
    pub name: Option<String>,
    /// New value. That of an encrypted setting must come with `is_encrypted`.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub value: Option<Document>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// True if the new value is encrypted. Needs a value. Not read from JSON.
    #[serde(skip_deserializing)]
    pub is_encrypted: Option<bool>,
    /// If set, the update fails with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row
    /// still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// A filter for settings. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConfigurationFilter {
    /// Only rows of this organization.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub organization_id: Option<OrganizationId>,
    /// Only rows of this project.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub project_id: Option<ProjectId>,
    /// Only settings of this kind of scope.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub scope: Option<ConfigScope>,
    /// Only settings of this category.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub category: Option<ConfigCategory>,
    /// Only rows with this name.
    pub name: Option<String>,
    /// Only settings whose value is encrypted, or only those whose value is not.
    pub is_encrypted: Option<bool>,
    /// Only rows created by this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub created_by: Option<UserId>,
}

impl ConfigurationFilter {
    pub(crate) fn query(&self) -> configurations::BoxedQuery<'_, Pg, RowSql<Configuration>> {
        let mut query = configurations::table
            .select(columns_of::<Configuration>())
            .into_boxed();
        if let Some(organization_id) = self.organization_id {
            query = query.filter(condition(
                configurations::table,
                configurations::organization_id.eq(organization_id),
            ));
        }
        if let Some(project_id) = self.project_id {
            query = query.filter(condition(
                configurations::table,
                configurations::project_id.eq(project_id),
            ));
        }
        if let Some(scope) = self.scope {
            query = query.filter(condition(
                configurations::table,
                configurations::scope.eq(scope),
            ));
        }
        if let Some(category) = self.category {
            query = query.filter(condition(
                configurations::table,
                configurations::category.eq(category),
            ));
        }
        if let Some(name) = &self.name {
            query = query.filter(condition(
                configurations::table,
                configurations::name.eq(name),
            ));
        }
        if let Some(is_encrypted) = self.is_encrypted {
            query = query.filter(condition(
                configurations::table,
                configurations::is_encrypted.eq(is_encrypted),
            ));
        }
        if let Some(user_id) = self.created_by {
            query = query.filter(condition(
                configurations::table,
                configurations::created_by.eq(user_id),
            ));
        }
        query
    }
}

orders! {
    /// The order in which settings are listed.
    ConfigurationOrder of Configuration in configurations {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
    }
}

crate::write_set::touches!(Configuration, NewConfiguration => |row| crate::write_set::Key::from(scope_of(row.organization_id, row.project_id)));
crate::write_set::touches!((Option<OrganizationId>, Option<ProjectId>) => |of| crate::write_set::Key::from(scope_of(of.0, of.1)));

fn scope_of(
    organization: Option<OrganizationId>,
    project: Option<ProjectId>,
) -> ConfigurationScope {
    match (organization, project) {
        (_, Some(project)) => ConfigurationScope::Project(project),
        (Some(organization), None) => ConfigurationScope::Organization(organization),
        (None, None) => ConfigurationScope::Global,
    }
}

impl From<ConfigurationScope> for crate::write_set::Key {
    fn from(scope: ConfigurationScope) -> Self {
        match scope {
            ConfigurationScope::Global => Self::GlobalConfigurations,
            ConfigurationScope::Organization(id) => Self::OrganizationConfigurations(id),
            ConfigurationScope::Project(id) => Self::ProjectConfigurations(id),
        }
    }
}
