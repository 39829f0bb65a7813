//! The repositories: a trait and its implementation on PostgreSQL for each table.
//!
//! This folder is compiled twice: for the async engine ([`crate`]) and for the blocking engine
//! ([`crate::blocking`]). The attribute `#[repository]` and the `Executor` of `super` make the
//! difference.

use super::*;
use crate::pagination::Order as _;
use grouping::{count_of_each, grouped_by, in_order_of, missing_from};
use members::remove_members;
use writing::Write;

/// The number of tries of a conditional transition whose condition holds when it is checked
/// afterwards.
const MOST_TRIES: usize = 16;

/// Runs a statement that takes row locks. It is fenced, or `plain` on a table that is never cached.
///
/// The server's default isolation may be stricter than `READ COMMITTED`. Then such a statement
/// fails if a row has changed since it began. Outside the caller's transaction it is retried in a
/// `READ COMMITTED` transaction.
#[repository]
macro_rules! steady {
    ($self:ident, plain $executor:ident => $statement:expr) => {{
        let outcome = {
            let $executor = $self.0.clone();
            $statement.await
        };
        match outcome {
            Err(crate::Error::Serialization) if matches!($self.0, Executor::Pool(_)) => {
                let unit = UnitOfWork::begin(&$self.0).await?;
                let outcome = {
                    let $executor = unit.executor();
                    $statement.await
                };
                unit.end(outcome).await
            }
            outcome => outcome,
        }
    }};
    ($self:ident, $executor:ident => $statement:expr) => {
        steady!($self, $executor => $statement, outcome => outcome)
    };
    ($self:ident, $executor:ident => $statement:expr, $outcome:ident => $touched:expr) => {{
        let write = Write::begin(&$self.0).await?;
        let outcome = {
            let $executor = write.executor();
            $statement.await
        };
        if let Ok($outcome) = &outcome {
            write.executor().record_write($touched);
        }
        match write.end(outcome).await {
            Err(crate::Error::Serialization) if matches!($self.0, Executor::Pool(_)) => {
                let unit = UnitOfWork::begin(&$self.0).await?;
                let outcome = {
                    let $executor = unit.executor();
                    let outcome = $statement.await;
                    if let Ok($outcome) = &outcome {
                        $executor.record_write($touched);
                    }
                    outcome
                };
                unit.end(outcome).await
            }
            outcome => outcome,
        }
    }};
}

/// Returns one page of a filter's rows. `$counted` is the filter's method that counts them, if that
/// is not `query`.
#[repository]
macro_rules! list {
    ($self:ident, $row:ident, $filter:expr, $page:expr) => {
        list!($self, $row, $filter, $page, query)
    };
    ($self:ident, $row:ident, $filter:expr, $page:expr, $counted:ident) => {{
        let filter = $filter;
        let rows = filter.query().select(crate::sql::columns_of::<$row>());
        page!($self, $row, $page, rows, filter.$counted().count())
    }};
}

/// Returns one page of a query's rows. The same statement counts the total if the page requests it.
#[repository]
macro_rules! page {
    ($self:ident, $row:ident, $page:expr, $rows:expr, $total:expr) => {{
        let page = $page;
        answer!(
            $self,
            $row,
            page,
            crate::pagination::Order::start(page, $rows)?,
            $total
        )
    }};
}

/// Returns one page of a log. If the filter names only times, the server can reuse the plan.
#[repository]
macro_rules! list_log {
    ($self:ident, $row:ident, $filter:expr, $page:expr) => {{
        let (filter, page) = ($filter, $page);
        let rows = filter.query().select(crate::sql::columns_of::<$row>());
        if filter.names_times_only() {
            let rows = crate::pagination::Order::sort(page, rows)?;
            let rows = crate::sql::at_most(page.rows_to_fetch()?, rows);
            answer!($self, $row, page, rows, filter.query().count())
        } else {
            page!($self, $row, page, rows, filter.query().count())
        }
    }};
}

/// Returns the page that a query reads, with the total if the page requests it.
#[repository]
macro_rules! answer {
    ($self:ident, $row:ident, $page:ident, $query:expr, $total:expr) => {{
        use crate::sql::{Rows, RowsOf, ValueOf};
        let (page, query) = ($page, $query);
        let (rows, total) = if page.wants_total() {
            let both = diesel::select((RowsOf(query), ValueOf($total)));
            let (Rows(rows), total) = $self.0.one::<_, (Rows<$row>, i64)>(both).await?;
            (rows, Some(total))
        } else {
            ($self.0.load::<_, $row>(query).await?, None)
        };
        Ok(page.answer(rows, total, |row| page.sort().cursor(row)))
    }};
}

/// Returns one page for each parent that `$table::$parent` refers to, with one statement. It also
/// counts the totals if the page requests them.
#[repository]
macro_rules! list_of {
    ($self:ident, $row:ident, $table:ident::$parent:ident, $ids:expr, $filter:expr, $page:expr) => {{
        use crate::sql::{Rows, RowsOf, page_of_each, pages_of_each, parent_id, prepared};
        let (ids, filter, page) = ($ids, $filter, $page);
        let rows = filter
            .query()
            .filter($table::$parent.eq(parent_id($table::$parent)))
            .select(crate::sql::columns_of::<$row>());
        let query = page_of_each(ids, crate::pagination::Order::start(page, rows)?);
        let (rows, totals) = if page.wants_total() {
            let children = filter.query().filter($table::$parent.eq_any(ids));
            let totals = crate::sql::CountBy::new(children.select($table::$parent));
            let both = prepared(diesel::select((RowsOf(query), RowsOf(totals))));
            let (Rows(rows), Rows(totals)) = $self.0.one::<_, (Rows<$row>, Rows<_>)>(both).await?;
            (rows, Some(totals))
        } else {
            ($self.0.load::<_, $row>(query).await?, None)
        };
        Ok(pages_of_each(ids, page, rows, |row| row.$parent, totals))
    }};
}

mod analyses;
mod analysis_issues;
mod analysis_metrics;
mod analysis_results;
mod audit_logs;
mod configurations;
mod dashboard;
mod dependency_graphs;
mod duplicate_groups;
mod grouping;
mod ingest;
mod integrations;
mod members;
mod organization_members;
mod organizations;
mod partitions;
mod project_members;
mod project_stats;
mod projects;
mod quality_gates;
pub(crate) mod secrets;
#[cfg(feature = "crypto")]
mod sessions;
mod setup_profiles;
mod setup_sessions;
mod setup_steps;
mod system_logs;
mod tools;
mod trends;
mod unreadable;
mod user_sessions;
mod users;
mod writing;

pub use analyses::*;
pub use analysis_issues::*;
pub use analysis_metrics::*;
pub use analysis_results::*;
pub use audit_logs::*;
pub use configurations::*;
pub use dashboard::*;
pub use dependency_graphs::*;
pub use duplicate_groups::*;
pub use ingest::*;
pub use integrations::*;
pub use organization_members::*;
pub use organizations::*;
pub use partitions::*;
pub use project_members::*;
pub use project_stats::*;
pub use projects::*;
pub use quality_gates::*;
#[cfg(feature = "crypto")]
pub use sessions::*;
pub use setup_profiles::*;
pub use setup_sessions::*;
pub use setup_steps::*;
pub use system_logs::*;
pub use tools::*;
pub use trends::*;
pub use user_sessions::*;
pub use users::*;
