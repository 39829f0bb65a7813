//! The events of the processes: one file that all of them append to.
//!
//! Its order is the clock. A record is written before a call and another after it, each by one
//! system call to the end of the file, so that a record that stands before another was written
//! before it, whichever process wrote them. The records have one size that divides a page, so that
//! a process that is killed leaves none by halves.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// An entry of the cache that is written and read: an object's number and a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub object: u32,
    pub kind: Kind,
}

macro_rules! kinds {
    ($($kind:ident),+) => {
        /// The value that was read of an object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($kind),+ }

        impl Kind {
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];
        }
    };
}

kinds! { Project, User, Session, Role, Latest, Configuration, Login }

impl Kind {
    /// The kinds that an object has. A login is a register of its own, see `logins`.
    pub const OF_OBJECTS: &'static [Self] = &[
        Self::Project,
        Self::User,
        Self::Session,
        Self::Role,
        Self::Latest,
        Self::Configuration,
    ];
}

/// The part of a row that identifies its writer. Most rows identify it; a role, or the absence of a
/// session, only its class the version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Exactly { version: u64, writer: u64 },
    Class(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    ReadBegan,
    ReadEnded(Seen),
    /// A writer is about to write this version, and may commit it.
    Intended {
        version: u64,
        writer: u64,
        class: u8,
    },
    /// Its commit was acknowledged.
    Acknowledged {
        version: u64,
        writer: u64,
    },
    /// A session was found so many milliseconds after it had ended.
    FoundAfterItsEnd(u64),
    /// A counter of the process stands at this.
    Counted {
        counter: u8,
        at: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub key: Key,
    pub process: u32,
    pub operation: u32,
    pub what: What,
}

pub const SIZE: usize = 32;

impl Event {
    pub fn encode(&self) -> [u8; SIZE] {
        let (tag, class, first, second) = match self.what {
            What::ReadBegan => (0, 0, 0, 0),
            What::ReadEnded(Seen::Exactly { version, writer }) => (1, 0, version, writer),
            What::ReadEnded(Seen::Class(class)) => (2, class, 0, 0),
            What::Intended {
                version,
                writer,
                class,
            } => (3, class, version, writer),
            What::Acknowledged { version, writer } => (4, 0, version, writer),
            What::Counted { counter, at } => (5, counter, at, 0),
            What::FoundAfterItsEnd(late) => (6, 0, late, 0),
        };
        let mut bytes = [0; SIZE];
        bytes[..3].copy_from_slice(&[tag, class, self.key.kind as u8]);
        bytes[12..16].copy_from_slice(&self.key.object.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.process.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.operation.to_le_bytes());
        bytes[16..24].copy_from_slice(&first.to_le_bytes());
        bytes[24..].copy_from_slice(&second.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8; SIZE]) -> Self {
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let short = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (first, second) = (long(16), long(24));
        let what = match bytes[0] {
            0 => What::ReadBegan,
            1 => What::ReadEnded(Seen::Exactly {
                version: first,
                writer: second,
            }),
            2 => What::ReadEnded(Seen::Class(bytes[1])),
            3 => What::Intended {
                version: first,
                writer: second,
                class: bytes[1],
            },
            4 => What::Acknowledged {
                version: first,
                writer: second,
            },
            5 => What::Counted {
                counter: bytes[1],
                at: first,
            },
            6 => What::FoundAfterItsEnd(first),
            other => panic!("{other} is no record"),
        };
        Self {
            key: Key {
                object: short(12),
                kind: Kind::ALL[usize::from(bytes[2])],
            },
            process: short(4),
            operation: short(8),
            what,
        }
    }
}

/// A process's end of the file.
pub struct Log {
    file: File,
    process: u32,
    operations: AtomicU32,
}

impl Log {
    pub fn open(path: &Path, process: u32) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Self {
            file,
            process,
            operations: AtomicU32::new(0),
        })
    }

    /// The number of a new operation.
    pub fn operation(&self) -> u32 {
        self.operations.fetch_add(1, Ordering::Relaxed)
    }

    /// The writer, as a unique number.
    pub fn writer(&self, operation: u32) -> u64 {
        u64::from(self.process) << 32 | u64::from(operation)
    }

    pub fn note(&self, key: Key, operation: u32, what: What) {
        let event = Event {
            key,
            process: self.process,
            operation,
            what,
        };
        (&self.file).write_all(&event.encode()).unwrap();
    }

    pub fn count(&self, counter: u8, at: u64) {
        let key = Key {
            object: 0,
            kind: Kind::Project,
        };
        self.note(key, 0, What::Counted { counter, at });
    }
}

/// Reads what has come to the file since the last time.
pub struct Events {
    file: File,
    rest: Vec<u8>,
}

impl Events {
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            rest: Vec::new(),
        })
    }

    pub fn next(&mut self) -> io::Result<Vec<Event>> {
        self.file.read_to_end(&mut self.rest)?;
        let events = self.rest.as_chunks::<SIZE>();
        let decoded = events.0.iter().map(Event::decode).collect();
        self.rest = events.1.to_vec();
        Ok(decoded)
    }
}
