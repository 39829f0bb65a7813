//! The data of the administration: settings, reports and what the server says about itself.

mod after_restore;
mod archiver;
mod digests;
mod lean_indexes;
mod organization_archive;
mod retention;

pub use after_restore::{AfterRestore, AfterRestoreOptions};
pub use archiver::Archiver;
pub use digests::{Aspect, Comparison, Difference, Digests, TableDigest};
pub use lean_indexes::{LeanIndex, LeanReason};
pub(crate) use organization_archive::{ArchiveHeader, ArchivedColumn, ArchivedTable};
pub use organization_archive::{
    ConflictPolicy, ConflictReason, ExportedOrganization, ImportConflict, ImportedOrganization,
    ImportedTable,
};
pub use retention::{AnalysisRetention, RetainedAnalyses};
