//! Quality gates, over `analysis.analyses`, `analysis_issues` and `analysis_metrics`.

use super::*;
use crate::sql::quality_gates::{Measure, Measured};
use crate::{AnalysisId, GateVerdict, QualityGate, Result};

/// Tells whether an analysis is good enough.
///
/// Every method may return [`Error::Pool`](crate::Error::Pool), [`Error::Connection`](crate::Error::Connection) and
/// [`Error::Timeout`](crate::Error::Timeout).
#[repository]
pub trait QualityGateRepository: Send + Sync {
    /// How `new` does at the gate, compared with `base`, an earlier analysis of the same project. Without a base every
    /// open issue is new, and a drift since the base has no value. It reads in one statement, so from one state of
    /// the database, and writes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) without one of the analyses;
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if they are the same or of different projects, a drift is
    /// over less than a day, or a metric's name cannot be one.
    async fn evaluate(
        &self,
        gate: &QualityGate,
        base: Option<AnalysisId>,
        new: AnalysisId,
    ) -> Result<GateVerdict>;
}

/// The [`QualityGateRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct QualityGates<'a>(Source<'a>);

impl Db {
    /// The quality gates.
    pub fn quality_gates(&self) -> QualityGates<'static> {
        QualityGates(self.source())
    }
}

impl Tx {
    /// The quality gates, inside this transaction.
    pub fn quality_gates(&self) -> QualityGates<'_> {
        QualityGates(self.source())
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
