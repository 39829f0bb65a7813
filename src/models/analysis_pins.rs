//! `analysis.analysis_pins`: the analyses that a retention keeps. The table is not part of the
//! design.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{AnalysisId, Error, Result, UserId};

/// The largest number of characters of a reason.
const LONGEST_REASON: usize = 255;

/// A mark that keeps an analysis from being deleted by a retention: a row of `analysis_pins`.
///
/// An analysis can have several pins, one for each reason. Each of them keeps it. A pin goes with
/// its analysis, if that is deleted by a repository, and with the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Queryable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct AnalysisPin {
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The reason, for example `release 1.4`.
    pub reason: String,
    /// The user that pinned the analysis: the [`Actor`](crate::Actor) of the call. It is `None` if
    /// the call had none, or if the user was deleted.
    pub pinned_by: Option<UserId>,
    /// The time at which the analysis was pinned.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub pinned_at: DateTime<Utc>,
}

/// Checks whether the text can be the reason of a pin.
///
/// # Errors
/// - [`Error::InvalidInput`] if it is empty, longer than 255 characters, or cannot be stored.
pub(crate) fn check_reason(reason: &String, field: &'static str) -> Result<()> {
    if reason.is_empty() {
        return Err(Error::invalid(field, "is empty"));
    }
    crate::validation::check(reason, field, Some(LONGEST_REASON))
}
