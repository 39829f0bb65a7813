//! The statements of the administration. They read the server's catalogues and run rarely.

pub(crate) mod archiver;
pub(crate) mod digests;
pub(crate) mod retention;
