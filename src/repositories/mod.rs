//! The repositories: a trait and its implementation on PostgreSQL for each table.
//!
//! This folder is compiled twice: for the async engine ([`crate`]) and for the blocking engine
//! ([`crate::blocking`]). The attribute `#[repository]` and the `Executor` of `super` make the
//! difference.

use super::*;
// For the links in the documentation of the repositories.
#[cfg(doc)]
use crate::Error;
use grouping::{
    count_of_each, grouped_by, in_order_of, missing_from, places_by, rows_by_ids, rows_in,
};
use logs::{exists_in_log, find_in_log, find_many_in_log};
use members::remove_members;
use pages::{page_by_reusable_plan, page_of, pages_of_each, read_page};
#[cfg(feature = "crypto")]
use steady::written_load;
use steady::{
    runs_again, steady_first, steady_first_uncached, steady_first_unlocked, steady_load,
    written_first,
};
use writing::{
    Write, changed_row, check_merged, created_row, deleted_each, deleted_row, deleted_rows,
    not_changed, not_deleted, not_written, updated_or_reason, updated_row, updated_row_uncached,
};

/// The number of tries of a conditional transition whose condition holds when it is checked
/// afterwards.
const MOST_TRIES: usize = 16;

#[cfg(feature = "admin")]
pub mod admin;
mod all;
mod analyses;
mod analysis_issues;
mod analysis_metrics;
mod analysis_results;
mod attached;
mod audit_logs;
mod audit_seals;
mod availability;
mod configurations;
mod dashboard;
mod dependency_graphs;
mod duplicate_groups;
mod grouping;
mod ingest;
mod integrations;
mod invitations;
mod logs;
mod members;
#[cfg(feature = "migrations")]
pub(crate) mod migrations;
mod organization_members;
mod organizations;
mod own_tables;
mod pages;
mod partitions;
mod project_members;
mod project_stats;
mod projects;
mod quality_gates;
#[cfg(feature = "crypto")]
mod resealing;
#[cfg(feature = "testing")]
mod scenario;
pub(crate) mod secrets;
#[cfg(feature = "crypto")]
mod sessions;
mod setup_profiles;
mod setup_sessions;
mod setup_steps;
mod steady;
mod system_logs;
mod tools;
mod trends;
mod unreadable;
mod user_sessions;
mod users;
#[cfg(feature = "migrations")]
pub(crate) mod watched_tables;
mod writing;

pub use all::Repositories;
#[cfg(feature = "redis")]
pub(crate) use all::each_repository;
pub use analyses::*;
pub use analysis_issues::*;
pub use analysis_metrics::*;
pub use analysis_results::*;
pub use audit_logs::*;
pub use configurations::*;
pub use dashboard::*;
pub use dependency_graphs::*;
pub use duplicate_groups::*;
pub use ingest::*;
pub use integrations::*;
pub use invitations::*;
pub use organization_members::*;
pub use organizations::*;
pub use own_tables::OwnTables;
pub use partitions::*;
pub use project_members::*;
pub use project_stats::*;
pub use projects::*;
pub use quality_gates::*;
#[cfg(feature = "crypto")]
pub use sessions::*;
pub use setup_profiles::*;
pub use setup_sessions::*;
pub use setup_steps::*;
pub use system_logs::*;
pub use tools::*;
pub use trends::*;
pub use user_sessions::*;
pub use users::*;
