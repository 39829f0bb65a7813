//! The cache's protocol as a model, of which a checker tries every order of steps.
//!
//! This is the protocol's reference: [`scripts`] are the Lua scripts, each one atomic step on one
//! server, [`processes`] what readers and writers do between them, and what PostgreSQL does
//! meanwhile, [`steps`] what else may happen. [`forget`] merges states that cannot be
//! distinguished, which leaves few enough of them to try all: two readers and two writers that go
//! on for ever, while the server is flushed, restarted and evicts what it likes, any number of
//! times.
//!
//! # What is promised
//!
//! `Promise::Acknowledged` is the guarantee: no read returns a version older than the newest whose
//! write was acknowledged before the read began. `Promise::Committed` is more, and what the
//! protocol is checked for: no read returns a version older than what PostgreSQL had committed when
//! the read began, acknowledged or not. Since nothing is acknowledged before it is committed, the
//! second implies the first. Most flaws below break even the first.
//!
//! # What a step is
//!
//! A step is atomic where one server makes it so: a script, a snapshot, a commit. Between any two
//! steps anything else may happen, and a reader or writer may be cancelled or crash. Two steps of a
//! client are drawn together only where what lies between could not matter:
//!
//! - A read begins with the command that answers it, or with the waiting for another reader. Had it
//!   begun earlier, less would be demanded of it. A miss is no step: `lease` looks at everything
//!   again.
//! - A bypass and a reader's own database read return what is committed at a moment after the
//!   read's begin. They cannot be stale, and are no steps.
//! - What a reader learned about a generation from `lease` (that there is no barrier, what it is,
//!   which writer has a fence) it learns in the step in which it uses it: a barrier is never
//!   changed, and a fence's token never used again. If the generation is another by then, the
//!   script that follows does nothing.
//! - A command that a client no longer waits for is a client that is slow and cancels afterwards.
//! - An acknowledgement is a step of its own after `end`, and `end` may fail.
//!
//! Time is left out: leases and values may vanish at any moment, fences may be asked about at any
//! moment. Tokens, generations and run_ids are small numbers, given again only when no process
//! holds them. xids are counted for writers only, and taken before the row locks, so their order is
//! not the order of commits. A client notices that the server is another only by its connection,
//! which then lets nothing through. Schema versions are left out: `begin` deletes the values of all
//! of them in one step.
//!
//! Assumed: one server at a time takes commands, and never goes back to old data under its old
//! run_id (`the_assumption_about_run_ids_is_needed`).

mod forget;
mod logins;
mod processes;
mod scripts;
mod steps;

use std::collections::BTreeSet;

use scripts::Key;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// The faults of the server, any number of times. (Single values and leases may always vanish.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// FLUSHALL.
    Flush,
    /// An empty server takes its place.
    RestartEmpty,
    /// `G` is evicted.
    EvictGeneration,
    /// `E(g)` is evicted.
    EvictEpoch,
    /// A snapshot is taken, if there is none.
    Save,
    /// A server starts from the snapshot.
    RestartFromSnapshot,
    /// The server goes back to the snapshot and keeps its run_id.
    ReturnUnderOldRun,
}

const LOSSES: &[Fault] = &[
    Fault::Flush,
    Fault::RestartEmpty,
    Fault::EvictGeneration,
    Fault::EvictEpoch,
];
const SNAPSHOTS: &[Fault] = &[Fault::Save, Fault::RestartFromSnapshot];
const LOSSES_AND_SNAPSHOTS: &[Fault] = &[
    Fault::Flush,
    Fault::RestartEmpty,
    Fault::EvictGeneration,
    Fault::EvictEpoch,
    Fault::Save,
    Fault::RestartFromSnapshot,
];

/// The version than which no read may return an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The newest version whose write was acknowledged before the read began.
    Acknowledged,
    /// The version that was committed when the read began.
    Committed,
}

/// One deviation from the protocol. The last two are harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A writer sets no fence, and deletes the values after its commit.
    DeleteAfterCommitOnly,
    /// `fill` does not look for the reader's nonce.
    UnguardedFill,
    /// A fence vanishes by itself.
    FenceExpires,
    /// The followers take what the leader has read although its fill was refused.
    RefusedFillIsShared,
    /// Readers may still begin to wait for a leader that has filled.
    LateWaiter,
    /// A generation is open from the beginning.
    NoBarrier,
    /// The barrier is `pg_snapshot_xmax`, one more than the highest xid that has ended.
    BarrierFromXmax,
    /// A barrier is stored for another generation than it was taken in.
    BarrierOlderThanGeneration,
    /// Storing a barrier makes `E(g)` if it is not there.
    BarrierMakesEpoch,
    /// A hit does not look at `G`.
    HitIgnoresGeneration,
    /// `attach` does not compare run_ids.
    RestoredSnapshotAccepted,
    /// A client that has to connect again continues without `attach`.
    BeliefOutlivesConnection,
    /// Readers remove fences without a word to PostgreSQL.
    ClearsUnasked,
    /// Readers remove fences of transactions that are in progress.
    InProgressIsEnded,
    /// A writer that does not know its commit's fate removes its fence.
    EndInDoubt,
    /// `lease` does not look for fences.
    LeaseIgnoresFences,
    /// A reader fills what it had read before it was granted the lease.
    SnapshotBeforeLease,
    /// A barrier that is stored later takes the place of the first.
    NewerBarrierReplaces,
    /// `fill` looks for the nonce only.
    FillIgnoresFences,
}

/// The settings of an exploration.
#[derive(Clone, Debug)]
pub struct Cache {
    readers: usize,
    /// The keys that each writer writes.
    writes: &'static [&'static [Key]],
    faults: &'static [Fault],
    promise: Promise,
    flaw: Option<Flaw>,
    /// A writer that is done begins another transaction.
    repeats: bool,
    /// States without a relevant difference are merged.
    merges: bool,
    /// Events are part of a state.
    watched: bool,
}

impl Cache {
    fn sound(readers: usize, writes: &'static [&'static [Key]], faults: &'static [Fault]) -> Self {
        Self {
            readers,
            writes,
            faults,
            promise: Promise::Committed,
            flaw: None,
            repeats: true,
            merges: true,
            watched: false,
        }
    }

    /// One writer of one key. Without merging: a flaw may bring back what is past.
    fn flawed(flaw: Flaw, readers: usize, faults: &'static [Fault]) -> Self {
        Self {
            promise: Promise::Acknowledged,
            flaw: Some(flaw),
            merges: false,
            ..Self::sound(readers, &[&[0]], faults)
        }
    }

    fn writers(&self) -> usize {
        self.writes.len()
    }

    fn keys(&self) -> usize {
        let keys = self.writes.iter().flat_map(|keys| keys.iter());
        keys.max().map_or(0, |key| key + 1)
    }

    /// Tries everything, or everything in so many steps.
    fn holds(self, steps: Option<usize>) {
        let checker = self.checker().finish_when(HasDiscoveries::AnyFailures);
        let checker = match steps {
            Some(steps) => checker.target_max_depth(steps),
            None => checker,
        };
        let checker = checker.spawn_bfs().join();
        println!(
            "{} states, {} steps deep",
            checker.unique_state_count(),
            checker.max_depth()
        );
        if let Some(path) = checker.discovery(STALE) {
            panic!("a stale answer after {:#?}", path.into_actions());
        }
    }

    /// Finds a stale answer, and prints how it comes about (`--nocapture`).
    fn breaks(self) {
        let checker = self.checker().finish_when(HasDiscoveries::AnyFailures);
        let path = checker.spawn_bfs().join().discovery(STALE);
        let path = path.expect("no answer is ever stale: the model does not see the flaw");
        println!("a stale answer after {:#?}", path.into_actions());
    }
}

const STALE: &str = "no answer is stale";

#[test]
fn two_readers_and_two_writers_hold_through_any_losses() {
    Cache::sound(2, &[&[0], &[0]], LOSSES).holds(None);
}

#[test]
fn writers_of_several_keys_hold_through_any_losses() {
    Cache::sound(1, &[&[0, 1], &[1]], LOSSES).holds(None);
}

#[test]
fn restored_snapshots_do_not_bring_back_values() {
    let once = |cache| Cache {
        repeats: false,
        ..cache
    };
    once(Cache::sound(1, &[&[0]], LOSSES_AND_SNAPSHOTS)).holds(None);
    once(Cache::sound(2, &[&[0]], SNAPSHOTS)).holds(None);
    once(Cache::sound(1, &[&[0], &[0]], SNAPSHOTS)).holds(None);
}

/// All orders of one transaction and any reads, and the first steps of more.
#[test]
fn merging_states_hides_nothing() {
    let unmerged = |cache| Cache {
        merges: false,
        ..cache
    };
    let once = Cache {
        repeats: false,
        ..Cache::sound(1, &[&[0]], LOSSES)
    };
    unmerged(once).holds(None);
    unmerged(Cache::sound(2, &[&[0], &[0]], LOSSES_AND_SNAPSHOTS)).holds(Some(10));
}

/// The faults that `tests/cache_history` injects into the real cache have the names of their flaws
/// here.
#[test]
fn injected_faults_have_the_names_of_flaws() {
    use wundr_db::cache::InjectedFault;
    for fault in InjectedFault::ALL {
        let flaw = match fault {
            InjectedFault::DeleteAfterCommitOnly => Flaw::DeleteAfterCommitOnly,
            InjectedFault::UnguardedFill => Flaw::UnguardedFill,
            InjectedFault::RefusedFillIsShared => Flaw::RefusedFillIsShared,
            InjectedFault::FenceExpires => Flaw::FenceExpires,
            InjectedFault::NoBarrier => Flaw::NoBarrier,
            InjectedFault::LateWaiter => Flaw::LateWaiter,
            InjectedFault::RestoredSnapshotAccepted => Flaw::RestoredSnapshotAccepted,
            InjectedFault::HitIgnoresGeneration => Flaw::HitIgnoresGeneration,
        };
        assert_eq!(format!("{fault:?}"), format!("{flaw:?}"));
    }
}

/// The flaws that do not bring back an earlier generation.
#[test]
fn merging_states_hides_no_flaw() {
    use Flaw::*;
    for flaw in [
        UnguardedFill,
        FenceExpires,
        RefusedFillIsShared,
        LateWaiter,
        NoBarrier,
        BarrierMakesEpoch,
        ClearsUnasked,
        InProgressIsEnded,
        LeaseIgnoresFences,
        SnapshotBeforeLease,
    ] {
        let cache = Cache::flawed(flaw, 2, LOSSES);
        Cache {
            merges: true,
            ..cache
        }
        .breaks();
    }
}

#[test]
fn everything_that_the_protocol_is_about_happens() {
    let cache = Cache {
        merges: false,
        watched: true,
        ..Cache::sound(2, &[&[0]], LOSSES)
    };
    let events = cache.properties().into_iter();
    let events = events.filter(|property| property.expectation == Expectation::Sometimes);
    let events: BTreeSet<_> = events.map(|property| property.name).collect();
    let enough = HasDiscoveries::AllOf(events.clone());
    let checker = cache.checker().finish_when(enough).spawn_bfs().join();
    for event in events {
        assert!(checker.discovery(event).is_some(), "never: {event}");
    }
}

#[test]
fn any_barrier_taken_in_the_generation_will_do() {
    let flaw = Some(Flaw::NewerBarrierReplaces);
    Cache {
        flaw,
        ..Cache::sound(2, &[&[0]], LOSSES)
    }
    .holds(None);
}

#[test]
fn the_nonce_alone_guards_a_fill() {
    let flaw = Some(Flaw::FillIgnoresFences);
    Cache {
        flaw,
        ..Cache::sound(2, &[&[0]], LOSSES)
    }
    .holds(None);
}

#[test]
fn deleting_after_the_commit_only_is_caught() {
    Cache::flawed(Flaw::DeleteAfterCommitOnly, 1, &[]).breaks();
}

#[test]
fn an_unguarded_fill_is_caught() {
    Cache::flawed(Flaw::UnguardedFill, 1, &[]).breaks();
}

#[test]
fn a_fence_that_expires_is_caught() {
    Cache::flawed(Flaw::FenceExpires, 1, &[]).breaks();
}

#[test]
fn sharing_what_was_refused_is_caught() {
    Cache::flawed(Flaw::RefusedFillIsShared, 2, &[]).breaks();
}

#[test]
fn waiting_for_a_leader_that_has_filled_is_caught() {
    Cache::flawed(Flaw::LateWaiter, 2, &[]).breaks();
}

#[test]
fn a_generation_without_a_barrier_is_caught() {
    Cache::flawed(Flaw::NoBarrier, 1, &[Fault::Flush]).breaks();
}

#[test]
fn a_barrier_from_the_snapshots_xmax_is_caught() {
    Cache::flawed(Flaw::BarrierFromXmax, 1, &[Fault::Flush]).breaks();
}

#[test]
fn a_barrier_older_than_its_generation_is_caught() {
    Cache::flawed(Flaw::BarrierOlderThanGeneration, 1, &[Fault::Flush]).breaks();
}

#[test]
fn a_barrier_that_makes_its_epoch_is_caught() {
    Cache::flawed(Flaw::BarrierMakesEpoch, 1, &[Fault::EvictEpoch]).breaks();
}

#[test]
fn a_hit_that_ignores_the_generation_is_caught() {
    Cache::flawed(Flaw::HitIgnoresGeneration, 1, &[Fault::Flush]).breaks();
}

#[test]
fn accepting_a_restored_snapshot_is_caught() {
    Cache::flawed(Flaw::RestoredSnapshotAccepted, 1, SNAPSHOTS).breaks();
}

#[test]
fn a_belief_that_outlives_its_connection_is_caught() {
    Cache::flawed(Flaw::BeliefOutlivesConnection, 1, SNAPSHOTS).breaks();
}

#[test]
fn clearing_a_fence_unasked_is_caught() {
    Cache::flawed(Flaw::ClearsUnasked, 1, &[]).breaks();
}

#[test]
fn taking_a_transaction_in_progress_for_ended_is_caught() {
    Cache::flawed(Flaw::InProgressIsEnded, 1, &[]).breaks();
}

/// The write is never acknowledged, so this breaks only the greater promise.
#[test]
fn ending_a_commit_whose_fate_is_unknown_is_caught() {
    let cache = Cache::flawed(Flaw::EndInDoubt, 1, &[]);
    Cache {
        promise: Promise::Committed,
        ..cache
    }
    .breaks();
}

#[test]
fn a_lease_that_ignores_fences_is_caught() {
    Cache::flawed(Flaw::LeaseIgnoresFences, 1, &[]).breaks();
}

#[test]
fn a_snapshot_older_than_its_lease_is_caught() {
    Cache::flawed(Flaw::SnapshotBeforeLease, 1, &[]).breaks();
}

#[test]
fn the_assumption_about_run_ids_is_needed() {
    let cache = Cache::sound(1, &[&[0]], &[Fault::Save, Fault::ReturnUnderOldRun]);
    let promise = Promise::Acknowledged;
    Cache {
        merges: false,
        promise,
        ..cache
    }
    .breaks();
}
