//! The parts that several examples share.
//!
//! - [`readers`] reads the reports of analysis tools. It does not depend on the database.
//! - [`ingestion`] stores them.
//! - [`story`] creates the users, the project and the releases that the examples are about.
//! - [`server`] starts the server that keeps them.

pub mod ingestion;
pub mod readers;
pub mod server;
pub mod story;
