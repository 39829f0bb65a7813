//! The statements of `analysis.analysis_leases`.
//!
//! Every statement here that locks both rows locks the analysis first and its lease second. The end
//! of a run has the same order: its trigger deletes the lease. So statements may wait for each
//! other, but cannot deadlock. A lock is taken on the newest version of a row. So a decision under
//! the lock is based on the current state, not on the state when the statement began.

use std::time::Duration;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid};

use super::run_times::{REQUEUED, push_end_if};
use super::{Sql, Statement};
use crate::mapping::{Columns, RowSql, columns_of};
use crate::{Analysis, AnalysisId, AnalysisStatus, AnalysisType, Error, Lease, Result};

type LeaseSql = (Uuid, Text, BigInt, Timestamptz);
type ClaimSql = (RowSql<Analysis>, LeaseSql);

/// The longest duration of a lease.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Returns the duration of a lease in microseconds.
///
/// # Errors
/// - [`Error::InvalidInput`] unless the duration is between 1 ms and 365 days.
fn microseconds(lease_for: Duration) -> Result<i64> {
    let allowed = Duration::from_millis(1)..=LONGEST;
    i64::try_from(lease_for.as_micros())
        .ok()
        .filter(|_| allowed.contains(&lease_for))
        .ok_or_else(|| {
            Error::invalid(
                "lease_for",
                format_args!("{lease_for:?} is not within 1 ms and 365 days"),
            )
        })
}

fn push_expiry<'b>(microseconds: &'b i64, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql("pg_catalog.statement_timestamp() + ");
    out.push_bind_param::<BigInt, _>(microseconds)?;
    out.push_sql(" * INTERVAL '1 microsecond'");
    Ok(())
}

/// The statement that claims the oldest pending analysis that no other transaction has locked.
pub(crate) struct ClaimNext<'a> {
    types: Vec<&'static str>,
    worker: &'a str,
    microseconds: i64,
    columns: Columns<Analysis>,
}

impl<'a> ClaimNext<'a> {
    pub(crate) fn new(
        types: &[AnalysisType],
        worker: &'a str,
        lease_for: Duration,
    ) -> Result<Sql<Self>> {
        if types.is_empty() {
            return Err(Error::invalid("types", "must not be empty"));
        }
        crate::validation::check(&worker.to_owned(), "worker", None)?;
        Ok(Sql(Self {
            types: types.iter().map(|r#type| r#type.as_str()).collect(),
            worker,
            microseconds: microseconds(lease_for)?,
            columns: columns_of::<Analysis>(),
        }))
    }
}

impl Clone for ClaimNext<'_> {
    fn clone(&self) -> Self {
        Self {
            types: self.types.clone(),
            columns: columns_of::<Analysis>(),
            ..*self
        }
    }
}

impl Statement for ClaimNext<'_> {
    type SqlType = ClaimSql;
    type Id = ClaimNext<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH next AS MATERIALIZED (SELECT id FROM analysis.analyses WHERE status = 'pending' AND EXISTS (\
             SELECT FROM public.projects WHERE projects.id = analyses.project_id AND projects.status = 'active') \
             AND type = ANY (",
        );
        out.push_bind_param::<Array<Text>, _>(&self.types)?;
        // The application can write the other columns of a pending row. Values that would violate a
        // check are cleared. Rows that could not be decoded are skipped. Otherwise such a row would
        // block the head of the queue forever. The columns are NOT NULL unless the schema was
        // changed by hand.
        out.push_sql(
            "::analysis.analysis_type[]) AND progress IS NOT NULL AND configuration IS NOT NULL \
             AND created_by IS NOT NULL AND created_at IS NOT NULL \
             ORDER BY created_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED), \
             claimed AS (UPDATE analysis.analyses SET status = 'running', started_at = pg_catalog.now(), \
             completed_at = NULL, duration_seconds = NULL FROM next WHERE analyses.id = next.id RETURNING ",
        );
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            "), lease AS (INSERT INTO analysis.analysis_leases (analysis_id, worker, expires_at) SELECT id, ",
        );
        out.push_bind_param::<Text, _>(&self.worker)?;
        out.push_sql(", ");
        push_expiry(&self.microseconds, &mut out)?;
        out.push_sql(
            " FROM claimed ON CONFLICT (analysis_id) DO UPDATE SET worker = EXCLUDED.worker, fence = DEFAULT, \
             expires_at = EXCLUDED.expires_at RETURNING analysis_id, worker, fence, expires_at) \
             SELECT claimed.*, lease.* FROM claimed CROSS JOIN lease",
        );
        Ok(())
    }
}

/// The statement that renews a lease and records the progress of its analysis. It returns no row if
/// the lease is lost.
#[derive(Clone, Copy)]
pub(crate) struct Renew<'a> {
    lease: &'a Lease,
    microseconds: i64,
    progress: Option<i32>,
}

impl<'a> Renew<'a> {
    pub(crate) fn new(
        lease: &'a Lease,
        lease_for: Duration,
        progress: Option<i32>,
    ) -> Result<Sql<Self>> {
        if let Some(percent) = progress {
            crate::models::analysis_lifecycle::Step::Progress(percent).check()?;
        }
        Ok(Sql(Self {
            lease,
            microseconds: microseconds(lease_for)?,
            progress,
        }))
    }
}

impl Statement for Renew<'_> {
    type SqlType = LeaseSql;
    type Id = Renew<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ");
        push_held(self.lease, &mut out)?;
        out.push_sql(", renewed AS (UPDATE analysis.analysis_leases AS l SET expires_at = ");
        push_expiry(&self.microseconds, &mut out)?;
        out.push_sql(
            " FROM lease WHERE l.analysis_id = lease.analysis_id \
             RETURNING l.analysis_id, l.worker, l.fence, l.expires_at), \
             noted AS (UPDATE analysis.analyses SET progress = ",
        );
        out.push_bind_param::<Nullable<Integer>, _>(&self.progress)?;
        out.push_sql(" FROM lease WHERE analyses.id = lease.analysis_id AND analyses.progress < ");
        out.push_bind_param::<Nullable<Integer>, _>(&self.progress)?;
        out.push_sql(") SELECT analysis_id, worker, fence, expires_at FROM renewed");
        Ok(())
    }
}

/// Writes the common table expressions that lock a running analysis and then its lease. `lease` is
/// empty if the lease is lost.
pub(crate) fn push_held<'b>(lease: &'b Lease, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    out.push_sql("held AS MATERIALIZED (SELECT id FROM analysis.analyses WHERE id = ");
    out.push_bind_param::<Uuid, _>(&lease.analysis_id)?;
    out.push_sql(
        " AND status = 'running' FOR NO KEY UPDATE), lease AS MATERIALIZED (SELECT l.analysis_id \
         FROM analysis.analysis_leases AS l JOIN held ON held.id = l.analysis_id WHERE l.fence = ",
    );
    out.push_bind_param::<BigInt, _>(&lease.fence)?;
    out.push_sql(" FOR UPDATE OF l)");
    Ok(())
}

/// The statement that resets running analyses with an expired lease to pending, and returns them
/// with the lost leases. Analyses that were abandoned `attempts` times are failed instead.
pub(crate) struct RequeueAbandoned {
    attempts: i32,
    columns: Columns<Analysis>,
}

impl RequeueAbandoned {
    pub(crate) fn new(attempts: u32) -> Result<Sql<Self>> {
        if attempts == 0 {
            return Err(Error::invalid("attempts", "must not be 0"));
        }
        Ok(Sql(Self {
            attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
            columns: columns_of::<Analysis>(),
        }))
    }
}

impl Clone for RequeueAbandoned {
    fn clone(&self) -> Self {
        Self {
            columns: columns_of::<Analysis>(),
            ..*self
        }
    }
}

impl Statement for RequeueAbandoned {
    type SqlType = ClaimSql;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // If a lease is renewed between the two locks, the second evaluates the condition again and
        // the lease stays. Rows that could not be decoded are skipped, since they would make the
        // whole result fail.
        out.push_sql(
            "WITH expired AS MATERIALIZED (SELECT a.id FROM analysis.analysis_leases AS l \
             JOIN analysis.analyses AS a ON a.id = l.analysis_id \
             WHERE l.expires_at <= pg_catalog.statement_timestamp() AND a.status = 'running' \
             AND a.project_id IS NOT NULL AND a.type IS NOT NULL AND a.progress IS NOT NULL \
             AND a.configuration IS NOT NULL AND a.created_by IS NOT NULL AND a.created_at IS NOT NULL \
             FOR NO KEY UPDATE OF a SKIP LOCKED), \
             lost AS MATERIALIZED (SELECT l.analysis_id, l.worker, l.fence, l.expires_at \
             FROM analysis.analysis_leases AS l JOIN expired ON expired.id = l.analysis_id \
             WHERE l.expires_at <= pg_catalog.statement_timestamp() FOR UPDATE OF l), \
             counted AS (INSERT INTO analysis.analysis_abandonments AS counted (analysis_id, times) \
             SELECT analysis_id, 1 FROM lost \
             ON CONFLICT (analysis_id) DO UPDATE SET times = counted.times + 1 RETURNING analysis_id, times), \
             requeued AS (UPDATE analysis.analyses SET ",
        );
        out.push_sql(REQUEUED);
        out.push_sql(" FROM lost JOIN counted USING (analysis_id) WHERE analyses.id = lost.analysis_id AND times < ");
        out.push_bind_param::<Integer, _>(&self.attempts)?;
        out.push_sql(" RETURNING ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            "), given_up AS (UPDATE analysis.analyses SET status = 'failed', error_message = \
             CASE times WHEN 1 THEN 'left by its worker, ' ELSE 'left by ' || times || ' workers, the last of them ' END \
             || lost.worker",
        );
        out.push_sql(", ");
        push_end_if("started_at IS NOT NULL", "started_at", &mut out);
        out.push_sql(" FROM lost JOIN counted USING (analysis_id) WHERE analyses.id = lost.analysis_id AND times >= ");
        out.push_bind_param::<Integer, _>(&self.attempts)?;
        out.push_sql(" RETURNING ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            "), gone AS (SELECT * FROM requeued UNION ALL SELECT * FROM given_up) \
             SELECT gone.*, lost.* FROM gone JOIN lost ON lost.analysis_id = gone.id ORDER BY gone.created_at, gone.id",
        );
        Ok(())
    }
}

/// The query for the status of an analysis and the worker that holds its lease, after a lease
/// turned out to be lost.
pub(crate) struct Holder(pub(crate) AnalysisId);

impl Statement for Holder {
    type SqlType = (
        crate::schema::analysis::sql_types::AnalysisStatus,
        Nullable<Text>,
    );
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT a.status, l.worker FROM analysis.analyses AS a \
             LEFT JOIN analysis.analysis_leases AS l ON l.analysis_id = a.id WHERE a.id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)
    }
}

/// Returns the error for the result of [`Holder`].
pub(crate) fn lost(found: Option<(AnalysisStatus, Option<String>)>) -> Error {
    match found {
        None => Error::NotFound { what: "Analysis" },
        Some((status, holder)) => Error::LeaseLost {
            what: "Analysis",
            state: status.as_str().into(),
            holder,
        },
    }
}
