//! The events that the cache emits through `tracing`. Without that feature there are none.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Warnings that are logged once while their condition lasts.
#[derive(Debug, Default)]
pub(crate) struct LogOnce {
    undecodable: AtomicBool,
    refused: AtomicBool,
    unnamed_cluster: AtomicBool,
}

#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $($event:tt)+) => { tracing::$level!(target: "wundr_db::cache", $($event)+) };
}
#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident, $($name:ident = %$value:expr,)* $text:literal) => { $(let _ = &$value;)* };
}

/// Logs the outcome of a read, or of a fill.
pub(crate) fn entry(kind: &str, outcome: &str) {
    event!(trace, kind = %kind, outcome = %outcome, "cache");
    #[cfg(feature = "tracing")]
    if !matches!(outcome, "filled" | "refused") {
        crate::observation::cache_outcome(outcome);
    }
    #[cfg(feature = "metrics")]
    metrics::counter!("wundr_db.cache.reads", "kind" => kind.to_owned(), "outcome" => outcome.to_owned())
        .increment(1);
}

/// Logs that reads bypass the cache from now on.
pub(crate) fn unreachable(error: &impl fmt::Display) {
    event!(warn, error = %error, "Redis does not answer; reads go to the database");
}

/// Logs that a shard is in use.
pub(crate) fn session_opened(generation: &str) {
    event!(debug, generation = %generation, "connected to the cache");
}

/// Logs that a generation was begun.
pub(crate) fn generation_begun(generation: &str) {
    event!(info, generation = %generation, "began a new generation; earlier entries are invalid");
}

/// Logs that the database was restored to an earlier timeline.
pub(crate) fn lower_timeline(timeline: &str) {
    event!(warn, timeline = %timeline, "the database is on an earlier timeline than the cache has recorded, as after a restore; earlier entries are invalid");
}

/// Logs that a generation may be filled.
pub(crate) fn generation_opened(generation: &str) {
    event!(debug, generation = %generation, "the generation is open for fills");
}

/// Logs that an abandoned fence was removed.
pub(crate) fn fence_removed(transaction: &str) {
    event!(info, transaction = %transaction, "removed the fence of a writer that did not remove it");
}

/// Logs that a commit went on without its fence.
pub(crate) fn unfenced(error: &impl fmt::Display) {
    event!(warn, error = %error, "committed without a fence; other processes may read older values");
}

impl LogOnce {
    /// Logs that a value could not be decoded. Such a value is treated as missing.
    pub(crate) fn undecodable(&self, key: &str, reason: &str) {
        if !self.undecodable.swap(true, Ordering::Relaxed) {
            event!(warn, key = %key, reason = %reason, "ignored a cached value that cannot be decoded");
        }
    }

    /// Logs that the server rejected a command.
    pub(crate) fn refused(&self, error: &impl fmt::Display) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            event!(error, error = %error, "Redis rejected a cache command; check maxmemory and ACL permissions");
        }
    }

    /// Logs that the identifier of the PostgreSQL cluster cannot be read.
    pub(crate) fn unnamed_cluster(&self) {
        if !self.unnamed_cluster.swap(true, Ordering::Relaxed) {
            event!(
                warn,
                "the database role may not call pg_control_system; give each PostgreSQL cluster that shares this cache its own prefix"
            );
        }
    }

    /// Permits the next rejection to be logged again.
    pub(crate) fn forget(&self) {
        self.refused.store(false, Ordering::Relaxed);
    }
}
