//! The deletion of analyses. It returns of each which reads it may change.

use diesel::prelude::QueryDsl;

use super::super::*;
use crate::schema::analysis::analyses;
use crate::sql::{delete_matching, exists_by_id};
use crate::{Analysis, AnalysisFilter, AnalysisId, AnalysisType, ProjectId, Result};

/// The columns that a deletion returns of each analysis, and their values.
pub(in super::super) type Latest = (ProjectId, AnalysisType);
pub(in super::super) const LATEST: (analyses::project_id, analyses::r#type) =
    (analyses::project_id, analyses::r#type);

/// Deletes an analysis, and returns whether it existed.
#[repository]
pub(super) async fn delete(executor: &Executor<'_>, id: AnalysisId) -> Result<bool> {
    let statement = diesel::delete(analyses::table.find(id)).returning(LATEST);
    match deleted_row::<Latest, _>(executor, statement).await? {
        true => Ok(true),
        false => {
            let exists = executor.one(exists_by_id::<Analysis>(id)).await?;
            not_deleted("Analysis", exists)
        }
    }
}

/// Deletes the analyses that the filter matches, and returns their number.
#[repository]
pub(super) async fn delete_many(executor: &Executor<'_>, filter: &AnalysisFilter) -> Result<u64> {
    let ids = filter.query().select(analyses::id);
    let statement = delete_matching(analyses::table, ids).returning(LATEST);
    deleted_each::<Latest, _>(executor, statement).await
}
