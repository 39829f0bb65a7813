//! `setup.configurations`.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::secrets::HasSecrets as _;
use super::*;
use crate::mapping::{Changes as _, NewRow as _};
use crate::schema::setup::configurations;
use crate::sql::{columns_of, delete_matching, exists_by_id, find_by_ids, is_one_of, parent_id};
use crate::{
    ConfigCategory, Configuration, ConfigurationChanges, ConfigurationFilter, ConfigurationId,
    ConfigurationOrder, ConfigurationScope, Document, NewConfiguration, OrganizationId, Page,
    Paged, ProjectId, Result, UserId,
};

mod encryption;
#[cfg(feature = "crypto")]
pub(crate) use encryption::place;

use encryption::{has_secret, sealed};

/// Stores and finds settings.
#[repository]
pub trait ConfigurationRepository: Send + Sync {
    /// Creates a setting. An encrypted value is sealed with the keys of the database.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the value is encrypted and the database has no keys, or a value
    ///   that is not encrypted has the form of a sealed one
    /// - [`Error::Unique`] if the scope has a setting of this category and name
    /// - [`Error::MissingReference`] if there is no such organization, project or user
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewConfiguration) -> Result<Configuration>;

    /// Creates any number of settings, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewConfiguration]) -> Result<u64>;

    /// Creates a setting, or updates the one with the same scope, category and name.
    ///
    /// An update sets the value and `is_encrypted`. It keeps the description if none is given, and
    /// always keeps `created_by`.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] and [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn upsert(&self, new: NewConfiguration) -> Result<Configuration>;

    /// Returns the setting with this id. Returns `None` if there is none.
    async fn find(&self, id: ConfigurationId) -> Result<Option<Configuration>>;

    /// Returns the settings with these ids, in the order of `ids`, with one query. An id without a
    /// row gets `None`.
    async fn find_many(&self, ids: &[ConfigurationId]) -> Result<Vec<Option<Configuration>>>;

    /// Returns the scope's own setting of this category and name.
    async fn find_by_name(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>>;

    /// Returns the setting that applies in the scope, with one query.
    ///
    /// That is a project's own setting, or else its organization's, or else the global one.
    ///
    /// For a project that does not exist, the global setting applies.
    async fn effective(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>>;

    /// Returns all settings that apply in the scope, by category and name, with one query.
    ///
    /// Without a category, it returns those of all categories. Each setting is chosen as by
    /// [`effective`](Self::effective).
    async fn effective_all(
        &self,
        scope: ConfigurationScope,
        category: Option<ConfigCategory>,
    ) -> Result<HashMap<ConfigCategory, BTreeMap<String, Configuration>>>;

    /// Checks whether there is a setting with this id.
    async fn exists(&self, id: ConfigurationId) -> Result<bool>;

    /// Returns one page of the settings that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Paged<Configuration>>;

    /// Returns one page for each organization: its configurations that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>>;

    /// Returns one page for each project: its configurations that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>>;

    /// Streams the settings that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ConfigurationFilter) -> RowStream<'a, Configuration>;

    /// Counts the settings that the filter matches.
    async fn count(&self, filter: &ConfigurationFilter) -> Result<u64>;

    /// Updates a setting and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::Check`] if the setting is encrypted, and a value is given without `is_encrypted`
    /// - [`Error::InvalidInput`] if `is_encrypted` is given without a value
    /// - [`Error::NotFound`] if there is no such setting
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - [`Error::Unique`] and [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(
        &self,
        id: ConfigurationId,
        changes: ConfigurationChanges,
    ) -> Result<Configuration>;

    /// Sets a value that is not encrypted. A short form of [`upsert`](Self::upsert).
    ///
    /// # Errors
    /// The same as [`upsert`](Self::upsert).
    async fn set(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
        value: Document,
        by: UserId,
    ) -> Result<Configuration>;

    /// Deletes a setting, and returns whether it existed. Then the wider scope's setting applies.
    async fn delete(&self, id: ConfigurationId) -> Result<bool>;

    /// Deletes every setting that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &ConfigurationFilter) -> Result<u64>;
}

/// The [`ConfigurationRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Configurations<'a>(pub(super) Executor<'a>);

impl Db {
    /// Returns the repository of the settings.
    pub fn configurations(&self) -> Configurations<'static> {
        Configurations(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the settings within this transaction.
    pub fn configurations(&self) -> Configurations<'_> {
        Configurations(self.executor())
    }
}

#[repository]
impl Configurations<'_> {
    /// Returns all of the scope's own settings.
    #[cfg(feature = "redis")]
    pub(crate) async fn own(&self, scope: ConfigurationScope) -> Result<Vec<Configuration>> {
        self.0
            .load(scope.own().select(columns_of::<Configuration>()))
            .await
    }
}

#[repository(observed)]
impl ConfigurationRepository for Configurations<'_> {
    async fn create(&self, new: NewConfiguration) -> Result<Configuration> {
        new.check()?;
        let new = sealed(&self.0, new)?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert(&new).await;
        Ok(write.finish(outcome).await?.opened(&self.0))
    }

    async fn create_many(&self, new: &[NewConfiguration]) -> Result<u64> {
        let stored;
        let new = if new.iter().any(has_secret) {
            let each = new.iter().map(|new| sealed(&self.0, new.clone()));
            stored = each.collect::<Result<Vec<_>>>()?;
            &stored[..]
        } else {
            new
        };
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn upsert(&self, new: NewConfiguration) -> Result<Configuration> {
        new.check()?;
        if new.is_encrypted {
            let stored = sealed(&self.0, new.clone())?;
            let unit = UnitOfWork::begin(&self.0).await?;
            let outcome = Configurations(unit.executor());
            let outcome = outcome.upsert_sealed(stored, new.value).await;
            return unit.end(outcome).await;
        }
        let new = sealed(&self.0, new)?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().upsert(&new).await;
        write.finish(outcome).await
    }

    async fn find(&self, id: ConfigurationId) -> Result<Option<Configuration>> {
        let query = configurations::table.find(id);
        let query = query.select(columns_of::<Configuration>());
        let row: Option<Configuration> = self.0.first(query).await?;
        Ok(row.opened(&self.0))
    }

    async fn find_many(&self, ids: &[ConfigurationId]) -> Result<Vec<Option<Configuration>>> {
        let query = find_by_ids::<Configuration>(ids);
        let rows: Vec<Configuration> = self.0.load(query).await?;
        Ok(in_order_of(ids, rows.opened(&self.0), |row| row.id))
    }

    async fn find_by_name(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>> {
        let query = scope
            .own()
            .filter(configurations::category.eq(category))
            .filter(configurations::name.eq(name))
            .order((configurations::updated_at.desc(), configurations::id.desc()))
            .limit(1)
            .select(columns_of::<Configuration>());
        let row: Option<Configuration> = self.0.first(query).await?;
        Ok(row.opened(&self.0))
    }

    async fn effective(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>> {
        // There is at most one row for each scope. With LIMIT the planner may walk the index on
        // `scope` instead of looking them up.
        let query = scope
            .applicable()
            .filter(configurations::category.eq(category))
            .filter(configurations::name.eq(name))
            .order((
                configurations::scope.desc(),
                configurations::updated_at.desc(),
                configurations::id.desc(),
            ))
            .select(columns_of::<Configuration>());
        let row: Option<Configuration> = self.0.first(query).await?;
        Ok(row.opened(&self.0))
    }

    async fn effective_all(
        &self,
        scope: ConfigurationScope,
        category: Option<ConfigCategory>,
    ) -> Result<HashMap<ConfigCategory, BTreeMap<String, Configuration>>> {
        let mut query = scope.applicable();
        if let Some(category) = category {
            query = query.filter(configurations::category.eq(category));
        }
        // The narrowest scope comes last, and replaces the wider ones of the same name.
        let query = query
            .order((
                configurations::scope,
                configurations::updated_at,
                configurations::id,
            ))
            .select(columns_of::<Configuration>());
        let mut effective: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for row in self.0.load::<_, Configuration>(query).await? {
            let category = effective.entry(row.category).or_default();
            category.insert(row.name.clone(), row.opened(&self.0));
        }
        Ok(effective)
    }

    async fn exists(&self, id: ConfigurationId) -> Result<bool> {
        self.0.one(exists_by_id::<Configuration>(id)).await
    }

    async fn list(
        &self,
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Paged<Configuration>> {
        let rows = filter.query().select(columns_of::<Configuration>());
        let rows = page_of(&self.0, page, rows, filter.query().count()).await?;
        Ok(rows.opened(&self.0))
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>> {
        let rows = filter
            .query()
            .filter(configurations::organization_id.eq(parent_id(configurations::organization_id)))
            .select(columns_of::<Configuration>());
        let children = filter
            .query()
            .filter(is_one_of(configurations::organization_id, ids))
            .select(configurations::organization_id);
        let pages = pages_of_each(&self.0, ids, page, rows, children, |row| {
            row.organization_id
        })
        .await?;
        Ok(pages.opened(&self.0))
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>> {
        let rows = filter
            .query()
            .filter(configurations::project_id.eq(parent_id(configurations::project_id)))
            .select(columns_of::<Configuration>());
        let children = filter
            .query()
            .filter(is_one_of(configurations::project_id, ids))
            .select(configurations::project_id);
        let pages = pages_of_each(&self.0, ids, page, rows, children, |row| row.project_id).await?;
        Ok(pages.opened(&self.0))
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ConfigurationFilter) -> RowStream<'a, Configuration> {
        let query = filter.query().select(columns_of::<Configuration>());
        let executor = self.0.clone();
        let rows = self.0.stream(query);
        rows.map_rows(move |row: Configuration| row.opened(&executor))
    }

    async fn count(&self, filter: &ConfigurationFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(
        &self,
        id: ConfigurationId,
        changes: ConfigurationChanges,
    ) -> Result<Configuration> {
        changes.check()?;
        let changes = self.sealed_changes(id, changes).await?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().update(id, &changes).await;
        let row = write.finish(outcome).await?;
        let row = updated_or_reason(&self.0, "Configuration", id, &changes, row).await?;
        Ok(row.opened(&self.0))
    }

    async fn set(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
        value: Document,
        by: UserId,
    ) -> Result<Configuration> {
        self.upsert(NewConfiguration::new(scope, category, name, value, by))
            .await
    }

    async fn delete(&self, id: ConfigurationId) -> Result<bool> {
        let statement = diesel::delete(configurations::table.find(id)).returning(OWNER);
        match deleted_row::<Owner, _>(&self.0, statement).await? {
            true => Ok(true),
            false => not_deleted("Configuration", self.exists(id).await?),
        }
    }

    async fn delete_many(&self, filter: &ConfigurationFilter) -> Result<u64> {
        let ids = filter.query().select(configurations::id);
        let statement = delete_matching(configurations::table, ids).returning(OWNER);
        deleted_each::<Owner, _>(&self.0, statement).await
    }
}

/// The columns that a deletion returns of each setting, and their values.
type Owner = (Option<OrganizationId>, Option<ProjectId>);
const OWNER: (configurations::organization_id, configurations::project_id) =
    (configurations::organization_id, configurations::project_id);
