//! Drives the connection from the task that waits for a response.
//!
//! # Idea
//! With tokio-postgres, a task of its own does the I/O: each statement is passed to it and each
//! part of a response back, often from thread to thread. Here the waiting future does the I/O
//! itself, and without a waiter there is none.
//!
//! ```text
//! statement ──> client of tokio-postgres ──> queue ──> connection of tokio-postgres <──> socket
//!     │                                                             ▲
//!     └── Operation ──> poll_driving (waiters.rs) ──> Driver::run ──┘
//! ```
//!
//! An [`Operation`] is one wait for a response. Each of its polls first polls the response. If that
//! is pending, it runs [`Driver::run`], which reads and writes all that the socket allows, and
//! polls the response again. [`waiters`](super::waiters) says which of several operations runs it,
//! and why none of them depends on the polls of another.
//!
//! # Invariants
//! - The wire is locked for one run of the I/O, which never waits. No lock is held across an await.
//! - The cause of the end is stored before any operation fails of it, so that each of them returns
//!   the same cause.
//! - A response is read even if its owner does not poll: `unread` keeps it for the owner, so that
//!   the responses behind it arrive ([`read_ahead`](super::read_ahead)).
//! - An operation that is dropped leaves the list of waiters, and ends its share of the response
//!   timeout.
//!
//! # Races
//! 1. *The owner of a result is dropped while the server still answers.* What it leaves behind is
//!    recorded in `dropped`. A transaction, or the work of `Db::run`, does not end before it has
//!    taken the record.
//! 2. *The connection is closed by [`Driver::take_io`] while an operation waits.* The wire is
//!    empty afterwards, and the waker of the I/O is called: the operation runs once more, and finds
//!    that its response cannot arrive.
//! 3. *Something arrives while no operation exists*, for example the reason of a server that shuts
//!    down. The socket's waker only counts it. [`Driver::catch_up`] reads it when the pool checks
//!    whether the connection has ended, so that one whose end has arrived is not lent.
//! 4. *A listener has no statement to wait for.* It has one operation of its own, in a task, which
//!    never gets a response and ends with the connection.
//!
//! # Source
//! The client and the connection are those of tokio-postgres, whose `Connection::poll_message` may
//! be called by any task. libpq works in the same way: the caller of `PQgetResult` reads the
//! socket. See `docs/decisions/0002-own-connection.md`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use diesel::result::DatabaseErrorKind as Kind;
use diesel::result::Error::DatabaseError;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::coop::has_budget_remaining;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{AsyncMessage, Error, Notification};

use super::error::{before_sending, closed, from_driver};
use super::locked;
use super::read_ahead::{Dropped, PendingResults};
use super::response_timeout::{Probe, ResponseTimeout};
use super::socket::Socket;
use super::waiters::{IoWaker, ResponseWaker, WaiterId, Waiters, Wire, poll_driving};

/// The I/O of a connection, and its state.
pub(super) struct Driver {
    wire: Mutex<Option<Opened>>,
    waiters: Arc<Waiters>,
    pub(super) unread: PendingResults,
    io_waker: Waker,
    response_waker: Waker,
    /// The error that ended the connection. Set before any statement fails of it.
    end: OnceLock<Error>,
    response_timeout: Arc<ResponseTimeout>,
    /// The error of a statement said that the connection is unusable.
    is_unusable: AtomicBool,
    /// The server refused a statement because it writes.
    is_read_only: AtomicBool,
    /// What owners of results have left behind: [`NOTHING`], [`ROWS`] or [`STATEMENT`].
    dropped: AtomicU8,
}

const NOTHING: u8 = 0;
const ROWS: u8 = 1;
const STATEMENT: u8 = 2;

/// An open connection.
pub(super) struct Opened {
    messages: Box<dyn Messages>,
    listener: Option<UnboundedSender<Notification>>,
}

trait Messages: Send {
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>>;
}

type Message = Result<AsyncMessage, Error>;

impl<S> Messages for tokio_postgres::Connection<Socket, S>
where
    S: TlsStream + Unpin + Send,
{
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_message(context)
    }
}

impl Driver {
    pub(super) fn new<S>(
        connection: tokio_postgres::Connection<Socket, S>,
        listener: Option<UnboundedSender<Notification>>,
    ) -> Arc<Self>
    where
        S: TlsStream + Unpin + Send + 'static,
    {
        let waiters = Arc::<Waiters>::default();
        let has_listener = listener.is_some();
        let driver = Arc::new(Self {
            wire: Mutex::new(Some(Opened {
                messages: Box::new(connection),
                listener,
            })),
            io_waker: Waker::from(Arc::new(IoWaker(Arc::clone(&waiters)))),
            response_waker: Waker::from(Arc::new(ResponseWaker(Arc::clone(&waiters)))),
            response_timeout: Arc::default(),
            waiters,
            unread: PendingResults::default(),
            end: OnceLock::new(),
            is_unusable: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
            dropped: AtomicU8::new(NOTHING),
        });
        if has_listener {
            // Notifications arrive with or without an operation.
            let driver = Arc::clone(&driver);
            tokio::spawn(async move {
                let mut operation = Operation::on(&driver);
                let ended = |_: &mut Context<'_>| match *locked(&driver.wire) {
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(()),
                };
                poll_fn(|context| operation.poll(context, ended)).await;
            });
        }
        driver
    }

    /// Closes the connection without waiting for the server.
    pub(super) fn close(&self) {
        drop(self.take_io());
    }

    /// Takes the I/O, as if the connection was closed. Dropped, it closes the connection.
    pub(super) fn take_io(&self) -> Option<Opened> {
        let taken = locked(&self.wire).take();
        self.io_waker.wake_by_ref();
        taken
    }

    /// Sets the time that the server may be silent while a response is due.
    pub(super) fn set_response_timeout(&self, limit: Duration) {
        self.response_timeout.limit(limit);
    }

    /// Sets the probe that is asked before a silent connection is closed.
    pub(super) fn set_probe(&self, probe: Option<Probe>) {
        self.response_timeout.set_probe(probe);
    }

    /// Returns the number of events so far, and whether the I/O can make progress and has not been
    /// run since.
    pub(super) fn activity(&self) -> (u64, bool) {
        self.waiters.activity()
    }

    /// Returns the number of complete responses whose owners wait for them without polling.
    pub(super) fn answered(&self) -> usize {
        let mut context = Context::from_waker(&self.response_waker);
        self.unread.read_ahead(&mut context);
        self.unread.answered()
    }

    /// Handles what has arrived without an operation.
    pub(super) fn catch_up(&self) {
        if self.waiters.take_io_ready() {
            self.run();
        }
    }

    /// Converts the error of a statement. If the connection has ended, the cause takes its place.
    pub(super) fn diesel_error(&self, error: &Error) -> diesel::result::Error {
        let error = if error.as_db_error().is_none() {
            self.cause_of_end().unwrap_or_else(|| from_driver(error))
        } else {
            from_driver(error)
        };
        if let DatabaseError(kind, _) = &error {
            match kind {
                Kind::ClosedConnection | Kind::UnableToSendCommand => {
                    self.is_unusable.store(true, Ordering::Relaxed);
                }
                Kind::ReadOnlyTransaction => self.is_read_only.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        error
    }

    /// Returns the error of a statement that was not sent because the connection has ended.
    pub(super) fn ended(&self) -> diesel::result::Error {
        let why = self.cause_of_end();
        before_sending(why.unwrap_or_else(|| closed("connection closed".to_owned())))
    }

    fn cause_of_end(&self) -> Option<diesel::result::Error> {
        match (self.response_timeout.ended(), self.end.get()) {
            (Some(limit), _) => Some(closed(format!("no response from the server for {limit:?}"))),
            (None, end) => end.map(from_driver),
        }
    }

    /// Checks whether the response timeout has closed the connection.
    pub(super) fn has_timed_out(&self) -> bool {
        self.response_timeout.ended().is_some()
    }

    pub(super) fn is_unusable(&self) -> bool {
        self.is_unusable.load(Ordering::Relaxed)
    }

    /// Checks whether the server has refused a write since the last call.
    pub(super) fn take_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed)
            && self.is_read_only.swap(false, Ordering::Relaxed)
    }

    /// Records that the owner of a result was dropped before the response was complete.
    pub(super) fn record_dropped(&self, dropped: Dropped) {
        let dropped = match dropped {
            Dropped::Rows => ROWS,
            Dropped::Statement => STATEMENT,
        };
        self.dropped.fetch_max(dropped, Ordering::Relaxed);
    }

    /// Returns what owners of results have left behind since the last call.
    pub(super) fn take_dropped(&self) -> Option<Dropped> {
        match self.dropped.swap(NOTHING, Ordering::Relaxed) {
            NOTHING => None,
            ROWS => Some(Dropped::Rows),
            _ => Some(Dropped::Statement),
        }
    }
}

impl Wire for Driver {
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    fn response_waker(&self) -> &Waker {
        &self.response_waker
    }

    fn run(&self) {
        let mut wire = locked(&self.wire);
        let mut context = Context::from_waker(&self.io_waker);
        while let Some(Opened { messages, listener }) = &mut *wire {
            let message = match messages.poll_message(&mut context) {
                Poll::Ready(message) => message,
                Poll::Pending => return,
            };
            match (message, listener) {
                (Some(Ok(AsyncMessage::Notification(notification))), Some(listener)) => {
                    // A listener that has dropped the receiver is about to close the connection.
                    let _ = listener.send(notification);
                }
                (Some(Ok(_)), _) => {}
                (Some(Err(error)), _) => {
                    // If there was an error before, that one is the cause.
                    let _ = self.end.set(error);
                    *wire = None;
                }
                (None, _) => *wire = None,
            }
        }
    }

    fn read_ahead(&self, answered: &mut Context<'_>) -> bool {
        self.unread.read_ahead(answered)
    }

    fn has_to_yield(&self) -> bool {
        !has_budget_remaining()
    }
}

/// A request to the server, and the wait for its response.
pub(super) struct Operation {
    driver: Arc<Driver>,
    id: WaiterId,
    /// The response is due and has been waited for.
    is_due: bool,
}

impl Operation {
    pub(super) fn on(driver: &Arc<Driver>) -> Self {
        Self {
            driver: Arc::clone(driver),
            id: WaiterId::default(),
            is_due: false,
        }
    }

    /// Polls a future that depends on the I/O to its end.
    pub(super) fn drive<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        poll_fn(move |context| self.poll(context, |context| future.as_mut().poll(context)))
    }

    /// Polls a future that depends on the I/O once, and drives the I/O.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let outcome = poll_driving(&*self.driver, &mut self.id, context, poll);
        if outcome.is_pending() != self.is_due {
            self.is_due = outcome.is_pending();
            match self.is_due {
                true => self.driver.response_timeout.begin(&self.driver),
                false => self.driver.response_timeout.end(),
            }
        }
        outcome
    }

    pub(super) fn diesel_error(&self, error: &Error) -> diesel::result::Error {
        self.driver.diesel_error(error)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.driver.waiters.remove(&self.id);
        if self.is_due {
            self.driver.response_timeout.end();
        }
    }
}
