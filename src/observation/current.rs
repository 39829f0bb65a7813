//! What is recorded in the call that is current: its rows, its repetitions, and how the cache has
//! answered it.

#[cfg(feature = "tracing")]
use tracing::Span;

#[cfg(feature = "tracing")]
use super::TARGET;

/// Records a field of the current call. Without a subscriber that is not looked up.
#[cfg(feature = "tracing")]
fn record_current(field: &'static str, value: impl tracing::Value) {
    if tracing::level_filters::LevelFilter::current() != tracing::level_filters::LevelFilter::OFF {
        Span::current().record(field, value);
    }
}

/// Records the number of rows that a query of the current call has returned.
#[cfg(feature = "tracing")]
pub(crate) fn returned_rows(number: usize) {
    record_current("db.response.returned_rows", number);
}

/// Records that a statement of the current call is run again in a transaction of its own, because
/// it could not be serialized.
pub(crate) fn statement_runs_again() {
    #[cfg(feature = "tracing")]
    {
        record_current("wundr_db.retries", 1_u64);
        tracing::debug!(target: TARGET, reason = "statement", "the statement is run again");
    }
    #[cfg(feature = "metrics")]
    metrics::counter!("wundr_db.retries", "reason" => "statement").increment(1);
}

/// Records that work is tried again, after this number of attempts.
pub(crate) fn retried(reason: &'static str, attempts: u32) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: TARGET, reason, attempts, "the work is tried again");
    #[cfg(feature = "metrics")]
    metrics::counter!("wundr_db.retries", "reason" => reason).increment(1);
    #[cfg(not(feature = "tracing"))]
    let _ = attempts;
}

/// Records how the cache has answered the current call.
#[cfg(all(feature = "tracing", feature = "redis"))]
pub(crate) fn cache_outcome(outcome: &str) {
    record_current("wundr_db.cache.outcome", outcome);
}
