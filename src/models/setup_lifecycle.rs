//! The states of a setup session and of its steps.
//!
//! `sql::setup_lifecycle` has the statements of the transitions.

use crate::{Error, Result, SessionStatus, StepStatus};

/// A transition between the states of a step.
#[derive(Debug)]
pub(crate) enum StepAction {
    Start,
    Complete,
    Fail(String),
    Skip,
    Retry,
}

impl StepAction {
    /// Returns the name of the method that makes the transition.
    const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Complete => "complete",
            Self::Fail(_) => "fail",
            Self::Skip => "skip",
            Self::Retry => "retry",
        }
    }

    /// Returns the states of the step from which the transition is allowed.
    pub(crate) const fn from(&self) -> &'static [StepStatus] {
        use StepStatus::{Failed, Pending, Running};
        match self {
            Self::Start => &[Pending],
            Self::Complete | Self::Fail(_) => &[Running],
            Self::Skip => &[Pending, Running, Failed],
            Self::Retry => &[Failed],
        }
    }

    /// Returns the state of the step after the transition.
    pub(crate) const fn to(&self) -> StepStatus {
        match self {
            Self::Start => StepStatus::Running,
            Self::Complete => StepStatus::Completed,
            Self::Fail(_) => StepStatus::Failed,
            Self::Skip => StepStatus::Skipped,
            Self::Retry => StepStatus::Pending,
        }
    }

    /// Returns the states of the session in which the transition is allowed. If another step fails,
    /// a running step can still end.
    pub(crate) const fn within(&self) -> &'static [SessionStatus] {
        use SessionStatus::{Failed, Pending, Running};
        match self {
            Self::Start => &[Running],
            Self::Complete | Self::Fail(_) | Self::Retry => &[Running, Failed],
            Self::Skip => &[Pending, Running, Failed],
        }
    }

    /// Checks the values whose column the database would not name.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the message cannot be stored.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Fail(message) => crate::validation::check(message, "error_message", None),
            Self::Start | Self::Complete | Self::Skip | Self::Retry => Ok(()),
        }
    }

    /// Returns the error if the transition is not allowed in these states, or `None` if it is.
    pub(crate) fn refusal(&self, step: StepStatus, session: SessionStatus) -> Option<Error> {
        if !self.from().contains(&step) {
            let (from, to) = (step.as_str(), self.to().as_str());
            return Some(Error::illegal_transition(
                "SetupStep",
                from,
                to,
                self.name(),
            ));
        }
        if !self.within().contains(&session) {
            let from = session.as_str();
            let attempt = match self {
                Self::Start => "the start of a step",
                Self::Complete => "the completion of a step",
                Self::Fail(_) => "the failure of a step",
                Self::Skip => "the skipping of a step",
                Self::Retry => "the retry of a step",
            };
            return Some(Error::illegal_transition(
                "SetupSession",
                from,
                "running",
                attempt,
            ));
        }
        None
    }
}

/// A transition between the states of a session as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SessionAction {
    Start,
    Cancel,
}

impl SessionAction {
    /// Returns the states from which the transition is allowed.
    pub(crate) const fn from(self) -> &'static [SessionStatus] {
        match self {
            Self::Start => &[SessionStatus::Pending],
            Self::Cancel => &[SessionStatus::Pending, SessionStatus::Running],
        }
    }

    /// Returns the error if the transition is not allowed in these states, or `None` if it is.
    pub(crate) fn refusal(self, session: SessionStatus) -> Option<Error> {
        if self.from().contains(&session) {
            return None;
        }
        let (to, name) = match self {
            Self::Start => (SessionStatus::Running, "start"),
            Self::Cancel => (SessionStatus::Cancelled, "cancel"),
        };
        let (from, to) = (session.as_str(), to.as_str());
        Some(Error::illegal_transition("SetupSession", from, to, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_action_leads_out_of_a_terminal_state() {
        let actions = [
            StepAction::Start,
            StepAction::Complete,
            StepAction::Fail(String::new()),
            StepAction::Skip,
            StepAction::Retry,
        ];
        for status in StepStatus::ALL {
            let leads_on = actions.iter().any(|action| action.from().contains(status));
            assert_eq!(status.is_terminal(), !leads_on, "{status}");
        }
        for status in SessionStatus::ALL {
            let of_steps = actions
                .iter()
                .any(|action| action.within().contains(status));
            let of_session = [SessionAction::Start, SessionAction::Cancel]
                .iter()
                .any(|action| action.from().contains(status));
            assert_eq!(status.is_terminal(), !of_steps && !of_session, "{status}");
        }
    }
}
