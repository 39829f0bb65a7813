//! The rows of a query as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, Query, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use futures_util::stream::{
    self, BoxStream, PollNext, Stream, StreamExt, TryReadyChunksError, TryStreamExt,
};

use super::Executor;
use super::executor::{Call, StatementGuard};
use crate::engine::connection::Connection;
use crate::engine::tx_state::Trace;
use crate::sql::decoding::decoded;
use crate::{Error, Result};

impl<'a> Executor<'a> {
    /// Returns the rows of a query as they come.
    pub(crate) fn stream<'q, Q, R>(&self, query: Q) -> RowStream<'q, R>
    where
        'a: 'q,
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId + Send>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'q,
    {
        let (executor, query) = (self.clone(), query.as_query());
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<Vec<R>>>(1);
        let producer = async move {
            if let Err(error) = executor.send_rows(query, &sender).await {
                // If this fails, the receiver has been dropped.
                let _ = sender.send(Err(error)).await;
            }
        };
        let produced = stream::once(producer).filter_map(|()| std::future::ready(None));
        let mut ready = Vec::new().into_iter();
        let received = stream::poll_fn(move |context| {
            loop {
                if let Some(row) = ready.next() {
                    return Poll::Ready(Some(Ok(row)));
                }
                match std::task::ready!(receiver.poll_recv(context)) {
                    Some(Ok(rows)) => ready = rows.into_iter(),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => return Poll::Ready(None),
                }
            }
        });
        let what_is_ready_first = |_: &mut ()| PollNext::Left;
        RowStream(stream::select_with_strategy(received, produced, what_is_ready_first).boxed())
    }

    async fn send_rows<Q, R>(
        &self,
        query: Q,
        sender: &tokio::sync::mpsc::Sender<Result<Vec<R>>>,
    ) -> Result<()>
    where
        Q: Query<SqlType: CompatibleType<R, Pg>> + QueryFragment<Pg> + QueryId + Send,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
    {
        match self {
            Executor::Pool(db) => {
                let call = Call::Pool(db.checked_out().await?);
                let sent = send_rows(query, call.connection(), sender, || ()).await;
                call.complete(sent)
            }
            Executor::Tx(tx) | Executor::Part(tx) => {
                let mut guard = StatementGuard::begin(tx, self.hold(), Trace::ErrorUnobserved)?;
                let begun = || guard.begin_stream();
                let sent = send_rows(query, &tx.connection.inner, sender, begun).await;
                guard.complete(sent)
            }
        }
    }
}

/// Sends the rows of a query as they come, and calls `begun` when the server has begun to answer.
async fn send_rows<Q, R>(
    query: Q,
    mut connection: &Connection,
    sender: &tokio::sync::mpsc::Sender<Result<Vec<R>>>,
    begun: impl FnOnce(),
) -> QueryResult<()>
where
    Q: Query<SqlType: CompatibleType<R, Pg>> + QueryFragment<Pg> + QueryId + Send,
    R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
{
    let rows = Connection::rows(&mut connection, &query).await?;
    let rows = rows.map(|row| row.and_then(|row| decoded(&row)));
    begun();
    let mut chunks = std::pin::pin!(rows.try_ready_chunks(ROWS_AHEAD));
    while let Some(chunk) = chunks.next().await {
        let (rows, outcome) = match chunk {
            Ok(rows) => (rows, Ok(())),
            Err(TryReadyChunksError(rows, error)) => (rows, Err(error)),
        };
        if sender.send(Ok(rows)).await.is_err() {
            break;
        }
        outcome?;
    }
    Ok(())
}

/// The number of rows of a stream that are decoded ahead, of those that have arrived.
const ROWS_AHEAD: usize = 128;

/// Rows, one after the other, as the server sends them.
///
/// A stream of a [`Db`] holds a connection until it ends or is dropped. Dropped early, its connection is closed and the
/// query ended.
///
/// A stream of a [`Tx`] may be kept while other calls use the transaction: their answers come after its rows, which are
/// then read ahead and held in memory until they are taken. So that a transaction works on a large result row by row
/// in little memory, read it page by page.
pub struct RowStream<'a, T>(BoxStream<'a, Result<T>>);

impl<T: Send + 'static> RowStream<'_, T> {
    /// Returns a stream that holds nothing but an error.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self(stream::once(async { Err(error) }).boxed())
    }
}

impl<'a, T: Send + 'a> RowStream<'a, T> {
    /// Returns the stream with its rows changed by a function.
    pub(crate) fn map_rows(self, change: impl FnMut(T) -> T + Send + 'a) -> Self {
        Self(self.0.map_ok(change).boxed())
    }
}

impl<T> fmt::Debug for RowStream<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowStream")
    }
}

impl<T> Stream for RowStream<'_, T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.0.as_mut().poll_next(context)
    }
}
