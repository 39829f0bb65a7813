//! Quality gates, over `analysis.analyses`, `analysis_issues` and `analysis_metrics`. Their bases
//! are in `analysis_pins`.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::analyses::pin;
use super::*;
use crate::models::analysis_pins::check_reason;
use crate::schema::analysis::{analyses, analysis_pins};
use crate::sql::Sql;
use crate::sql::analysis_pins::LockProject;
use crate::sql::quality_gates::{Measure, Measured};
use crate::{
    AnalysisId, AnalysisPin, ConfigCategory, Configuration, ConfigurationScope, Document, Error,
    GateVerdict, ProjectId, QualityGate, Result, SettingValue, UserId,
};

/// Evaluates quality gates, and keeps their bases.
#[repository]
pub trait QualityGateRepository: Send + Sync {
    /// Evaluates the gate for the analysis `new`, compared with `base`, an earlier analysis of the
    /// same project.
    ///
    /// The base is given by each call, and is not stored: a retention may delete it. A base that
    /// [`set_base`](Self::set_base) has pinned is kept.
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

    /// Stores a gate as a setting of the scope: of category `analysis`, with the name `gate: ` and
    /// that of the gate. Replaces the gate that the scope has under this name.
    ///
    /// Returns the setting. The name is the application's; must have between 1 and 249 characters.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the name cannot be stored, or if
    ///   [`evaluate`](Self::evaluate) would refuse the gate
    /// - [`Error::MissingReference`](crate::Error::MissingReference) if there is no such
    ///   organization, project or user
    async fn save(
        &self,
        scope: ConfigurationScope,
        name: &str,
        gate: &QualityGate,
        by: UserId,
    ) -> Result<Configuration>;

    /// Returns the gate of this name that applies in the scope: a project's own gate, or else its
    /// organization's, or else the global one. Returns `None` if there is none.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the name cannot be stored
    /// - [`Error::Decode`](crate::Error::Decode) if the setting with the gate's name is not a gate
    async fn find(&self, scope: ConfigurationScope, name: &str) -> Result<Option<QualityGate>>;

    /// Makes an analysis the base of the gate with this name in its project, and pins it. The
    /// former base of the gate loses its pin.
    ///
    /// Returns the pin. Its reason is `gate: ` and the name. The name is the application's; must
    /// have between 1 and 249 characters. A retention keeps the base as long as it is pinned.
    ///
    /// # Errors
    /// - [`Error::NotFound`](crate::Error::NotFound) if there is no such analysis
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the name cannot be stored
    async fn set_base(&self, gate: &str, base: AnalysisId) -> Result<AnalysisPin>;

    /// Returns the analysis that [`set_base`](Self::set_base) has made the base of this gate in a
    /// project. Returns `None` if there is none.
    async fn base(&self, project_id: ProjectId, gate: &str) -> Result<Option<AnalysisId>>;
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

#[repository(observed)]
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

    async fn save(
        &self,
        scope: ConfigurationScope,
        name: &str,
        gate: &QualityGate,
        by: UserId,
    ) -> Result<Configuration> {
        let name = reason(name)?;
        gate.check()?;
        let value = Document::of(gate)?;
        let settings = Configurations(self.0.clone());
        let category = ConfigCategory::Analysis;
        settings.set(scope, category, &name, value, by).await
    }

    async fn find(&self, scope: ConfigurationScope, name: &str) -> Result<Option<QualityGate>> {
        let name = reason(name)?;
        let settings = Configurations(self.0.clone());
        let category = ConfigCategory::Analysis;
        let setting = settings.effective(scope, category, &name).await?;
        setting.as_ref().map(gate_of).transpose()
    }

    async fn set_base(&self, gate: &str, base: AnalysisId) -> Result<AnalysisPin> {
        let reason = reason(gate)?;
        let unit = UnitOfWork::begin(&self.0).await?;
        let outcome = move_pin(&unit.executor(), &reason, base).await;
        unit.end(outcome).await
    }

    async fn base(&self, project_id: ProjectId, gate: &str) -> Result<Option<AnalysisId>> {
        let query = analysis_pins::table
            .inner_join(analyses::table)
            .filter(analyses::project_id.eq(project_id))
            .filter(analysis_pins::reason.eq(reason(gate)?))
            .order((
                analysis_pins::pinned_at.desc(),
                analysis_pins::analysis_id.desc(),
            ))
            .limit(1)
            .select(analysis_pins::analysis_id);
        self.0.first(query).await
    }
}

/// Reads the gate in a setting.
fn gate_of(setting: &Configuration) -> Result<QualityGate> {
    let gate = match &setting.value {
        SettingValue::Plain(document) => document.read(),
        _ => Err(Error::invalid("value", "is encrypted")),
    };
    gate.map_err(|error| Error::Decode {
        what: "setup.configurations".into(),
        id: Some(setting.id.into()),
        column: Some("value".to_owned()),
        reason: error.to_string(),
    })
}

/// Returns the reason for which the base of a gate is pinned, and the name of its setting.
fn reason(gate: &str) -> Result<String> {
    let reason = match gate {
        "" => String::new(),
        gate => format!("gate: {gate}"),
    };
    check_reason(&reason, "gate")?;
    Ok(reason)
}

/// Pins an analysis, and removes the pins with the same reason from the others of its project.
#[repository]
async fn move_pin(executor: &Executor<'_>, reason: &str, base: AnalysisId) -> Result<AnalysisPin> {
    let project: Option<ProjectId> = executor.first(Sql(LockProject(base))).await?;
    let project = project.ok_or(Error::NotFound { what: "Analysis" })?;
    let pinned = pin(executor, base, reason).await?;
    let others = analyses::table
        .filter(analyses::project_id.eq(project))
        .select(analyses::id);
    let former = analysis_pins::table
        .filter(analysis_pins::reason.eq(reason))
        .filter(analysis_pins::analysis_id.ne(base))
        .filter(analysis_pins::analysis_id.eq_any(others));
    executor.execute(diesel::delete(former)).await?;
    Ok(pinned)
}
