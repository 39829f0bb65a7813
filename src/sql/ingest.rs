//! The statement that ends an ingest.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Jsonb, Uuid};

use super::run_times::push_seconds;
use super::{Sql, Statement};
use crate::mapping::{Columns, RowSql, columns_of};
use crate::{Analysis, AnalysisId, AnalysisSummary, Json};

/// The statement that completes an analysis whose rows have been written.
///
/// It uses `clock_timestamp()`, since `now()` is the time at which the transaction began.
pub(crate) struct Completion {
    id: AnalysisId,
    summary: Json<AnalysisSummary>,
    returning: Columns<Analysis>,
}

impl Completion {
    pub(crate) fn new(id: AnalysisId, summary: Json<AnalysisSummary>) -> Sql<Self> {
        Sql(Self {
            id,
            summary,
            returning: columns_of::<Analysis>(),
        })
    }
}

impl Statement for Completion {
    type SqlType = RowSql<Analysis>;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE analysis.analyses SET status = 'completed', progress = 100, summary = ",
        );
        out.push_bind_param::<Jsonb, _>(&self.summary)?;
        out.push_sql(
            ", started_at = run.started_at, completed_at = run.completed_at, \
             duration_seconds = COALESCE(duration_seconds, ",
        );
        push_seconds(
            "run.started_at",
            |out| out.push_sql("run.completed_at"),
            &mut out,
        );
        out.push_sql(
            ") FROM (SELECT times.started_at, GREATEST(times.completed_at, times.started_at) AS completed_at \
             FROM (SELECT COALESCE(started_at, pg_catalog.now()) AS started_at, \
             COALESCE(completed_at, pg_catalog.clock_timestamp()) AS completed_at \
             FROM analysis.analyses WHERE id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(") AS times) AS run WHERE analyses.id = ");
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(" RETURNING ");
        self.returning.walk_ast(out)
    }
}
