//! Checks whether each read is possible after the writes before it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::event::{Event, Key, Seen, What};
use crate::value::POISON;

/// Follows the events in their order.
#[derive(Default)]
pub struct Checker {
    keys: HashMap<Key, History>,
    /// The oldest version that a read in progress may return.
    reads: HashMap<(u32, u32, Key), Floor>,
    pub reads_ended: u64,
    /// The reads that returned a version.
    pub accepted: u64,
    pub writes_acknowledged: u64,
    pub writes_intended: u64,
    counters: HashMap<(u32, u8), u64>,
}

#[derive(Default)]
struct History {
    floor: Floor,
    /// A version that may have been committed: its writer and its class.
    intended: BTreeMap<u64, Vec<(u64, u8)>>,
    acknowledged: HashMap<u64, u64>,
    seen: HashMap<u64, u64>,
}

/// The newest version that was acknowledged, and the newest that a read has returned.
#[derive(Debug, Default, Clone, Copy)]
struct Floor {
    acknowledged: u64,
    seen: u64,
}

/// A read that cannot have been, with what was known of its key.
#[derive(Debug, Clone)]
pub struct Violation {
    pub fault: Fault,
    event: Event,
    floor: Floor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A version was read that is older than one that was acknowledged before the read began.
    OlderThanAcknowledged,
    /// A version was read that is older than one that another read had returned before this one
    /// began.
    OlderThanRead,
    /// A version was read that was undone, or of which another was committed in its place.
    RolledBack,
    /// A version was read that was never written.
    NeverWritten,
    /// Two writes were acknowledged as the same version: the writers have lost one of them.
    LostWrite,
    /// A session was found after it had ended.
    EndedSession,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fault,
            event,
            floor,
        } = self;
        write!(
            formatter,
            "{fault:?}: process {}, operation {}, {:?} of object {}: {:?}, when {} was acknowledged and {} was seen",
            event.process,
            event.operation,
            event.key.kind,
            event.key.object,
            event.what,
            floor.acknowledged,
            floor.seen
        )
    }
}

impl Checker {
    /// Takes the next event.
    pub fn follow(&mut self, event: Event) -> Result<(), Violation> {
        let history = self.keys.entry(event.key).or_default();
        let read = (event.process, event.operation, event.key);
        let verdict = match event.what {
            What::ReadBegan => {
                self.reads.insert(read, history.floor);
                None
            }
            What::ReadEnded(seen) => {
                self.reads_ended += 1;
                self.accepted += u64::from(matches!(seen, Seen::Exactly { .. }));
                let floor = self.reads.remove(&read).unwrap_or_default();
                let fault = history.judge(seen, floor);
                fault.map(|fault| (fault, floor))
            }
            What::Intended {
                version,
                writer,
                class,
            } => {
                self.writes_intended += 1;
                let writers = history.intended.entry(version).or_default();
                writers.push((writer, class));
                None
            }
            What::Acknowledged { version, writer } => {
                self.writes_acknowledged += 1;
                let fault = history.acknowledge(version, writer);
                fault.map(|fault| (fault, history.floor))
            }
            What::FoundAfterItsEnd(_) => Some((Fault::EndedSession, history.floor)),
            What::Counted { counter, at } => {
                self.counters.insert((event.process, counter), at);
                None
            }
        };
        match verdict {
            None => Ok(()),
            Some((fault, floor)) => Err(Violation {
                fault,
                event,
                floor,
            }),
        }
    }

    /// Returns the sum of a counter over all processes.
    pub fn counted(&self, counter: u8) -> u64 {
        let of_processes = self.counters.iter();
        of_processes
            .filter(|((_, which), _)| *which == counter)
            .map(|(_, at)| at)
            .sum()
    }
}

impl History {
    fn judge(&mut self, seen: Seen, floor: Floor) -> Option<Fault> {
        let (version, writer) = match seen {
            Seen::Exactly { version, writer } => (version, writer),
            Seen::Class(class) => {
                let newest = self.intended.iter().rev();
                let newest = newest
                    .filter(|(_, writers)| writers.iter().any(|(_, other)| *other == class))
                    .map(|(version, _)| *version)
                    .next();
                return older(newest?, floor);
            }
        };
        if version == POISON {
            return Some(Fault::RolledBack);
        }
        let writers = self.intended.get(&version);
        if !writers.is_some_and(|writers| writers.iter().any(|(other, _)| *other == writer)) {
            return Some(Fault::NeverWritten);
        }
        let first = *self.seen.entry(version).or_insert(writer);
        let last = *self.acknowledged.get(&version).unwrap_or(&writer);
        if first != writer || last != writer {
            return Some(Fault::RolledBack);
        }
        self.floor.seen = self.floor.seen.max(version);
        older(version, floor)
    }

    fn acknowledge(&mut self, version: u64, writer: u64) -> Option<Fault> {
        self.floor.acknowledged = self.floor.acknowledged.max(version);
        if *self.acknowledged.entry(version).or_insert(writer) != writer {
            return Some(Fault::LostWrite);
        }
        let seen = self.seen.get(&version);
        seen.filter(|seen| **seen != writer)
            .map(|_| Fault::RolledBack)
    }
}

fn older(version: u64, floor: Floor) -> Option<Fault> {
    if version < floor.acknowledged {
        Some(Fault::OlderThanAcknowledged)
    } else if version < floor.seen {
        Some(Fault::OlderThanRead)
    } else {
        None
    }
}

/// Checks that the checker finds each kind of violation.
pub fn finds_what_it_is_there_for() {
    use crate::event::{Kind, SIZE};
    let key = Key {
        object: 1,
        kind: Kind::Session,
    };
    let verdict = |history: &[(u32, What)]| {
        let mut checker = Checker::default();
        let mut verdicts = history.iter().map(|&(operation, what)| {
            let event = Event {
                key,
                process: 7,
                operation,
                what,
            };
            let bytes: [u8; SIZE] = event.encode();
            assert_eq!(Event::decode(&bytes), event);
            checker.follow(event).map_err(|violation| violation.fault)
        });
        verdicts.find_map(Result::err)
    };
    let intended = |version, writer, class| What::Intended {
        version,
        writer,
        class,
    };
    let acknowledged = |version, writer| What::Acknowledged { version, writer };
    let read = |version, writer| What::ReadEnded(Seen::Exactly { version, writer });
    let written = [(0, intended(1, 10, 1)), (0, acknowledged(1, 10))];
    let next = [(1, intended(2, 11, 2)), (1, acknowledged(2, 11))];
    let then = |more: &[(u32, What)]| verdict(&[&written, more].concat());

    // A write that is acknowledged while the read is under way may be seen, or not.
    let around = |end| then(&[&[(5, What::ReadBegan)], &next[..], &[(5, end)]].concat());
    assert_eq!(around(read(1, 10)), None);
    assert_eq!(around(read(2, 11)), None);
    let after = |end| then(&[&next[..], &[(5, What::ReadBegan), (5, end)]].concat());
    assert_eq!(after(read(2, 11)), None);
    assert_eq!(after(read(1, 10)), Some(Fault::OlderThanAcknowledged));
    assert_eq!(after(What::ReadEnded(Seen::Class(2))), None);
    let stale = after(What::ReadEnded(Seen::Class(1)));
    assert_eq!(stale, Some(Fault::OlderThanAcknowledged));

    // Not acknowledged, but seen.
    let seen = [
        next[0],
        (5, What::ReadBegan),
        (5, read(2, 11)),
        (6, What::ReadBegan),
    ];
    let again = |end| then(&[&seen[..], &[(6, end)]].concat());
    assert_eq!(again(read(2, 11)), None);
    assert_eq!(again(read(1, 10)), Some(Fault::OlderThanRead));

    assert_eq!(
        then(&[(5, What::FoundAfterItsEnd(1))]),
        Some(Fault::EndedSession)
    );
    let lost = then(&[(5, What::ReadBegan), (5, read(2, 11))]);
    assert_eq!(lost, Some(Fault::NeverWritten));
    let poisoned = then(&[(5, What::ReadBegan), (5, read(POISON, 11))]);
    assert_eq!(poisoned, Some(Fault::RolledBack));
    let other = [(2, intended(2, 12, 2)), (2, acknowledged(2, 12))];
    assert_eq!(again(other[0].1).or(None), None);
    assert_eq!(
        then(&[&seen[..], &other[..]].concat()),
        Some(Fault::RolledBack)
    );
    assert_eq!(
        then(&[&next[..], &other[..]].concat()),
        Some(Fault::LostWrite)
    );
}
