//! Rows that a caller hands over, in any number.

use std::error::Error as StdError;
use std::fmt;

use crate::{Error, Result};

/// Rows to be written: an iterator of any length, which is read as it is needed.
///
/// Whatever can be iterated over becomes one by `into()`. After its first `None` an input is not
/// read on.
pub struct Rows<'a, T>(Box<dyn Iterator<Item = Result<T>> + 'a>);

impl<'a, T: 'a> Rows<'a, T> {
    /// Creates rows from fallible items. The first error ends the operation that reads them.
    pub fn fallible<I, E>(rows: I) -> Self
    where
        I: IntoIterator<Item = Result<T, E>>,
        I::IntoIter: 'a,
        E: StdError,
    {
        let rows = rows.into_iter().fuse();
        Self(Box::new(rows.map(|row| {
            row.map_err(|error| Error::invalid("row", error))
        })))
    }

    pub(crate) fn none() -> Self {
        Self(Box::new(std::iter::empty()))
    }

    /// Appends other rows.
    pub(crate) fn chain(self, others: Self) -> Self {
        Self(Box::new(self.0.chain(others.0)))
    }

    /// Returns the next row. After the end it returns `None` again and again: every input is fused.
    pub(crate) fn next(&mut self) -> Option<Result<T>> {
        self.0.next()
    }
}

impl<'a, T, I> From<I> for Rows<'a, T>
where
    T: 'a,
    I: IntoIterator<Item = T>,
    I::IntoIter: 'a,
{
    fn from(rows: I) -> Self {
        Self(Box::new(rows.into_iter().fuse().map(Ok)))
    }
}

impl<T> fmt::Debug for Rows<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Rows")
    }
}
