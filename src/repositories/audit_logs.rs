//! `audit.audit_logs`.

use chrono::{NaiveDate, Utc};
use diesel::dsl::{exists, select};
use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::models::partitions::window;
use crate::schema::audit::audit_logs;
use crate::sql::partitions::{InMonths, when_run};
use crate::sql::{columns_of, is_one_of, is_one_of_owned, parent_id};
use crate::{
    AuditLog, AuditLogFilter, AuditLogId, AuditLogOrder, AuditSeal, AuditVerdict, NewAuditLog,
    OrganizationId, Page, Paged, Result, UserId,
};

/// Writes and reads the audit log.
///
/// The log is append-only: triggers refuse to change or delete an entry, for every role.
/// [`PartitionRepository`] drops whole months.
///
/// Write an entry in the transaction of the change that it describes. Then neither is stored
/// without the other.
#[repository]
pub trait AuditLogRepository: Send + Sync {
    /// Writes an entry.
    ///
    /// In a database of an [`Actor`](crate::Actor), the entry has the actor's user, organization,
    /// address and user agent where it names none, and the id of the request if it has no metadata.
    /// The same holds for [`create_many`](Self::create_many).
    ///
    /// # Errors
    /// - [`Error::MissingReference`](crate::Error::MissingReference) if there is no such user or
    ///   organization
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if a value cannot be stored
    async fn create(&self, new: NewAuditLog) -> Result<AuditLog>;

    /// Writes any number of entries, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewAuditLog]) -> Result<u64>;

    /// Returns the entry with this id. Returns `None` if there is none.
    ///
    /// The id carries a time. The one or two months around it are searched first, and the others
    /// only if the entry is in none of them. So an entry whose `created_at` is far from that time
    /// costs a second query. An id that is older than five years is searched in all months
    /// together.
    async fn find(&self, id: AuditLogId) -> Result<Option<AuditLog>>;

    /// Returns the entries with these ids, in the order of `ids`. An id without a row gets `None`.
    /// One query reads them, or two as in [`find`](Self::find).
    async fn find_many(&self, ids: &[AuditLogId]) -> Result<Vec<Option<AuditLog>>>;

    /// Checks whether there is an entry with this id.
    async fn exists(&self, id: AuditLogId) -> Result<bool>;

    /// Returns one page of the entries that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the limit is not within 1 and 100,
    ///   or the cursor is of another list
    async fn list(
        &self,
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Paged<AuditLog>>;

    /// Returns one page for each organization: its entries that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>>;

    /// Returns one page for each user: its entries that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>>;

    /// Streams the entries that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AuditLogFilter) -> RowStream<'a, AuditLog>;

    /// Counts the entries that the filter matches.
    async fn count(&self, filter: &AuditLogFilter) -> Result<u64>;

    /// Seals the month that contains `day`, and returns the seal.
    ///
    /// Digests of the entries are stored, and a hash chain over them. [`verify`](Self::verify)
    /// compares them with the log later. The server computes them in pages of 1,000 entries, with
    /// one round trip for each.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the month has not ended a day ago,
    ///   because an entry has the time at which its transaction began; or if row-level security
    ///   hides entries from the role
    /// - [`Error::Unique`](crate::Error::Unique) if the month is sealed
    async fn seal(&self, day: NaiveDate) -> Result<AuditSeal>;

    /// Compares the month that contains `day` with its seal, page by page, and returns the first
    /// entry that was changed, added or removed since.
    ///
    /// If the month's partition was detached or dropped, its first entry was removed. Entries from
    /// which a person was erased are no difference, and are counted.
    ///
    /// # Errors
    /// - [`Error::NotFound`](crate::Error::NotFound) if the month is not sealed
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if row-level security hides entries
    ///   from the role
    async fn verify(&self, day: NaiveDate) -> Result<AuditVerdict>;
}

/// The [`AuditLogRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct AuditLogs<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the audit log.
    pub fn audit_logs(&self) -> AuditLogs<'static> {
        AuditLogs(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the audit log within this transaction.
    pub fn audit_logs(&self) -> AuditLogs<'_> {
        AuditLogs(self.executor())
    }
}

#[repository(observed)]
impl AuditLogRepository for AuditLogs<'_> {
    async fn create(&self, mut new: NewAuditLog) -> Result<AuditLog> {
        if let Some(acting) = self.0.acting() {
            new.complete(&acting.actor);
        }
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewAuditLog]) -> Result<u64> {
        let Some(acting) = self.0.acting() else {
            return self.0.insert_all(new).await;
        };
        let mut completed = new.to_vec();
        for new in &mut completed {
            new.complete(&acting.actor);
        }
        self.0.insert_all(&completed).await
    }

    async fn find(&self, id: AuditLogId) -> Result<Option<AuditLog>> {
        let query = audit_logs::table
            .filter(audit_logs::id.eq(id))
            .select(columns_of::<AuditLog>());
        let months = InMonths::of(audit_logs::created_at, id.created_at(), Utc::now());
        let in_months = months.map(|months| (query.filter(months), months.shape()));
        find_in_log(&self.0, in_months, query).await
    }

    async fn find_many(&self, ids: &[AuditLogId]) -> Result<Vec<Option<AuditLog>>> {
        let with_ids = |ids| {
            audit_logs::table
                .filter(is_one_of_owned(audit_logs::id, ids))
                .select(columns_of::<AuditLog>())
        };
        let window = window(ids.iter().filter_map(AuditLogId::created_at));
        let in_window = window.map(|(from, before)| {
            with_ids(ids.to_vec())
                .filter(audit_logs::created_at.ge(when_run(from)))
                .filter(audit_logs::created_at.lt(when_run(before)))
        });
        find_many_in_log(&self.0, ids, in_window, with_ids).await
    }

    async fn exists(&self, id: AuditLogId) -> Result<bool> {
        let query = audit_logs::table.filter(audit_logs::id.eq(id));
        let months = InMonths::of(audit_logs::created_at, id.created_at(), Utc::now());
        let in_months = months.map(|months| select(exists(query.filter(months))));
        exists_in_log(&self.0, in_months, select(exists(query))).await
    }

    async fn list(
        &self,
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Paged<AuditLog>> {
        let rows = filter.query().select(columns_of::<AuditLog>());
        let total = filter.query().count();
        page_by_reusable_plan(&self.0, page, filter.names_times_only(), rows, total).await
    }

    async fn list_of_organizations(
        &self,
        ids: &[OrganizationId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>> {
        let rows = filter
            .query()
            .filter(audit_logs::organization_id.eq(parent_id(audit_logs::organization_id)))
            .select(columns_of::<AuditLog>());
        let children = filter
            .query()
            .filter(is_one_of(audit_logs::organization_id, ids))
            .select(audit_logs::organization_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| {
            row.organization_id
        })
        .await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &AuditLogFilter,
        page: &Page<AuditLogOrder>,
    ) -> Result<Vec<Paged<AuditLog>>> {
        let rows = filter
            .query()
            .filter(audit_logs::user_id.eq(parent_id(audit_logs::user_id)))
            .select(columns_of::<AuditLog>());
        let children = filter
            .query()
            .filter(is_one_of(audit_logs::user_id, ids))
            .select(audit_logs::user_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.user_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a AuditLogFilter) -> RowStream<'a, AuditLog> {
        self.0
            .stream(filter.query().select(columns_of::<AuditLog>()))
    }

    async fn count(&self, filter: &AuditLogFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }

    async fn seal(&self, day: NaiveDate) -> Result<AuditSeal> {
        audit_seals::seal(&self.0, day).await
    }

    async fn verify(&self, day: NaiveDate) -> Result<AuditVerdict> {
        audit_seals::verify(&self.0, day).await
    }
}
