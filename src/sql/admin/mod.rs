//! The statements of the administration. They read the server's catalogues and run rarely.

pub(crate) mod after_restore;
pub(crate) mod archiver;
pub(crate) mod binary_rows;
pub(crate) mod digests;
pub(crate) mod lean_indexes;
pub(crate) mod organization;
pub(crate) mod retention;
