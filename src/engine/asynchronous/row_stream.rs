//! Rows that are read as the server sends them.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::query_builder::AsQuery;
use diesel::query_dsl::CompatibleType;
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryReadyChunksError, TryStreamExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::any_query::{AnyQuery, Runnable};
use super::call::{Call, StatementGuard};
use super::executor::{Decode, Executor};
use super::{BoxFuture, Db};
use crate::engine::connection::{BoundStatement, Connection, PgRow};
use crate::engine::tx_state::Trace;
use crate::sql::decoding::decoded_once;
use crate::transaction::TransactionOptions;
use crate::{Error, Result};

/// The number of rows of a stream that are decoded ahead, of those that have arrived.
const ROWS_AHEAD: usize = 128;

/// Rows, one after the other, as the server sends them.
///
/// A stream of a [`Db`](crate::Db) holds a connection until it ends or is dropped. Dropped early,
/// its connection is closed and the query ended. It holds at most 256 rows, and what the driver has
/// received of the next ones; the others wait in the server until they are taken.
///
/// A stream of a [`Tx`](crate::Tx) may be kept while other calls use the transaction: their
/// responses come after its rows, which are then read ahead and held in memory until they are
/// taken. To process a large result in a transaction with little memory, read it page by page.
pub struct RowStream<'a, T>(BoxStream<'a, Result<T>>);

impl<'a, T: Send + 'static> RowStream<'a, T> {
    /// Returns a stream that holds nothing but an error.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self(stream::once(async { Err(error) }).boxed())
    }

    /// Returns the rows of a query.
    pub(super) fn of(executor: Executor<'a>, query: AnyQuery<'a>, decode: Decode<T>) -> Self {
        Self::from(Source::Crate(executor), query, decode)
    }

    /// Returns the rows of the caller's own query.
    pub(super) fn of_caller(db: Db, query: AnyQuery<'a>, decode: Decode<T>) -> Self {
        Self::from(Source::Caller(db), query, decode)
    }

    fn from(source: Source<'a>, query: AnyQuery<'a>, decode: Decode<T>) -> Self {
        let decoded = Arc::new(Mutex::new(Vec::new()));
        let filled = Arc::clone(&decoded);
        let take = move |rows: &[PgRow]| {
            let mut filled = locked(&filled);
            for row in rows {
                filled.push(decode(row)?);
            }
            Ok(())
        };
        Self(Box::pin(Received {
            ready: Vec::new().into_iter(),
            decoded,
            chunks: Chunks::of(source, query, Box::new(take)),
        }))
    }
}

impl<T: Send + 'static> RowStream<'static, T> {
    /// Returns a stream that owns what it borrows from: a repository, and the filter of its rows.
    ///
    /// It can be the body of a response. `into_stream` of each repository of a `Db` is this with
    /// the method `stream`. The query is sent when the stream is polled for the first time.
    ///
    /// # Cancel safety
    /// As any other stream: dropped early, its connection is closed and the query ended.
    ///
    /// # Examples
    /// ```no_run
    /// # fn example(users: std::sync::Arc<dyn wundr_db::UserRepository>) {
    /// use wundr_db::{RowStream, User, UserFilter};
    ///
    /// let filter = UserFilter::new().is_active(true);
    /// let rows: RowStream<'static, User> =
    ///     RowStream::owning(users, filter, |users, filter| users.stream(filter));
    /// # }
    /// ```
    pub fn owning<R, F>(
        repository: R,
        filter: F,
        open: impl for<'s> FnOnce(&'s R, &'s F) -> RowStream<'s, T> + Send + 'static,
    ) -> Self
    where
        R: Send + Sync + 'static,
        F: Send + Sync + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let next = Arc::clone(&slot);
        let producer = async move {
            let mut rows = open(&repository, &filter);
            while let Some(row) = rows.next().await {
                *locked(&next) = Some(row);
                // The reader polls this future again after it has taken the row.
                std::future::poll_fn(|_| match *locked(&next) {
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(()),
                })
                .await;
            }
        };
        Self(Box::pin(Owned {
            slot,
            producer: Some(Box::pin(producer)),
        }))
    }
}

/// The rows of a stream that borrows from what its future owns.
struct Owned<T> {
    /// The row that the future has read, until it is taken.
    slot: Arc<Mutex<Option<Result<T>>>>,
    /// `None` after the last row.
    producer: Option<BoxFuture<'static, ()>>,
}

// Nothing in it is pinned in place.
impl<T> Unpin for Owned<T> {}

impl<T> Stream for Owned<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let Some(producer) = &mut self.producer else {
            return Poll::Ready(None);
        };
        let has_ended = producer.as_mut().poll(context).is_ready();
        if has_ended {
            self.producer = None;
        }
        match locked(&self.slot).take() {
            Some(row) => Poll::Ready(Some(row)),
            None if has_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<'a, T: Send + 'a> RowStream<'a, T> {
    /// Returns the stream as an observed call, which ends with the last row.
    #[doc(hidden)]
    #[must_use]
    pub fn observed(self, call: Option<crate::observation::Call>) -> Self {
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        let _ = call;
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        if let Some(call) = call {
            return Self(Box::pin(Observed {
                rows: self.0,
                number: 0,
                call: Some(call.of_stream()),
            }));
        }
        self
    }

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

/// The rows of a stream that is an observed call.
#[cfg(any(feature = "tracing", feature = "metrics"))]
struct Observed<'a, T> {
    rows: BoxStream<'a, Result<T>>,
    number: u64,
    /// `None` after the end. Dropped before, the call is abandoned.
    call: Option<crate::observation::Call>,
}

// Nothing in it is pinned in place.
#[cfg(any(feature = "tracing", feature = "metrics"))]
impl<T> Unpin for Observed<'_, T> {}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl<T> Drop for Observed<'_, T> {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.record_rows(self.number);
        }
    }
}

#[cfg(any(feature = "tracing", feature = "metrics"))]
impl<T> Stream for Observed<'_, T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        let next = {
            #[cfg(feature = "tracing")]
            let _entered = this.call.as_ref().map(crate::observation::Call::enter);
            ready!(this.rows.as_mut().poll_next(context))
        };
        let error = match &next {
            Some(Ok(_)) => {
                this.number += 1;
                return Poll::Ready(next);
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        if let Some(call) = this.call.take() {
            call.record_rows(this.number);
            call.end(error);
        }
        Poll::Ready(next)
    }
}

/// The rows of a stream.
struct Received<'a, T> {
    ready: std::vec::IntoIter<T>,
    /// The rows of the chunks that are announced.
    decoded: Arc<Mutex<Vec<T>>>,
    chunks: Chunks<'a>,
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
            match ready!(self.chunks.poll_next(context)) {
                Some(Ok(())) => {
                    let rows = std::mem::take(&mut *locked(&self.decoded));
                    self.ready = rows.into_iter();
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

fn locked<T>(rows: &Mutex<T>) -> MutexGuard<'_, T> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decodes the rows of a chunk, and passes them on.
type TakeChunk<'t> = Box<dyn FnMut(&[PgRow]) -> QueryResult<()> + Send + 't>;

/// The chunks of rows of a stream, and the future that reads them. Compiled once for all types of
/// rows, which are passed on beside it.
struct Chunks<'a> {
    /// Receives a chunk's announcement after its rows were passed on.
    receiver: Receiver<Result<()>>,
    /// `None` after the last row was sent.
    producer: Option<BoxFuture<'a, ()>>,
}

impl<'a> Chunks<'a> {
    fn of(source: Source<'a>, query: AnyQuery<'a>, take: TakeChunk<'a>) -> Self {
        let (sender, receiver) = channel(1);
        let producer = async move {
            let mut rows = ChunkSender { take, sender };
            if let Err(error) = source.send_rows(query, &mut rows).await {
                // If this fails, the receiver has been dropped.
                let _ = rows.sender.send(Err(error)).await;
            }
        };
        Self {
            receiver,
            producer: Some(Box::pin(producer)),
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        loop {
            if let Poll::Ready(announced) = self.receiver.poll_recv(context) {
                return Poll::Ready(announced);
            }
            if !self.receiver.is_empty() {
                // The task has used up its budget, and is woken when it has another one. Until then
                // nothing is received, and the loop would not end.
                return Poll::Pending;
            }
            let Some(producer) = &mut self.producer else {
                return Poll::Pending;
            };
            // The next iteration receives what it sends.
            if producer.as_mut().poll(context).is_ready() {
                self.producer = None;
            } else if self.receiver.is_empty() {
                return Poll::Pending;
            }
        }
    }
}

/// The origin of a stream's query, and what it runs on.
enum Source<'a> {
    Crate(Executor<'a>),
    Caller(Db),
}

impl Source<'_> {
    async fn send_rows(self, query: AnyQuery<'_>, chunks: &mut ChunkSender<'_>) -> Result<()> {
        match self {
            Self::Crate(executor) => executor.send_rows(query, chunks, false).await,
            Self::Caller(db) if db.has_cache() => {
                let options = TransactionOptions::new().read_only();
                let tx = db.begin(&options).await?;
                let sent = Executor::Tx(&tx).send_rows(query, chunks, true).await;
                tx.end(sent).await
            }
            Self::Caller(db) => {
                let executor = db.executor().writing();
                executor.send_rows(query, chunks, true).await
            }
        }
    }
}

struct ChunkSender<'a> {
    take: TakeChunk<'a>,
    sender: Sender<Result<()>>,
}

impl<'a> Executor<'a> {
    /// Returns the rows of a query as they arrive.
    pub(crate) fn stream<'q, Q, R>(&self, query: Q) -> RowStream<'q, R>
    where
        'a: 'q,
        Q: AsQuery<SqlType: CompatibleType<R, Pg>, Query: Runnable>,
        R: FromSqlRow<<Q::SqlType as CompatibleType<R, Pg>>::SqlType, Pg> + Send + 'static,
        Q::Query: 'q,
    {
        let query = query.as_query().untyped();
        RowStream::of(self.clone(), query, decoded_once)
    }

    /// Sends the rows of a query. The connection of a query of the caller that may have changed the
    /// session is not used again.
    async fn send_rows(
        &self,
        query: AnyQuery<'_>,
        chunks: &mut ChunkSender<'_>,
        is_of_caller: bool,
    ) -> Result<()> {
        let may_change = |bound: &QueryResult<BoundStatement>| {
            is_of_caller && bound.as_ref().is_ok_and(BoundStatement::may_change_session)
        };
        match self {
            Executor::Pool(db) => {
                let call = Call::Pool(db.checked_out().await?);
                let bound = query.bound_to(call.connection(), self.settings(false).as_ref());
                if may_change(&bound) {
                    call.retire();
                }
                let sent = send_rows(bound, call.connection(), chunks, None).await;
                call.complete(sent)
            }
            Executor::Tx(tx) | Executor::Part(tx) => {
                let mut guard = StatementGuard::begin(tx, self.hold(), Trace::ErrorUnobserved)?;
                let connection = &tx.connection.inner;
                let bound = query.bound_to(connection, None);
                if may_change(&bound) {
                    tx.connection.usage.retire();
                }
                let sent = send_rows(bound, connection, chunks, Some(&mut guard)).await;
                guard.complete(sent)
            }
        }
    }
}

/// Sends the rows of a query as they arrive, and informs the guard when the server has begun to
/// respond.
async fn send_rows(
    bound: QueryResult<BoundStatement>,
    connection: &Connection,
    chunks: &mut ChunkSender<'_>,
    guard: Option<&mut StatementGuard<'_>>,
) -> QueryResult<()> {
    let rows = connection.send_for_rows(bound).await?;
    if let Some(guard) = guard {
        guard.begin_stream();
    }
    let mut arriving = std::pin::pin!(rows.try_ready_chunks(ROWS_AHEAD));
    while let Some(arrived) = arriving.next().await {
        let (rows, outcome) = match arrived {
            Ok(rows) => (rows, Ok(())),
            Err(TryReadyChunksError(rows, error)) => (rows, Err(error)),
        };
        let outcome = (chunks.take)(&rows).and(outcome);
        if chunks.sender.send(Ok(())).await.is_err() {
            break;
        }
        outcome?;
    }
    Ok(())
}
