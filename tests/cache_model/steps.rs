//! The possible next steps, and the invariant that each must keep.

use stateright::{Model, Property};

use super::processes::{
    Event, READERS, Reader, ReaderStep, Reading, State, WRITERS, Writer, WriterStep, Writing,
};
use super::scripts::{KEYS, Key, Redis};
use super::{Cache, Fault, Flaw, STALE};

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Reader(usize, ReaderStep),
    Writer(usize, WriterStep),
    Redis(Fault),
    Evict(Key),
    ExpireLease(Key),
    ExpireFences(usize),
}

impl State {
    /// Redis loses something. `None` if it cannot.
    fn lose(&mut self, fault: Fault) -> Option<()> {
        let run = self.redis.run;
        match fault {
            Fault::Save => self.saved = self.saved.is_none().then_some(Some(self.redis))?,
            Fault::Flush => self.redis = Redis::started(run),
            Fault::RestartEmpty => self.redis = Redis::started(self.fresh_run()),
            Fault::RestartFromSnapshot => {
                self.redis = Redis {
                    run: self.fresh_run(),
                    ..self.saved.take()?
                };
            }
            Fault::ReturnUnderOldRun => {
                self.redis = self.saved.take()?;
                self.readers
                    .iter_mut()
                    .for_each(|reader| reader.connection = None);
                self.writers
                    .iter_mut()
                    .for_each(|writer| writer.connection = None);
            }
            Fault::EvictGeneration => drop(self.redis.generation.take()?),
            Fault::EvictEpoch => drop(self.redis.epoch.take()?),
        }
        Some(())
    }
}

impl Model for Cache {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let reader = Reader {
            connection: None,
            reading: Reading::Idle,
        };
        let writer = Writer {
            connection: None,
            writing: Writing::New,
            xid: None,
            running: false,
            versions: [0; KEYS],
        };
        vec![State {
            redis: Redis::started(0),
            saved: None,
            next_xid: 0,
            database: [0; KEYS],
            acknowledged: [0; KEYS],
            readers: [reader; READERS],
            writers: [writer; WRITERS],
            event: Event::Nothing,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.event == Event::StaleAnswer {
            return;
        }
        for i in 0..self.readers {
            let mut push = |step| actions.push(Action::Reader(i, step));
            use ReaderStep::*;
            match state.readers[i].reading {
                Reading::Idle => {
                    let steps = [Attach, TakeBarrier, CompareXmin, Clear, Crash];
                    steps.into_iter().for_each(&mut push);
                    (0..READERS).map(Wait).for_each(&mut push);
                    for key in 0..self.keys() {
                        let steps = [Get(key), Peek(key), Lease(key)];
                        steps.into_iter().for_each(&mut push);
                        (0..self.writers()).for_each(|w| push(AskStatus(key, w)));
                    }
                }
                Reading::Peeked(key, _) => push(Lease(key)),
                _ => {
                    let steps = [
                        Attach,
                        Query,
                        Fill,
                        Tell,
                        StoreBarrier,
                        Open,
                        Clear,
                        Cancel,
                        Crash,
                    ];
                    steps.into_iter().for_each(&mut push);
                }
            }
        }
        for w in 0..self.writers() {
            use WriterStep::*;
            let steps = [
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
                LateCommit,
                LateAbort,
            ];
            actions.extend(steps.map(|step| Action::Writer(w, step)));
        }
        actions.extend(self.faults.iter().map(|fault| Action::Redis(*fault)));
        for key in 0..self.keys() {
            actions.extend([Action::Evict(key), Action::ExpireLease(key)]);
        }
        if self.flaw == Some(Flaw::FenceExpires) {
            actions.extend((0..self.writers()).map(Action::ExpireFences));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = *last;
        next.event = Event::Nothing;
        match action {
            Action::Reader(i, step) => next.read(self, i, step)?,
            Action::Writer(w, step) => next.write(self, w, step)?,
            Action::Redis(fault) => next.lose(fault)?,
            Action::Evict(key) => drop(next.redis.values[key].take()?),
            Action::ExpireLease(key) => drop(next.redis.leases[key].take()?),
            Action::ExpireFences(w) => {
                next.redis.end(self.writes[w], w);
            }
        }
        if self.merges {
            next.forget(self);
        }
        if !self.watched && next.event != Event::StaleAnswer {
            next.event = Event::Nothing;
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![Property::always(STALE, |_, state: &State| {
            state.event != Event::StaleAnswer
        })];
        if self.watched {
            macro_rules! sometimes {
                ($($name:literal: $event:ident,)*) => { properties.extend([$(
                    Property::sometimes($name, |_: &Self, state: &State| state.event == Event::$event)
                ),*]) }
            }
            sometimes! {
                "a hit": Hit,
                "a hit in a generation that was made after a loss": HitAfterLoss,
                "a fill": Filled,
                "a stale fill is refused": StaleFillRefused,
                "a waiter takes the leader's value": Shared,
                "a generation is opened after a loss": OpenedAfterLoss,
                "a fence is cleared by a reader": FenceCleared,
                "a fence makes a reader bypass": BypassedFence,
                "a writer finds the generation lost": LostOnBegin,
            }
        }
        properties
    }
}
