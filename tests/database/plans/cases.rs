//! The main statements, and the indexes that their plans use.

use std::time::Duration;

use wundr_db::blocking::*;
use wundr_db::{
    AnalysisFilter, AnalysisId, AnalysisIssueFilter, AnalysisIssueId, AnalysisIssueOrder,
    AnalysisResultFilter, AnalysisType, AuditLogFilter, DashboardOptions, InvitationId,
    IssueSeverity, OrganizationId, Page, ProjectFilter, ProjectId, ProjectStatsFilter, QualityGate,
    Result, UserChanges, UserId, UserSessionId,
};

/// A call of a method within a transaction.
pub type Call = fn(&Tx) -> Result<()>;

/// The methods by name, each with the indexes that its plan uses. A plan does not use an index that
/// is named with `!`.
pub const CASES: &[(&str, Call, &[&str])] = &[
    (
        "users.find",
        |tx| tx.users().find(UserId::new()).map(drop),
        &["users_pkey"],
    ),
    (
        "users.find_many",
        |tx| tx.users().find_many(&[UserId::new()]).map(drop),
        &["users_pkey"],
    ),
    (
        "users.find_by_email",
        |tx| tx.users().find_by_email("7@example.org").map(drop),
        &["idx_users_email_lower"],
    ),
    (
        "users.update",
        |tx| {
            tx.users()
                .update(UserId::new(), UserChanges::new().name("Ada"))
                .map(drop)
        },
        &["users_pkey"],
    ),
    (
        "user_sessions.find_by_token_hash",
        |tx| tx.user_sessions().find_by_token_hash("x").map(drop),
        &["token"],
    ),
    (
        "user_sessions.find_by_refresh_token_hash",
        |tx| tx.user_sessions().find_by_refresh_token_hash("x").map(drop),
        &["idx_user_sessions_refresh_token"],
    ),
    (
        "user_sessions.touch",
        |tx| tx.user_sessions().touch(UserSessionId::new()).map(drop),
        &["user_sessions_pkey"],
    ),
    (
        "user_sessions.delete_expired",
        |tx| tx.user_sessions().delete_expired(100).map(drop),
        &["idx_user_sessions_expires", "user_sessions_pkey"],
    ),
    (
        "organizations.find_by_slug",
        |tx| tx.organizations().find_by_slug("org-7").map(drop),
        &["slug"],
    ),
    (
        "organization_members.role_of",
        |tx| {
            tx.organization_members()
                .role_of(OrganizationId::new(), UserId::new())
                .map(drop)
        },
        &["organization_members"],
    ),
    (
        "organizations.access",
        |tx| {
            let organization = OrganizationId::new();
            let access = tx.organizations().access(UserId::new(), organization);
            access.map(drop)
        },
        // The test has so few organizations that their index does not pay.
        &["users_pkey", "organization_members"],
    ),
    (
        "projects.access",
        |tx| {
            let access = tx.projects().access(UserId::new(), ProjectId::new());
            access.map(drop)
        },
        &[
            "projects_pkey",
            "users_pkey",
            "project_members",
            "organization_members",
        ],
    ),
    (
        "projects.access_many",
        |tx| {
            let ids = [ProjectId::new(), ProjectId::new()];
            tx.projects().access_many(UserId::new(), &ids).map(drop)
        },
        &[
            "projects_pkey",
            "users_pkey",
            "project_members",
            "organization_members",
        ],
    ),
    (
        "analyses.access",
        |tx| {
            let access = tx.analyses().access(UserId::new(), AnalysisId::new());
            access.map(drop)
        },
        &[
            "analyses_pkey",
            "projects_pkey",
            "users_pkey",
            "project_members",
            "organization_members",
        ],
    ),
    (
        "analysis_issues.access",
        |tx| {
            let issues = tx.analysis_issues();
            let access = issues.access(UserId::new(), AnalysisIssueId::new());
            access.map(drop)
        },
        &[
            "analysis_issues_pkey",
            "analyses_pkey",
            "projects_pkey",
            "users_pkey",
            "project_members",
            "organization_members",
        ],
    ),
    (
        "invitations.find",
        |tx| tx.invitations().find(InvitationId::new()).map(drop),
        &["organization_invitations_pkey"],
    ),
    (
        "invitations.of_user",
        |tx| tx.invitations().of_user(UserId::new()).map(drop),
        &["idx_organization_invitations_user_id"],
    ),
    (
        "invitations.accept",
        |tx| {
            let (id, user) = (InvitationId::new(), UserId::new());
            tx.invitations().accept(id, user).map(drop)
        },
        &["organization_invitations"],
    ),
    (
        "projects.list of an organization",
        |tx| {
            let filter = ProjectFilter::new().organization_id(OrganizationId::new());
            tx.projects().list(&filter, &Page::new()).map(drop)
        },
        &["idx_projects_org_created_id"],
    ),
    (
        "projects.list_of_organizations",
        |tx| {
            let (filter, ids) = (ProjectFilter::new(), [OrganizationId::new()]);
            tx.projects()
                .list_of_organizations(&ids, &filter, &Page::new())
                .map(drop)
        },
        &["idx_projects_org_created_id"],
    ),
    (
        "analyses.list of a project",
        |tx| {
            let filter = AnalysisFilter::new().project_id(ProjectId::new());
            tx.analyses().list(&filter, &Page::new()).map(drop)
        },
        &["idx_analyses_project_created_id"],
    ),
    (
        "analyses.of_projects",
        |tx| tx.analyses().of_projects(&[ProjectId::new()], 5).map(drop),
        &["idx_analyses_project_created_id"],
    ),
    (
        "analyses.latest",
        |tx| {
            tx.analyses()
                .latest(ProjectId::new(), AnalysisType::Quality)
                .map(drop)
        },
        &["idx_analyses_project_type_created_id"],
    ),
    (
        "analyses.claim",
        |tx| {
            tx.analyses()
                .claim(&[AnalysisType::Quality], "worker", Duration::from_secs(60))
                .map(drop)
        },
        &["idx_analyses_pending", "analyses_pkey"],
    ),
    (
        "analyses.renew",
        |tx| {
            let claim =
                tx.analyses()
                    .claim(AnalysisType::ALL, "worker", Duration::from_secs(60))?;
            tx.analyses()
                .renew(&claim.unwrap().lease, Duration::from_secs(60), Some(50))
                .map(drop)
        },
        &["analyses_pkey", "analysis_leases_pkey"],
    ),
    (
        "analyses.requeue_abandoned",
        |tx| tx.analyses().requeue_abandoned(3).map(drop),
        &["idx_analysis_leases_expires_at", "analyses_pkey"],
    ),
    (
        "analyses.start",
        |tx| tx.analyses().start(AnalysisId::new()).map(drop),
        &["analyses_pkey"],
    ),
    (
        "analysis_issues.list of an analysis",
        |tx| {
            let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::new());
            tx.analysis_issues().list(&filter, &Page::new()).map(drop)
        },
        &["idx_analysis_issues_analysis_severity_id", "!Sort"],
    ),
    (
        "analysis_issues.list of an analysis by severity",
        |tx| {
            let filter = AnalysisIssueFilter::new()
                .analysis_id(AnalysisId::new())
                .severity(IssueSeverity::High);
            let page = Page::new().order(AnalysisIssueOrder::Severity);
            tx.analysis_issues().list(&filter, &page).map(drop)
        },
        &["idx_analysis_issues_analysis_severity"],
    ),
    (
        "analysis_issues.list of a project",
        |tx| {
            let filter = AnalysisIssueFilter::new().project_id(ProjectId::new());
            tx.analysis_issues().list(&filter, &Page::new()).map(drop)
        },
        &[
            "on analyses",
            "idx_analysis_issues_analysis_severity_id",
            "analysis_issues_pkey",
        ],
    ),
    (
        "analysis_issues.list of a project's newest analyses",
        |tx| {
            let filter = AnalysisIssueFilter::new()
                .latest_of_project(ProjectId::new())
                .severity(IssueSeverity::High);
            tx.analysis_issues().list(&filter, &Page::new()).map(drop)
        },
        &[
            "idx_analyses_project_type_created_id",
            "idx_analysis_issues_analysis_severity_id",
            "analysis_issues_pkey",
        ],
    ),
    (
        "analysis_issues.list of a project by prefix",
        |tx| {
            let filter = AnalysisIssueFilter::new()
                .project_id(ProjectId::new())
                .file_path_prefix("src/1/");
            tx.analysis_issues().list(&filter, &Page::new()).map(drop)
        },
        &[
            "idx_analysis_issues_analysis_",
            "!idx_analysis_issues_file_path_prefix",
        ],
    ),
    (
        "analysis_issues.count of a project",
        |tx| {
            let filter = AnalysisIssueFilter::new().project_id(ProjectId::new());
            tx.analysis_issues().count_by_severity(&filter).map(drop)
        },
        &["idx_analysis_issues_analysis_"],
    ),
    (
        "analysis_issues.list by prefix",
        |tx| {
            let filter = AnalysisIssueFilter::new().file_path_prefix("src/1/");
            tx.analysis_issues().list(&filter, &Page::new()).map(drop)
        },
        &["idx_analysis_issues_file_path_prefix"],
    ),
    (
        "analysis_issues.list of an analysis by prefix",
        |tx| {
            let filter = AnalysisIssueFilter::new()
                .analysis_id(AnalysisId::new())
                .file_path_prefix("src/1/");
            tx.analysis_issues().list(&filter, &Page::new()).map(drop)
        },
        &[
            "idx_analysis_issues_analysis_",
            "!idx_analysis_issues_file_path_prefix",
        ],
    ),
    (
        "analysis_issues.list that a user resolved, newest first",
        |tx| {
            let filter = AnalysisIssueFilter::new().resolved_by(UserId::new());
            let page = Page::new().order(AnalysisIssueOrder::Newest);
            tx.analysis_issues().list(&filter, &page).map(drop)
        },
        &["idx_analysis_issues_resolved_created_id", "!Sort"],
    ),
    (
        "analysis_results.count by prefix",
        |tx| {
            let filter = AnalysisResultFilter::new().file_path_prefix("src/1/");
            tx.analysis_results().count(&filter).map(drop)
        },
        &["idx_analysis_results_file_path_prefix"],
    ),
    (
        "analyses.latest_completed",
        |tx| {
            tx.analyses()
                .latest_completed(ProjectId::new(), AnalysisType::Quality)
                .map(drop)
        },
        &["idx_analyses_project_type_created_id"],
    ),
    (
        "project_stats.find",
        |tx| tx.project_stats().find(ProjectId::new()).map(drop),
        &["projects_pkey", "on analyses"],
    ),
    (
        "project_stats.list of an organization",
        |tx| {
            let filter = ProjectStatsFilter::new().organization_id(OrganizationId::new());
            tx.project_stats().list(&filter, &Page::new()).map(drop)
        },
        &["InitPlan", "projects_pkey", "on analyses"],
    ),
    (
        "dashboard.of_project",
        |tx| {
            let options = DashboardOptions::new().metrics(["complexity"]);
            tx.dashboard()
                .of_project(ProjectId::new(), &options)
                .map(drop)
        },
        &["projects_pkey", "idx_analyses_project_type_created_id"],
    ),
    (
        "trends.of_metric",
        |tx| {
            tx.trends()
                .of_metric(ProjectId::new(), "complexity", 30)
                .map(drop)
        },
        &["idx_analysis_metrics_analysis_"],
    ),
    (
        "analysis_issues.count_by_severity",
        |tx| {
            let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::new());
            tx.analysis_issues().count_by_severity(&filter).map(drop)
        },
        &["idx_analysis_issues_analysis_"],
    ),
    (
        "analysis_issues.resolve",
        |tx| {
            tx.analysis_issues()
                .resolve(AnalysisIssueId::new(), UserId::new())
                .map(drop)
        },
        &["analysis_issues_pkey"],
    ),
    (
        "analysis_issues.track",
        |tx| {
            tx.analysis_issues()
                .track(AnalysisId::new(), AnalysisId::new())
                .map(drop)
        },
        &["idx_analysis_issues_analysis_", "analyses_pkey"],
    ),
    (
        "analysis_metrics.latest_of_project",
        |tx| {
            tx.analysis_metrics()
                .latest_of_project(ProjectId::new(), &["complexity"])
                .map(drop)
        },
        &["idx_analysis_metrics_analysis_name"],
    ),
    (
        "duplicate_groups.find_by_hash",
        |tx| tx.duplicate_groups().find_by_hash("x").map(drop),
        &["idx_duplicate_groups_hash"],
    ),
    (
        "audit_logs.list of an organization",
        |tx| {
            let filter = AuditLogFilter::new().organization_id(OrganizationId::new());
            tx.audit_logs().list(&filter, &Page::new()).map(drop)
        },
        &["organization_id_created_at_id_idx"],
    ),
    (
        "quality_gates.evaluate",
        |tx| {
            let gate = QualityGate::default();
            tx.quality_gates()
                .evaluate(&gate, Some(AnalysisId::new()), AnalysisId::new())
                .map(drop)
        },
        &["analyses_pkey"],
    ),
];
