//! The administration: functions for operators, which need more rights than an application or read
//! the server's catalogues.

mod after_restore;
mod archiver;
mod default_partition;
mod erasure;
mod export;
mod lean_indexes;
mod log_archive;
mod maintenance;
mod monitoring;
mod organization;
mod retention;
mod snapshot;

pub use super::super::streams::{Input, Output};
pub use crate::config::pgbouncer;
pub use crate::models::admin::*;
pub use after_restore::after_restore;
pub use archiver::archiver;
pub use default_partition::drain_default;
use default_partition::drain_default_until;
pub use erasure::{erase_organization, erase_user};
pub use export::export_user;
pub use lean_indexes::lean_indexes;
pub use log_archive::{archive_month, drop_archived, restore_month};
pub use maintenance::{LogArchive, Maintenance};
pub use monitoring::{
    activity, indexes, locks, readiness, replication, statements, statements_of, tables, warnings,
};
pub use organization::{export_organization, import_organization, organization_tables};
pub use retention::{plan_retained_analyses, remove_orphaned_graphs, retain_analyses};
pub use snapshot::{Snapshot, compare, snapshot};

use super::{Db, Tx, UnitOfWork, repository};
use crate::Result;
use crate::models::admin::{
    ArchiveHeader, ArchiveReader, ArchivedColumn, ArchivedTable, CopyTally, FreeRange,
    LogArchiveHeader, Progress,
};

/// Returns the same database with a connection of its own, which has no time limits of requests.
///
/// In the async engine, a server that is silent for longer than a request may take is asked on
/// another connection whether it responds. If it does not, the call ends.
fn patient(db: &Db) -> Result<Db> {
    let config = db
        .config()
        .without_limits()
        .max_connections(1)
        .min_idle(0)
        .application_name("wundr-db admin");
    let mut patient = Db::lazy(config)?;
    patient.attachments = db.attachments.clone();
    Ok(patient)
}
