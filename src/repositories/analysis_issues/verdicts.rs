//! The verdicts of users on one issue.

use chrono::{DateTime, Utc};
use diesel::dsl::case_when;
use diesel::prelude::{
    BoolExpressionMethods, ExpressionMethods, IntoSql, NullableExpressionMethods, QueryDsl,
};
use diesel::sql_types::{Nullable, Timestamptz, Uuid};

use super::super::*;
use super::AnalysisIssues;
use crate::schema::analysis::analysis_issues;
use crate::sql::{cacheable, columns_of};
use crate::{AnalysisIssue, AnalysisIssueId, IssueStatus, Result, UserId};

#[repository]
impl AnalysisIssues<'_> {
    /// Gives an issue a status that is not open. If it has that status already, its time and user
    /// stay.
    pub(super) async fn settle(
        &self,
        id: AnalysisIssueId,
        status: IssueStatus,
        by: UserId,
    ) -> Result<AnalysisIssue> {
        let is_settled = analysis_issues::status
            .eq(status)
            .and(analysis_issues::resolved_at.is_not_null());
        let now = diesel::dsl::now.into_sql::<Timestamptz>().nullable();
        let at = case_when(is_settled, analysis_issues::resolved_at).otherwise(now);
        let user = case_when(is_settled, analysis_issues::resolved_by)
            .otherwise(by.into_sql::<Nullable<Uuid>>());
        let statement = diesel::update(analysis_issues::table.find(id))
            .set((
                analysis_issues::status.eq(status),
                analysis_issues::resolved_at.eq(at),
                analysis_issues::resolved_by.eq(user),
            ))
            .returning(columns_of::<AnalysisIssue>());
        match written_first(&self.0, cacheable(statement)).await? {
            Some(row) => Ok(row),
            None => Err(not_written("AnalysisIssue", self.exists(id).await?)),
        }
    }

    /// Gives an issue the status of an open one, without a time and a user.
    pub(super) async fn open_again(&self, id: AnalysisIssueId) -> Result<AnalysisIssue> {
        let statement = diesel::update(analysis_issues::table.find(id))
            .set((
                analysis_issues::status.eq(IssueStatus::Open),
                analysis_issues::resolved_at.eq(None::<DateTime<Utc>>),
                analysis_issues::resolved_by.eq(None::<UserId>),
            ))
            .returning(columns_of::<AnalysisIssue>());
        match written_first(&self.0, cacheable(statement)).await? {
            Some(row) => Ok(row),
            None => Err(not_written("AnalysisIssue", self.exists(id).await?)),
        }
    }
}
