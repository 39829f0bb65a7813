//! `analysis.analysis_leases`: the workers that run analyses, and until when. The table is not part
//! of the design.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Analysis, AnalysisId};

/// A worker's right to run an analysis: a row of `analysis_leases` at the time of the claim or the
/// last renewal.
///
/// Leases expire by the database's clock. An expired lease stays valid until
/// [`requeue_abandoned`](crate::AnalysisRepository::requeue_abandoned) takes the analysis from the
/// worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Queryable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Lease {
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The worker that runs the analysis, by the name that it gave in the claim.
    pub worker: String,
    /// A fencing token, which increases with every claim. A store that the worker writes to can
    /// remember the greatest fence that it received and reject smaller ones. So it rejects a worker
    /// that has lost its lease but has not noticed.
    pub fence: i64,
    /// The time at which the lease expires unless it is renewed, by the database's clock.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub expires_at: DateTime<Utc>,
}

/// An analysis that a worker has claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Queryable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Claim {
    /// The analysis. It is running if it was just claimed.
    pub analysis: Analysis,
    /// The lease, which is the right to run the analysis.
    pub lease: Lease,
}

impl crate::write_set::Touches for Claim {
    fn touch(&self, touched: &mut crate::write_set::WriteSet) {
        self.analysis.touch(touched);
    }
}
