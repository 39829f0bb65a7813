//! A Redis cache in front of the repositories that are read far more than written.
pub(crate) mod breaker;
pub(crate) mod entry;
pub(crate) mod events;
pub(crate) mod greeting;
mod metrics;
pub(crate) mod name;
pub(crate) mod question;
pub(crate) mod script;
pub(crate) mod sealed;
mod settings;

pub use metrics::CacheMetrics;
pub(crate) use metrics::{Counters, count};
pub(crate) use settings::Servers;
pub use settings::{CacheConfig, CachedKind, Mutant, Point, Unfenced, Visitor};
