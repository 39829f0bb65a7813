//! `setup.integrations`.

use diesel::prelude::{ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl};
use diesel::sql_types::{Bool, Timestamptz};

use super::secrets::{HasSecrets, seal};
use super::*;
use crate::mapping::NewRow as _;
use crate::schema::setup::integrations;
use crate::sql::{
    cacheable, columns_of, delete_by_id, delete_matching, exists_by_id, find_by_ids, is_one_of,
    parent_id,
};
use crate::types::protected::{KeyProvider, Place};
use crate::{
    Change, Integration, IntegrationChanges, IntegrationFilter, IntegrationId, IntegrationOrder,
    NewIntegration, OrganizationId, Page, Paged, ProjectId, Result, SyncStatus,
};

/// Stores and finds integrations.
#[repository]
pub trait IntegrationRepository: Send + Sync {
    /// Creates an integration.
    ///
    /// # Errors
    /// - [`Error::MissingReference`] if there is no such organization, project or user
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewIntegration) -> Result<Integration>;

    /// Creates any number of integrations, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewIntegration]) -> Result<u64>;

    /// Returns the integration with this id. Returns `None` if there is none.
    async fn find(&self, id: IntegrationId) -> Result<Option<Integration>>;

    /// Returns the integrations with these ids, in the order of `ids`, with one query. An id
    /// without a row gets `None`.
    async fn find_many(&self, ids: &[IntegrationId]) -> Result<Vec<Option<Integration>>>;

    /// Checks whether there is an integration with this id.
    async fn exists(&self, id: IntegrationId) -> Result<bool>;

    /// Returns one page of the integrations that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the limit is not within 1 and 100, or the cursor is of another
    ///   list
    async fn list(
        &self,
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Paged<Integration>>;

    /// Returns one page for each organization: its integrations that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Vec<Paged<Integration>>>;

    /// Returns one page for each project: its integrations that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Vec<Paged<Integration>>>;

    /// Streams the integrations that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a IntegrationFilter) -> RowStream<'a, Integration>;

    /// Counts the integrations that the filter matches.
    async fn count(&self, filter: &IntegrationFilter) -> Result<u64>;

    /// Updates an integration and returns it. Changes without an assignment return it as it is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such integration
    /// - [`Error::StaleWrite`] if the row was changed after the time that the changes expect
    /// - [`Error::InvalidInput`] as in [`create`](Self::create)
    async fn update(&self, id: IntegrationId, changes: IntegrationChanges) -> Result<Integration>;

    /// Enables or disables an integration.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such integration
    async fn set_enabled(&self, id: IntegrationId, is_enabled: bool) -> Result<Integration>;

    /// Records the status of a synchronization.
    ///
    /// `last_sync_at` becomes now if the synchronization has ended, that is if the status is
    /// [`Success`](SyncStatus::Success) or [`Failed`](SyncStatus::Failed). Otherwise it stays as it
    /// is.
    ///
    /// # Errors
    /// - [`Error::NotFound`] if there is no such integration
    async fn record_sync(&self, id: IntegrationId, status: SyncStatus) -> Result<Integration>;

    /// Deletes an integration, and returns whether it existed.
    async fn delete(&self, id: IntegrationId) -> Result<bool>;

    /// Deletes every integration that the filter matches, all or none, and returns their number.
    async fn delete_many(&self, filter: &IntegrationFilter) -> Result<u64>;
}

/// The [`IntegrationRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Integrations<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the integrations.
    pub fn integrations(&self) -> Integrations<'static> {
        Integrations(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the integrations within this transaction.
    pub fn integrations(&self) -> Integrations<'_> {
        Integrations(self.executor())
    }
}

#[repository(observed)]
impl IntegrationRepository for Integrations<'_> {
    async fn create(&self, new: NewIntegration) -> Result<Integration> {
        let new = sealed(&self.0, new)?;
        new.check()?;
        Ok(self.0.insert(&new).await?.opened(&self.0))
    }

    async fn create_many(&self, new: &[NewIntegration]) -> Result<u64> {
        if self.0.secrets().is_none() && !new.iter().any(has_secret) {
            return self.0.insert_all(new).await;
        }
        let new = new.iter().map(|new| sealed(&self.0, new.clone()));
        let new = new.collect::<Result<Vec<_>>>()?;
        self.0.insert_all(&new).await
    }

    async fn find(&self, id: IntegrationId) -> Result<Option<Integration>> {
        let query = integrations::table.find(id);
        let row: Option<Integration> = self
            .0
            .first(query.select(columns_of::<Integration>()))
            .await?;
        Ok(row.opened(&self.0))
    }

    async fn find_many(&self, ids: &[IntegrationId]) -> Result<Vec<Option<Integration>>> {
        let query = find_by_ids::<Integration>(ids);
        let rows: Vec<Integration> = self.0.load(query).await?;
        Ok(in_order_of(ids, rows.opened(&self.0), |row| row.id))
    }

    async fn exists(&self, id: IntegrationId) -> Result<bool> {
        self.0.one(exists_by_id::<Integration>(id)).await
    }

    async fn list(
        &self,
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Paged<Integration>> {
        let rows = filter.query().select(columns_of::<Integration>());
        let rows = page_of(&self.0, page, rows, filter.query().count()).await?;
        Ok(rows.opened(&self.0))
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Vec<Paged<Integration>>> {
        let rows = filter
            .query()
            .filter(integrations::organization_id.eq(parent_id(integrations::organization_id)))
            .select(columns_of::<Integration>());
        let children = filter
            .query()
            .filter(is_one_of(integrations::organization_id, ids))
            .select(integrations::organization_id);
        let pages = pages_of_each(&self.0, ids, page, rows, children, |row| {
            row.organization_id
        })
        .await?;
        Ok(pages.opened(&self.0))
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Vec<Paged<Integration>>> {
        let rows = filter
            .query()
            .filter(integrations::project_id.eq(parent_id(integrations::project_id)))
            .select(columns_of::<Integration>());
        let children = filter
            .query()
            .filter(is_one_of(integrations::project_id, ids))
            .select(integrations::project_id);
        let pages = pages_of_each(&self.0, ids, page, rows, children, |row| row.project_id).await?;
        Ok(pages.opened(&self.0))
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a IntegrationFilter) -> RowStream<'a, Integration> {
        let rows = self
            .0
            .stream(filter.query().select(columns_of::<Integration>()));
        let executor = self.0.clone();
        rows.map_rows(move |row: Integration| row.opened(&executor))
    }

    async fn count(&self, filter: &IntegrationFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn update(&self, id: IntegrationId, changes: IntegrationChanges) -> Result<Integration> {
        let changes = self.sealed_changes(id, changes).await?;
        let row = updated_row_uncached(&self.0, "Integration", id, &changes).await?;
        Ok(row.opened(&self.0))
    }

    async fn set_enabled(&self, id: IntegrationId, is_enabled: bool) -> Result<Integration> {
        self.update(id, IntegrationChanges::new().is_enabled(is_enabled))
            .await
    }

    async fn record_sync(&self, id: IntegrationId, status: SyncStatus) -> Result<Integration> {
        let has_ended = matches!(status, SyncStatus::Success | SyncStatus::Failed);
        let now = diesel::dsl::now.into_sql::<Timestamptz>().nullable();
        let last_sync_at = diesel::dsl::case_when(has_ended.into_sql::<Bool>(), now)
            .otherwise(integrations::last_sync_at);
        let statement = diesel::update(integrations::table.find(id))
            .set((
                integrations::sync_status.eq(status),
                integrations::last_sync_at.eq(last_sync_at),
            ))
            .returning(columns_of::<Integration>());
        let row: Option<Integration> = written_first(&self.0, cacheable(statement)).await?;
        match row.opened(&self.0) {
            Some(row) => Ok(row),
            None => Err(not_written("Integration", self.exists(id).await?)),
        }
    }

    async fn delete(&self, id: IntegrationId) -> Result<bool> {
        match self.0.execute(delete_by_id::<Integration>(id)).await? {
            0 => not_deleted("Integration", self.exists(id).await?),
            _ => Ok(true),
        }
    }

    async fn delete_many(&self, filter: &IntegrationFilter) -> Result<u64> {
        let ids = filter.query().select(integrations::id);
        self.0
            .execute(delete_matching(integrations::table, ids))
            .await
    }
}

#[repository]
impl Integrations<'_> {
    /// Returns the changes with their secrets sealed. The owner of the integration, to which they
    /// are bound, never changes.
    async fn sealed_changes(
        &self,
        id: IntegrationId,
        mut changes: IntegrationChanges,
    ) -> Result<IntegrationChanges> {
        if changes.credentials.value().is_none() && changes.webhook_secret.value().is_none() {
            return Ok(changes);
        }
        let owner: Option<Owner> = match self.0.secrets() {
            Some(_) => {
                self.0
                    .first(integrations::table.find(id).select(OWNER))
                    .await?
            }
            None => None,
        };
        // Without an integration nothing is updated.
        let (organization, project) = owner.unwrap_or_default();
        let keys = self.0.secrets();
        if let Change::Set(secret) = &mut changes.credentials {
            let place = credentials(id, organization, project);
            seal(keys, "credentials", &place, secret, None)?;
        }
        if let Change::Set(secret) = &mut changes.webhook_secret {
            let place = webhook_secret(id, organization, project);
            seal(keys, "webhook_secret", &place, secret, MOST)?;
        }
        Ok(changes)
    }
}

/// The largest number of bytes of a webhook secret that can be sealed.
#[cfg(feature = "crypto")]
pub(super) const MOST: Option<usize> = Some(secrets::MOST_IN_VARCHAR);
#[cfg(not(feature = "crypto"))]
const MOST: Option<usize> = None;

/// The owner of an integration, and its columns.
type Owner = (Option<OrganizationId>, Option<ProjectId>);
const OWNER: (integrations::organization_id, integrations::project_id) =
    (integrations::organization_id, integrations::project_id);

/// Returns the place of an integration's credentials.
pub(super) fn credentials(
    id: IntegrationId,
    organization: Option<OrganizationId>,
    project: Option<ProjectId>,
) -> Place {
    Place {
        column: "setup.integrations.credentials",
        row: id.into(),
        organization,
        project,
    }
}

/// Returns the place of an integration's webhook secret.
pub(super) fn webhook_secret(
    id: IntegrationId,
    organization: Option<OrganizationId>,
    project: Option<ProjectId>,
) -> Place {
    Place {
        column: "setup.integrations.webhook_secret",
        ..credentials(id, organization, project)
    }
}

fn has_secret(new: &NewIntegration) -> bool {
    new.credentials.is_some() || new.webhook_secret.is_some()
}

/// Returns a new row with its secrets sealed.
fn sealed(executor: &Executor<'_>, mut new: NewIntegration) -> Result<NewIntegration> {
    let keys = executor.secrets();
    let (id, organization, project) = (new.id, new.organization_id, new.project_id);
    if let Some(secret) = &mut new.credentials {
        let place = credentials(id, organization, project);
        seal(keys, "credentials", &place, secret, None)?;
    }
    if let Some(secret) = &mut new.webhook_secret {
        let place = webhook_secret(id, organization, project);
        seal(keys, "webhook_secret", &place, secret, MOST)?;
    }
    Ok(new)
}

impl HasSecrets for Integration {
    fn open(&mut self, keys: Option<&dyn KeyProvider>) {
        let (id, organization, project) = (self.id, self.organization_id, self.project_id);
        if let Some(secret) = &mut self.credentials {
            secret.open(&credentials(id, organization, project), keys);
        }
        if let Some(secret) = &mut self.webhook_secret {
            secret.open(&webhook_secret(id, organization, project), keys);
        }
    }
}
