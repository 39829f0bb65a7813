//! Reads that are sent together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::oneshot;

use super::{Link, boxed};
use crate::cache::Counters;
use crate::cache::name::{Name, Names};
use crate::cache::read::{self, Answer};

/// How many commands are under way at once. Those who come then wait for one of them to be answered, and are sent
/// together: alone, each would cost a turn of the connection's task and of the server.
const AT_ONCE: u32 = 2;

/// How many values are asked for by one command, unless one reader wants more.
const TOGETHER: usize = 128;

/// The reads of one shard's entries.
pub(crate) struct Reads {
    link: Arc<Link>,
    names: Arc<Names>,
    counters: Arc<Counters>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    under_way: u32,
    readers: Vec<Reader>,
}

struct Reader {
    names: Vec<Name>,
    answer: oneshot::Sender<RedisResult<Answer>>,
}

impl Reads {
    pub(crate) fn new(link: Arc<Link>, names: Arc<Names>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            link,
            names,
            counters,
            waiting: Mutex::default(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values under these names, and whether they are of the generation that lives. What is answered was read after
    /// this was called.
    pub(crate) async fn read(self: &Arc<Self>, names: &[&Name]) -> RedisResult<Answer> {
        match self.join(names) {
            Place::Own(turn) => {
                // Apart, so that those who go with others need not make room for it.
                let answer = boxed(self.send(names.iter().copied())).await;
                if let Err(error) = &answer {
                    self.refuse(error);
                }
                drop(turn);
                answer
            }
            Place::WithOthers(answer) => answer.await.unwrap_or_else(|_| {
                let gone = "the runtime has ended before the command was sent";
                Err((ErrorKind::Io, gone).into())
            }),
        }
    }

    fn join(self: &Arc<Self>, names: &[&Name]) -> Place {
        if let Some(turn) = self.turn(&mut self.waiting()) {
            return Place::Own(turn);
        }
        let (answer, receiver) = oneshot::channel();
        let names = names.iter().map(|name| (*name).clone()).collect();
        let reader = Reader { names, answer };
        let mut waiting = self.waiting();
        // One may have ended meanwhile, and nobody else would send for this reader.
        if let Some(turn) = self.turn(&mut waiting) {
            return Place::Own(turn);
        }
        waiting.readers.push(reader);
        Place::WithOthers(receiver)
    }

    fn turn(self: &Arc<Self>, waiting: &mut Waiting) -> Option<Turn> {
        (waiting.under_way < AT_ONCE).then(|| {
            waiting.under_way += 1;
            Turn(Arc::clone(self))
        })
    }

    async fn send(&self, names: impl Iterator<Item = &Name> + Clone) -> RedisResult<Answer> {
        let command = read::command(&self.names, names);
        let answer = self.link.send(&command, &self.counters).await?;
        Answer::of(&self.names, answer)
    }

    /// Whom a command that has ended makes way for: those who wait and have not gone, as many as are asked for together.
    fn next(&self) -> Vec<Reader> {
        let mut waiting = self.waiting();
        waiting.readers.retain(|reader| !reader.answer.is_closed());
        let mut values = 0;
        let beyond = waiting.readers.iter().position(|reader| {
            values += reader.names.len();
            values > TOGETHER
        });
        let count = beyond.map_or(waiting.readers.len(), |beyond| beyond.max(1));
        if count == 0 {
            // At once with the look: who came between would wait for nobody.
            waiting.under_way -= 1;
        }
        waiting.readers.drain(..count).collect()
    }

    /// Those who wait need not find out for themselves, and wait for an answer once more.
    fn refuse(&self, error: &RedisError) {
        let readers = std::mem::take(&mut self.waiting().readers);
        for reader in readers {
            let _ = reader.answer.send(Err(error.clone()));
        }
    }

    /// Nobody can send for those who wait, who are told so.
    fn give_up(&self) {
        let mut waiting = self.waiting();
        waiting.under_way -= 1;
        waiting.readers.clear();
    }

    async fn send_together(&self, readers: Vec<Reader>) {
        let names = readers.iter().flat_map(|reader| &reader.names);
        let mut answer = match self.send(names).await {
            Ok(answer) => Ok(answer.shared()),
            Err(error) => {
                self.refuse(&error);
                Err(error)
            }
        };
        for reader in readers {
            let own = match &mut answer {
                Ok(answer) => Ok(answer.next(reader.names.len())),
                Err(error) => Err(error.clone()),
            };
            // Who has gone meanwhile does not miss it.
            let _ = reader.answer.send(own);
        }
    }
}

enum Place {
    Own(Turn),
    WithOthers(oneshot::Receiver<RedisResult<Answer>>),
}

/// One of the commands that are under way. At its end, be it that the reader has gone, it goes to those who wait.
struct Turn(Arc<Reads>);

impl Drop for Turn {
    fn drop(&mut self) {
        let readers = self.0.next();
        if readers.is_empty() {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let turn = Self(Arc::clone(&self.0));
                runtime.spawn(async move { turn.0.send_together(readers).await });
            }
            Err(_) => self.0.give_up(),
        }
    }
}
