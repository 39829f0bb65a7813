//! The repositories: for each table a trait and its PostgreSQL implementation, written once.
//!
//! This folder is compiled twice, as [`crate`]'s async repositories and as those of [`crate::blocking`]: the
//! attribute `#[repository]` and the `Source` that `super` holds make the difference.

use super::*;
use crate::page::Order as _;
use grouping::{count_of_each, grouped_by, in_order_of, missing_from};
use writing::Write;

/// How often a conditional step is tried whose condition holds whenever it is looked at afterwards.
const MOST_TRIES: usize = 16;

/// Runs a statement that takes row locks, fenced, or `plain` on a table that has no cached form. The server's default
/// isolation may be a stricter one, in which such a statement fails if a row has changed since it began. Outside a
/// transaction of the caller's it is done again by one that is read committed.
#[repository]
macro_rules! steady {
    ($self:ident, plain $source:ident => $statement:expr) => {{
        let outcome = {
            let $source = $self.0.clone();
            $statement.await
        };
        match outcome {
            Err(crate::Error::Serialization) if matches!($self.0, Source::Pool(_)) => {
                let unit = Unit::begin(&$self.0).await?;
                let outcome = {
                    let $source = unit.source();
                    $statement.await
                };
                unit.end(outcome).await
            }
            outcome => outcome,
        }
    }};
    ($self:ident, $source:ident => $statement:expr) => {
        steady!($self, $source => $statement, outcome => outcome)
    };
    ($self:ident, $source:ident => $statement:expr, $outcome:ident => $touched:expr) => {{
        let write = Write::begin(&$self.0).await?;
        let outcome = {
            let $source = write.source();
            $statement.await
        };
        if let Ok($outcome) = &outcome {
            write.source().touch($touched);
        }
        match write.end(outcome).await {
            Err(crate::Error::Serialization) if matches!($self.0, Source::Pool(_)) => {
                let unit = Unit::begin(&$self.0).await?;
                let outcome = {
                    let $source = unit.source();
                    let outcome = $statement.await;
                    if let Ok($outcome) = &outcome {
                        $source.touch($touched);
                    }
                    outcome
                };
                unit.end(outcome).await
            }
            outcome => outcome,
        }
    }};
}

/// Lists one page of a filter's rows; `$counted` is the filter's method for counting them where that is not `query`.
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

/// One page of a query's rows. A total that is asked for is counted by the same statement.
#[repository]
macro_rules! page {
    ($self:ident, $row:ident, $page:expr, $rows:expr, $total:expr) => {{
        let page = $page;
        answer!(
            $self,
            $row,
            page,
            crate::page::Order::start(page, $rows)?,
            $total
        )
    }};
}

/// One page of a log, whose plan is kept where only times are asked for.
#[repository]
macro_rules! list_log {
    ($self:ident, $row:ident, $filter:expr, $page:expr) => {{
        let (filter, page) = ($filter, $page);
        let rows = filter.query().select(crate::sql::columns_of::<$row>());
        if filter.names_times_only() {
            let rows = crate::page::Order::sort(page, rows)?;
            let rows = crate::sql::at_most(page.rows_to_fetch()?, rows);
            answer!($self, $row, page, rows, filter.query().count())
        } else {
            page!($self, $row, page, rows, filter.query().count())
        }
    }};
}

/// What a query of a page finds, and the total if it is asked for.
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

/// One page of the rows of each parent, which `$table::$parent` refers to, by one statement. Totals that are asked for
/// are counted by the same one.
#[repository]
macro_rules! list_of {
    ($self:ident, $row:ident, $table:ident::$parent:ident, $ids:expr, $filter:expr, $page:expr) => {{
        use crate::sql::{Rows, RowsOf, page_of_each, pages_of_each, parent_id, prepared};
        let (ids, filter, page) = ($ids, $filter, $page);
        let rows = filter
            .query()
            .filter($table::$parent.eq(parent_id($table::$parent)))
            .select(crate::sql::columns_of::<$row>());
        let query = page_of_each(ids, crate::page::Order::start(page, rows)?);
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

/// Removes members, unless they are all owners that an organization or a project has. `$touched` is what they are cached
/// as.
#[repository]
macro_rules! remove {
    ($self:ident, $row:ident, $members:expr, $touched:expr) => {{
        let write = Write::begin(&$self.0).await?;
        let outcome = write
            .source()
            .one::<_, Removed>(remove_members::<$row, _>($members))
            .await;
        let touched = |removed: &Removed| (removed.2 > 0).then_some($touched);
        let (_, ownerless, removed) = write.finish_touching(outcome, touched).await?;
        if ownerless > 0 {
            return Err($row::last_owner());
        }
        usize::try_from(removed).map_err(|error| Error::invalid("removed", error))?
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
mod organization_members;
mod organizations;
mod partitions;
mod project_members;
mod project_stats;
mod projects;
mod quality_gates;
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
pub use setup_profiles::*;
pub use setup_sessions::*;
pub use setup_steps::*;
pub use system_logs::*;
pub use tools::*;
pub use trends::*;
pub use user_sessions::*;
pub use users::*;
