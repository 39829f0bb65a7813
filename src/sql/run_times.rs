//! The times of runs: of analyses, setup sessions and setup steps.
//!
//! A run never ends before it started, even if it started after this transaction. Its duration is
//! at least 1 second, as the design requires.

use diesel::pg::Pg;
use diesel::query_builder::AstPass;

/// The assignments that reset the run of an analysis to pending.
pub(super) const REQUEUED: &str = "status = 'pending', progress = 0, started_at = NULL, completed_at = NULL, \
                                   duration_seconds = NULL";

/// Writes the time at which a run ends now that started at `start`.
pub(super) fn push_end(start: &str, out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql("GREATEST(pg_catalog.now(), ");
    out.push_sql(start);
    out.push_sql(")");
}

/// Writes the seconds from `start` until the end that `push_end` writes.
pub(super) fn push_seconds<'b>(
    start: &str,
    push_end: impl FnOnce(&mut AstPass<'_, 'b, Pg>),
    out: &mut AstPass<'_, 'b, Pg>,
) {
    out.push_sql("LEAST(GREATEST(EXTRACT(EPOCH FROM ");
    push_end(out);
    out.push_sql(" - ");
    out.push_sql(start);
    out.push_sql("), 1), 2147483647)::integer");
}

/// Writes the seconds of a run that ends now and started at `start`.
pub(super) fn push_duration(start: &str, out: &mut AstPass<'_, '_, Pg>) {
    push_seconds(start, |out| push_end(start, out), out);
}

/// Writes the assignments of the end and the duration of a run. They are NULL if `is_ended`, a
/// condition, does not hold.
pub(super) fn push_end_if(is_ended: &str, start: &str, out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql("completed_at = CASE WHEN ");
    out.push_sql(is_ended);
    out.push_sql(" THEN ");
    push_end(start, out);
    out.push_sql(" END, duration_seconds = CASE WHEN ");
    out.push_sql(is_ended);
    out.push_sql(" THEN ");
    push_duration(start, out);
    out.push_sql(" END");
}
