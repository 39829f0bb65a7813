//! The states of an analysis: `pending`, `running`, then `completed`, `failed` or `cancelled`.
//!
//! Each transition is one conditional UPDATE. If the row's state does not allow it, it matches no row. So if two
//! callers end the same run, one succeeds and the other gets an error.

use diesel::dsl::{AsSelect, SqlTypeOf};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Integer, Jsonb, Text, Uuid};
use diesel::{QueryResult, Selectable};

use crate::sql::analysis_leases::{REQUEUED, push_held};
use crate::{Analysis, AnalysisId, AnalysisStatus, AnalysisSummary, Error, Json, Lease, Result};

/// The SQL of the time at which a run ends. It is never before the start, even if the run started after this
/// transaction.
const END: &str = "GREATEST(pg_catalog.now(), started_at)";
/// The SQL of the run's duration in seconds. The design requires at least 1.
const DURATION: &str = "LEAST(GREATEST(EXTRACT(EPOCH FROM GREATEST(pg_catalog.now(), started_at) - started_at), 1), \
                       2147483647)::integer";

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

    /// Writes the assignments of the UPDATE.
    fn push_changes<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let Self::Release = self {
            out.push_sql(REQUEUED);
            return Ok(());
        }
        out.push_sql("status = '");
        out.push_sql(self.to().as_str());
        out.push_sql("'");
        match self {
            Self::Start => out.push_sql(", started_at = pg_catalog.now()"),
            Self::Progress(percent) => {
                out.push_sql(", progress = GREATEST(progress, ");
                out.push_bind_param::<Integer, _>(percent)?;
                out.push_sql(")");
            }
            Self::Complete(summary) => {
                out.push_sql(", progress = 100, summary = ");
                out.push_bind_param::<Jsonb, _>(summary)?;
                out.push_sql(
                    ", started_at = COALESCE(started_at, pg_catalog.now() - INTERVAL '1 second')",
                );
                out.push_sql(", completed_at = ");
                out.push_sql(END);
                out.push_sql(", duration_seconds = ");
                out.push_sql(DURATION);
            }
            Self::Fail(message) => {
                out.push_sql(", error_message = ");
                out.push_bind_param::<Text, _>(message)?;
                push_end_if_started(out);
            }
            Self::Cancel => push_end_if_started(out),
            Self::Release => {}
        }
        Ok(())
    }
}

/// Writes the assignments of the end and the duration. They stay NULL if the run never started, as the design
/// requires.
pub(crate) fn push_end_if_started(out: &mut AstPass<'_, '_, Pg>) {
    for (column, value) in [("completed_at", END), ("duration_seconds", DURATION)] {
        out.push_sql(", ");
        out.push_sql(column);
        out.push_sql(" = CASE WHEN started_at IS NOT NULL THEN ");
        out.push_sql(value);
        out.push_sql(" END");
    }
}

/// The caller that makes a transition.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    /// Any caller that has the id of the analysis.
    Anybody(AnalysisId),
    /// The worker that holds the lease.
    Holder(&'a Lease),
}

/// The statement of a transition: `UPDATE ... WHERE id = ... AND status IN (...) RETURNING`.
///
/// Its text depends only on the kinds of transition and caller, so a connection prepares each once.
pub(crate) struct Transition<'a> {
    by: By<'a>,
    step: &'a Step,
    returning: <Analysis as Selectable<Pg>>::SelectExpression,
}

impl<'a> Transition<'a> {
    pub(crate) fn new(by: By<'a>, step: &'a Step) -> Self {
        Self {
            by,
            step,
            returning: <Analysis as Selectable<Pg>>::construct_selection(),
        }
    }
}

impl QueryFragment<Pg> for Transition<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let By::Holder(lease) = &self.by {
            out.push_sql("WITH ");
            push_held(lease, &mut out)?;
            out.push_sql(" ");
        }
        out.push_sql("UPDATE analysis.analyses SET ");
        self.step.push_changes(&mut out)?;
        match &self.by {
            By::Holder(_) => out.push_sql(" FROM lease WHERE analyses.id = lease.analysis_id"),
            By::Anybody(id) => {
                out.push_sql(" WHERE id = ");
                out.push_bind_param::<Uuid, _>(id)?;
                out.push_sql(" AND status IN (");
                for (index, status) in self.step.from().iter().enumerate() {
                    out.push_sql(if index == 0 { "'" } else { ", '" });
                    out.push_sql(status.as_str());
                    out.push_sql("'");
                }
                out.push_sql(")");
            }
        }
        out.push_sql(" RETURNING ");
        self.returning.walk_ast(out)
    }
}

/// Looked up by its text.
impl QueryId for Transition<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Transition<'_> {
    type SqlType = SqlTypeOf<AsSelect<Analysis, Pg>>;
}

#[cfg(feature = "blocking")]
impl<C> diesel::RunQueryDsl<C> for Transition<'_> {}
