//! The settings of a process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wundr_db::cache::{Failpoint, InjectedFault};
use wundr_db::{ProjectId, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    Asynchronous,
    Blocking,
}

/// A project with all that is written and read of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Object {
    pub project: ProjectId,
    /// Whose session, role and name are written.
    pub user: UserId,
    pub email: String,
    pub token: String,
}

/// The settings of all processes of a trial. Chances are of a thousand, times in milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    pub objects: Vec<Object>,
    /// Logins of users in each process. Then the readers authenticate with them, and nothing else
    /// is written.
    pub logins: u32,
    /// In each process.
    pub readers: u32,
    pub writers: u32,
    /// The longest between two reads, or two writes, of one reader or writer.
    pub read_pause: u64,
    pub write_pause: u64,
    /// Calls of the async engine whose future is dropped.
    pub cancelled: u64,
    /// Calls of the async engine whose future is polled for a moment and then kept for seconds
    /// without being polled.
    pub kept: u64,
    /// The longest time for which a reader is stopped.
    pub kept_for: u64,
    /// Of the transactions that make everything old, those that take the session's prepared
    /// statements away.
    pub deallocated: u64,
    /// Transactions that are rolled back.
    pub poisoned: u64,
    /// Transactions that make everything old.
    pub everything: u64,
    /// Processes that die between COMMIT and `end`.
    pub deaths: u64,
    pub stalls: Vec<Stall>,
    /// The name of the fault to inject.
    pub injected_fault: Option<String>,
    /// The lifetime of entries.
    pub lifetime: u64,
    /// The lifetime of a fill lease.
    pub lease: u64,
    /// Among how many tags they are spread.
    pub shards: u16,
    /// When this machine was started, by its true clock, in milliseconds since 1970. The clocks of
    /// the processes step.
    pub started: u64,
}

/// A delay at a failpoint.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Stall {
    #[serde(with = "point")]
    pub point: Failpoint,
    pub chance: u64,
    pub at_least: u64,
    pub at_most: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    pub number: u32,
    pub engine: Engine,
    pub seed: u64,
    pub database: String,
    pub cache: String,
    pub history: PathBuf,
    pub load: Workload,
}

impl Process {
    /// The folder of the tokens of logins.
    pub fn tokens(&self) -> PathBuf {
        self.history.with_extension("tokens")
    }

    /// The number of a login among all.
    pub fn register(&self, place: u32) -> u32 {
        self.number * self.load.logins + place
    }
}

impl Workload {
    pub fn injected_fault(&self) -> Option<InjectedFault> {
        let wanted = self.injected_fault.as_deref()?;
        let is_wanted = |fault: &InjectedFault| format!("{fault:?}") == wanted;
        InjectedFault::ALL.into_iter().find(is_wanted)
    }
}

/// The crate's own type is not made to be sent.
mod point {
    use serde::{Deserialize, Deserializer, Serializer};
    use wundr_db::cache::Failpoint;

    pub fn serialize<S: Serializer>(point: &Failpoint, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(
            Failpoint::ALL
                .iter()
                .position(|other| other == point)
                .unwrap() as u8,
        )
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Failpoint, D::Error> {
        Ok(Failpoint::ALL[usize::from(u8::deserialize(deserializer)?)])
    }
}
