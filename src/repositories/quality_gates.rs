//! Quality gates, over `analysis.analyses`, `analysis_issues` and `analysis_metrics`.

use super::*;
use crate::sql::quality_gates::{Measure, Measured};
use crate::{AnalysisId, GateVerdict, QualityGate, Result};

/// Evaluates quality gates.
#[repository]
pub trait QualityGateRepository: Send + Sync {
    /// Evaluates the gate for the analysis `new`, compared with `base`, an earlier analysis of the
    /// same project.
    ///
    /// Without a base every open issue is new, and a drift since the base has no value. One
    /// statement reads everything from one snapshot of the database. It writes nothing.
    ///
    /// # Errors
    /// - [`Error::NotFound`](crate::Error::NotFound) if one of the analyses does not exist
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if they are the same or of different
    ///   projects, a drift is over less than a day, or a metric's name is invalid
    async fn evaluate(
        &self,
        gate: &QualityGate,
        base: Option<AnalysisId>,
        new: AnalysisId,
    ) -> Result<GateVerdict>;
}

/// The [`QualityGateRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct QualityGates<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the quality gates.
    pub fn quality_gates(&self) -> QualityGates<'static> {
        QualityGates(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the quality gates within this transaction.
    pub fn quality_gates(&self) -> QualityGates<'_> {
        QualityGates(self.executor())
    }
}

#[repository]
impl QualityGateRepository for QualityGates<'_> {
    async fn evaluate(
        &self,
        gate: &QualityGate,
        base: Option<AnalysisId>,
        new: AnalysisId,
    ) -> Result<GateVerdict> {
        let measured: Measured = self.0.one(Measure::new(gate, base, new)?).await?;
        Measure::verdict(gate, base, measured)
    }
}
