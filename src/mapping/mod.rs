//! The mapping between rows of the database and structs.

pub(crate) mod decoding;
