//! New rows without their type, so that what inserts many of them is compiled once.

use std::ops::Range;

use diesel::QueryResult;

use super::BoxFuture;
use super::any_query::{AnyQuery, Runnable as _};
use crate::Result;
use crate::engine::connection::Connection;
use crate::mapping::NewRow;
use crate::sql::copy::{is_worth_a_copy, table};
use crate::sql::{InsertMany, insert_many};

/// New rows of any type.
pub(super) trait AnyNewRows: Sync {
    fn count(&self) -> usize;
    /// Returns the name of the table.
    fn table(&self) -> String;
    /// Checks the values of every row.
    fn check(&self) -> Result<()>;
    fn is_worth_a_copy(&self) -> bool;
    /// Returns the statement that inserts the rows in this range.
    fn insert(&self, range: Range<usize>) -> AnyQuery<'_>;
    /// Copies the rows, as [`Connection::copy`] does.
    fn copy<'f>(&'f self, connection: &'f Connection) -> BoxFuture<'f, QueryResult<Option<usize>>>;
}

impl<N> AnyNewRows for &[N]
where
    N: NewRow + Sync,
    for<'r> InsertMany<'r, N>: Send,
{
    fn count(&self) -> usize {
        self.len()
    }

    fn table(&self) -> String {
        table::<N>().unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        self.iter().try_for_each(NewRow::check)
    }

    fn is_worth_a_copy(&self) -> bool {
        is_worth_a_copy(self)
    }

    fn insert(&self, range: Range<usize>) -> AnyQuery<'_> {
        insert_many(self.get(range).unwrap_or_default()).untyped()
    }

    fn copy<'f>(&'f self, connection: &'f Connection) -> BoxFuture<'f, QueryResult<Option<usize>>> {
        Box::pin(connection.copy(self))
    }
}
