//! The state of the WAL archiver.

use diesel::sql_query;

use super::{Archiver, Db, repository};
use crate::Result;
use crate::sql::admin::archiver::{ARCHIVER, ArchiverRow, MAY_LIST, MayList, WAITING};

/// Returns the state of the server's WAL archiver.
///
/// Any role may call it. The number of files that wait is only visible to a member of `pg_monitor`.
#[repository]
pub async fn archiver(db: &Db) -> Result<Archiver> {
    let executor = db.executor();
    let row: ArchiverRow = executor.one(sql_query(ARCHIVER)).await?;
    let may: MayList = executor.one(sql_query(MAY_LIST)).await?;
    let waiting = match may.yes {
        true => Some(executor.one(sql_query(WAITING)).await?),
        false => None,
    };
    Ok(row.with(waiting))
}
