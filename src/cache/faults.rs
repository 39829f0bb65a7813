//! Deliberate faults and failpoints, with which the tests show that they detect a broken protocol.
//!
//! Everything here is compiled only with the development feature `cache-faults`.

use std::time::Duration;

use super::CacheConfig;

/// A point between two steps of the protocol at which a test may delay the process.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// A reader has read the database. Other readers may still join its flight.
    AfterRead,
    /// A reader is about to store the value that it has read.
    BeforeFill,
    /// The fill was accepted or refused. The followers have not received the outcome yet.
    AfterFill,
    /// A writer has written its rows, and is about to set its fences.
    BeforeFence,
    /// A writer has set its fences, and is about to commit.
    BeforeCommit,
    /// A writer has committed, and is about to remove its fences.
    BeforeEnd,
    /// A reader is about to set the barrier of a generation.
    BeforeBarrier,
}

impl Failpoint {
    /// All failpoints.
    pub const ALL: [Self; 7] = [
        Self::AfterRead,
        Self::BeforeFill,
        Self::AfterFill,
        Self::BeforeFence,
        Self::BeforeCommit,
        Self::BeforeEnd,
        Self::BeforeBarrier,
    ];
}

/// Returns for how long to delay the process at a failpoint.
#[doc(hidden)]
pub type FailpointHook = fn(Failpoint) -> Duration;

/// A deliberate deviation from the protocol. The model in `tests/cache_model` has the same faults
/// under the same names.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedFault {
    /// A writer sets no fences, and deletes the values after its commit.
    DeleteAfterCommitOnly,
    /// A value is stored without a check of its lease.
    UnguardedFill,
    /// Followers use the leader's value even if its fill was refused.
    RefusedFillIsShared,
    /// A reader removes a fence because of its age alone.
    FenceExpires,
    /// A new generation is opened immediately.
    NoBarrier,
    /// Readers may still join a flight after its leader has filled the entry.
    LateWaiter,
    /// A generation is used without a comparison of the server's `run_id`.
    RestoredSnapshotAccepted,
    /// A value of an earlier generation is used.
    HitIgnoresGeneration,
}

impl InjectedFault {
    /// All faults.
    pub const ALL: [Self; 8] = [
        Self::DeleteAfterCommitOnly,
        Self::UnguardedFill,
        Self::RefusedFillIsShared,
        Self::FenceExpires,
        Self::NoBarrier,
        Self::LateWaiter,
        Self::RestoredSnapshotAccepted,
        Self::HitIgnoresGeneration,
    ];
}

impl CacheConfig {
    /// Breaks the protocol in one way, or in none.
    #[doc(hidden)]
    pub fn injected_fault(mut self, fault: Option<InjectedFault>) -> Self {
        self.injected_fault = fault;
        self
    }

    /// Sets the function that is called at every failpoint.
    #[doc(hidden)]
    pub fn failpoint_hook(mut self, hook: FailpointHook) -> Self {
        self.failpoint_hook = Some(hook);
        self
    }
}
