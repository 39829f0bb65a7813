//! `setup.configurations`.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::schema::setup::configurations;
use crate::sql::{Changes as _, NewRow as _, delete_matching};
use crate::{
    ConfigCategory, Configuration, ConfigurationChanges, ConfigurationFilter, ConfigurationId,
    ConfigurationOrder, ConfigurationScope, Document, Error, NewConfiguration, OrganizationId,
    Page, Paged, ProjectId, Result, UserId,
};

/// Stores and finds settings.
///
/// Every method may return [`Error::Pool`], [`Error::Connection`] and [`Error::Timeout`]; named below is what else.
#[repository]
pub trait ConfigurationRepository: Send + Sync {
    /// Creates a setting.
    ///
    /// # Errors
    /// [`Error::Unique`] if the scope has a setting of this category and name, [`Error::ForeignKey`] if there is no such
    /// organization, project or user, [`Error::InvalidInput`] if a value cannot be stored.
    async fn create(&self, new: NewConfiguration) -> Result<Configuration>;

    /// Creates any number of settings, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewConfiguration]) -> Result<usize>;

    /// Creates a setting, or changes the one with the same scope, category and name: value and `is_encrypted` become
    /// what is given, the description is kept if none is, and `created_by` stays who made it first.
    ///
    /// # Errors
    /// [`Error::ForeignKey`] and [`Error::InvalidInput`] as in [`create`](Self::create).
    async fn upsert(&self, new: NewConfiguration) -> Result<Configuration>;

    /// The setting with this id.
    async fn find(&self, id: ConfigurationId) -> Result<Option<Configuration>>;

    /// One answer for each id, in their order, by one query.
    async fn find_many(&self, ids: &[ConfigurationId]) -> Result<Vec<Option<Configuration>>>;

    /// The scope's own setting of this category and name.
    async fn find_by_name(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>>;

    /// The setting that applies in the scope, by one query: a project's own, or else its organization's, or else
    /// the global one. The value is as it is stored, encrypted or not.
    ///
    /// For a project that is not there, the global one.
    async fn effective(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>>;

    /// All settings that apply in the scope, of one category or of all: by category and name, each chosen as
    /// [`effective`](Self::effective) does, by one query.
    async fn effective_all(
        &self,
        scope: ConfigurationScope,
        category: Option<ConfigCategory>,
    ) -> Result<HashMap<ConfigCategory, BTreeMap<String, Configuration>>>;

    /// Whether there is such a setting.
    async fn exists(&self, id: ConfigurationId) -> Result<bool>;

    /// One page of the settings that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a limit that is not within 1 and 100 or a cursor of another list.
    async fn list(
        &self,
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Paged<Configuration>>;

    /// One page of the configurations of each organization that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>>;

    /// One page of the configurations of each project that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>>;

    /// All settings that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ConfigurationFilter) -> RowStream<'a, Configuration>;

    /// How many settings the filter matches.
    async fn count(&self, filter: &ConfigurationFilter) -> Result<i64>;

    /// Changes a setting; without changes it is returned as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::StaleWrite`] if it is not as old as the changes expect; [`Error::Unique`] and
    /// [`Error::InvalidInput`] as in [`create`](Self::create).
    async fn update(
        &self,
        id: ConfigurationId,
        changes: ConfigurationChanges,
    ) -> Result<Configuration>;

    /// Gives a setting a value that is not encrypted: [`upsert`](Self::upsert) in short.
    ///
    /// # Errors
    /// As [`upsert`](Self::upsert).
    async fn set(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
        value: Document,
        by: UserId,
    ) -> Result<Configuration>;

    /// Deletes a setting, so that the wider scope's applies, and tells whether it was there.
    async fn delete(&self, id: ConfigurationId) -> Result<bool>;

    /// Deletes every setting that the filter matches, all or none, and tells how many.
    async fn delete_many(&self, filter: &ConfigurationFilter) -> Result<usize>;
}

/// The [`ConfigurationRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Configurations<'a>(Source<'a>);

impl Db {
    /// The settings.
    pub fn configurations(&self) -> Configurations<'static> {
        Configurations(self.source())
    }
}

impl Tx {
    /// The settings, inside this transaction.
    pub fn configurations(&self) -> Configurations<'_> {
        Configurations(self.source())
    }
}

#[repository]
impl Configurations<'_> {
    /// All that the scope has itself.
    #[cfg(feature = "redis")]
    pub(crate) async fn own(&self, scope: ConfigurationScope) -> Result<Vec<Configuration>> {
        self.0
            .load(scope.own().select(Configuration::as_select()))
            .await
    }
}

#[repository]
impl ConfigurationRepository for Configurations<'_> {
    async fn create(&self, new: NewConfiguration) -> Result<Configuration> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert(&new).await;
        write.finish(outcome).await
    }

    async fn create_many(&self, new: &[NewConfiguration]) -> Result<usize> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().insert_all(new).await;
        write.finish_touching(outcome, |_| new).await
    }

    async fn upsert(&self, new: NewConfiguration) -> Result<Configuration> {
        new.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().upsert(&new).await;
        write.finish(outcome).await
    }

    async fn find(&self, id: ConfigurationId) -> Result<Option<Configuration>> {
        self.0
            .first(
                configurations::table
                    .find(id)
                    .select(Configuration::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[ConfigurationId]) -> Result<Vec<Option<Configuration>>> {
        let query = configurations::table
            .filter(configurations::id.eq_any(ids))
            .select(Configuration::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, Configuration>(query).await?,
            |row| row.id,
        ))
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
            .select(Configuration::as_select());
        self.0.first(query).await
    }

    async fn effective(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>> {
        // At most one row a scope. With LIMIT the planner may walk the index on `scope` instead of looking them up.
        let query = scope
            .applicable()
            .filter(configurations::category.eq(category))
            .filter(configurations::name.eq(name))
            .order((
                configurations::scope.desc(),
                configurations::updated_at.desc(),
                configurations::id.desc(),
            ))
            .select(Configuration::as_select());
        self.0.first(query).await
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
        // The narrowest comes last, and replaces the wider ones of its name.
        let query = query
            .order((
                configurations::scope,
                configurations::updated_at,
                configurations::id,
            ))
            .select(Configuration::as_select());
        let mut effective: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for row in self.0.load::<_, Configuration>(query).await? {
            let category = effective.entry(row.category).or_default();
            category.insert(row.name.clone(), row);
        }
        Ok(effective)
    }

    async fn exists(&self, id: ConfigurationId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                configurations::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Paged<Configuration>> {
        list!(self, Configuration, filter, page)
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>> {
        list_of!(
            self,
            Configuration,
            configurations::organization_id,
            ids,
            filter,
            page
        )
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &ConfigurationFilter,
        page: &Page<ConfigurationOrder>,
    ) -> Result<Vec<Paged<Configuration>>> {
        list_of!(
            self,
            Configuration,
            configurations::project_id,
            ids,
            filter,
            page
        )
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a ConfigurationFilter) -> RowStream<'a, Configuration> {
        self.0
            .stream(filter.query().select(Configuration::as_select()))
    }

    async fn count(&self, filter: &ConfigurationFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(
        &self,
        id: ConfigurationId,
        changes: ConfigurationChanges,
    ) -> Result<Configuration> {
        changes.check()?;
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().update(id, &changes).await;
        match write.finish(outcome).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "Configuration",
                &changes,
                self.exists(id).await?,
            )),
        }
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
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().first(statement).await;
        let deleted: Option<Owner> = write.finish(outcome).await?;
        Ok(deleted.is_some())
    }

    async fn delete_many(&self, filter: &ConfigurationFilter) -> Result<usize> {
        let ids = filter.query().select(configurations::id);
        let statement = delete_matching(configurations::table, ids).returning(OWNER);
        let write = Write::begin(&self.0).await?;
        let outcome = write.source().load(statement).await;
        let deleted: Vec<Owner> = write.finish(outcome).await?;
        Ok(deleted.len())
    }
}

/// What is read of a setting that is deleted, and the columns of that.
type Owner = (Option<OrganizationId>, Option<ProjectId>);
const OWNER: (configurations::organization_id, configurations::project_id) =
    (configurations::organization_id, configurations::project_id);
