//! Those who wait for a connection, and who runs it for them.
//!
//! Whoever is polled runs the wire, for himself and for all others. While somebody does, or is about to, nobody is woken:
//! he looks before he rests whether anything has happened since he began, and has the others woken then. While nobody
//! does, all who wait are woken by whatever happens, since any of them may never be polled again.
//!
//! The program `tests/waiters.rs` compiles this file with loom's `Mutex`, and tries it in every order of its steps.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::{Mutex, locked};

/// Those who wait for something to happen.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// How often something has happened.
    calls: u64,
    /// The wire can go on, and has not been run since.
    is_wire_due: bool,
    /// How many run the wire, or are about to.
    at_work: usize,
    waiting: Vec<Waiter>,
    last: u64,
}

struct Waiter {
    number: u64,
    waker: Waker,
}

/// Where somebody waits.
#[derive(Default)]
pub(super) struct Place {
    number: Option<u64>,
    /// What is polled there has been polled before, and was not ready then.
    has_waited: bool,
}

/// What reads from the server and writes to it, for those who wait.
pub(super) trait Wire {
    fn waiting(&self) -> &Waiting;

    /// Calls the queue when an answer has come.
    fn on_answer(&self) -> &Waker;

    /// Reads what has come and writes what is to be sent, as far as it goes without waiting.
    fn run(&self);

    /// Takes what has been read for those who do not ask for it, which keeps the wire from going on. Returns whether there
    /// was anything.
    fn read_ahead(&self, answered: &mut Context<'_>) -> bool;

    /// Checks whether the task has had its share.
    fn has_to_yield(&self) -> bool;
}

/// Polls what needs the wire to run, and runs that.
pub(super) fn poll_beside<T>(
    wire: &impl Wire,
    place: &mut Place,
    context: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    // Not the task's own waker: what is woken next is polled next, and the task need not be called for that.
    let mut answered = Context::from_waker(wire.on_answer());
    if !std::mem::take(&mut place.has_waited)
        && let Poll::Ready(value) = poll(&mut answered)
    {
        return Poll::Ready(value);
    }
    let mut work = wire.waiting().work(place);
    loop {
        wire.run();
        // The first time, too: between the poll above and the beginning of this work another waiter may have read the
        // answer. What comes after the work has begun is noticed before it rests.
        if let Poll::Ready(value) = poll(&mut answered) {
            return Poll::Ready(value);
        }
        if wire.read_ahead(&mut answered) {
            continue;
        }
        // A task that has had its share is called by the wire at once, and would get nowhere.
        if work.rest(context.waker(), wire.has_to_yield()) {
            return Poll::Pending;
        }
    }
}

impl Waiting {
    fn call(&self, by_wire: bool) {
        let mut queue = locked(&self.0);
        queue.calls = queue.calls.wrapping_add(1);
        queue.is_wire_due |= by_wire;
        if queue.at_work == 0 && !queue.waiting.is_empty() {
            let waiting = queue.all();
            drop(queue);
            waiting.wake();
        }
    }

    /// Whether the wire can go on and nobody has run it since; then it is the caller who does.
    pub(super) fn is_wire_due(&self) -> bool {
        std::mem::take(&mut locked(&self.0).is_wire_due)
    }

    /// Checks whether the wire can go on and has not been run since.
    pub(super) fn is_wire_called(&self) -> bool {
        locked(&self.0).is_wire_due
    }

    /// Whoever waited there does so no more.
    pub(super) fn leave(&self, place: &Place) {
        if let Some(number) = place.number {
            let waiter = locked(&self.0).remove(number);
            drop(waiter);
        }
    }

    /// Begins to run the wire, for whoever has waited in the place.
    pub(super) fn work<'w>(&'w self, place: &'w mut Place) -> Work<'w> {
        let mut queue = locked(&self.0);
        queue.at_work += 1;
        queue.is_wire_due = false;
        let calls = queue.calls;
        let waiter = place.number.and_then(|number| queue.remove(number));
        drop(queue);
        drop(waiter);
        Work {
            waiting: self,
            place,
            calls,
            is_over: false,
        }
    }
}

impl Queue {
    fn all(&mut self) -> Woken {
        match self.waiting.len() {
            // Nearly always; and so the vector keeps its memory.
            0 | 1 => Woken(self.waiting.pop(), Vec::new()),
            _ => Woken(None, std::mem::take(&mut self.waiting)),
        }
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let mut waiting = self.waiting.iter();
        let index = waiting.position(|waiter| waiter.number == number)?;
        Some(self.waiting.swap_remove(index))
    }
}

/// Those to be woken, when the lock is given back: they may do whatever they like.
#[must_use]
struct Woken(Option<Waiter>, Vec<Waiter>);

impl Woken {
    fn wake(self) {
        let mut waiters = self.0.into_iter().chain(self.1).peekable();
        while let Some(Waiter { waker, .. }) = waiters.next() {
            // Futures that are joined wait with the same waker.
            let next = waiters.peek();
            if !next.is_some_and(|next| next.waker.will_wake(&waker)) {
                waker.wake();
            }
        }
    }
}

/// Somebody who runs the wire. Whatever happens meanwhile is noticed before it ends.
pub(super) struct Work<'w> {
    waiting: &'w Waiting,
    place: &'w mut Place,
    calls: u64,
    is_over: bool,
}

impl Work<'_> {
    /// Waits for something to happen, and returns true, unless something has already: that may concern the others, too,
    /// and the wire is to be run again. Who has to yield waits anyway, and is woken at once.
    pub(super) fn rest(&mut self, waker: &Waker, has_to_yield: bool) -> bool {
        let mut queue = locked(&self.waiting.0);
        let is_called = queue.calls != self.calls;
        self.calls = queue.calls;
        self.is_over = has_to_yield || !is_called;
        if self.is_over {
            queue.at_work -= 1;
            self.place.has_waited = true;
            let number = *self.place.number.get_or_insert_with(|| {
                queue.last += 1;
                queue.last
            });
            let waker = waker.clone();
            queue.waiting.push(Waiter { number, waker });
        } else {
            queue.is_wire_due = false;
        }
        if is_called && !queue.waiting.is_empty() {
            let waiting = queue.all();
            drop(queue);
            waiting.wake();
        }
        self.is_over
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = locked(&self.waiting.0);
        queue.at_work -= 1;
        if queue.calls != self.calls && !queue.waiting.is_empty() {
            let waiting = queue.all();
            drop(queue);
            waiting.wake();
        }
    }
}

/// Wakes for the wire: it has read or written, or there is something to be written.
pub(super) struct OnWire(pub(super) Arc<Waiting>);

/// Wakes for an answer that has come.
pub(super) struct OnAnswer(pub(super) Arc<Waiting>);

impl Wake for OnWire {
    fn wake(self: Arc<Self>) {
        self.0.call(true);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.call(true);
    }
}

impl Wake for OnAnswer {
    fn wake(self: Arc<Self>) {
        self.0.call(false);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.call(false);
    }
}
