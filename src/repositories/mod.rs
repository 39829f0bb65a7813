//! The repositories: for each table a trait and its PostgreSQL implementation, written once.
//!
//! This folder is compiled twice, as [`crate`]'s async repositories and as those of [`crate::blocking`]: the
//! attribute `#[repository]` and the `Source` that `super` holds make the difference.

use super::*;
use crate::page::Order as _;

/// Updates one row and tells why, where there was none to update.
#[repository]
macro_rules! update {
    ($self:ident, $what:literal, $id:expr, $changes:expr) => {{
        let (id, changes) = ($id, $changes);
        changes.check()?;
        if changes.is_empty() {
            return $self.find(id).await?.ok_or(Error::NotFound { what: $what });
        }
        match $self.0.first(update(id, &changes)).await? {
            Some(row) => Ok(row),
            None if $self.exists(id).await? => Err(Error::StaleWrite { what: $what }),
            None => Err(Error::NotFound { what: $what }),
        }
    }};
}

/// Lists one page of a filter's rows.
#[repository]
macro_rules! list {
    ($self:ident, $row:ident, $filter:expr, $page:expr) => {{
        let (filter, page) = ($filter, $page);
        let query = crate::page::Order::start(page, filter.query().select($row::as_select()))?;
        let rows = $self.0.load(query).await?;
        let total = if page.wants_total() {
            Some($self.count(filter).await?)
        } else {
            None
        };
        Ok(page.answer(rows, total, |row| page.sort().cursor(row)))
    }};
}

/// Puts rows in the order of the ids that were asked for.
macro_rules! in_order_of {
    ($ids:expr, $rows:expr) => {{
        let rows: std::collections::HashMap<_, _> =
            $rows.into_iter().map(|row| (row.id, row)).collect();
        $ids.iter().map(|id| rows.get(id).cloned()).collect()
    }};
}

mod users;

pub use users::*;
