//! The last states of the lifecycles.

use super::enums::{AnalysisStatus, SessionStatus, StepStatus};

/// Implements `is_terminal` for an enum of states.
macro_rules! terminal {
    ($($(#[$doc:meta])* $status:ident: $first:ident $(| $more:ident)*;)+) => {$(
        impl $status {
            /// Checks whether no method takes a row out of this state.
            ///
            $(#[$doc])*
            ///
            /// False for a value that this version of the crate does not have.
            #[must_use]
            pub const fn is_terminal(self) -> bool {
                matches!(self, Self::$first $(| Self::$more)*)
            }
        }
    )+};
}

terminal! {
    /// A completed, a failed and a cancelled analysis stays so.
    AnalysisStatus: Completed | Failed | Cancelled;
    /// A completed and a cancelled session stays so. A failed one runs on when its step is retried.
    SessionStatus: Completed | Cancelled;
    /// A completed and a skipped step stays so. A failed one can be retried.
    StepStatus: Completed | Skipped;
}
