//! The tasks that wait for one connection, and the task that drives its I/O for them.
//!
//! # Idea
//! The connection has no task of its own. The future that is being polled drives the I/O: it reads
//! from the socket and writes to it for all waiters. This saves the two context switches that a
//! driver task costs each statement.
//!
//! # Invariant
//! Whenever the socket becomes ready or a response arrives, either a driver is active, and then it
//! runs the I/O once more before it parks, or all waiters are woken. Each of them can take over, so
//! that progress never depends on a future whose owner keeps it without polling it.
//!
//! # Races
//! 1. *An event arrives while a driver is active.* [`Waiters::notify`] only counts it.
//!    [`DriverGuard::park`] compares the count under the lock, and if it has changed, wakes the
//!    other waiters and lets the driver run again.
//! 2. *An event arrives between the last read and parking.* The count is compared and the waker is
//!    registered under one lock: the event is either counted before, which keeps the driver from
//!    parking, or finds the waker.
//! 3. *Another driver reads the response of a future after its first poll and before it becomes a
//!    driver.* The future is polled once more after [`Waiters::drive`] has registered it as a
//!    driver; what arrives later falls under 1.
//! 4. *A driver is dropped.* [`DriverGuard`]'s drop wakes the other waiters if anything was counted
//!    meanwhile.
//!
//! `tests/contracts/waiters.rs` compiles this file with loom's `Mutex` and checks every order of
//! its steps. The count that is compared before parking is the technique of an eventcount (Vyukov).

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::{Mutex, locked};

/// The waiters of one connection.
#[derive(Default)]
pub(super) struct Waiters(Mutex<State>);

#[derive(Default)]
struct State {
    /// The number of events so far.
    events: u64,
    /// The I/O can make progress, and no driver has run it since.
    is_io_ready: bool,
    /// The number of active drivers.
    drivers: usize,
    parked: Vec<Waiter>,
    last_number: u64,
}

struct Waiter {
    number: u64,
    waker: Waker,
}

/// The identity of a future that waits.
#[derive(Default)]
pub(super) struct WaiterId {
    number: Option<u64>,
    /// The future was pending when it parked: polling it first would be in vain.
    was_pending: bool,
}

/// The I/O of a connection.
pub(super) trait Wire {
    fn waiters(&self) -> &Waiters;

    /// Returns the waker that notifies the waiters of a response.
    fn response_waker(&self) -> &Waker;

    /// Reads and writes as far as possible without blocking.
    fn run(&self);

    /// Takes the rows that were read for results whose owners do not poll them, since they keep the
    /// I/O from going on. Returns whether there were any.
    fn read_ahead(&self, context: &mut Context<'_>) -> bool;

    /// Checks whether the task has used up its budget.
    fn has_to_yield(&self) -> bool;
}

/// Polls a future that depends on the I/O, and drives the I/O for it and for all other waiters.
pub(super) fn poll_driving<T>(
    wire: &impl Wire,
    id: &mut WaiterId,
    context: &mut Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    // Not the task's waker: the loop below polls again after each response, without a wake-up of
    // the task.
    let mut response = Context::from_waker(wire.response_waker());
    if !std::mem::take(&mut id.was_pending)
        && let Poll::Ready(value) = poll(&mut response)
    {
        return Poll::Ready(value);
    }
    let mut driver = wire.waiters().drive(id);
    loop {
        wire.run();
        // In the first round, too: see race 3.
        if let Poll::Ready(value) = poll(&mut response) {
            return Poll::Ready(value);
        }
        if wire.read_ahead(&mut response) {
            continue;
        }
        // Without budget the socket reports itself as ready immediately, and running it again would
        // get nowhere.
        if driver.park(context.waker(), wire.has_to_yield()) {
            return Poll::Pending;
        }
    }
}

impl Waiters {
    /// Counts an event. Without an active driver, all waiters are woken.
    fn notify(&self, is_io: bool) {
        let mut state = locked(&self.0);
        state.events = state.events.wrapping_add(1);
        state.is_io_ready |= is_io;
        if state.drivers == 0 && !state.parked.is_empty() {
            let parked = state.take_parked();
            drop(state);
            parked.wake();
        }
    }

    /// Checks whether the I/O can make progress, and takes the mark away: the caller runs it.
    pub(super) fn take_io_ready(&self) -> bool {
        std::mem::take(&mut locked(&self.0).is_io_ready)
    }

    /// Returns the number of events so far, and whether the I/O can make progress and has not been
    /// run since.
    pub(super) fn activity(&self) -> (u64, bool) {
        let state = locked(&self.0);
        (state.events, state.is_io_ready)
    }

    /// Removes a waiter.
    pub(super) fn remove(&self, id: &WaiterId) {
        if let Some(number) = id.number {
            let waiter = locked(&self.0).remove(number);
            drop(waiter);
        }
    }

    /// Makes a waiter a driver.
    pub(super) fn drive<'w>(&'w self, id: &'w mut WaiterId) -> DriverGuard<'w> {
        let mut state = locked(&self.0);
        state.drivers += 1;
        state.is_io_ready = false;
        let events = state.events;
        let waiter = id.number.and_then(|number| state.remove(number));
        drop(state);
        drop(waiter);
        DriverGuard {
            waiters: self,
            id,
            events,
            has_parked: false,
        }
    }
}

impl State {
    fn take_parked(&mut self) -> WakeList {
        match self.parked.len() {
            // The common case. The vector keeps its memory.
            0 | 1 => WakeList(self.parked.pop(), Vec::new()),
            _ => WakeList(None, std::mem::take(&mut self.parked)),
        }
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let mut parked = self.parked.iter();
        let index = parked.position(|waiter| waiter.number == number)?;
        Some(self.parked.swap_remove(index))
    }
}

/// Waiters to wake after the lock is released: a waker may run any code.
#[must_use]
struct WakeList(Option<Waiter>, Vec<Waiter>);

impl WakeList {
    fn wake(self) {
        let mut waiters = self.0.into_iter().chain(self.1).peekable();
        while let Some(Waiter { waker, .. }) = waiters.next() {
            // Futures of one task share a waker.
            let next = waiters.peek();
            if !next.is_some_and(|next| next.waker.will_wake(&waker)) {
                waker.wake();
            }
        }
    }
}

/// An active driver. Events during its life are counted, and handled before it ends.
pub(super) struct DriverGuard<'w> {
    waiters: &'w Waiters,
    id: &'w mut WaiterId,
    /// The number of events at the last comparison.
    events: u64,
    has_parked: bool,
}

impl DriverGuard<'_> {
    /// Registers the waker, ends the driver and returns `true`, unless an event was counted since
    /// the last comparison: then the I/O has to be run again. In both cases the other waiters are
    /// woken if there was an event. With `has_to_yield` the driver parks in any case, and its own
    /// waker is called if there was an event.
    pub(super) fn park(&mut self, waker: &Waker, has_to_yield: bool) -> bool {
        let mut state = locked(&self.waiters.0);
        let is_notified = state.events != self.events;
        self.events = state.events;
        self.has_parked = has_to_yield || !is_notified;
        if self.has_parked {
            state.drivers -= 1;
            self.id.was_pending = true;
            let number = *self.id.number.get_or_insert_with(|| {
                state.last_number += 1;
                state.last_number
            });
            let waker = waker.clone();
            state.parked.push(Waiter { number, waker });
        } else {
            state.is_io_ready = false;
        }
        if is_notified && !state.parked.is_empty() {
            let parked = state.take_parked();
            drop(state);
            parked.wake();
        }
        self.has_parked
    }
}

impl Drop for DriverGuard<'_> {
    fn drop(&mut self) {
        if self.has_parked {
            return;
        }
        let mut state = locked(&self.waiters.0);
        state.drivers -= 1;
        if state.events != self.events && !state.parked.is_empty() {
            let parked = state.take_parked();
            drop(state);
            parked.wake();
        }
    }
}

/// The waker for the socket: it is ready, or there is something to write.
pub(super) struct IoWaker(pub(super) Arc<Waiters>);

/// The waker for responses.
pub(super) struct ResponseWaker(pub(super) Arc<Waiters>);

impl Wake for IoWaker {
    fn wake(self: Arc<Self>) {
        self.0.notify(true);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify(true);
    }
}

impl Wake for ResponseWaker {
    fn wake(self: Arc<Self>) {
        self.0.notify(false);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify(false);
    }
}
