//! Who waits for an answer reads it.
//!
//! tokio-postgres has a task of its own read from the server and write to it, so that each statement is handed to that task
//! and its answer back, part by part, often from one thread to another. Here the future that waits for an answer does
//! that itself, and nobody does while nobody waits.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use diesel::result::DatabaseErrorKind as Kind;
use diesel::result::Error::DatabaseError;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::coop::has_budget_remaining;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{AsyncMessage, Error, Notification, Socket};

use super::incoming::Unread;
use super::locked;
use super::refusal::{before_sending, closed, from_driver};
use super::silence::{Heard, Silence};
use super::waiting::{OnAnswer, OnWire, Place, Waiting, Wire, poll_beside};

/// What reads from the server and writes to it.
pub(super) struct Driver {
    wire: Mutex<Option<Opened>>,
    waiting: Arc<Waiting>,
    pub(super) unread: Unread,
    on_wire: Waker,
    on_answer: Waker,
    /// What has ended the connection; set before any statement on it hears of its end.
    end: OnceLock<Error>,
    silence: Arc<Silence>,
    /// An error of a statement said that the connection is of no further use.
    is_spent: AtomicBool,
    /// A statement was refused since it writes.
    is_read_only: AtomicBool,
}

/// An open connection.
struct Opened {
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
        let waiting = Arc::<Waiting>::default();
        let silence = Arc::<Silence>::default();
        let is_heard = listener.is_some();
        let driver = Arc::new(Self {
            wire: Mutex::new(Some(Opened {
                messages: Box::new(connection),
                listener,
            })),
            on_wire: Waker::from(Arc::new(OnWire(Arc::clone(&waiting)))),
            on_answer: Waker::from(Arc::new(Heard {
                waiting: Arc::new(OnAnswer(Arc::clone(&waiting))),
                silence: Arc::clone(&silence),
            })),
            silence,
            waiting,
            unread: Unread::default(),
            end: OnceLock::new(),
            is_spent: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
        });
        if is_heard {
            // Notifications come whether an answer is waited for or not.
            let driver = Arc::clone(&driver);
            tokio::spawn(async move {
                let mut turn = Turn::on(&driver);
                let ended = |_: &mut Context<'_>| match *locked(&driver.wire) {
                    Some(_) => Poll::Pending,
                    None => Poll::Ready(()),
                };
                poll_fn(|context| turn.poll(context, ended)).await;
            });
        }
        driver
    }

    /// Ends the connection. What is left of it would wait for what the server still does.
    pub(super) fn close(&self) {
        drop(locked(&self.wire).take());
        self.on_wire.wake_by_ref();
    }

    /// Sets how long the server may say nothing while an answer is due.
    pub(super) fn limit_silence(&self, limit: Duration) {
        self.silence.limit(limit);
    }

    /// Checks whether the wire can go on and has not been run since.
    pub(super) fn is_called(&self) -> bool {
        self.waiting.is_wire_called()
    }

    /// Takes notice of what has happened while nobody waited.
    pub(super) fn catch_up(&self) {
        if self.waiting.is_wire_due() {
            self.run();
        }
    }

    /// An error of a statement, or that which has ended the connection, of which the driver then says no more than so.
    pub(super) fn refused(&self, error: &Error) -> diesel::result::Error {
        let error = if error.as_db_error().is_none() {
            self.why_ended().unwrap_or_else(|| from_driver(error))
        } else {
            from_driver(error)
        };
        if let DatabaseError(kind, _) = &error {
            match kind {
                Kind::ClosedConnection | Kind::UnableToSendCommand => {
                    self.is_spent.store(true, Ordering::Relaxed);
                }
                Kind::ReadOnlyTransaction => self.is_read_only.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        error
    }

    /// The error of a statement that was not sent, since the connection has ended.
    pub(super) fn ended(&self) -> diesel::result::Error {
        let why = self.why_ended();
        before_sending(why.unwrap_or_else(|| closed("connection closed".to_owned())))
    }

    fn why_ended(&self) -> Option<diesel::result::Error> {
        match (self.silence.ended(), self.end.get()) {
            (Some(limit), _) => Some(closed(format!(
                "nothing came from the server for {limit:?}, although an answer was due"
            ))),
            (None, end) => end.map(from_driver),
        }
    }

    /// Checks whether the server's silence has ended the connection.
    pub(super) fn ended_in_silence(&self) -> bool {
        self.silence.ended().is_some()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_spent.load(Ordering::Relaxed)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed)
    }
}

impl Wire for Driver {
    fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    fn on_answer(&self) -> &Waker {
        &self.on_answer
    }

    fn run(&self) {
        let mut wire = locked(&self.wire);
        let mut context = Context::from_waker(&self.on_wire);
        while let Some(Opened { messages, listener }) = &mut *wire {
            let message = match messages.poll_message(&mut context) {
                Poll::Ready(message) => message,
                Poll::Pending => return,
            };
            match (message, listener) {
                (Some(Ok(AsyncMessage::Notification(heard))), Some(listener)) => {
                    // Whoever does not listen any more is about to close the connection.
                    let _ = listener.send(heard);
                }
                (Some(Ok(_)), _) => {}
                (Some(Err(error)), _) => {
                    // Another one came before it, and is the cause.
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

/// Something that is asked of the server and waited for.
pub(super) struct Turn {
    driver: Arc<Driver>,
    place: Place,
    /// An answer is due, and has been waited for.
    is_due: bool,
}

impl Turn {
    pub(super) fn on(driver: &Arc<Driver>) -> Self {
        Self {
            driver: Arc::clone(driver),
            place: Place::default(),
            is_due: false,
        }
    }

    /// Waits for what needs the wire to run.
    pub(super) fn wait_for<F: Future>(
        &mut self,
        mut future: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        poll_fn(move |context| self.poll(context, |context| future.as_mut().poll(context)))
    }

    /// Polls what needs the wire to run, and runs that.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let outcome = poll_beside(&*self.driver, &mut self.place, context, poll);
        if outcome.is_pending() != self.is_due {
            self.is_due = outcome.is_pending();
            match self.is_due {
                true => self.driver.silence.begin(&self.driver),
                false => self.driver.silence.end(),
            }
        }
        outcome
    }

    pub(super) fn refused(&self, error: &Error) -> diesel::result::Error {
        self.driver.refused(error)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.driver.waiting.leave(&self.place);
        if self.is_due {
            self.driver.silence.end();
        }
    }
}
