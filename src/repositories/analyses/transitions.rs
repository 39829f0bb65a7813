//! The transitions of an analysis from one status to the next, and the renewal of its lease.

use diesel::prelude::QueryDsl;

use super::super::*;
use super::Analyses;
use crate::models::analysis_lifecycle::Step;
use crate::schema::analysis::analyses;
use crate::sql::Sql;
use crate::sql::analysis_leases::{Holder, Renew, lost};
use crate::sql::analysis_lifecycle::{By, Transition};
use crate::write_set::Key;
use crate::{Analysis, AnalysisId, AnalysisType, Error, Lease, ProjectId, Result};

#[repository]
impl Analyses<'_> {
    /// Renews a lease, or returns the reason why it is lost.
    #[unboxed]
    pub(super) async fn renew_lease(
        &self,
        lease: &Lease,
        renewal: Sql<Renew<'_>>,
    ) -> Result<Lease> {
        let id = lease.analysis_id;
        let write = Write::begin(&self.0).await?;
        let outcome = renew(&write.executor(), renewal, id).await;
        let mut renewed = write.end(outcome).await;
        if runs_again(&self.0, &renewed) {
            let write = Write::begin_again(&self.0).await?;
            let outcome = renew(&write.executor(), renewal, id).await;
            renewed = write.end(outcome).await;
        }
        match renewed? {
            Some(lease) => Ok(lease),
            None => Err(lost(self.0.first(Sql(Holder(lease.analysis_id))).await?)),
        }
    }

    /// Makes a transition, or returns the reason why it is refused.
    pub(super) async fn take(&self, id: AnalysisId, step: Step) -> Result<Analysis> {
        step.check()?;
        for _ in 0..MOST_TRIES {
            let transition = || Transition::new(By::Anybody(id), &step);
            if let Some(analysis) = steady_first(&self.0, transition).await? {
                return Ok(analysis);
            }
            let status = analyses::table.find(id).select(analyses::status);
            match self.0.first(status).await? {
                None => return Err(Error::NotFound { what: "Analysis" }),
                Some(status) if !step.from().contains(&status) => {
                    let (from, to) = (status.as_str(), step.to().as_str());
                    return Err(Error::illegal_transition("Analysis", from, to, step.name()));
                }
                // The status was changed since the attempt by another transition, or this one is
                // suppressed by a trigger.
                Some(_) => {}
            }
        }
        Err(Error::Suppressed { what: "Analysis" })
    }

    /// Makes a transition as the worker that holds the lease.
    pub(super) async fn take_held(&self, lease: &Lease, step: Step) -> Result<Analysis> {
        step.check()?;
        let transition = || Transition::new(By::Holder(lease), &step);
        match steady_first(&self.0, transition).await? {
            Some(analysis) => Ok(analysis),
            None => Err(lost(self.0.first(Sql(Holder(lease.analysis_id))).await?)),
        }
    }
}

/// Renews a lease, and records the cache entries that its progress makes stale.
#[repository]
pub(super) async fn renew(
    executor: &Executor<'_>,
    renewal: Sql<Renew<'_>>,
    id: AnalysisId,
) -> Result<Option<Lease>> {
    let lease = executor.first(renewal).await?;
    if executor.records_writes() {
        let of = analyses::table
            .find(id)
            .select((analyses::project_id, analyses::r#type));
        let of: Option<(ProjectId, AnalysisType)> = executor.first(of).await?;
        executor.record_write(&of.map(|(project, r#type)| Key::LatestAnalysis(project, r#type)));
    }
    Ok(lease)
}
