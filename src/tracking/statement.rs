//! The statement that matches two analyses' findings and carries verdicts over.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Nullable, Uuid};

use super::{Compared, TrackedIssue, Tracking, VERDICTS, check_projects, holds_for, push_matching};
use crate::{AnalysisId, AnalysisIssueId, Error, ProjectId, Result};

/// Matches and carries over, in one statement.
pub(crate) struct Track(Compared);

impl Track {
    pub(crate) fn new(base: AnalysisId, new: AnalysisId) -> Result<Self> {
        if base == new {
            return Err(Error::invalid("new", "is the base"));
        }
        Ok(Self(Compared {
            base: Some(base),
            new,
            findings: true,
            locked: true,
        }))
    }
}

impl QueryFragment<Pg> for Track {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_matching(&self.0, &mut out)?;
        // The status is looked at again where somebody has changed it since the statement began.
        out.push_sql(
            ", heir AS (UPDATE analysis.analysis_issues AS heir \
             SET status = base.status, resolved_at = base.resolved_at, resolved_by = base.resolved_by \
             FROM pair JOIN analysis.analysis_issues AS base ON base.id = pair.base_id \
             WHERE heir.id = pair.id AND heir.status = 'open' AND pair.status = 'open' \
             AND pair.base_status IN ",
        );
        out.push_sql(VERDICTS);
        out.push_sql(" AND ");
        out.push_sql(&holds_for("heir", "base"));
        out.push_sql(
            " RETURNING 1) \
             SELECT base_project, new_project, unchanged, moved, new_ids, fixed, reopened, \
             (SELECT pg_catalog.count(*) FROM heir) FROM asked CROSS JOIN (SELECT \
             pg_catalog.string_agg(pg_catalog.uuid_send(base_id) || pg_catalog.uuid_send(id), '') \
             FILTER (WHERE NOT has_moved) AS unchanged, \
             pg_catalog.string_agg(pg_catalog.uuid_send(base_id) || pg_catalog.uuid_send(id), '') \
             FILTER (WHERE has_moved) AS moved, \
             pg_catalog.string_agg(pg_catalog.uuid_send(id), '') \
             FILTER (WHERE status = 'open' AND base_status = 'resolved') AS reopened FROM pair) AS paired \
             CROSS JOIN (SELECT \
             pg_catalog.string_agg(pg_catalog.uuid_send(id), '') FILTER (WHERE is_new) AS new_ids, \
             pg_catalog.string_agg(pg_catalog.uuid_send(id), '') FILTER (WHERE NOT is_new) AS fixed FROM rest) AS left_over",
        );
        Ok(())
    }
}

impl QueryId for Track {
    type QueryId = Self;
}

impl Query for Track {
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
}

#[cfg(feature = "blocking")]
impl<C> diesel::RunQueryDsl<C> for Track {}

/// The row that [`Track`] returns: the two projects, and ids one after the other, 16 bytes each.
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

fn id(bytes: &[u8; 16]) -> AnalysisIssueId {
    uuid::Uuid::from_bytes(*bytes).into()
}

fn ids(bytes: Option<Vec<u8>>) -> Vec<AnalysisIssueId> {
    let (found, _) = bytes.as_deref().unwrap_or_default().as_chunks::<16>();
    let mut ids: Vec<_> = found.iter().map(id).collect();
    ids.sort_unstable();
    ids
}

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
