//! The design's indexes that the crate does without.

use diesel::sql_query;

use super::{Db, LeanIndex, repository};
use crate::Result;
use crate::sql::admin::lean_indexes::{LEAN_INDEXES, LeanIndexRow};

/// Returns the design's indexes that no statement of this crate needs, largest first.
///
/// Each costs every insert, and every update that is not HOT. The migrations keep them, because
/// other clients may use them: check [`LeanIndex::scans`] before you drop one. No index of a
/// partitioned table is listed, because PostgreSQL cannot drop one without blocking writers.
///
/// Any role may call it. To drop or create an index, a role must own the table.
///
/// ```no_run
/// # async fn f(db: &wundr_db::Db) -> wundr_db::Result<()> {
/// for index in wundr_db::admin::lean_indexes(db).await? {
///     println!("{} bytes, {:?}: {};", index.bytes, index.reason, index.drop);
/// }
/// # Ok(())
/// # }
/// ```
#[repository]
pub async fn lean_indexes(db: &Db) -> Result<Vec<LeanIndex>> {
    let rows: Vec<LeanIndexRow> = db.executor().load(sql_query(LEAN_INDEXES)).await?;
    Ok(rows.into_iter().map(LeanIndex::from).collect())
}
