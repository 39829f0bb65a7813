//! `setup.integrations`.

use diesel::prelude::{
    ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl, SelectableHelper,
};
use diesel::sql_types::{Bool, Timestamptz};

use super::*;
use crate::schema::setup::integrations;
use crate::sql::{Changes as _, NewRow as _, delete_matching, prepared};
use crate::{
    Error, Integration, IntegrationChanges, IntegrationFilter, IntegrationId, IntegrationOrder,
    NewIntegration, OrganizationId, Page, Paged, ProjectId, Result, SyncStatus,
};

/// Stores and finds integrations.
#[repository]
pub trait IntegrationRepository: Send + Sync {
    /// Creates an integration.
    ///
    /// # Errors
    /// - [`Error::ForeignKey`] if there is no such organization, project or user
    /// - [`Error::InvalidInput`] if a value cannot be stored
    async fn create(&self, new: NewIntegration) -> Result<Integration>;

    /// Creates any number of integrations, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewIntegration]) -> Result<usize>;

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
    async fn count(&self, filter: &IntegrationFilter) -> Result<i64>;

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
    async fn delete_many(&self, filter: &IntegrationFilter) -> Result<usize>;
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

#[repository]
impl IntegrationRepository for Integrations<'_> {
    async fn create(&self, new: NewIntegration) -> Result<Integration> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewIntegration]) -> Result<usize> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: IntegrationId) -> Result<Option<Integration>> {
        self.0
            .first(
                integrations::table
                    .find(id)
                    .select(Integration::as_select()),
            )
            .await
    }

    async fn find_many(&self, ids: &[IntegrationId]) -> Result<Vec<Option<Integration>>> {
        let query = integrations::table
            .filter(integrations::id.eq_any(ids))
            .select(Integration::as_select());
        Ok(in_order_of(
            ids,
            self.0.load::<_, Integration>(query).await?,
            |row| row.id,
        ))
    }

    async fn exists(&self, id: IntegrationId) -> Result<bool> {
        self.0
            .one(diesel::select(diesel::dsl::exists(
                integrations::table.find(id),
            )))
            .await
    }

    async fn list(
        &self,
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Paged<Integration>> {
        list!(self, Integration, filter, page)
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Vec<Paged<Integration>>> {
        list_of!(
            self,
            Integration,
            integrations::organization_id,
            ids,
            filter,
            page
        )
    }

    async fn list_of_projects(
        &self,
        ids: &[ProjectId],
        filter: &IntegrationFilter,
        page: &Page<IntegrationOrder>,
    ) -> Result<Vec<Paged<Integration>>> {
        list_of!(
            self,
            Integration,
            integrations::project_id,
            ids,
            filter,
            page
        )
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a IntegrationFilter) -> RowStream<'a, Integration> {
        self.0
            .stream(filter.query().select(Integration::as_select()))
    }

    async fn count(&self, filter: &IntegrationFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }

    async fn update(&self, id: IntegrationId, changes: IntegrationChanges) -> Result<Integration> {
        changes.check()?;
        match self.0.update(id, &changes).await? {
            Some(row) => Ok(row),
            None => Err(Error::not_updated(
                "Integration",
                &changes,
                self.exists(id).await?,
            )),
        }
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
            .returning(Integration::as_returning());
        self.0
            .first(prepared(statement))
            .await?
            .ok_or(Error::NotFound {
                what: "Integration",
            })
    }

    async fn delete(&self, id: IntegrationId) -> Result<bool> {
        Ok(self
            .0
            .execute(diesel::delete(integrations::table.find(id)))
            .await?
            == 1)
    }

    async fn delete_many(&self, filter: &IntegrationFilter) -> Result<usize> {
        let ids = filter.query().select(integrations::id);
        self.0
            .execute(delete_matching(integrations::table, ids))
            .await
    }
}
