//! `audit.system_logs`.

use chrono::Utc;
use diesel::dsl::{exists, select};
use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::models::partitions::window;
use crate::schema::audit::system_logs;
use crate::sql::partitions::{InMonths, when_run};
use crate::sql::{columns_of, is_one_of, is_one_of_owned, parent_id};
use crate::{
    NewSystemLog, Page, Paged, Result, SystemLog, SystemLogFilter, SystemLogId, SystemLogOrder,
    UserId,
};

/// Writes and reads the system log.
///
/// The log is append-only: a line is never changed or deleted. [`PartitionRepository`] drops whole
/// months.
#[repository]
pub trait SystemLogRepository: Send + Sync {
    /// Writes a line.
    ///
    /// # Errors
    /// - [`Error::MissingReference`](crate::Error::MissingReference) if there is no such user
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if a value cannot be stored
    async fn create(&self, new: NewSystemLog) -> Result<SystemLog>;

    /// Writes any number of lines, all or none, and returns their number.
    ///
    /// # Errors
    /// The same as [`create`](Self::create).
    async fn create_many(&self, new: &[NewSystemLog]) -> Result<u64>;

    /// Returns the line with this id. Returns `None` if there is none.
    ///
    /// The id carries a time. The one or two months around it are searched first, and the others
    /// only if the line is in none of them. So a line whose `created_at` is far from that time
    /// costs a second query. An id that is older than five years is searched in all months
    /// together.
    async fn find(&self, id: SystemLogId) -> Result<Option<SystemLog>>;

    /// Returns the lines with these ids, in the order of `ids`. An id without a row gets `None`.
    /// One query reads them, or two as in [`find`](Self::find).
    async fn find_many(&self, ids: &[SystemLogId]) -> Result<Vec<Option<SystemLog>>>;

    /// Checks whether there is a line with this id.
    async fn exists(&self, id: SystemLogId) -> Result<bool>;

    /// Returns one page of the lines that the filter matches.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the limit is not within 1 and 100,
    ///   or the cursor is of another list
    async fn list(
        &self,
        filter: &SystemLogFilter,
        page: &Page<SystemLogOrder>,
    ) -> Result<Paged<SystemLog>>;

    /// Returns one page for each user: its lines that the filter matches.
    ///
    /// The pages are in the order of `ids`. One query reads them, and their totals if the page
    /// requests these.
    ///
    /// # Errors
    /// The same as [`list`](Self::list).
    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SystemLogFilter,
        page: &Page<SystemLogOrder>,
    ) -> Result<Vec<Paged<SystemLog>>>;

    /// Streams the lines that the filter matches, in no particular order.
    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SystemLogFilter) -> RowStream<'a, SystemLog>;

    /// Counts the lines that the filter matches.
    async fn count(&self, filter: &SystemLogFilter) -> Result<u64>;
}

/// The [`SystemLogRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct SystemLogs<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the system log.
    pub fn system_logs(&self) -> SystemLogs<'static> {
        SystemLogs(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the system log within this transaction.
    pub fn system_logs(&self) -> SystemLogs<'_> {
        SystemLogs(self.executor())
    }
}

#[repository(observed)]
impl SystemLogRepository for SystemLogs<'_> {
    async fn create(&self, new: NewSystemLog) -> Result<SystemLog> {
        new.check()?;
        self.0.insert(&new).await
    }

    async fn create_many(&self, new: &[NewSystemLog]) -> Result<u64> {
        self.0.insert_all(new).await
    }

    async fn find(&self, id: SystemLogId) -> Result<Option<SystemLog>> {
        let query = system_logs::table
            .filter(system_logs::id.eq(id))
            .select(columns_of::<SystemLog>());
        let months = InMonths::of(system_logs::created_at, id.created_at(), Utc::now());
        let in_months = months.map(|months| (query.filter(months), months.shape()));
        find_in_log(&self.0, in_months, query).await
    }

    async fn find_many(&self, ids: &[SystemLogId]) -> Result<Vec<Option<SystemLog>>> {
        let with_ids = |ids| {
            system_logs::table
                .filter(is_one_of_owned(system_logs::id, ids))
                .select(columns_of::<SystemLog>())
        };
        let window = window(ids.iter().filter_map(SystemLogId::created_at));
        let in_window = window.map(|(from, before)| {
            with_ids(ids.to_vec())
                .filter(system_logs::created_at.ge(when_run(from)))
                .filter(system_logs::created_at.lt(when_run(before)))
        });
        find_many_in_log(&self.0, ids, in_window, with_ids).await
    }

    async fn exists(&self, id: SystemLogId) -> Result<bool> {
        let query = system_logs::table.filter(system_logs::id.eq(id));
        let months = InMonths::of(system_logs::created_at, id.created_at(), Utc::now());
        let in_months = months.map(|months| select(exists(query.filter(months))));
        exists_in_log(&self.0, in_months, select(exists(query))).await
    }

    async fn list(
        &self,
        filter: &SystemLogFilter,
        page: &Page<SystemLogOrder>,
    ) -> Result<Paged<SystemLog>> {
        let rows = filter.query().select(columns_of::<SystemLog>());
        let total = filter.query().count();
        page_by_reusable_plan(&self.0, page, filter.names_times_only(), rows, total).await
    }

    async fn list_of_users(
        &self,
        ids: &[UserId],
        filter: &SystemLogFilter,
        page: &Page<SystemLogOrder>,
    ) -> Result<Vec<Paged<SystemLog>>> {
        let rows = filter
            .query()
            .filter(system_logs::user_id.eq(parent_id(system_logs::user_id)))
            .select(columns_of::<SystemLog>());
        let children = filter
            .query()
            .filter(is_one_of(system_logs::user_id, ids))
            .select(system_logs::user_id);
        pages_of_each(&self.0, ids, page, rows, children, |row| row.user_id).await
    }

    #[asynchronous_only]
    fn stream<'a>(&'a self, filter: &'a SystemLogFilter) -> RowStream<'a, SystemLog> {
        self.0
            .stream(filter.query().select(columns_of::<SystemLog>()))
    }

    async fn count(&self, filter: &SystemLogFilter) -> Result<u64> {
        self.0.count(filter.query().count()).await
    }
}
