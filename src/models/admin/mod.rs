//! The data of the administration: settings, reports and what the server says about itself.

mod activity;
mod after_restore;
mod archiver;
mod default_partition;
mod digests;
mod erasure;
mod indexes;
mod lean_indexes;
mod locks;
mod log_archive;
mod maintenance;
mod monitoring;
mod organization_archive;
mod readiness;
mod replication;
mod retention;
mod statements;
mod tables;

pub use super::statement_names::statement_name;
pub use activity::{Activity, Backend, Horizon};
pub use after_restore::{AfterRestore, AfterRestoreOptions};
pub use archiver::Archiver;
pub use default_partition::DrainedDefault;
pub(crate) use default_partition::{FreeRange, first_of_month};
pub use digests::{Aspect, Comparison, Difference, Digests, TableDigest};
pub use erasure::{
    ErasedOrganization, ErasedRows, ErasedUser, ErasureAction, PersonalColumn, UserErasure,
    personal_columns,
};
pub use indexes::{IndexState, Indexes};
pub use lean_indexes::{LeanIndex, LeanReason};
pub use locks::{LockSession, Locks};
pub(crate) use log_archive::{ArchiveReader, CopyTally, LogArchiveHeader};
pub use log_archive::{ArchivedMonth, MissingReferences, RestoredMonth};
pub(crate) use maintenance::Progress;
pub use maintenance::{
    MaintenanceReport, MaintenanceStep, OldMonths, PlannedStep, Policy, StepOutcome, StepReport,
};
pub use monitoring::{Thresholds, Warning};
pub(crate) use organization_archive::{ArchiveHeader, ArchivedColumn, ArchivedTable};
pub use organization_archive::{
    ConflictPolicy, ConflictReason, ExportedOrganization, ImportConflict, ImportedOrganization,
    ImportedTable,
};
pub use readiness::{Check, Readiness, Verdict};
pub use replication::{Replication, SlotState, StandbyState};
pub use retention::{AnalysisRetention, RetainedAnalyses};
pub use statements::{StatementState, Statements};
pub use tables::{TableState, Tables};

pub(crate) use indexes::Unrelated;
pub(crate) use locks::Unordered;
pub(crate) use readiness::{Facts, settings};
pub(crate) use statements::Unnamed;
