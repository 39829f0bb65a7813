//! Rows that a caller hands over, in any number.

use std::error::Error as StdError;
use std::fmt;

use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use crate::{Error, Result};

/// Rows to be written: an iterator of any length, which is read as it is needed, or a stream.
///
/// Whatever can be iterated over becomes one by `into()`. After its first `None` an input is not read on.
pub struct Rows<'a, T>(BoxStream<'a, Result<T>>);

impl<'a, T: Send + 'a> Rows<'a, T> {
    /// Rows that can turn out to be unreadable. The first error ends what they were for.
    pub fn fallible<I, E>(rows: I) -> Self
    where
        I: IntoIterator<Item = Result<T, E>>,
        I::IntoIter: Send + 'a,
        E: StdError,
    {
        let rows = rows.into_iter().fuse();
        Self(stream::iter(rows.map(|row| row.map_err(unreadable))).boxed())
    }

    /// Rows that come over time, and that can turn out to be unreadable.
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

    /// These rows, then the others.
    pub(crate) fn chain(self, others: Self) -> Self {
        Self(self.0.chain(others.0).boxed())
    }

    /// The next row. After the end there is none, however often it is asked for: every input is fused.
    pub(crate) async fn next(&mut self) -> Option<Result<T>> {
        // An iterator always has its next row: what goes on beside it has its turns all the same.
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
