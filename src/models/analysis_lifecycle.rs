//! The states of an analysis: `pending`, `running`, then `completed`, `failed` or `cancelled`.
//!
//! `sql::analysis_lifecycle` has the statements of the transitions.

use crate::{AnalysisStatus, AnalysisSummary, Error, Json, Result};

/// A transition between the states of an analysis.
#[derive(Debug)]
pub(crate) enum Step {
    Start,
    Progress(i32),
    Complete(Json<AnalysisSummary>),
    Fail(String),
    Cancel,
    /// Returns the analysis to the queue.
    Release,
}

impl Step {
    /// Returns the name of the method that makes the transition.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Progress(_) => "progress",
            Self::Complete(_) => "complete",
            Self::Fail(_) => "fail",
            Self::Cancel => "cancel",
            Self::Release => "release",
        }
    }

    /// Returns the states from which the transition is allowed.
    pub(crate) const fn from(&self) -> &'static [AnalysisStatus] {
        use AnalysisStatus::{Pending, Running};
        match self {
            Self::Start => &[Pending],
            Self::Progress(_) | Self::Complete(_) | Self::Fail(_) | Self::Release => &[Running],
            Self::Cancel => &[Pending, Running],
        }
    }

    /// Returns the state after the transition.
    pub(crate) const fn to(&self) -> AnalysisStatus {
        match self {
            Self::Start | Self::Progress(_) => AnalysisStatus::Running,
            Self::Complete(_) => AnalysisStatus::Completed,
            Self::Fail(_) => AnalysisStatus::Failed,
            Self::Cancel => AnalysisStatus::Cancelled,
            Self::Release => AnalysisStatus::Pending,
        }
    }

    /// Checks the values whose column the database would not name.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if a value is out of its range or cannot be stored.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Progress(percent) if !(0..=100).contains(percent) => Err(Error::invalid(
                "progress",
                format_args!("{percent} is not within 0 and 100"),
            )),
            Self::Complete(summary) => crate::validation::check(summary, "summary", None),
            Self::Fail(message) => crate::validation::check(message, "error_message", None),
            Self::Start | Self::Progress(_) | Self::Cancel | Self::Release => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_leads_out_of_a_terminal_state() {
        let summary = Json::Typed(AnalysisSummary::default());
        let steps = [
            Step::Start,
            Step::Progress(1),
            Step::Complete(summary),
            Step::Fail(String::new()),
            Step::Cancel,
            Step::Release,
        ];
        for status in AnalysisStatus::ALL {
            let leads_on = steps.iter().any(|step| step.from().contains(status));
            assert_eq!(status.is_terminal(), !leads_on, "{status}");
        }
    }
}
