//! The caller's own queries on a connection of the pool.

use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use diesel_async::SimpleAsyncConnection;

use super::any_query::of_diesel;
use super::pool::CheckedOut;
use super::{Db, RowStream, TxFnOnce};
use crate::engine::connection::Connection;
use crate::engine::lent_session::{
    ACCEPTS_WRITES, is_left_open, left_open, may_be_left_open, restoring,
};
use crate::error::{Stage, Verdict};
use crate::sql::decoding::decoded_once;
use crate::transaction::TransactionOptions;
use crate::{Error, Result};

impl Db {
    /// Runs the caller's own statements on a connection of the pool, outside a transaction.
    ///
    /// Each statement is committed by itself. If the future is dropped before its end, or `work`
    /// drops the future or the stream of a statement before its end, the connection does not return
    /// to the pool, and the server receives a request to cancel the statement.
    ///
    /// A `Db` with a cache, an actor or an organization runs `work` in a transaction, as
    /// [`Tx::connection_mut`](crate::Tx::connection_mut) describes.
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
    ///   which is rolled back; also if it may have left one open, because it has changed the
    ///   session and dropped a statement
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
    /// use wundr_db::diesel::prelude::*;
    /// use wundr_db::diesel_async::RunQueryDsl;
    /// use wundr_db::schema::public::users;
    ///
    /// let names: Vec<String> = db
    ///     .run(async |connection| -> wundr_db::Result<_> {
    ///         let query = users::table.select(users::name).order(users::name).limit(10);
    ///         Ok(query.load(connection).await?)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<R, E, F>(&self, work: F) -> Result<R, E>
    where
        E: From<Error> + Send,
        R: Send,
        for<'c> F: AsyncFnOnce(&'c mut Connection) -> Result<R, E>
            + TxFnOnce<&'c mut Connection, Result<R, E>, Future: Send>
            + Send,
    {
        if self.attachments.has_cache() || self.attachments.has_local_settings() {
            let mut tx = self.begin(&TransactionOptions::new()).await?;
            let outcome = work(tx.connection_mut()).await;
            return tx.end(outcome).await;
        }
        let mut lent = self.checked_out().await?;
        lent.connection.usage.lend();
        let connection = &mut lent.connection.inner;
        connection.take_session_change();
        connection.take_dropped();
        let outcome = work(connection).await;
        match lent.take_back(outcome.is_ok()).await {
            Ok(()) => outcome,
            Err(error) => outcome.and(Err(error.into())),
        }
    }

    /// Returns the rows of the caller's own query as they come.
    ///
    /// The stream owns its connection, so that it can be the body of a response. As in
    /// [`run`](Self::run), the query is committed by itself. If it may have changed the session,
    /// the connection does not return to the pool.
    ///
    /// Behind a cache, the query runs in a read-only transaction: a write would not be fenced. Use
    /// [`run`](Self::run) for one.
    ///
    /// # Errors
    /// - [`Error::ReadOnly`] behind a cache, if the query writes
    /// - the errors of a query of a repository
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(db: wundr_db::Db) {
    /// use wundr_db::RowStream;
    /// use wundr_db::diesel::prelude::*;
    /// use wundr_db::schema::public::users;
    ///
    /// let emails: RowStream<'static, String> = db.stream(users::table.select(users::email));
    /// # }
    /// ```
    pub fn stream<Q, R>(&self, query: Q) -> RowStream<'static, R>
    where
        Q: AsQuery<
                SqlType: CompatibleType<R, Pg>,
                Query: QueryFragment<Pg> + QueryId + Send + 'static,
            >,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
    {
        let query = of_diesel(query.as_query());
        RowStream::of_caller(self.clone(), query, decoded_once)
    }
}

impl CheckedOut {
    /// Takes back a connection that was lent, and restores its session if that may have changed.
    ///
    /// # Errors
    /// - [`Error::Other`] if a transaction was left open after success
    async fn take_back(mut self, succeeded: bool) -> Result<()> {
        let connection = &mut self.connection.inner;
        let has_changed = connection.take_session_change();
        // If it is not completed, the drop closes the connection, which rolls back, and asks the
        // server to end a statement that the work has dropped.
        let has_dropped = connection.take_dropped();
        if connection.depth() != Some(0) {
            return if succeeded { Err(left_open()) } else { Ok(()) };
        }
        if has_dropped {
            // The open transaction is found by a statement, which would wait for the dropped one.
            return match has_changed && succeeded {
                true => Err(may_be_left_open()),
                false => Ok(()),
            };
        }
        if self.connection.inner.has_been_refused_writes() {
            self.connection.usage.heed(Verdict::RetireAll);
        }
        let is_doubtful = self.connection.usage.is_doubtful();
        if has_changed || !succeeded || is_doubtful {
            let mut all = restoring(&self.connection.context.config, succeeded);
            if is_doubtful {
                all = format!("{all}; {ACCEPTS_WRITES}");
            }
            if let Err(error) = self.connection.inner.batch_execute(&all).await {
                let error = self.connection.failed(error, Stage::Alone).error;
                if is_doubtful {
                    let asking = format!("ROLLBACK; {ACCEPTS_WRITES}");
                    let asked = self.connection.inner.batch_execute(&asking).await;
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
        self.mark_completed();
        Ok(())
    }
}
