//! The schema, the migrations, and the statements that the crate sends.

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod files;
mod foreign_bytes;
mod from_json;
mod ingest;
mod instrumentation;
mod migrations;
mod pages;
mod plans;
mod rights;
mod schema;
mod statements;
mod tracking;

use support::{catalog, observer, wire};
