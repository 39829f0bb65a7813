//! `audit.audit_logs`.

use chrono::Utc;
use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::partitions::{InMonths, when_run, window};
use crate::schema::audit::audit_logs;
use crate::sql::NewRow as _;
use crate::{
    AuditLog, AuditLogFilter, AuditLogId, AuditLogOrder, NewAuditLog, OrganizationId, Page, Paged,
    Result, UserId,
};

/// Writes and reads the audit log, which only grows: an entry is neither changed nor deleted, except that a whole
/// month is dropped by [`PartitionRepository`].
///
/// Write the entry in the transaction of the change that it describes, so that there is neither without the other.
///
/// Every method may return [`Error::Pool`](crate::Error::Pool), [`Error::Connection`](crate::Error::Connection) and
/// [`Error::Timeout`](crate::Error::Timeout); named below is what else.
#[repository]
pub trait AuditLogRepository: Send + Sync {
    /// Writes an entry.
    ///
    /// # Errors
    /// [`Error::ForeignKey`](crate::Error::ForeignKey) if there is no such user or organization,
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if a value cannot be stored.
    async fn create(&self, new: NewAuditLog) -> Result<AuditLog>;

    /// Writes any number of entries, all or none, and tells how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    async fn create_many(&self, new: &[NewAuditLog]) -> Result<usize>;

    /// The entry with this id.
    ///
    /// The one or two months around the time that the id carries are looked at first, the others only if it is in none of
    /// them: an entry whose `created_at` is far from the making of its id costs a second query. An id that is older than five
    /// years is looked for in all months at once.
    async fn find(&self, id: AuditLogId) -> Result<Option<AuditLog>>;

    /// One answer for each id, in their order, by one query, or two as in [`find`](Self::find).
    async fn find_many(&self, ids: &[AuditLogId]) -> Result<Vec<Option<AuditLog>>>;

    /// Whether there is such an entry.
    async fn exists(&self, id: AuditLogId) -> Result<bool>;

    /// One page of the entries that the filter matches.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) for a limit that is not within 1 and 100 or a cursor of
    /// another list.
    async fn list(
        &self,
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Paged<AuditLog>>;

    /// One page of the entries of each organization that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>>;

    /// One page of the entries of each user that the filter matches: one answer for each id, in their order, by one
    /// query, with their totals if the page asks for them.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>>;

    /// All entries that the filter matches, as they come, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AuditLogFilter) -> RowStream<'a, AuditLog>;

    /// How many entries the filter matches.
    async fn count(&self, filter: &AuditLogFilter) -> Result<i64>;
}

/// The [`AuditLogRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct AuditLogs<'a>(Source<'a>);

impl Db {
    /// The audit log.
    pub fn audit_logs(&self) -> AuditLogs<'static> {
        AuditLogs(self.source())
    }
}

impl Tx {
    /// The audit log, inside this transaction.
    pub fn audit_logs(&self) -> AuditLogs<'_> {
        AuditLogs(self.source())
    }
}

#[repository]
impl AuditLogRepository for AuditLogs<'_> {
    async fn create(&self, new: NewAuditLog) -> Result<AuditLog> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewAuditLog]) -> Result<usize> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: AuditLogId) -> Result<Option<AuditLog>> {
        let query = audit_logs::table
            .filter(audit_logs::id.eq(id))
            .select(AuditLog::as_select());
        if let Some(months) = InMonths::of(audit_logs::created_at, id.created_at(), Utc::now()) {
            let (query, shape) = (query.filter(months), months.shape());
            if let Some(entry) = self.0.first_shaped(query, shape).await? {
                return Ok(Some(entry));
            }
        }
        self.0.first(query).await
    }

    async fn find_many(&self, ids: &[AuditLogId]) -> Result<Vec<Option<AuditLog>>> {
        let mut entries: Vec<AuditLog> = Vec::new();
        if let Some((from, before)) = window(ids.iter().filter_map(AuditLogId::created_at)) {
            let query = audit_logs::table
                .filter(audit_logs::id.eq_any(ids))
                .filter(audit_logs::created_at.ge(when_run(from)))
                .filter(audit_logs::created_at.lt(when_run(before)))
                .select(AuditLog::as_select());
            entries = self.0.load(query).await?;
        }
        let missing = missing_from(ids, &entries, |row| row.id);
        if !missing.is_empty() {
            let query = audit_logs::table
                .filter(audit_logs::id.eq_any(missing))
                .select(AuditLog::as_select());
            entries.extend(self.0.load::<_, AuditLog>(query).await?);
        }
        Ok(in_order_of(ids, entries, |row| row.id))
    }

    async fn exists(&self, id: AuditLogId) -> Result<bool> {
        let query = audit_logs::table.filter(audit_logs::id.eq(id));
        if let Some(months) = InMonths::of(audit_logs::created_at, id.created_at(), Utc::now()) {
            let query = query.filter(months);
            if self
                .0
                .one(diesel::select(diesel::dsl::exists(query)))
                .await?
            {
                return Ok(true);
            }
        }
        self.0.one(diesel::select(diesel::dsl::exists(query))).await
    }

    async fn list(
        &self,
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Paged<AuditLog>> {
        list_log!(self, AuditLog, filter, page)
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>> {
        list_of!(
            self,
            AuditLog,
            audit_logs::organization_id,
            ids,
            filter,
            page
        )
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>> {
        list_of!(self, AuditLog, audit_logs::user_id, ids, filter, page)
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AuditLogFilter) -> RowStream<'a, AuditLog> {
        self.0.stream(filter.query().select(AuditLog::as_select()))
    }

    async fn count(&self, filter: &AuditLogFilter) -> Result<i64> {
        self.0.one(filter.query().count()).await
    }
}
