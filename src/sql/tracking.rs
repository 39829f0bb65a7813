//! The statement that matches the findings of two analyses and carries verdicts over.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{BigInt, Binary, Nullable, Uuid};

use super::finding_matching::{Compared, push_matching};
use super::finding_texts::{VERDICTS, holds_for};
use super::{Sql, Statement};
use crate::models::tracking::check_projects;
use crate::{AnalysisId, AnalysisIssueId, Error, ProjectId, Result, TrackedIssue, Tracking};

/// The statement that matches the findings and carries verdicts over.
#[derive(Clone)]
pub(crate) struct Track(Compared);

impl Track {
    /// Creates the statement.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if both are the same analysis.
    pub(crate) fn new(base: AnalysisId, new: AnalysisId) -> Result<Sql<Self>> {
        if base == new {
            return Err(Error::invalid("new", "is the same analysis as the base"));
        }
        Ok(Sql(Self(Compared {
            base: Some(base),
            new,
            findings: true,
            locked: true,
        })))
    }
}

impl Statement for Track {
    type SqlType = (
        Nullable<Uuid>,
        Nullable<Uuid>,
        Nullable<Binary>,
        Nullable<Binary>,
        Nullable<Binary>,
        Nullable<Binary>,
        Nullable<Binary>,
        BigInt,
    );
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_matching(&self.0, &mut out)?;
        // The condition on `carried_over.status` is evaluated again if another transaction has
        // changed the row since the statement began.
        out.push_sql(
            ", carried_over AS (UPDATE analysis.analysis_issues AS carried_over \
             SET status = base.status, resolved_at = base.resolved_at, resolved_by = base.resolved_by \
             FROM pair JOIN analysis.analysis_issues AS base ON base.id = pair.base_id \
             WHERE carried_over.id = pair.id AND carried_over.status = 'open' AND pair.status = 'open' \
             AND pair.base_status IN ",
        );
        out.push_sql(VERDICTS);
        out.push_sql(" AND ");
        out.push_sql(&holds_for("carried_over", "base"));
        out.push_sql(
            " RETURNING 1) \
             SELECT base_project, new_project, unchanged, moved, new_ids, fixed, reopened, \
             (SELECT pg_catalog.count(*) FROM carried_over) FROM comparison CROSS JOIN (SELECT \
             pg_catalog.string_agg(pg_catalog.uuid_send(base_id) || pg_catalog.uuid_send(id), '') \
             FILTER (WHERE NOT has_moved) AS unchanged, \
             pg_catalog.string_agg(pg_catalog.uuid_send(base_id) || pg_catalog.uuid_send(id), '') \
             FILTER (WHERE has_moved) AS moved, \
             pg_catalog.string_agg(pg_catalog.uuid_send(id), '') \
             FILTER (WHERE status = 'open' AND base_status = 'resolved') AS reopened FROM pair) AS paired \
             CROSS JOIN (SELECT \
             pg_catalog.string_agg(pg_catalog.uuid_send(id), '') FILTER (WHERE is_new) AS new_ids, \
             pg_catalog.string_agg(pg_catalog.uuid_send(id), '') FILTER (WHERE NOT is_new) AS fixed FROM unpaired) AS left_over",
        );
        Ok(())
    }
}

/// The row that [`Track`] returns. It has the two projects, five lists of ids, and the number of
/// verdicts carried over.
///
/// A list is one byte string with 16 bytes for each id. The lists are those of [`Tracking`], in its
/// order.
pub(crate) type Tracked = (
    Option<ProjectId>,
    Option<ProjectId>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    i64,
);

impl Tracking {
    /// Decodes the row.
    ///
    /// # Errors
    /// The same as [`check_projects`].
    pub(crate) fn read(row: Tracked) -> Result<Self> {
        let (base, later, unchanged, moved, new, fixed, reopened, carried_over) = row;
        check_projects(base, later)?;
        Ok(Self {
            unchanged: pairs(unchanged),
            moved: pairs(moved),
            new: ids(new),
            fixed: ids(fixed),
            reopened: ids(reopened),
            carried_over: carried_over.unsigned_abs(),
        })
    }
}

/// Returns the id that these bytes are.
fn id(bytes: &[u8; 16]) -> AnalysisIssueId {
    uuid::Uuid::from_bytes(*bytes).into()
}

/// Returns the ids, sorted.
fn ids(bytes: Option<Vec<u8>>) -> Vec<AnalysisIssueId> {
    let (found, _) = bytes.as_deref().unwrap_or_default().as_chunks::<16>();
    let mut ids: Vec<_> = found.iter().map(id).collect();
    ids.sort_unstable();
    ids
}

/// Returns the pairs, sorted by the id in the later analysis.
fn pairs(bytes: Option<Vec<u8>>) -> Vec<TrackedIssue> {
    let (found, _) = bytes.as_deref().unwrap_or_default().as_chunks::<16>();
    let (found, _) = found.as_chunks::<2>();
    let mut pairs: Vec<_> = found
        .iter()
        .map(|[base, new]| TrackedIssue {
            base: id(base),
            new: id(new),
        })
        .collect();
    pairs.sort_unstable_by_key(|pair| pair.new);
    pairs
}
