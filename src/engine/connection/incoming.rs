//! Answers of many rows, which are read on even while their owners do not ask for them.
//!
//! tokio-postgres reads nothing more from the server as long as the rows that it has read are not taken. A future that
//! waits for another answer therefore takes them, and keeps them for their owner.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, ready};

use diesel::QueryResult;
use diesel::result::Error::NotFound;
use futures_util::Stream as _;
use tokio_postgres::{Error, Row, RowStream};

use super::answer::Types;
use super::driver::Driver;
use super::locked;

/// Prepares a statement, if it is not yet, and sends it.
type Asking = Pin<Box<dyn Future<Output = QueryResult<(RowStream, Types)>> + Send>>;

/// The answer to one statement, on its way.
pub(super) struct Answering {
    phase: Phase,
    types: Option<Types>,
    /// What has been read ahead.
    rows: VecDeque<Row>,
}

enum Phase {
    Asked(Asking),
    /// With the error, until its owner has seen it.
    Refused(Option<diesel::result::Error>),
    Begun(Pin<Box<RowStream>>),
    /// With the error that its owner has not seen yet, if there was one.
    Ended(Option<Error>),
}

impl Answering {
    fn new(asking: Asking) -> Self {
        Self {
            phase: Phase::Asked(asking),
            types: None,
            rows: VecDeque::new(),
        }
    }

    /// Goes on until the server has begun to do what it was asked, or has refused it.
    fn poll_asking(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Phase::Asked(asking) = &mut self.phase {
            self.phase = match ready!(asking.as_mut().poll(context)) {
                Ok((rows, types)) => {
                    self.types = Some(types);
                    Phase::Begun(Box::pin(rows))
                }
                Err(error) => Phase::Refused(Some(error)),
            };
        }
        Poll::Ready(())
    }

    fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<QueryResult<Types>> {
        ready!(self.poll_asking(context));
        Poll::Ready(match &mut self.phase {
            Phase::Refused(error) => Err(error.take().unwrap_or(NotFound)),
            _ => self.types.clone().ok_or(NotFound),
        })
    }

    /// What comes next, beyond what has been read ahead.
    fn poll_wire(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        ready!(self.poll_asking(context));
        let rows = match &mut self.phase {
            Phase::Begun(rows) => rows,
            Phase::Ended(error) => return Poll::Ready(error.take().map(Err)),
            Phase::Asked(_) | Phase::Refused(_) => return Poll::Ready(None),
        };
        let row = ready!(rows.as_mut().poll_next(context));
        if !matches!(row, Some(Ok(_))) {
            self.phase = Phase::Ended(None);
        }
        Poll::Ready(row)
    }

    fn poll_row(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        match self.rows.pop_front() {
            Some(row) => Poll::Ready(Some(Ok(row))),
            None => self.poll_wire(context),
        }
    }

    /// Reads ahead what has come. Returns whether there was anything.
    fn read_ahead(&mut self, context: &mut Context<'_>) -> bool {
        let mut is_any = false;
        while matches!(self.phase, Phase::Asked(_) | Phase::Begun(_)) {
            match self.poll_wire(context) {
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

/// The answers of a connection that have not been read to their ends.
#[derive(Default)]
pub(super) struct Unread {
    number: AtomicUsize,
    answers: Mutex<Vec<Arc<Mutex<Answering>>>>,
}

impl Unread {
    fn add(&self, answer: Arc<Mutex<Answering>>) {
        let mut answers = locked(&self.answers);
        answers.push(answer);
        self.number.store(answers.len(), Ordering::Release);
    }

    fn remove(&self, answer: &Arc<Mutex<Answering>>) {
        let mut answers = locked(&self.answers);
        let place = answers.iter().position(|other| Arc::ptr_eq(other, answer));
        let removed = place.map(|place| answers.swap_remove(place));
        self.number.store(answers.len(), Ordering::Release);
        drop(answers);
        drop(removed);
    }

    /// Reads ahead what has come of all of them. Returns whether there was anything, so that the wire can go on.
    pub(super) fn read_ahead(&self, context: &mut Context<'_>) -> bool {
        let mut is_any = false;
        let mut index = self.number.load(Ordering::Acquire);
        while index > 0 {
            index -= 1;
            // Not locked while one of them is polled. Backwards, none is missed when another is removed meanwhile.
            let Some(answer) = locked(&self.answers).get(index).map(Arc::clone) else {
                continue;
            };
            let reading = match answer.try_lock() {
                Ok(answer) => Some(answer),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                // Its owner reads it now.
                Err(TryLockError::WouldBlock) => None,
            };
            if let Some(mut reading) = reading {
                is_any |= reading.read_ahead(context);
            }
        }
        is_any
    }
}

/// An answer that is awaited, as its owner has it.
pub(super) struct Incoming {
    driver: Arc<Driver>,
    answer: Arc<Mutex<Answering>>,
}

impl Incoming {
    pub(super) fn new(driver: &Arc<Driver>, asking: Asking) -> Self {
        let answer = Arc::new(Mutex::new(Answering::new(asking)));
        driver.unread.add(Arc::clone(&answer));
        Self {
            driver: Arc::clone(driver),
            answer,
        }
    }

    /// Waits for the first sign that the server does what it was asked.
    pub(super) fn poll_begun(&self, context: &mut Context<'_>) -> Poll<QueryResult<Types>> {
        locked(&self.answer).poll_begun(context)
    }

    pub(super) fn poll_row(&self, context: &mut Context<'_>) -> Poll<Option<Result<Row, Error>>> {
        locked(&self.answer).poll_row(context)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.driver.unread.remove(&self.answer);
    }
}
