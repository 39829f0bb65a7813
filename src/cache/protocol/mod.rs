//! The protocol between readers, writers and Redis: leases, fences and generations, compiled for
//! each engine.
//!
//! `docs/cache-protocol.md` describes it, and `tests/cache_model` is its model.

use super::*;

/// Checks whether a fault is injected. Without the feature `cache-faults` that is `false`.
#[cfg(feature = "cache-faults")]
macro_rules! injects {
    ($client:expr, $fault:ident) => {
        $client.settings.injected_fault == Some(crate::cache::InjectedFault::$fault)
    };
}
#[cfg(not(feature = "cache-faults"))]
macro_rules! injects {
    ($client:expr, $fault:ident) => {
        super::no_fault($client)
    };
}

#[cfg(not(feature = "cache-faults"))]
const fn no_fault(_: &client::CacheClient) -> bool {
    false
}

// In the order of their imports: each module uses those above it.
mod unavailable;

mod lineage;

mod shard;

pub(crate) mod client;

mod call;
#[cfg(feature = "cache-faults")]
mod failpoint;
mod identity;
mod topology;

mod abandoned_fences;
mod confirm;
pub(crate) mod generation;

mod lease;

pub(crate) mod fill;

pub(crate) mod fences;
pub(crate) mod lookup;

pub(crate) mod batch;
pub(crate) mod secondary_key;
