//! Rows of the application's tables in the cache.

use super::{Cached, OwnRow, keep_own};
use crate::Result;
use crate::cache::{CachedRow, OwnKey};

impl Cached {
    /// Returns a row of the application from the cache, or loads it and caches it.
    ///
    /// `load` is called if the cache does not have the row. It must read what is committed when it
    /// is called: on this database or a clone of it, not in a transaction that began before, and
    /// not on a standby. `None` is cached as the absence of the row, for at most
    /// [`CacheConfig::negative_ttl`](crate::cache::CacheConfig::negative_ttl). An error is not
    /// cached. A call that joins another call of the process for the same row may return the value
    /// that the other call loads.
    ///
    /// [`CachedRow`] describes which writes invalidate the row.
    ///
    /// # Errors
    /// - the error of `load`
    ///
    /// # Examples
    /// ```no_run
    /// # use serde::{Deserialize, Serialize};
    /// # use wundr_db::cache::CachedRow;
    /// # use wundr_db::diesel::prelude::*;
    /// # wundr_db::diesel::table! { app.notes (id) { id -> Integer, text -> Text, } }
    /// # #[derive(Clone, Serialize, Deserialize)]
    /// # struct Note { id: i32, text: String }
    /// # impl CachedRow for Note { const KIND: &'static str = "note"; }
    /// # fn example(db: wundr_db::blocking::Cached) -> wundr_db::Result<()> {
    /// let note = db.of(Note::key(7), || {
    ///     let query = notes::table.find(7).select((notes::id, notes::text));
    ///     let row: Option<(i32, String)> = db.run(|connection| -> wundr_db::Result<_> {
    ///         Ok(query.first(connection).optional()?)
    ///     })?;
    ///     Ok(row.map(|(id, text)| Note { id, text }))
    /// })?;
    ///
    /// // A transaction that changes the row names it.
    /// db.transaction(|tx| -> wundr_db::Result<_> {
    ///     tx.touches([Note::key(7)]);
    ///     let changed = diesel::update(notes::table.find(7)).set(notes::text.eq("new"));
    ///     Ok(changed.execute(tx.connection_mut())?)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn of<T, L>(&self, key: OwnKey<T>, load: L) -> Result<Option<T>>
    where
        T: CachedRow,
        L: FnOnce() -> Result<Option<T>>,
    {
        match self.find_own(key) {
            OwnRow::Found(row) => Ok(row),
            OwnRow::Missing(fill) => keep_own(fill, load()),
        }
    }
}
