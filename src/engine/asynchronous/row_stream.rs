//! Rows that are read as the server sends them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::query_dsl::CompatibleType;
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryReadyChunksError, TryStreamExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::BoxFuture;
use super::executor::{AnyQuery, Call, Decode, Executor, StatementGuard};
use crate::engine::connection::{BoundStatement, Connection, PgRow};
use crate::engine::tx_state::Trace;
use crate::sql::decoding::decoded;
use crate::{Error, Result};

/// The number of rows of a stream that are decoded ahead, of those that have arrived.
const ROWS_AHEAD: usize = 128;

/// Rows, one after the other, as the server sends them.
///
/// A stream of a [`Db`](crate::Db) holds a connection until it ends or is dropped. Dropped early,
/// its connection is closed and the query ended.
///
/// A stream of a [`Tx`](crate::Tx) may be kept while other calls use the transaction: their answers
/// come after its rows, which are then read ahead and held in memory until they are taken. So that
/// a transaction works on a large result row by row in little memory, read it page by page.
pub struct RowStream<'a, T>(BoxStream<'a, Result<T>>);

impl<'a, T: Send + 'static> RowStream<'a, T> {
    /// Returns a stream that holds nothing but an error.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self(stream::once(async { Err(error) }).boxed())
    }

    /// Returns the rows of a query.
    fn of(executor: Executor<'a>, query: AnyQuery<'a>, decode: Decode<T>) -> Self {
        let (sender, receiver) = channel(1);
        let producer = async move {
            let mut chunk = Chunk {
                rows: Vec::new(),
                decode,
                sender,
            };
            if let Err(error) = executor.send_rows(query, &mut chunk).await {
                // If this fails, the receiver has been dropped.
                let _ = chunk.sender.send(Err(error)).await;
            }
        };
        let received = Received {
            ready: Vec::new().into_iter(),
            receiver,
            producer: Some(Box::pin(producer)),
        };
        Self(Box::pin(received))
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

/// The rows of a stream, and the future that reads them.
struct Received<'a, T> {
    ready: std::vec::IntoIter<T>,
    receiver: Receiver<Result<Vec<T>>>,
    /// `None` after the last row was sent.
    producer: Option<BoxFuture<'a, ()>>,
}

// Nothing in it is pinned in place.
impl<T> Unpin for Received<'_, T> {}

impl<T> Stream for Received<'_, T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        loop {
            if let Some(row) = self.ready.next() {
                return Poll::Ready(Some(Ok(row)));
            }
            match self.receiver.poll_recv(context) {
                Poll::Ready(Some(Ok(rows))) => self.ready = rows.into_iter(),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let Some(producer) = &mut self.producer else {
                        return Poll::Pending;
                    };
                    // What it sends is received in the next turn.
                    if producer.as_mut().poll(context).is_ready() {
                        self.producer = None;
                    } else if self.receiver.is_empty() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

/// Rows of any type that are decoded and sent together.
trait AnyChunk: Send {
    fn decode(&mut self, row: &PgRow) -> QueryResult<()>;
    /// Sends the rows that were decoded. Returns whether there is still a receiver.
    fn send(&mut self) -> BoxFuture<'_, bool>;
}

struct Chunk<T> {
    rows: Vec<T>,
    decode: Decode<T>,
    sender: Sender<Result<Vec<T>>>,
}

impl<T: Send> AnyChunk for Chunk<T> {
    fn decode(&mut self, row: &PgRow) -> QueryResult<()> {
        self.rows.push((self.decode)(row)?);
        Ok(())
    }

    fn send(&mut self) -> BoxFuture<'_, bool> {
        let rows = std::mem::take(&mut self.rows);
        Box::pin(async move { self.sender.send(Ok(rows)).await.is_ok() })
    }
}

impl<'a> Executor<'a> {
    /// Returns the rows of a query as they come.
    pub(crate) fn stream<'q, Q, R>(&self, query: Q) -> RowStream<'q, R>
    where
        'a: 'q,
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: QueryFragment<Pg> + QueryId + Send>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'q,
    {
        RowStream::of(self.clone(), AnyQuery::of(query), |row| decoded(row))
    }

    async fn send_rows(&self, query: AnyQuery<'_>, chunk: &mut dyn AnyChunk) -> Result<()> {
        match self {
            Executor::Pool(db) => {
                let call = Call::Pool(db.checked_out().await?);
                let bound = query.bound_to(call.connection(), self.settings(false).as_ref());
                let sent = send_rows(bound, call.connection(), chunk, None).await;
                call.complete(sent)
            }
            Executor::Tx(tx) | Executor::Part(tx) => {
                let mut guard = StatementGuard::begin(tx, self.hold(), Trace::ErrorUnobserved)?;
                let connection = &tx.connection.inner;
                let bound = query.bound_to(connection, None);
                let sent = send_rows(bound, connection, chunk, Some(&mut guard)).await;
                guard.complete(sent)
            }
        }
    }
}

/// Sends the rows of a query as they come, and tells the guard when the server has begun to
/// respond.
async fn send_rows(
    bound: QueryResult<BoundStatement>,
    connection: &Connection,
    chunk: &mut dyn AnyChunk,
    guard: Option<&mut StatementGuard<'_>>,
) -> QueryResult<()> {
    let rows = connection.send_for_rows(bound).await?;
    if let Some(guard) = guard {
        guard.begin_stream();
    }
    let mut chunks = std::pin::pin!(rows.try_ready_chunks(ROWS_AHEAD));
    while let Some(arrived) = chunks.next().await {
        let (rows, mut outcome) = match arrived {
            Ok(rows) => (rows, Ok(())),
            Err(TryReadyChunksError(rows, error)) => (rows, Err(error)),
        };
        for row in &rows {
            if let Err(error) = chunk.decode(row) {
                outcome = Err(error);
                break;
            }
        }
        if !chunk.send().await {
            break;
        }
        outcome?;
    }
    Ok(())
}
