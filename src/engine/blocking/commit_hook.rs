//! The hook around commits, which the cache implements.

use super::Tx;
use crate::Result;
use crate::write_set::WriteSet;

/// Runs before and after the commit of each transaction that wrote entries of a [`WriteSet`].
pub(crate) trait CommitHook: Send + Sync {
    /// Runs before the commit, within the transaction. Returns what is left to do after the commit.
    ///
    /// # Errors
    /// The transaction is rolled back, and returns the error.
    fn before_commit(&self, write_set: &WriteSet, tx: &Tx) -> Result<Option<Box<dyn CommitGuard>>>;
}

/// The work after a commit.
pub(crate) trait CommitGuard: Send {
    /// Runs when the transaction has ended, whether it was committed or not. Does not run if the
    /// outcome is unknown.
    fn after_commit(&mut self);
}
