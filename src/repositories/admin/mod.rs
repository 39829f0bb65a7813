//! The administration: functions for operators, which need more rights than an application or read
//! the server's catalogues.

mod archiver;
mod retention;
mod snapshot;

pub use crate::models::admin::*;
pub use archiver::archiver;
pub use retention::{plan_retained_analyses, remove_orphaned_graphs, retain_analyses};
pub use snapshot::{Snapshot, compare, snapshot};

use super::{Db, Tx, repository};
use crate::Result;

/// Returns a database of its own with one connection and without the time limits of requests.
fn patient(db: &Db) -> Result<Db> {
    Db::lazy(
        db.config()
            .clone()
            .max_connections(1)
            .min_idle(0)
            .statement_timeout(None)
            .idle_in_transaction_timeout(None)
            .response_timeout(None)
            .application_name("wundr-db admin"),
    )
}
