//! The pins of analyses, which retention keeps.

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::super::*;
use crate::schema::analysis::{analyses, analysis_pins};
use crate::sql::Sql;
use crate::sql::analysis_pins::{Pin, not_pinned};
use crate::{AnalysisId, AnalysisPin, Error, MAX_LIMIT, ProjectId, Result};

/// Pins an analysis.
#[repository]
pub(in super::super) async fn pin(
    executor: &Executor<'_>,
    id: AnalysisId,
    reason: &str,
) -> Result<AnalysisPin> {
    let by = executor.acting().and_then(|acting| acting.actor.user);
    let pinned = written_first(executor, Sql(Pin { id, reason, by })).await;
    pinned
        .map_err(not_pinned)?
        .ok_or(Error::NotFound { what: "Analysis" })
}

/// Removes a pin, and returns whether it existed.
#[repository]
pub(super) async fn unpin(executor: &Executor<'_>, id: AnalysisId, reason: &str) -> Result<bool> {
    let pin = analysis_pins::table.find((id, reason));
    Ok(executor.execute(diesel::delete(pin)).await? == 1)
}

/// Returns the pins of an analysis, in the order of their reasons.
#[repository]
pub(super) async fn pins_of(executor: &Executor<'_>, id: AnalysisId) -> Result<Vec<AnalysisPin>> {
    let query = analysis_pins::table
        .filter(analysis_pins::analysis_id.eq(id))
        .order(analysis_pins::reason)
        .select(analysis_pins::all_columns);
    executor.load(query).await
}

/// Returns the newest pins of a project's analyses.
///
/// # Errors
/// - [`Error::InvalidInput`] if the limit is not within 1 and [`MAX_LIMIT`]
#[repository]
pub(super) async fn pins_of_project(
    executor: &Executor<'_>,
    project_id: ProjectId,
    limit: u32,
) -> Result<Vec<AnalysisPin>> {
    check_limit("limit", limit)?;
    let query = analysis_pins::table
        .inner_join(analyses::table)
        .filter(analyses::project_id.eq(project_id))
        .order((
            analysis_pins::pinned_at.desc(),
            analysis_pins::analysis_id.desc(),
            analysis_pins::reason,
        ))
        .limit(limit.into())
        .select(analysis_pins::all_columns);
    executor.load(query).await
}

/// Checks that a number of rows is within 1 and [`MAX_LIMIT`].
pub(super) fn check_limit(name: &'static str, limit: u32) -> Result<()> {
    match (1..=MAX_LIMIT).contains(&limit) {
        true => Ok(()),
        false => Err(Error::invalid(
            name,
            format_args!("{limit} is not within 1 and {MAX_LIMIT}"),
        )),
    }
}
