//! The plain data of the tables: rows, new rows, changes, filters and orders. Nothing here depends
//! on an engine.

pub(crate) mod access;
#[cfg(feature = "admin")]
pub(crate) mod admin;
mod analyses;
mod analysis_issues;
mod analysis_leases;
pub(crate) mod analysis_lifecycle;
mod analysis_metrics;
pub(crate) mod analysis_pins;
mod analysis_results;
mod audit_logs;
mod auditing;
mod configurations;
mod dashboard;
mod dependency_graphs;
mod duplicate_groups;
pub(crate) mod health;
mod ingest;
mod integrations;
mod invitations;
mod organization_members;
mod organizations;
pub(crate) mod partitions;
mod project_members;
mod project_stats;
mod projects;
pub(crate) mod quality_gates;
pub(crate) mod queue_state;
#[cfg(feature = "crypto")]
pub(crate) mod resealing;
#[cfg(feature = "crypto")]
mod sessions;
pub(crate) mod setup_lifecycle;
mod setup_profiles;
mod setup_sessions;
mod setup_steps;
#[cfg(any(feature = "admin", feature = "testing"))]
pub(crate) mod statement_names;
mod system_logs;
mod tools;
mod touched;
pub(crate) mod tracking;
mod trends;
mod unreadable;
mod user_sessions;
mod users;

pub use access::{Access, AccessSource};
pub use analyses::*;
pub use analysis_issues::*;
pub use analysis_leases::{Claim, Lease};
pub use analysis_metrics::*;
pub use analysis_pins::AnalysisPin;
pub use analysis_results::*;
pub use audit_logs::*;
pub use auditing::*;
pub use configurations::*;
pub use dashboard::*;
pub use dependency_graphs::*;
pub use duplicate_groups::*;
pub use health::{Availability, Health, PoolState};
pub use ingest::{IngestCounts, Ingested};
pub(crate) use ingest::{Part, Tally};
pub use integrations::*;
pub use invitations::*;
pub use organization_members::*;
pub use organizations::*;
pub use partitions::{LogTable, Partition, PartitionHealth};
pub use project_members::*;
pub use project_stats::*;
pub use projects::*;
pub use quality_gates::{
    Bound, ConditionVerdict, GateCondition, GateVerdict, Missing, QualityGate, Reference,
};
pub use queue_state::QueueState;
#[cfg(feature = "crypto")]
pub use resealing::{ResealCursor, ResealFailure, Resealed, SecretCounts};
#[cfg(feature = "crypto")]
pub use sessions::*;
pub use setup_profiles::*;
pub use setup_sessions::*;
pub use setup_steps::*;
pub use system_logs::*;
pub(crate) use tools::install_order;
pub use tools::*;
pub use touched::Touched;
pub use tracking::{TrackedIssue, Tracking};
pub use trends::*;
pub use unreadable::Unreadable;
pub use user_sessions::*;
pub use users::*;
