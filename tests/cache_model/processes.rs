//! The readers and writers, and what PostgreSQL does for them.

use super::scripts::{Generation, KEYS, Key, Lease, Redis, Version, Xid};
use super::{Cache, Flaw, Promise};

pub const READERS: usize = 2;
pub const WRITERS: usize = 2;

/// The state of a client's connection to Redis: the server that it leads to, and the generation it
/// attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    pub run: u8,
    pub generation: Generation,
}

/// The step of a reader. Between two reads, and in a bypass, it is `Idle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reading {
    Idle,
    /// Has a snapshot from before its lease, which only a flaw allows.
    Peeked(Key, Version),
    /// Was granted a lease, and has not read the database yet.
    Granted(Key, Generation),
    /// Has read the database, and is about to fill.
    Read(Key, Generation, Version),
    /// Has filled, and its followers have not received the value yet. They receive it if it was
    /// stored.
    Filled(Key, Version, bool),
    /// Waits for another reader of its process; `Version` is what had been acknowledged when it
    /// began.
    Waiting(Key, Version),
    /// Has taken a barrier for a generation, and is about to store it.
    Barrier(Generation, Xid),
    /// Has seen that all transactions below the barrier have ended, and is about to say so.
    Opening(Generation),
    /// Has read that a writer's transaction has ended, and is about to remove its fence.
    Clearing(Generation, Key, usize),
}

/// The step of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Writing {
    New,
    /// Its transaction has an xid.
    Numbered,
    /// Its SQL is done: it holds the locks of its rows.
    Written,
    /// Its fences are set, or the generation renewed.
    Fenced,
    /// PostgreSQL has committed.
    Committed,
    /// It has said `end` to Redis, or failed to.
    Ended,
    /// PostgreSQL has rolled back.
    RolledBack,
    /// It crashed, was cancelled, or lost its connection to PostgreSQL; it may have sent COMMIT.
    Gone {
        commit_sent: bool,
    },
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reader {
    pub connection: Option<Connection>,
    pub reading: Reading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    pub connection: Option<Connection>,
    pub writing: Writing,
    pub xid: Option<Xid>,
    pub running: bool,
    /// The versions that its commit made.
    pub versions: [Version; KEYS],
}

/// The observation of the last step. Without an observer only a stale response is kept, so that the
/// number of states does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    Nothing,
    StaleAnswer,
    Hit,
    HitAfterLoss,
    Filled,
    StaleFillRefused,
    Shared,
    OpenedAfterLoss,
    FenceCleared,
    BypassedFence,
    LostOnBegin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    pub redis: Redis,
    pub saved: Option<Redis>,
    /// The result of `pg_current_xact_id()` in the next transaction.
    pub next_xid: Xid,
    /// The newest committed version of each key.
    pub database: [Version; KEYS],
    /// The newest version of each key whose write was acknowledged. Not kept where more is
    /// promised.
    pub acknowledged: [Version; KEYS],
    pub readers: [Reader; READERS],
    pub writers: [Writer; WRITERS],
    pub event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderStep {
    Attach,
    Get(Key),
    Peek(Key),
    Lease(Key),
    Query,
    Fill,
    Tell,
    Wait(usize),
    TakeBarrier,
    StoreBarrier,
    CompareXmin,
    Open,
    AskStatus(Key, usize),
    Clear,
    Cancel,
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterStep {
    Again,
    Attach,
    TakeXid,
    Sql,
    Begin,
    Renew,
    Commit,
    End,
    EndFails,
    Acknowledge,
    Rollback,
    Crash,
    /// The server ends the transaction of a writer that is gone.
    LateCommit,
    LateAbort,
}

impl State {
    /// Makes or finds the generation on a new connection, which has read the server's run_id.
    fn attach(&mut self, flaw: Option<Flaw>) -> Connection {
        let generation = self.redis.attach(self.fresh_generation(), flaw);
        Connection {
            run: self.redis.run,
            generation,
        }
    }

    /// The generation by which a client may send a command: its connection leads to the server that
    /// runs.
    fn usable(&self, connection: Option<Connection>, flaw: Option<Flaw>) -> Option<Generation> {
        let reconnects = flaw == Some(Flaw::BeliefOutlivesConnection);
        let live = connection.filter(|c| c.run == self.redis.run || reconnects);
        live.map(|c| c.generation)
    }

    /// The oldest version that a read which begins now may return.
    fn floor(&self, cache: &Cache, key: Key) -> Version {
        match cache.promise {
            Promise::Acknowledged => self.acknowledged[key],
            Promise::Committed => self.database[key],
        }
    }

    /// A read that began when `floor` had been acknowledged returns.
    fn answer(&mut self, version: Version, floor: Version, event: Event) {
        let stale = version < floor || self.event == Event::StaleAnswer;
        self.event = if stale { Event::StaleAnswer } else { event };
    }

    /// `pg_snapshot_xmin(pg_current_snapshot())`.
    fn xmin(&self) -> Xid {
        let running = self.writers.iter().filter(|w| w.running);
        running.filter_map(|w| w.xid).min().unwrap_or(self.next_xid)
    }

    /// `pg_snapshot_xmax(pg_current_snapshot())`, which only a flaw uses.
    fn xmax(&self) -> Xid {
        let ended = self.writers.iter().filter(|w| !w.running);
        ended.filter_map(|w| w.xid).max().map_or(0, |xid| xid + 1)
    }

    /// Checks whether something still names a transaction by its token, which in reality is never
    /// used again.
    fn token_is_held(&self, w: usize) -> bool {
        let clearing =
            |reader: &Reader| matches!(reader.reading, Reading::Clearing(_, _, of) if of == w);
        let servers = [Some(self.redis), self.saved];
        let epochs = servers.iter().flatten().filter_map(|redis| redis.epoch);
        let mut fences = epochs.flat_map(|epoch| epoch.fences);
        self.readers.iter().any(clearing) || fences.any(|fences| fences & 1 << w != 0)
    }

    fn commit(&mut self, cache: &Cache, w: usize) {
        for &key in cache.writes[w] {
            self.database[key] += 1;
            if cache.promise == Promise::Acknowledged {
                self.writers[w].versions[key] = self.database[key];
            }
        }
        self.writers[w].running = false;
    }

    /// Takes a reader's step. `None` if it cannot be taken.
    pub fn read(&mut self, cache: &Cache, i: usize, step: ReaderStep) -> Option<()> {
        use Reading::*;
        let flaw = cache.flaw;
        let Reader {
            connection,
            reading,
        } = self.readers[i];
        let generation = self.usable(connection, flaw);
        let next = match (step, reading) {
            (ReaderStep::Attach, _) => {
                self.readers[i].connection = Some(self.attach(flaw));
                reading
            }
            (ReaderStep::Get(key), Idle) => {
                let version = self.redis.get(generation?, key, flaw)?;
                let after_loss = generation > Some(1);
                let hit = if after_loss {
                    Event::HitAfterLoss
                } else {
                    Event::Hit
                };
                self.answer(version, self.floor(cache, key), hit);
                Idle
            }
            (ReaderStep::Peek(key), Idle) if flaw == Some(Flaw::SnapshotBeforeLease) => {
                Peeked(key, self.database[key])
            }
            (ReaderStep::Lease(key), Peeked(peeked, version)) if key == peeked => {
                match self.redis.lease(generation?, key, i, flaw) {
                    Lease::Granted => Read(key, generation?, version),
                    _ => Idle,
                }
            }
            (ReaderStep::Lease(key), Idle) => match self.redis.lease(generation?, key, i, flaw) {
                Lease::Granted => Granted(key, generation?),
                Lease::Hit(version) => {
                    self.answer(version, self.floor(cache, key), Event::Hit);
                    Idle
                }
                Lease::Fenced => {
                    self.event = Event::BypassedFence;
                    Idle
                }
                Lease::Lost | Lease::Closed | Lease::Held => return None,
            },
            (ReaderStep::Query, Granted(key, g)) => Read(key, g, self.database[key]),
            (ReaderStep::Fill, Read(key, g, version)) => {
                // A command on a dead connection is a fill that is refused.
                let stored = generation.is_some() && self.redis.fill(g, key, i, version, flaw);
                let stale = version < self.floor(cache, key);
                self.event = match stored {
                    true => Event::Filled,
                    false if stale => Event::StaleFillRefused,
                    false => Event::Nothing,
                };
                let filled = Filled(key, version, stored);
                if flaw == Some(Flaw::LateWaiter) {
                    filled
                } else {
                    self.share(cache, i, filled);
                    Idle
                }
            }
            (ReaderStep::Tell, Filled(..)) => {
                self.share(cache, i, reading);
                Idle
            }
            (ReaderStep::Wait(leader), Idle) if leader != i => match self.readers[leader].reading {
                Granted(key, _) | Read(key, ..) => Waiting(key, self.floor(cache, key)),
                Filled(key, _, true) => Waiting(key, self.floor(cache, key)),
                _ => return None,
            },
            (ReaderStep::TakeBarrier, Idle) => {
                self.redis.closed(generation?)?.is_none().then_some(())?;
                let xmax = flaw == Some(Flaw::BarrierFromXmax);
                Barrier(generation?, if xmax { self.xmax() } else { self.next_xid })
            }
            (ReaderStep::StoreBarrier, Barrier(g, barrier)) => {
                let early = flaw == Some(Flaw::BarrierOlderThanGeneration);
                let g = self.redis.generation.filter(|_| early).unwrap_or(g);
                generation?;
                self.redis.set_barrier(g, barrier, flaw);
                Idle
            }
            (ReaderStep::CompareXmin, Idle) => {
                let g = generation?;
                let barrier = self.redis.closed(g)??;
                (self.xmin() >= barrier).then_some(Opening(g))?
            }
            (ReaderStep::Open, Opening(g)) => {
                generation?;
                if self.redis.open(g) && g > 1 {
                    self.event = Event::OpenedAfterLoss;
                }
                Idle
            }
            (ReaderStep::AskStatus(key, w), Idle) => {
                let fenced = self.redis.fenced(generation?, key, w);
                let ended = !self.writers[w].running || flaw == Some(Flaw::InProgressIsEnded);
                (fenced && ended).then_some(Clearing(generation?, key, w))?
            }
            (ReaderStep::Clear, Idle) if flaw == Some(Flaw::ClearsUnasked) => {
                self.redis.clear(generation?, &[0], 0);
                Idle
            }
            (ReaderStep::Clear, Clearing(g, key, w)) => {
                generation?;
                self.redis.clear(g, &[key], w);
                self.event = Event::FenceCleared;
                Idle
            }
            // Whoever waits for a reader that is gone goes on by itself.
            (ReaderStep::Cancel, Idle) => return None,
            (ReaderStep::Cancel, _) => {
                self.abandon(i);
                Idle
            }
            (ReaderStep::Crash, _) => {
                self.abandon(i);
                self.readers[i].connection = None;
                Idle
            }
            _ => return None,
        };
        self.readers[i].reading = next;
        Some(())
    }

    /// A leader shares what it has read with its followers, if it was stored.
    fn share(&mut self, cache: &Cache, leader: usize, filled: Reading) {
        let Reading::Filled(key, version, stored) = filled else {
            return;
        };
        let shared = stored || cache.flaw == Some(Flaw::RefusedFillIsShared);
        for i in (0..READERS).filter(|i| *i != leader) {
            if let Reading::Waiting(waited, floor) = self.readers[i].reading
                && waited == key
            {
                self.readers[i].reading = Reading::Idle;
                if shared {
                    self.answer(version, floor, Event::Shared);
                }
            }
        }
    }

    pub fn abandon(&mut self, leader: usize) {
        if matches!(self.readers[leader].reading, Reading::Waiting(..)) {
            return;
        }
        for reader in &mut self.readers {
            if matches!(reader.reading, Reading::Waiting(..)) {
                reader.reading = Reading::Idle;
            }
        }
    }

    /// Takes a writer's step, or PostgreSQL's for it. `None` if it cannot be taken.
    pub fn write(&mut self, cache: &Cache, w: usize, step: WriterStep) -> Option<()> {
        use Writing::*;
        let flaw = cache.flaw;
        let keys = cache.writes[w];
        let Writer {
            connection,
            writing,
            running,
            ..
        } = self.writers[w];
        let generation = self.usable(connection, flaw);
        let next = match (step, writing) {
            (WriterStep::Attach, Written) => {
                self.writers[w].connection = Some(self.attach(flaw));
                writing
            }
            (WriterStep::Again, Done) if cache.repeats && !self.token_is_held(w) => {
                self.writers[w].xid = None;
                New
            }
            (WriterStep::TakeXid, New) => {
                self.writers[w].xid = Some(self.next_xid);
                self.next_xid += 1;
                self.writers[w].running = true;
                Numbered
            }
            (WriterStep::Sql, Numbered) => {
                let locked = self
                    .writers
                    .iter()
                    .zip(cache.writes)
                    .any(|(other, theirs)| {
                        let holds = matches!(other.writing, Written | Fenced | Gone { .. });
                        holds && other.running && theirs.iter().any(|key| keys.contains(key))
                    });
                (!locked).then_some(Written)?
            }
            (WriterStep::Begin, Written) if flaw == Some(Flaw::DeleteAfterCommitOnly) => Fenced,
            (WriterStep::Begin, Written) => {
                if !self.redis.begin(generation?, keys, w) {
                    self.writers[w].connection = None;
                    self.event = Event::LostOnBegin;
                    Written
                } else {
                    Fenced
                }
            }
            (WriterStep::Renew, Written) => {
                generation?;
                self.redis.renew(self.fresh_generation(), flaw);
                Fenced
            }
            (WriterStep::Commit, Fenced) => {
                self.commit(cache, w);
                Committed
            }
            (WriterStep::End, Committed) if flaw == Some(Flaw::DeleteAfterCommitOnly) => {
                self.redis.delete(keys);
                Ended
            }
            (WriterStep::End, Committed | RolledBack) => {
                self.redis.end(keys, w);
                if writing == Committed { Ended } else { Done }
            }
            (WriterStep::End, Fenced) if flaw == Some(Flaw::EndInDoubt) => {
                self.redis.end(keys, w);
                Gone { commit_sent: true }
            }
            (WriterStep::EndFails, Committed) => Ended,
            (WriterStep::Acknowledge, Ended) => {
                for &key in keys
                    .iter()
                    .filter(|_| cache.promise == Promise::Acknowledged)
                {
                    let version = self.writers[w].versions[key];
                    self.acknowledged[key] = self.acknowledged[key].max(version);
                }
                Done
            }
            (WriterStep::Rollback, Numbered | Written | Fenced) => {
                self.writers[w].running = false;
                if writing == Fenced { RolledBack } else { Done }
            }
            (WriterStep::Crash, Numbered | Written) => Gone { commit_sent: false },
            (WriterStep::Crash, Fenced) => Gone { commit_sent: true },
            (WriterStep::Crash, Committed | Ended | RolledBack) => Done,
            (WriterStep::LateCommit, Gone { commit_sent: true }) if running => {
                self.commit(cache, w);
                Done
            }
            (WriterStep::LateAbort, Gone { .. }) if running => {
                self.writers[w].running = false;
                Done
            }
            _ => return None,
        };
        let writer = &mut self.writers[w];
        writer.writing = next;
        if next != Written {
            writer.connection = None;
        }
        if next == Done {
            writer.versions = [0; KEYS];
        }
        Some(())
    }
}
