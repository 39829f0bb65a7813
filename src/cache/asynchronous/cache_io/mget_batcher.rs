//! Reads that are sent together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::oneshot;

use super::{RedisConnection, boxed};
use crate::cache::Counters;
use crate::cache::keys::{EntryKey, KeySpace};
use crate::cache::mget::{self, MgetReply};

/// The number of commands in flight from which on reads are sent together.
///
/// A reader sends by itself as long as fewer are under way. Readers that come then are sent
/// together by a task: alone, each would cost a wake-up of the connection's task and of the server.
/// They wait for tasks only, never for a reader, whose future may be kept without being polled.
const IN_FLIGHT: u32 = 2;

/// The number of values that one command reads, unless one reader wants more.
const MAX_VALUES: usize = 128;

/// The reads of one shard's entries.
pub(crate) struct MgetBatcher {
    connection: Arc<RedisConnection>,
    key_space: Arc<KeySpace>,
    counters: Arc<Counters>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Commands that a reader has sent by itself.
    alone: u32,
    /// Tasks that send for the readers that wait. As long as some wait, there is one.
    tasks: u32,
    /// Tasks of an earlier round have stood still for too long, and do not count any more.
    round: u32,
    readers: Vec<Reader>,
}

struct Reader {
    keys: Vec<EntryKey>,
    reply: oneshot::Sender<RedisResult<MgetReply>>,
}

impl MgetBatcher {
    pub(crate) fn new(
        connection: Arc<RedisConnection>,
        key_space: Arc<KeySpace>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection,
            key_space,
            counters,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the values under these keys, and whether their generation is the current one. The
    /// server reads them after this call has begun.
    pub(crate) async fn read(self: &Arc<Self>, keys: &[&EntryKey]) -> RedisResult<MgetReply> {
        match self.join(keys) {
            Dispatch::Direct(permit) => {
                // Boxed, so that it does not enlarge the future of readers that join others.
                let reply = boxed(self.send(keys.iter().copied())).await;
                if let Err(error) = &reply {
                    self.refuse(error);
                }
                drop(permit);
                reply
            }
            Dispatch::Batched(reply) => boxed(self.wait(reply)).await,
        }
    }

    /// Waits for a task's reply. A task sends the command immediately, or after the one that it
    /// waits for.
    async fn wait(
        &self,
        reply: oneshot::Receiver<RedisResult<MgetReply>>,
    ) -> RedisResult<MgetReply> {
        let patience = self.connection.response_timeout.saturating_mul(2);
        match tokio::time::timeout(patience, reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => {
                let gone = "the runtime has ended before the command was sent";
                Err((ErrorKind::Io, gone).into())
            }
            Err(_) => {
                // The runtime of the task stands still. The next reader starts another task.
                let mut waiting = self.waiting();
                waiting.round = waiting.round.wrapping_add(1);
                waiting.tasks = 0;
                waiting.readers.clear();
                let stalled = "the runtime that sends the command stands still";
                Err((ErrorKind::Io, stalled).into())
            }
        }
    }

    fn join(self: &Arc<Self>, keys: &[&EntryKey]) -> Dispatch {
        if let Some(permit) = self.permit(&mut self.waiting()) {
            return Dispatch::Direct(permit);
        }
        let (reply, receiver) = oneshot::channel();
        let keys = keys.iter().map(|key| (*key).clone()).collect();
        let reader = Reader { keys, reply };
        let mut waiting = self.waiting();
        // One may have ended meanwhile.
        if let Some(permit) = self.permit(&mut waiting) {
            return Dispatch::Direct(permit);
        }
        waiting.readers.push(reader);
        let task = (waiting.tasks == 0).then(|| self.task(&mut waiting));
        drop(waiting);
        task.into_iter().for_each(Task::start);
        Dispatch::Batched(receiver)
    }

    fn permit(self: &Arc<Self>, waiting: &mut Waiting) -> Option<Permit> {
        (waiting.alone + waiting.tasks < IN_FLIGHT).then(|| {
            waiting.alone += 1;
            Permit(Arc::clone(self))
        })
    }

    /// Creates a task, to be started after the lock is released.
    fn task(self: &Arc<Self>, waiting: &mut Waiting) -> Task {
        waiting.tasks += 1;
        Task {
            reads: Arc::clone(self),
            round: waiting.round,
            is_over: false,
        }
    }

    async fn send(&self, keys: impl Iterator<Item = &EntryKey> + Clone) -> RedisResult<MgetReply> {
        let command = mget::command(&self.key_space, keys);
        let reply = self.connection.send(&command, &self.counters).await?;
        MgetReply::of(&self.key_space, reply)
    }

    /// Fails the waiting readers with the error, so that they do not wait for a response of their
    /// own.
    fn refuse(&self, error: &RedisError) {
        let readers = std::mem::take(&mut self.waiting().readers);
        for reader in readers {
            let _ = reader.reply.send(Err(error.clone()));
        }
    }

    async fn send_together(&self, readers: Vec<Reader>) {
        let keys = readers.iter().flat_map(|reader| &reader.keys);
        let mut reply = match self.send(keys).await {
            Ok(reply) => Ok(reply.shared()),
            Err(error) => {
                self.refuse(&error);
                Err(error)
            }
        };
        for reader in readers {
            let own = match &mut reply {
                Ok(reply) => Ok(reply.next(reader.keys.len())),
                Err(error) => Err(error.clone()),
            };
            // Fails if the reader has been dropped.
            let _ = reader.reply.send(own);
        }
    }
}

impl Waiting {
    /// Returns waiting readers that are still there, as many as one command reads.
    fn next(&mut self) -> Vec<Reader> {
        self.readers.retain(|reader| !reader.reply.is_closed());
        let mut values = 0;
        let beyond = self.readers.iter().position(|reader| {
            values += reader.keys.len();
            values > MAX_VALUES
        });
        let count = beyond.map_or(self.readers.len(), |beyond| beyond.max(1));
        self.readers.drain(..count).collect()
    }
}

enum Dispatch {
    Direct(Permit),
    Batched(oneshot::Receiver<RedisResult<MgetReply>>),
}

/// A command that a reader has sent by itself.
struct Permit(Arc<MgetBatcher>);

impl Drop for Permit {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.alone -= 1;
        // Starts a task for the waiting readers, within the number of commands in flight.
        let helps = !waiting.readers.is_empty() && waiting.alone + waiting.tasks < IN_FLIGHT;
        let task = helps.then(|| self.0.task(&mut waiting));
        drop(waiting);
        task.into_iter().for_each(Task::start);
    }
}

/// A task that sends commands for waiting readers until there are none.
struct Task {
    reads: Arc<MgetBatcher>,
    round: u32,
    is_over: bool,
}

impl Task {
    fn start(mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                while let Some(readers) = self.next() {
                    self.reads.send_together(readers).await;
                }
            });
        }
    }

    fn next(&mut self) -> Option<Vec<Reader>> {
        let mut waiting = self.reads.waiting();
        if waiting.round != self.round {
            self.is_over = true;
            return None;
        }
        let readers = waiting.next();
        if readers.is_empty() {
            // Under the same lock as the check: a reader that joined in between would wait for
            // nothing.
            waiting.tasks -= 1;
            self.is_over = true;
            return None;
        }
        Some(readers)
    }
}

impl Drop for Task {
    /// Fails the waiting readers: a task ends early only with its runtime.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut waiting = self.reads.waiting();
        if waiting.round == self.round {
            waiting.tasks -= 1;
            if waiting.tasks == 0 {
                waiting.readers.clear();
            }
        }
    }
}
