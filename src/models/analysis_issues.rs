//! `analysis.analysis_issues`: what an analysis objects to.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Uuid;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::analysis::analysis_issues;
use crate::{
    Analysis, AnalysisId, AnalysisIssueId, Change, IssueSeverity, IssueStatus, IssueType, UserId,
};

/// What an analysis objects to: a row of the design's `analysis_issues`.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    Selectable,
    Identifiable,
    Associations,
)]
#[diesel(table_name = analysis_issues, check_for_backend(Pg))]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct AnalysisIssue {
    /// Key.
    pub id: AnalysisIssueId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// What kind of issue it is.
    pub r#type: IssueType,
    /// How bad it is.
    pub severity: IssueSeverity,
    /// The rule that was broken, as the tool names it.
    pub rule_id: Option<String>,
    /// What is wrong, in one line.
    pub title: String,
    /// What is wrong.
    pub description: Option<String>,
    /// The file, from the project's root.
    pub file_path: String,
    /// Where it begins: line, from 1.
    pub line_number: Option<i32>,
    /// Where it begins: column, from 1.
    pub column_number: Option<i32>,
    /// Where it ends: line, from 1.
    pub end_line_number: Option<i32>,
    /// Where it ends: column, from 1.
    pub end_column_number: Option<i32>,
    /// The code in question.
    pub code_snippet: Option<String>,
    /// What to do about it.
    pub fix_suggestion: Option<String>,
    /// How long that should take, in minutes.
    pub estimated_fix_time: Option<i32>,
    /// What has become of it.
    pub status: IssueStatus,
    /// When it was resolved, ignored or found to be none; there only if it is not open.
    #[diesel(deserialize_as = crate::timestamp::MaybeTime)]
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who resolved or ignored it or found it to be none; there only if it is not open.
    pub resolved_by: Option<UserId>,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// An issue to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analysis_issues, row = AnalysisIssue)]
pub struct NewAnalysisIssue {
    /// Key; made by [`AnalysisIssueId::new`] unless given.
    #[row(default = AnalysisIssueId::new())]
    pub id: AnalysisIssueId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// What kind of issue it is.
    pub r#type: IssueType,
    /// How bad it is.
    pub severity: IssueSeverity,
    /// The rule that was broken, at most 255 characters.
    pub rule_id: Option<String>,
    /// What is wrong, in at most 500 characters.
    pub title: String,
    /// What is wrong.
    pub description: Option<String>,
    /// The file, from the project's root; indexed, hence at most some 2,700 bytes.
    pub file_path: String,
    /// Where it begins: line, from 1.
    pub line_number: Option<i32>,
    /// Where it begins: column, from 1.
    pub column_number: Option<i32>,
    /// Where it ends: line, from 1.
    pub end_line_number: Option<i32>,
    /// Where it ends: column, from 1.
    pub end_column_number: Option<i32>,
    /// The code in question.
    pub code_snippet: Option<String>,
    /// What to do about it.
    pub fix_suggestion: Option<String>,
    /// How long that should take, in minutes.
    pub estimated_fix_time: Option<i32>,
    /// `open` unless given.
    #[row(or = "'open'")]
    pub status: Option<IssueStatus>,
    /// When it was resolved, ignored or found to be none.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Who resolved or ignored it or found it to be none.
    pub resolved_by: Option<UserId>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to an issue. What is not named is kept.
///
/// What has become of it is not among them: see [`resolve`](crate::AnalysisIssueRepository::resolve) and the methods
/// beside it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = analysis_issues, row = AnalysisIssue, id = AnalysisIssueId)]
#[serde(default)]
pub struct AnalysisIssueChanges {
    /// New kind.
    pub r#type: Option<IssueType>,
    /// New severity.
    pub severity: Option<IssueSeverity>,
    /// New rule.
    pub rule_id: Change<String>,
    /// New title.
    pub title: Option<String>,
    /// New description.
    pub description: Change<String>,
    /// New file.
    pub file_path: Option<String>,
    /// New first line.
    pub line_number: Change<i32>,
    /// New first column.
    pub column_number: Change<i32>,
    /// New last line.
    pub end_line_number: Change<i32>,
    /// New last column.
    pub end_column_number: Change<i32>,
    /// New code in question.
    pub code_snippet: Change<String>,
    /// New proposal.
    pub fix_suggestion: Change<String>,
    /// New estimate, in minutes.
    pub estimated_fix_time: Change<i32>,
}

/// Which issues are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct AnalysisIssueFilter {
    /// Of this analysis.
    pub analysis_id: Option<AnalysisId>,
    /// Of one of these analyses; of none, if the list is empty.
    pub analysis_ids: Option<Vec<AnalysisId>>,
    /// Of this kind.
    pub r#type: Option<IssueType>,
    /// As bad as this, no more and no less.
    pub severity: Option<IssueSeverity>,
    /// As bad as this, or worse.
    pub severity_at_least: Option<IssueSeverity>,
    /// With this status.
    pub status: Option<IssueStatus>,
    /// That break this rule.
    pub rule_id: Option<String>,
    /// In this file.
    pub file_path: Option<String>,
    /// In the files whose path begins with this text, such as `src/`.
    pub file_path_prefix: Option<String>,
    /// Resolved, ignored or found to be none by this user.
    pub resolved_by: Option<UserId>,
}

impl AnalysisIssueFilter {
    pub(crate) fn query(&self) -> analysis_issues::BoxedQuery<'_, Pg> {
        let mut query = analysis_issues::table.into_boxed();
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(analysis_issues::analysis_id.eq(analysis_id));
        }
        if let Some(analysis_ids) = &self.analysis_ids {
            query = query.filter(analysis_issues::analysis_id.eq_any(analysis_ids));
        }
        if let Some(r#type) = self.r#type {
            query = query.filter(analysis_issues::r#type.eq(r#type));
        }
        if let Some(severity) = self.severity {
            query = query.filter(analysis_issues::severity.eq(severity));
        }
        if let Some(severity) = self.severity_at_least {
            // The database sorts the worst first.
            query = query.filter(analysis_issues::severity.le(severity));
        }
        if let Some(status) = self.status {
            query = query.filter(analysis_issues::status.eq(status));
        }
        if let Some(rule_id) = &self.rule_id {
            query = query.filter(analysis_issues::rule_id.eq(rule_id));
        }
        if let Some(file_path) = &self.file_path {
            query = query.filter(analysis_issues::file_path.eq(file_path));
        }
        if let Some(prefix) = &self.file_path_prefix {
            let pattern = crate::text::beginning_with(prefix);
            query = query.filter(analysis_issues::file_path.like(pattern));
        }
        if let Some(resolved_by) = self.resolved_by {
            query = query.filter(analysis_issues::resolved_by.eq(resolved_by));
        }
        query
    }
}

/// Resolves the issues whose ids a query gives.
pub(crate) struct ResolveMatching<Q> {
    ids: Q,
    by: UserId,
}

impl<Q> ResolveMatching<Q> {
    pub(crate) const fn new(ids: Q, by: UserId) -> Self {
        Self { ids, by }
    }
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for ResolveMatching<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE analysis.analysis_issues \
             SET status = 'resolved', resolved_at = pg_catalog.now(), resolved_by = ",
        );
        out.push_bind_param::<Uuid, _>(&self.by)?;
        out.push_sql(" WHERE id IN (");
        self.ids.walk_ast(out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}

/// Known by its text.
impl<Q> QueryId for ResolveMatching<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

orders! {
    /// In which order issues are listed.
    AnalysisIssueOrder of AnalysisIssue in analysis_issues {
        /// Worst first.
        #[default]
        Severity = severity asc,
        /// Newest first.
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By the file's path.
        File = file_path asc,
    }
}
