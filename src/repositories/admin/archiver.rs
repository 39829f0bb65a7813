//! The state of the WAL archiver.

use diesel::sql_query;

use super::{Archiver, Db, repository};
use crate::Result;
use crate::sql::admin::archiver::{ARCHIVER, ArchiverRow};

/// Returns the state of the server's WAL archiver.
///
/// Any role may call it.
#[repository]
pub async fn archiver(db: &Db) -> Result<Archiver> {
    let row: ArchiverRow = db.executor().one(sql_query(ARCHIVER)).await?;
    Ok(row.into())
}
