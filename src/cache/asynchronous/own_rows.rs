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
    /// # Cancel safety
    /// If the future is dropped, another call may load the row at once.
    ///
    /// # Examples
    /// ```no_run
    /// # use serde::{Deserialize, Serialize};
    /// # use wundr_db::cache::CachedRow;
    /// # use wundr_db::diesel::prelude::*;
    /// # use wundr_db::diesel_async::RunQueryDsl;
    /// # wundr_db::diesel::table! { app.notes (id) { id -> Integer, text -> Text, } }
    /// # #[derive(Clone, Serialize, Deserialize)]
    /// # struct Note { id: i32, text: String }
    /// # impl CachedRow for Note { const KIND: &'static str = "note"; }
    /// # async fn example(db: wundr_db::Cached) -> wundr_db::Result<()> {
    /// let note = db
    ///     .of(Note::key(7), || async {
    ///         let query = notes::table.find(7).select((notes::id, notes::text));
    ///         let row: Option<(i32, String)> = db
    ///             .run(async |connection| -> wundr_db::Result<_> {
    ///                 Ok(query.first(connection).await.optional()?)
    ///             })
    ///             .await?;
    ///         Ok(row.map(|(id, text)| Note { id, text }))
    ///     })
    ///     .await?;
    ///
    /// // A transaction that changes the row names it.
    /// db.transaction(async |tx| -> wundr_db::Result<_> {
    ///     tx.touches([Note::key(7)]);
    ///     let changed = diesel::update(notes::table.find(7)).set(notes::text.eq("new"));
    ///     Ok(changed.execute(tx.connection_mut()).await?)
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn of<T, F, L>(&self, key: OwnKey<T>, load: L) -> Result<Option<T>>
    where
        T: CachedRow,
        F: Future<Output = Result<Option<T>>> + Send,
        L: FnOnce() -> F + Send,
    {
        match self.find_own(key).await {
            OwnRow::Found(row) => Ok(row),
            OwnRow::Missing(fill) => {
                let loaded = load().await;
                keep_own(fill, loaded).await
            }
        }
    }
}
