//! Rows that a caller hands over, in any number.

use std::error::Error as StdError;
use std::fmt;

use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use crate::{Error, Result};

/// Rows to be written: an iterator of any length, which is read as it is needed, or a stream.
///
/// Whatever can be iterated over becomes one by `into()`. After its first `None` an input is not
/// read on.
pub struct Rows<'a, T>(BoxStream<'a, Result<T>>);

impl<'a, T: Send + 'a> Rows<'a, T> {
    /// Creates rows from fallible items. The first error ends the operation that reads them.
    pub fn fallible<I, E>(rows: I) -> Self
    where
        I: IntoIterator<Item = Result<T, E>>,
        I::IntoIter: Send + 'a,
        E: StdError,
    {
        let rows = rows.into_iter().fuse();
        Self(stream::iter(rows.map(|row| row.map_err(unreadable))).boxed())
    }

    /// Creates rows from a stream of fallible items.
    pub fn stream<S, E>(rows: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + Send + 'a,
        E: StdError + 'a,
    {
        Self(rows.fuse().map_err(unreadable).boxed())
    }

    pub(crate) fn none() -> Self {
        Self(stream::empty().boxed())
    }

    /// Appends other rows.
    pub(crate) fn chain(self, others: Self) -> Self {
        Self(self.0.chain(others.0).boxed())
    }

    /// Returns the next row. After the end it returns `None` again and again: every input is fused.
    pub(crate) async fn next(&mut self) -> Option<Result<T>> {
        // An iterator always has its next row. Yields from time to time, so that other tasks make
        // progress.
        tokio::task::consume_budget().await;
        self.0.next().await
    }
}

fn unreadable(error: impl StdError) -> Error {
    Error::invalid("row", error)
}

impl<'a, T, I> From<I> for Rows<'a, T>
where
    T: Send + 'a,
    I: IntoIterator<Item = T>,
    I::IntoIter: Send + 'a,
{
    fn from(rows: I) -> Self {
        Self(stream::iter(rows.into_iter().fuse().map(Ok)).boxed())
    }
}

impl<T> fmt::Debug for Rows<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Rows")
    }
}
