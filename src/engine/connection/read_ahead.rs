//! Results, which are read on while their owners do not poll them.
//!
//! tokio-postgres keeps two parts of a response, and then stops reading from the server until its
//! receiver takes them. The receiver may be a future that its owner keeps without polling it. An
//! operation that waits for another response therefore goes on with all statements of the
//! connection, and keeps their results for their owners.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use diesel::QueryResult;
use diesel::result::Error::NotFound;
use futures_util::Stream as _;
use tokio_postgres::{Error, Row, RowStream};

use super::driver::Driver;
use super::locked;
use super::result_stream::Types;

/// Prepares a statement if need be, and sends it.
type Sending = Pin<Box<dyn Future<Output = QueryResult<(RowStream, Types)>> + Send>>;

/// The result of one statement, while it arrives.
pub(super) struct PendingResult {
    phase: Phase,
    types: Option<Types>,
    /// Rows that were read ahead.
    rows: VecDeque<Row>,
    /// The first row, for an owner that waits for the whole response.
    first: Option<Row>,
    /// The number of rows that the statement has written. Known at its end.
    written: u64,
    /// The owner waited at its last poll.
    is_awaited: bool,
    /// The owner waits for the whole response, not for single rows.
    needs_outcome: bool,
}

/// What the owner of a result has left behind: it was dropped before the response was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dropped {
    /// Rows of a statement that the server executes.
    Rows,
    /// A statement that the server may have executed, or not.
    Statement,
}

/// The result of a statement that has at most one row.
pub(super) struct Outcome {
    pub(super) row: Option<Row>,
    pub(super) types: Types,
    pub(super) written: u64,
}

enum Phase {
    Sending(Sending),
    /// With the error, until its owner has received it.
    Failed(Option<diesel::result::Error>),
    Streaming(Pin<Box<RowStream>>),
    /// With the error that its owner has yet to receive, if there was one.
    Ended(Option<Error>),
}

impl PendingResult {
    fn new(sending: Sending) -> Self {
        Self {
            phase: Phase::Sending(sending),
            types: None,
            rows: VecDeque::new(),
            first: None,
            written: 0,
            is_awaited: false,
            needs_outcome: false,
        }
    }

    /// Goes on until the server has begun to do what it was asked, or has refused it.
    fn poll_sending(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Phase::Sending(sending) = &mut self.phase {
            self.phase = match ready!(sending.as_mut().poll(context)) {
                Ok((rows, types)) => {
                    self.types = Some(types);
                    Phase::Streaming(Box::pin(rows))
                }
                Err(error) => Phase::Failed(Some(error)),
            };
        }
        Poll::Ready(())
    }

    fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<QueryResult<Types>> {
        ready!(self.poll_sending(context));
        Poll::Ready(match &mut self.phase {
            Phase::Failed(error) => Err(error.take().unwrap_or(NotFound)),
            _ => self.types.clone().ok_or(NotFound),
        })
    }

    /// Polls for the next row that was not read ahead.
    fn poll_next_row(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        ready!(self.poll_sending(context));
        let rows = match &mut self.phase {
            Phase::Streaming(rows) => rows,
            Phase::Ended(error) => return Poll::Ready(error.take().map(Err)),
            Phase::Sending(_) | Phase::Failed(_) => return Poll::Ready(None),
        };
        let row = ready!(rows.as_mut().poll_next(context));
        if !matches!(row, Some(Ok(_))) {
            self.written = rows.rows_affected().unwrap_or_default();
            self.phase = Phase::Ended(None);
        }
        Poll::Ready(row)
    }

    fn poll_row(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        match self.rows.pop_front() {
            Some(row) => Poll::Ready(Some(Ok(row))),
            None => self.poll_next_row(context),
        }
    }

    /// Polls for the end of the response, of which the first row is kept.
    fn poll_outcome(
        &mut self,
        context: &mut Context<'_>,
        driver: &Driver,
    ) -> Poll<QueryResult<Outcome>> {
        self.needs_outcome = true;
        let types = match ready!(self.poll_begun(context)) {
            Ok(types) => types,
            Err(error) => return Poll::Ready(Err(error)),
        };
        loop {
            match ready!(self.poll_row(context)) {
                Some(Ok(row)) if self.first.is_none() => self.first = Some(row),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(driver.diesel_error(&error))),
                None => break,
            }
        }
        let (row, written) = (self.first.take(), self.written);
        Poll::Ready(Ok(Outcome {
            row,
            types,
            written,
        }))
    }

    /// Checks whether the owner has yet to take a response that is complete.
    fn is_answered(&self) -> bool {
        self.is_awaited && matches!(self.phase, Phase::Failed(_) | Phase::Ended(_))
    }

    /// Returns what is left of the response when its owner is dropped.
    fn dropped(&mut self) -> Option<Dropped> {
        if let Phase::Streaming(_) = self.phase {
            // The end may have arrived together with the rows that the owner has taken.
            self.read_ahead(&mut Context::from_waker(Waker::noop()));
        }
        match self.phase {
            Phase::Sending(_) => Some(Dropped::Statement),
            Phase::Streaming(_) if self.needs_outcome => Some(Dropped::Statement),
            Phase::Streaming(_) => Some(Dropped::Rows),
            Phase::Failed(_) | Phase::Ended(_) => None,
        }
    }

    /// Takes the rows that have arrived. Returns whether there were any.
    fn read_ahead(&mut self, context: &mut Context<'_>) -> bool {
        let mut is_any = false;
        while matches!(self.phase, Phase::Sending(_) | Phase::Streaming(_)) {
            match self.poll_next_row(context) {
                Poll::Ready(Some(Ok(row))) => self.rows.push_back(row),
                Poll::Ready(Some(Err(error))) => self.phase = Phase::Ended(Some(error)),
                Poll::Ready(None) => {}
                Poll::Pending => return is_any,
            }
            is_any = true;
        }
        is_any
    }
}

/// The results of a connection that are not complete.
#[derive(Default)]
pub(super) struct PendingResults {
    number: AtomicUsize,
    results: Mutex<Vec<Arc<Mutex<PendingResult>>>>,
}

impl PendingResults {
    fn add(&self, result: Arc<Mutex<PendingResult>>) {
        let mut results = locked(&self.results);
        results.push(result);
        self.number.store(results.len(), Ordering::Release);
    }

    fn remove(&self, result: &Arc<Mutex<PendingResult>>) {
        let mut results = locked(&self.results);
        let index = results.iter().position(|other| Arc::ptr_eq(other, result));
        let removed = index.map(|index| results.swap_remove(index));
        self.number.store(results.len(), Ordering::Release);
        drop(results);
        drop(removed);
    }

    /// Takes the rows that have arrived for all of them. Returns whether there were any: then the
    /// I/O can go on.
    pub(super) fn read_ahead(&self, context: &mut Context<'_>) -> bool {
        let mut is_any = false;
        self.for_each(|result| is_any |= result.read_ahead(context));
        is_any
    }

    /// Returns the number of complete responses whose owners have waited for them and not polled
    /// since.
    pub(super) fn answered(&self) -> usize {
        let mut answered = 0;
        self.for_each(|result| answered += usize::from(result.is_answered()));
        answered
    }

    /// Visits the results that are not being polled.
    fn for_each(&self, mut visit: impl FnMut(&mut PendingResult)) {
        let mut index = self.number.load(Ordering::Acquire);
        while index > 0 {
            index -= 1;
            // Unlocked while one of them is polled. In reverse order, a removal meanwhile skips
            // none.
            let Some(result) = locked(&self.results).get(index).map(Arc::clone) else {
                continue;
            };
            let reading = match result.try_lock() {
                Ok(result) => Some(result),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                // Its owner is reading it.
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut reading) = reading {
                visit(&mut reading);
            }
        }
    }
}

/// The handle of the owner of a pending result.
pub(super) struct ResultReader {
    driver: Arc<Driver>,
    result: Arc<Mutex<PendingResult>>,
}

impl ResultReader {
    pub(super) fn new(driver: &Arc<Driver>, sending: Sending) -> Self {
        let result = Arc::new(Mutex::new(PendingResult::new(sending)));
        driver.unread.add(Arc::clone(&result));
        Self {
            driver: Arc::clone(driver),
            result,
        }
    }

    /// Waits until the server executes the statement or has refused it.
    pub(super) fn poll_begun(&self, context: &mut Context<'_>) -> Poll<QueryResult<Types>> {
        self.poll(|result| result.poll_begun(context))
    }

    pub(super) fn poll_row(&self, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        self.poll(|result| result.poll_row(context))
    }

    /// Waits for the end of the response.
    pub(super) fn poll_outcome(&self, context: &mut Context<'_>) -> Poll<QueryResult<Outcome>> {
        self.poll(|result| result.poll_outcome(context, &self.driver))
    }

    fn poll<T>(&self, poll: impl FnOnce(&mut PendingResult) -> Poll<T>) -> Poll<T> {
        let mut result = locked(&self.result);
        let outcome = poll(&mut result);
        result.is_awaited = outcome.is_pending();
        outcome
    }
}

impl Drop for ResultReader {
    fn drop(&mut self) {
        self.driver.unread.remove(&self.result);
        if let Some(dropped) = locked(&self.result).dropped() {
            self.driver.record_dropped(dropped);
        }
    }
}
