//! What the cache tells through `tracing`; nothing without that feature.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Things that are told once for as long as they last.
#[derive(Debug, Default)]
pub(crate) struct Told {
    undecodable: AtomicBool,
    refused: AtomicBool,
    unnamed_cluster: AtomicBool,
}

#[cfg(feature = "tracing")]
macro_rules! tell {
    ($level:ident, $($event:tt)+) => { tracing::$level!(target: "wundr_db::cache", $($event)+) };
}
#[cfg(not(feature = "tracing"))]
macro_rules! tell {
    ($level:ident, $($name:ident = %$value:expr,)* $text:literal) => { $(let _ = &$value;)* };
}

/// What became of a read, or of the value that it has stored.
pub(crate) fn entry(kind: &str, outcome: &str) {
    tell!(trace, kind = %kind, outcome = %outcome, "cache");
}

/// Reads go to the database from now on.
pub(crate) fn unreachable(error: &impl fmt::Display) {
    tell!(warn, error = %error, "the cache does not answer: reads go to the database");
}

pub(crate) fn attached(generation: &str) {
    tell!(debug, generation = %generation, "the cache is reached");
}

pub(crate) fn renewed(generation: &str) {
    tell!(info, generation = %generation, "everything that was cached is old: a new generation has begun");
}

pub(crate) fn lower_timeline(timeline: &str) {
    tell!(warn, timeline = %timeline, "the database is on an earlier timeline than the cache has seen, as after a restore: everything that was cached is old");
}

pub(crate) fn opened(generation: &str) {
    tell!(debug, generation = %generation, "the generation may be filled");
}

pub(crate) fn cleared(transaction: &str) {
    tell!(info, transaction = %transaction, "a writer has left its fence: removed");
}

pub(crate) fn unfenced(error: &impl fmt::Display) {
    tell!(warn, error = %error, "a write went on without its fence: other processes may read older values");
}

impl Told {
    /// A value that somebody else has written, or an older form: read as if it was not there.
    pub(crate) fn undecodable(&self, key: &str, reason: &str) {
        if !self.undecodable.swap(true, Ordering::Relaxed) {
            tell!(warn, key = %key, reason = %reason, "a cached value cannot be understood, and is not used");
        }
    }

    /// The server answers, but refuses.
    pub(crate) fn refused(&self, error: &impl fmt::Display) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            tell!(error, error = %error, "the cache refuses: is its memory full, or are the rights too few?");
        }
    }

    /// The cluster's name is not to be had.
    pub(crate) fn unnamed_cluster(&self) {
        if !self.unnamed_cluster.swap(true, Ordering::Relaxed) {
            tell!(
                warn,
                "the role may not call pg_control_system: clusters that share a cache need prefixes of their own"
            );
        }
    }

    pub(crate) fn forget(&self) {
        self.refused.store(false, Ordering::Relaxed);
    }
}
