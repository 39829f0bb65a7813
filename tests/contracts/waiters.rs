//! The waiters of a connection, checked by loom in every order of their steps.
//!
//! The file under test is the crate's own, compiled here with loom's `Mutex`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::{Condvar, Mutex, MutexGuard};

#[allow(dead_code, reason = "the engine uses more of it")]
#[path = "../../src/engine/connection/waiters.rs"]
mod subject;

use subject::{IoWaker, ResponseWaker, WaiterId, Waiters, Wire, poll_driving};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// The response to one statement; tokio-postgres has a channel for it.
#[derive(Default)]
struct Channel {
    answer: Option<u32>,
    waker: Option<Waker>,
}

/// A connection to a server that answers a statement with its number, in the order in which they
/// were sent.
struct Connection {
    waiters: Arc<Waiters>,
    io_waker: Waker,
    response_waker: Waker,
    /// The requests that were written and not answered yet. A server of its own thread takes from
    /// it, or the wire itself.
    sent: Mutex<VecDeque<usize>>,
    is_sent: Condvar,
    /// The responses of the server that were not read yet.
    received: Mutex<VecDeque<usize>>,
    wire: Mutex<()>,
    channels: Vec<Mutex<Channel>>,
    /// The server answers as soon as a statement was written.
    is_prompt: bool,
}

impl Connection {
    fn new(statements: usize, is_prompt: bool) -> Arc<Self> {
        let waiters = Arc::<Waiters>::default();
        Arc::new(Self {
            io_waker: Waker::from(Arc::new(IoWaker(Arc::clone(&waiters)))),
            response_waker: Waker::from(Arc::new(ResponseWaker(Arc::clone(&waiters)))),
            waiters,
            sent: Mutex::default(),
            is_sent: Condvar::new(),
            received: Mutex::default(),
            wire: Mutex::new(()),
            channels: (0..statements).map(|_| Mutex::default()).collect(),
            is_prompt,
        })
    }

    /// A slow server, which answers as many statements as are sent in all.
    fn serve(&self, statements: usize) {
        let mut answered = 0;
        while answered < statements {
            let mut sent = locked(&self.sent);
            while sent.is_empty() {
                sent = self.is_sent.wait(sent).unwrap();
            }
            let sent = std::mem::take(&mut *sent);
            answered += sent.len();
            locked(&self.received).extend(sent);
            self.io_waker.wake_by_ref();
        }
    }

    /// The statement with this number: sent by the first poll, and then waited for.
    async fn statement(self: Arc<Self>, number: usize) -> u32 {
        let mut id = WaiterId::default();
        let mut is_sent = false;
        let answer = poll_fn(|context| {
            let poll = |context: &mut Context<'_>| {
                if !std::mem::replace(&mut is_sent, true) {
                    locked(&self.sent).push_back(number);
                    self.is_sent.notify_one();
                }
                let mut channel = locked(&self.channels[number]);
                match channel.answer.take() {
                    Some(answer) => Poll::Ready(answer),
                    None => {
                        channel.waker = Some(context.waker().clone());
                        Poll::Pending
                    }
                }
            };
            poll_driving(&*self, &mut id, context, poll)
        })
        .await;
        self.waiters.remove(&id);
        answer
    }
}

impl Wire for Connection {
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    fn response_waker(&self) -> &Waker {
        &self.response_waker
    }

    fn run(&self) {
        let _wire = locked(&self.wire);
        if self.is_prompt {
            let sent = std::mem::take(&mut *locked(&self.sent));
            locked(&self.received).extend(sent);
        }
        loop {
            let Some(number) = locked(&self.received).pop_front() else {
                return;
            };
            let mut channel = locked(&self.channels[number]);
            channel.answer = Some(u32::try_from(number).unwrap());
            let waker = channel.waker.take();
            drop(channel);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn read_ahead(&self, _: &mut Context<'_>) -> bool {
        false
    }

    fn has_to_yield(&self) -> bool {
        false
    }
}

fn check(bound: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(model);
}

/// One of them may read the other's answer at any moment, above all between its first poll and its
/// own work.
#[test]
fn each_of_two_waiters_is_woken_when_the_other_reads_its_response() {
    check(3, || {
        let connection = Connection::new(2, true);
        let other = loom::thread::spawn({
            let connection = Arc::clone(&connection);
            move || loom::future::block_on(connection.statement(1))
        });
        assert_eq!(loom::future::block_on(connection.statement(0)), 0);
        assert_eq!(other.join().unwrap(), 1);
    });
}

/// The server responds at any time, and wakes the tasks that wait for the socket.
#[test]
fn each_of_two_waiters_is_woken_at_any_time_of_the_response() {
    check(2, || {
        let connection = Connection::new(2, false);
        let other = loom::thread::spawn({
            let connection = Arc::clone(&connection);
            move || loom::future::block_on(connection.statement(1))
        });
        let server = loom::thread::spawn({
            let connection = Arc::clone(&connection);
            move || connection.serve(2)
        });
        assert_eq!(loom::future::block_on(connection.statement(0)), 0);
        assert_eq!(other.join().unwrap(), 1);
        server.join().unwrap();
    });
}
