//! `analysis.analysis_issues`: the issues that analyses found.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::analyses_of::{AnalysesOf, OfAnalyses};
use crate::mapping::condition::{By, Condition, condition};
use crate::mapping::expressions::begins_with;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::analysis::analysis_issues;
use crate::{
    Analysis, AnalysisId, AnalysisIssueId, Change, IssueSeverity, IssueStatus, IssueType,
    ProjectId, UserId,
};

/// An issue that an analysis found: a row of the design's `analysis_issues`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = analysis_issues)]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct AnalysisIssue {
    /// Primary key.
    pub id: AnalysisIssueId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The kind of issue.
    pub r#type: IssueType,
    /// The severity.
    pub severity: IssueSeverity,
    /// The rule that was broken, by the tool's name for it.
    pub rule_id: Option<String>,
    /// The problem, in one line.
    pub title: String,
    /// A description of the problem.
    pub description: Option<String>,
    /// The file's path, relative to the project's root.
    pub file_path: String,
    /// The first line, counted from 1.
    pub line_number: Option<i32>,
    /// The first column, counted from 1.
    pub column_number: Option<i32>,
    /// The last line, counted from 1.
    pub end_line_number: Option<i32>,
    /// The last column, counted from 1.
    pub end_column_number: Option<i32>,
    /// The code with the problem.
    pub code_snippet: Option<String>,
    /// A proposal to fix it.
    pub fix_suggestion: Option<String>,
    /// The estimated time to fix it, in minutes.
    pub estimated_fix_time: Option<i32>,
    /// The status.
    pub status: IssueStatus,
    /// The time at which it was resolved, ignored or marked as a false positive. It is `None` for
    /// an open issue.
    #[diesel(deserialize_as = crate::types::timestamp::MaybeTime)]
    pub resolved_at: Option<DateTime<Utc>>,
    /// The user that resolved it, ignored it or marked it as a false positive. It is `None` for an
    /// open issue.
    pub resolved_by: Option<UserId>,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// An issue to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analysis_issues, row = AnalysisIssue)]
#[row(body(AnalysisIssueBody: type, severity, rule_id, title, description, file_path, line_number, column_number, end_line_number, end_column_number, code_snippet, fix_suggestion, estimated_fix_time))]
#[non_exhaustive]
pub struct NewAnalysisIssue {
    /// Primary key. Default: [`AnalysisIssueId::new`].
    #[row(default = AnalysisIssueId::new())]
    pub id: AnalysisIssueId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The kind of issue.
    pub r#type: IssueType,
    /// The severity.
    pub severity: IssueSeverity,
    /// The rule that was broken, by the tool's name for it, at most 255 characters.
    pub rule_id: Option<String>,
    /// The problem, in one line of at most 500 characters.
    pub title: String,
    /// A description of the problem.
    pub description: Option<String>,
    /// The file's path, relative to the project's root. It is indexed, which limits it to about
    /// 2,700 bytes.
    pub file_path: String,
    /// The first line, counted from 1.
    pub line_number: Option<i32>,
    /// The first column, counted from 1.
    pub column_number: Option<i32>,
    /// The last line, counted from 1.
    pub end_line_number: Option<i32>,
    /// The last column, counted from 1.
    pub end_column_number: Option<i32>,
    /// The code with the problem.
    pub code_snippet: Option<String>,
    /// A proposal to fix it.
    pub fix_suggestion: Option<String>,
    /// The estimated time to fix it, in minutes.
    pub estimated_fix_time: Option<i32>,
    /// The status. Default: `open`.
    #[row(or = "'open'")]
    pub status: Option<IssueStatus>,
    /// The time at which it was resolved, ignored or marked as a false positive.
    pub resolved_at: Option<DateTime<Utc>>,
    /// The user that resolved it, ignored it or marked it as a false positive.
    pub resolved_by: Option<UserId>,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to an issue. A field that is not set keeps its value.
///
/// The status is changed by [`resolve`](crate::AnalysisIssueRepository::resolve),
/// [`ignore`](crate::AnalysisIssueRepository::ignore),
/// [`mark_false_positive`](crate::AnalysisIssueRepository::mark_false_positive) and
/// [`reopen`](crate::AnalysisIssueRepository::reopen).
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = analysis_issues, row = AnalysisIssue, id = AnalysisIssueId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisIssueChanges {
    /// New kind.
    pub r#type: Option<IssueType>,
    /// New severity.
    pub severity: Option<IssueSeverity>,
    /// New rule.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub rule_id: Change<String>,
    /// New title.
    pub title: Option<String>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// New file.
    pub file_path: Option<String>,
    /// New first line.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i32>))]
    pub line_number: Change<i32>,
    /// New first column.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i32>))]
    pub column_number: Change<i32>,
    /// New last line.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i32>))]
    pub end_line_number: Change<i32>,
    /// New last column.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i32>))]
    pub end_column_number: Change<i32>,
    /// New code.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub code_snippet: Change<String>,
    /// New proposal.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub fix_suggestion: Change<String>,
    /// New estimate, in minutes.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<i32>))]
    pub estimated_fix_time: Change<i32>,
}

/// A filter for issues. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisIssueFilter {
    /// Only issues of the analyses of this project, of all of them.
    ///
    /// A problem that several analyses found is an issue of each of them. To get the issues that
    /// the project has now, use `latest_of_project`.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub project_id: Option<ProjectId>,
    /// Only issues of the newest completed analysis of each type of this project.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub latest_of_project: Option<ProjectId>,
    /// Only rows of this analysis.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub analysis_id: Option<AnalysisId>,
    /// Only issues of these analyses. An empty list matches none.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub analysis_ids: Option<Vec<AnalysisId>>,
    /// Only issues of this kind.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub r#type: Option<IssueType>,
    /// Only issues of exactly this severity.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub severity: Option<IssueSeverity>,
    /// Only issues of this severity or a worse one.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub severity_at_least: Option<IssueSeverity>,
    /// Only rows with this status.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub status: Option<IssueStatus>,
    /// Only issues that break this rule.
    pub rule_id: Option<String>,
    /// Only issues in this file.
    pub file_path: Option<String>,
    /// Only issues in files whose path begins with this text, such as `src/`.
    pub file_path_prefix: Option<String>,
    /// Only issues that this user resolved, ignored or marked as a false positive.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub resolved_by: Option<UserId>,
}

impl AnalysisIssueFilter {
    /// Returns the analyses that the filter names by their project. If it names them twice, returns
    /// the smaller set.
    pub(crate) fn analyses(&self) -> Option<AnalysesOf> {
        let newest = self.latest_of_project.map(AnalysesOf::Newest);
        newest.or(self.project_id.map(AnalysesOf::Project))
    }

    /// Checks whether many issues of an analysis match the filter, as far as its conditions show.
    pub(crate) fn matches_many_of_an_analysis(&self) -> bool {
        let Self {
            project_id: _,
            latest_of_project: _,
            analysis_id: _,
            analysis_ids: _,
            // These have a few values each.
            r#type: _,
            severity: _,
            severity_at_least: _,
            status: _,
            rule_id,
            file_path,
            file_path_prefix,
            resolved_by,
        } = self;
        rule_id.is_none()
            && file_path.is_none()
            && file_path_prefix.is_none()
            && resolved_by.is_none()
    }

    pub(crate) fn query(&self) -> analysis_issues::BoxedQuery<'_, Pg, RowSql<AnalysisIssue>> {
        let names_analyses = self.analysis_id.is_some() || self.analysis_ids.is_some();
        let by = if names_analyses || self.analyses().is_some() {
            By::OtherConditions
        } else {
            By::Index
        };
        self.of_analyses(self.conditions(by))
    }

    /// Returns the query for a caller that restricts it to some analyses.
    pub(crate) fn query_of_some_analyses(
        &self,
    ) -> analysis_issues::BoxedQuery<'_, Pg, RowSql<AnalysisIssue>> {
        self.of_analyses(self.conditions(By::OtherConditions))
    }

    fn of_analyses<'a>(
        &self,
        query: analysis_issues::BoxedQuery<'a, Pg, RowSql<AnalysisIssue>>,
    ) -> analysis_issues::BoxedQuery<'a, Pg, RowSql<AnalysisIssue>> {
        match self.analyses() {
            Some(analyses) => query.filter(Condition::new(OfAnalyses(analyses))),
            None => query,
        }
    }

    /// Returns the query for a caller that restricts it to an analysis of those that
    /// [`analyses`](Self::analyses) returned. It lacks that condition.
    pub(crate) fn query_of_one_analysis(
        &self,
    ) -> analysis_issues::BoxedQuery<'_, Pg, RowSql<AnalysisIssue>> {
        self.conditions(By::OtherConditions)
    }

    fn conditions(&self, by: By) -> analysis_issues::BoxedQuery<'_, Pg, RowSql<AnalysisIssue>> {
        let mut query = analysis_issues::table
            .select(columns_of::<AnalysisIssue>())
            .into_boxed();
        if let (Some(project_id), Some(_)) = (self.project_id, self.latest_of_project) {
            let analyses = AnalysesOf::Project(project_id);
            query = query.filter(Condition::new(OfAnalyses(analyses)));
        }
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(condition(
                analysis_issues::table,
                analysis_issues::analysis_id.eq(analysis_id),
            ));
        }
        if let Some(analysis_ids) = &self.analysis_ids {
            query = query.filter(condition(
                analysis_issues::table,
                analysis_issues::analysis_id.eq_any(analysis_ids),
            ));
        }
        if let Some(r#type) = self.r#type {
            let is_same = analysis_issues::r#type.eq(r#type);
            query = query.filter(condition(analysis_issues::table, is_same).found(by));
        }
        if let Some(severity) = self.severity {
            query = query.filter(condition(
                analysis_issues::table,
                analysis_issues::severity.eq(severity),
            ));
        }
        if let Some(severity) = self.severity_at_least {
            // The enum in the database lists the worst severity first.
            query = query.filter(condition(
                analysis_issues::table,
                analysis_issues::severity.le(severity),
            ));
        }
        if let Some(status) = self.status {
            let is_same = analysis_issues::status.eq(status);
            query = query.filter(condition(analysis_issues::table, is_same).found(by));
        }
        if let Some(rule_id) = &self.rule_id {
            let is_same = analysis_issues::rule_id.eq(rule_id);
            query = query.filter(condition(analysis_issues::table, is_same).found(by));
        }
        if let Some(file_path) = &self.file_path {
            let is_same = analysis_issues::file_path.eq(file_path);
            query = query.filter(condition(analysis_issues::table, is_same).found(by));
        }
        if let Some(prefix) = &self.file_path_prefix {
            query = query.filter(begins_with(analysis_issues::file_path, prefix, by).found(by));
        }
        if let Some(resolved_by) = self.resolved_by {
            let is_same = analysis_issues::resolved_by.eq(resolved_by);
            query = query.filter(condition(analysis_issues::table, is_same).found(by));
        }
        query
    }
}

orders! {
    /// The order in which issues are listed.
    AnalysisIssueOrder of AnalysisIssue in analysis_issues {
        /// Worst first.
        #[default]
        Severity = severity asc,
        /// Newest first.
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By file path.
        File = file_path asc,
    }
}
