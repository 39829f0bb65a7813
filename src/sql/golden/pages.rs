//! Pages that are read in two steps: their ids, then their rows.

use diesel::prelude::*;

use super::Registry;
use crate::mapping::columns_of;
use crate::pagination::Cursor;
use crate::schema::analysis::analysis_issues;
use crate::sql::analysis_issues::page_of_analyses;
use crate::sql::project_stats::page_of_stats;
use crate::{
    AnalysisIssue, AnalysisIssueFilter, AnalysisIssueId, IssueSeverity, Page, ProjectId,
    ProjectStatsFilter, ProjectStatsOrder,
};

pub(super) fn add_all(registry: &mut Registry) {
    let issues = || {
        analysis_issues::table
            .select(columns_of::<AnalysisIssue>())
            .into_boxed()
    };
    let of_project = AnalysisIssueFilter::new()
        .project_id(ProjectId::new())
        .file_path_prefix("src/");
    let page = Page::new();
    let analyses = of_project.analyses().unwrap();
    let rows = page_of_analyses(&of_project, analyses, &page, issues()).unwrap();
    registry.add("page_of_issues_of_project", &rows);
    registry.add(
        "ids_of_issues_of_project",
        &of_project.query().select(analysis_issues::id),
    );

    let of_project = AnalysisIssueFilter::new().project_id(ProjectId::new());
    let analyses = of_project.analyses().unwrap();
    let rows = page_of_analyses(&of_project, analyses, &page, issues()).unwrap();
    registry.add("first_page_of_issues_of_project", &rows);

    let with_prefix = AnalysisIssueFilter::new().file_path_prefix("src/");
    registry.add(
        "ids_of_issues_with_prefix",
        &with_prefix.query().select(analysis_issues::id),
    );

    let newest = AnalysisIssueFilter::new().latest_of_project(ProjectId::new());
    let id = AnalysisIssueId::new();
    let cursor = Cursor::new("analysis_issues.severity", &IssueSeverity::High, id);
    let page = Page::new().before(cursor);
    let analyses = newest.analyses().unwrap();
    let rows = page_of_analyses(&newest, analyses, &page, issues()).unwrap();
    registry.add("page_of_newest_issues_before_cursor", &rows);

    let filter = ProjectStatsFilter::new();
    let rows = page_of_stats(&filter, &Page::new()).unwrap();
    registry.add("page_of_project_stats", &rows);
    let cursor = Cursor::new("project_stats.total_analyses", &7_i64, ProjectId::new());
    let page = Page::new()
        .order(ProjectStatsOrder::MostAnalyses)
        .after(cursor);
    registry.add(
        "page_of_project_stats_after_number",
        &page_of_stats(&filter, &page).unwrap(),
    );
}
