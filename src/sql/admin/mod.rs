//! The statements of the administration. They read the server's catalogues and run rarely.

pub(crate) mod activity;
pub(crate) mod after_restore;
pub(crate) mod archiver;
pub(crate) mod binary_rows;
pub(crate) mod default_partition;
pub(crate) mod digests;
pub(crate) mod document;
pub(crate) mod erasure;
pub(crate) mod export;
pub(crate) mod lean_indexes;
pub(crate) mod log_archive;
pub(crate) mod maintenance;
pub(crate) mod organization;
pub(crate) mod readiness;
pub(crate) mod relations;
pub(crate) mod replication;
pub(crate) mod retention;
pub(crate) mod statements;
