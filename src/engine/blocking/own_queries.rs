//! The caller's own queries on a connection of the pool.

use std::num::NonZeroU32;

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager};
use diesel::pg::PgConnection;

use super::Db;
use super::pool::Pooled;
use crate::engine::lent_session::{ACCEPTS_WRITES, is_left_open, left_open, restoring};
use crate::transaction::TransactionOptions;
use crate::{Error, Result};

impl Db {
    /// Runs the caller's own statements on a connection of the pool, outside a transaction.
    ///
    /// Each statement is committed by itself. If `work` panics, or sets another instrumentation,
    /// the connection does not return to the pool.
    ///
    /// A `Db` with a cache, an actor or an organization runs `work` in a transaction, as
    /// [`Tx::connection_mut`](super::Tx::connection_mut) describes.
    ///
    /// # The session
    /// The next user of the connection gets it as it was. If a statement may have changed the
    /// session (`SET`, `LISTEN`, temporary tables, locks of the session), or `work` failed, the
    /// session is restored in one round trip more. Statements are judged by their text: a function
    /// of the application that changes the session is not found. Behind PgBouncer in transaction
    /// mode change nothing of the session.
    ///
    /// The `search_path` is `pg_catalog, pg_temp`: qualify the application's tables with their
    /// schemas, or set [`Config::search_path`](crate::Config::search_path).
    ///
    /// # Errors
    /// - the error of `work`
    /// - [`Error::Other`] with SQLSTATE 25001 if `work` returned `Ok` and left a transaction open,
    ///   which is rolled back
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(db: wundr_db::blocking::Db) -> wundr_db::Result<()> {
    /// use wundr_db::diesel::prelude::*;
    /// use wundr_db::schema::public::users;
    ///
    /// let names: Vec<String> = db.run(|connection| -> wundr_db::Result<_> {
    ///     let query = users::table.select(users::name).order(users::name).limit(10);
    ///     Ok(query.load(connection)?)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<R, E, F>(&self, work: F) -> Result<R, E>
    where
        E: From<Error>,
        F: FnOnce(&mut PgConnection) -> Result<R, E>,
    {
        if self.attachments.has_cache() || self.attachments.has_local_settings() {
            let mut tx = self.begin(&TransactionOptions::new())?;
            let outcome = work(tx.connection_mut());
            return tx.end(outcome);
        }
        let mut lent = Lent::of(self.checkout()?);
        let outcome = work(&mut lent.connection.inner);
        match lent.take_back(outcome.is_ok()) {
            Ok(()) => outcome,
            Err(error) => outcome.and(Err(error.into())),
        }
    }
}

/// A connection that is lent to the caller. Dropped before it is [taken back](Self::take_back), it
/// does not return to the pool.
struct Lent {
    connection: Pooled,
    is_restored: bool,
}

impl Lent {
    fn of(connection: Pooled) -> Self {
        connection.lend(true);
        connection.usage.lend();
        Self {
            connection,
            is_restored: false,
        }
    }

    /// Takes the connection back, and restores its session if that may have changed.
    ///
    /// # Errors
    /// - [`Error::Other`] if a transaction was left open after success
    fn take_back(mut self, succeeded: bool) -> Result<()> {
        // Without the observer, the statements are unknown.
        let is_observed = self.connection.is_still_observed();
        let has_changed = self.connection.lend(false) || !is_observed;
        let inner = &mut self.connection.inner;
        let status = AnsiTransactionManager::transaction_manager_status_mut(inner);
        let depth = status.transaction_depth().ok();
        // If it is not restored, the drop closes the connection, which rolls back.
        if depth.map(|depth| depth.map_or(0, NonZeroU32::get)) != Some(0) {
            return if succeeded { Err(left_open()) } else { Ok(()) };
        }
        let is_doubtful = self.connection.usage.is_doubtful();
        if has_changed || !succeeded || is_doubtful {
            let mut all = restoring(&self.connection.context.config, succeeded);
            if is_doubtful {
                all = format!("{all}; {ACCEPTS_WRITES}");
            }
            let restored = self
                .connection
                .run(|connection| connection.batch_execute(&all));
            if let Err(error) = restored {
                if is_doubtful {
                    let asking = format!("ROLLBACK; {ACCEPTS_WRITES}");
                    let asked = self.connection.inner.batch_execute(&asking);
                    self.connection.usage.settle(asked.is_ok());
                }
                let is_left_open = succeeded && is_left_open(&error);
                return if is_left_open {
                    Err(left_open())
                } else {
                    Ok(())
                };
            }
        }
        self.connection.usage.settle(true);
        self.is_restored = is_observed;
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_restored {
            self.connection.usage.retire();
        }
    }
}
