//! The transitions between the states of an analysis.
//!
//! Each transition is one conditional UPDATE. If the row's state does not allow it, it matches no
//! row. So if two callers end the same run, one succeeds and the other gets an error.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Integer, Jsonb, Text, Uuid};

use super::analysis_leases::push_held;
use super::run_times::{REQUEUED, push_duration, push_end, push_end_if};
use super::{Identity, Sql, Statement};
use crate::mapping::{Columns, RowSql, columns_of};
use crate::models::analysis_lifecycle::Step;
use crate::{Analysis, AnalysisId, Lease};

/// Writes the assignments of the UPDATE.
fn push_changes<'b>(step: &'b Step, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    if let Step::Release = step {
        out.push_sql(REQUEUED);
        return Ok(());
    }
    out.push_sql("status = '");
    out.push_sql(step.to().as_str());
    out.push_sql("'");
    match step {
        Step::Start => out.push_sql(", started_at = pg_catalog.now()"),
        Step::Progress(percent) => {
            out.push_sql(", progress = GREATEST(progress, ");
            out.push_bind_param::<Integer, _>(percent)?;
            out.push_sql(")");
        }
        Step::Complete(summary) => {
            out.push_sql(", progress = 100, summary = ");
            out.push_bind_param::<Jsonb, _>(summary)?;
            out.push_sql(
                ", started_at = COALESCE(started_at, pg_catalog.now() - INTERVAL '1 second')",
            );
            out.push_sql(", completed_at = ");
            push_end("started_at", out);
            out.push_sql(", duration_seconds = ");
            push_duration("started_at", out);
        }
        Step::Fail(message) => {
            out.push_sql(", error_message = ");
            out.push_bind_param::<Text, _>(message)?;
            out.push_sql(", ");
            push_end_if("started_at IS NOT NULL", "started_at", out);
        }
        Step::Cancel => {
            out.push_sql(", ");
            push_end_if("started_at IS NOT NULL", "started_at", out);
        }
        Step::Release => {}
    }
    Ok(())
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
    returning: Columns<Analysis>,
}

impl<'a> Transition<'a> {
    pub(crate) fn new(by: By<'a>, step: &'a Step) -> Sql<Self> {
        Sql(Self {
            by,
            step,
            returning: columns_of::<Analysis>(),
        })
    }
}

impl Statement for Transition<'_> {
    type SqlType = RowSql<Analysis>;
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if let By::Holder(lease) = &self.by {
            out.push_sql("WITH ");
            push_held(lease, &mut out)?;
            out.push_sql(" ");
        }
        out.push_sql("UPDATE analysis.analyses SET ");
        push_changes(self.step, &mut out)?;
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
