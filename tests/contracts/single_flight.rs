//! The flights of the async engine's cache, checked by loom in every order of their steps.
//!
//! The file under test is the crate's own, compiled here with loom's `Mutex` and a watch channel
//! made of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Mutex, MutexGuard};

type EntryKey = u32;

/// The part of tokio's channel of the same name that the file uses.
mod watch {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::{Poll, Waker};

    use loom::sync::Mutex;

    #[derive(Default)]
    struct State<T> {
        value: T,
        is_closed: bool,
        wakers: Vec<Waker>,
    }

    impl<T> State<T> {
        fn wake(&mut self) -> Vec<Waker> {
            std::mem::take(&mut self.wakers)
        }
    }

    pub struct Sender<T>(Arc<Mutex<State<T>>>);

    pub struct Receiver<T>(Arc<Mutex<State<T>>>);

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        let state = Arc::new(Mutex::new(State {
            value,
            is_closed: false,
            wakers: Vec::new(),
        }));
        (Sender(Arc::clone(&state)), Receiver(state))
    }

    impl<T> Sender<T> {
        pub fn subscribe(&self) -> Receiver<T> {
            Receiver(Arc::clone(&self.0))
        }

        pub fn send_replace(&self, value: T) {
            let mut state = self.0.lock().unwrap();
            state.value = value;
            let wakers = state.wake();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let mut state = self.0.lock().unwrap();
            state.is_closed = true;
            let wakers = state.wake();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    impl<T: Clone> Receiver<T> {
        pub fn same_channel(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.0, &other.0)
        }

        pub async fn wait_for(&mut self, is_awaited: impl Fn(&T) -> bool) -> Result<T, ()> {
            poll_fn(|context| {
                let mut state = self.0.lock().unwrap();
                if is_awaited(&state.value) {
                    Poll::Ready(Ok(state.value.clone()))
                } else if state.is_closed {
                    Poll::Ready(Err(()))
                } else {
                    state.wakers.push(context.waker().clone());
                    Poll::Pending
                }
            })
            .await
        }
    }
}

/// A follower with a patience of zero gives up immediately, and one with a longer patience never
/// does.
async fn timeout<T>(patience: Duration, work: impl Future<Output = T>) -> Result<T, ()> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        std::task::Poll::Pending if patience.is_zero() => std::task::Poll::Ready(Err(())),
        poll => poll.map(Ok),
    })
    .await
}

#[allow(
    clippy::clone_on_copy,
    reason = "the names of entries are numbers here"
)]
#[path = "../../src/cache/asynchronous/cache_io/single_flight.rs"]
mod subject;

use subject::{Flight, Follower, Leader, SingleFlight};

const ENTRY: EntryKey = 7;
const FOR_EVER: Duration = Duration::MAX;

/// A database with one row, and the part of the cache that decides about fills.
#[derive(Default)]
struct Servers {
    version: AtomicU32,
    fence: Mutex<Fence>,
}

#[derive(Default)]
struct Fence {
    is_set: bool,
    /// The number of times that the leases were deleted.
    deletions: u32,
}

impl Servers {
    /// Returns the lease to fill the entry, unless it is fenced.
    fn lease(&self) -> Option<u32> {
        let fence = self.fence.lock().unwrap();
        (!fence.is_set).then_some(fence.deletions)
    }

    /// Fences the entry, commits, and removes the fence. The write is acknowledged then.
    fn write(&self, version: u32) {
        let mut fence = self.fence.lock().unwrap();
        fence.is_set = true;
        fence.deletions += 1;
        drop(fence);
        self.version.store(version, Ordering::SeqCst);
        self.fence.lock().unwrap().is_set = false;
    }

    fn lead(&self, mut leader: Leader) -> u32 {
        let lease = self.lease();
        let version = self.version.load(Ordering::SeqCst);
        leader.close();
        // Accepted if the lease is still there.
        if lease.is_some() && self.lease() == lease {
            leader.share(Arc::new(version));
        }
        version
    }

    /// A read, as the cache does it.
    fn read(&self, flights: &SingleFlight) -> u32 {
        match flights.join(&ENTRY) {
            Flight::Leader(leader) => self.lead(leader),
            Flight::Follower(following) => {
                wait(following, FOR_EVER).unwrap_or_else(|| self.version.load(Ordering::SeqCst))
            }
        }
    }
}

fn wait(following: Follower, patience: Duration) -> Option<u32> {
    let shared: Option<Arc<dyn Any + Send + Sync>> =
        loom::future::block_on(following.wait(patience));
    shared.map(|value| *value.downcast_ref::<u32>().unwrap())
}

fn check(bound: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(model);
}

/// Every reader ends, and reads nothing older than what was acknowledged before it began.
#[test]
fn no_reader_waits_for_ever_or_shares_what_is_older_than_an_acknowledged_write() {
    check(3, || {
        let servers = Arc::<Servers>::default();
        let flights = SingleFlight::default();
        let reader = |is_writer: bool| {
            let (servers, flights) = (Arc::clone(&servers), flights.clone());
            move || {
                if is_writer {
                    servers.write(1);
                }
                let version = servers.read(&flights);
                assert!(version == 1 || !is_writer, "the write is not seen");
            }
        };
        let other = loom::thread::spawn(reader(false));
        let writer = loom::thread::spawn(reader(true));
        reader(false)();
        other.join().unwrap();
        writer.join().unwrap();
        // No flight is left over.
        assert!(matches!(flights.join(&ENTRY), Flight::Leader(_)));
    });
}

/// A leader that goes without a value wakes its followers.
#[test]
fn the_followers_of_a_leader_that_goes_are_woken() {
    check(3, || {
        let flights = SingleFlight::default();
        let Flight::Leader(leader) = flights.join(&ENTRY) else {
            panic!("a flight before the first");
        };
        let follower = loom::thread::spawn({
            let flights = flights.clone();
            move || match flights.join(&ENTRY) {
                Flight::Follower(following) => assert_eq!(wait(following, FOR_EVER), None),
                Flight::Leader(_) => {}
            }
        });
        drop(leader);
        follower.join().unwrap();
    });
}

/// A leader that is kept blocks no reader: the flight that a follower leaves is closed, and no
/// other.
#[test]
fn a_leader_that_is_kept_closes_no_later_flight() {
    check(3, || {
        let flights = SingleFlight::default();
        let Flight::Leader(kept) = flights.join(&ENTRY) else {
            panic!("a flight before the first");
        };
        let Flight::Follower(impatient) = flights.join(&ENTRY) else {
            panic!("the flight is not open");
        };
        let others = loom::thread::spawn({
            let flights = flights.clone();
            move || {
                assert_eq!(wait(impatient, Duration::ZERO), None);
                let Flight::Leader(leader) = flights.join(&ENTRY) else {
                    panic!("the flight of a leader that is kept is still open");
                };
                let Flight::Follower(following) = flights.join(&ENTRY) else {
                    panic!("the later flight was closed by another");
                };
                leader.share(Arc::new(3_u32));
                assert_eq!(wait(following, FOR_EVER), Some(3));
            }
        });
        drop(kept);
        others.join().unwrap();
    });
}
