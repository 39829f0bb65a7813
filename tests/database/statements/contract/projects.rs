use super::*;
use chrono::Utc;
use serde_json::json;
use wundr_db::{
    AnalysisFilter, AnalysisIssueFilter, AnalysisMetricFilter, AnalysisResultFilter,
    AuditLogFilter, ConfigurationFilter, DashboardOptions, DependencyGraphFilter,
    DuplicateGroupFilter, IntegrationFilter, NewOrganization, NewProjectMember, OrganizationId,
    OrganizationMemberFilter, ProjectChanges, ProjectFilter, ProjectMemberFilter, ProjectOrder,
    ProjectRole, ProjectStatsFilter, ProjectStatus, ProjectVisibility, RepositoryProvider,
    SetupProfileFilter, SetupProfileId, SetupSessionFilter, SystemLogFilter, UserSessionFilter,
};

#[both_engines]
#[case]
async fn projects() {
    let ledger = ledger().await;
    let now = Utc::now();
    let user = ledger.db.users().create(new_user()).await.unwrap().id;
    let organization = ledger.db.organizations();
    let organization = organization
        .create(NewOrganization::new("Lab", "lab"))
        .await
        .unwrap()
        .id;
    let id = every_repository!(
        ledger, projects, NewProject::new("Flask", user), ProjectFilter,
        [organization_id(organization), created_by(user), status(ProjectStatus::Active),
         visibility(ProjectVisibility::Private), repository_url("x"), repository_provider(RepositoryProvider::Github),
         search("a"), configuration_contains(json!({"a": 1})), created_from(now), created_before(now),
         updated_from(now), updated_before(now)],
        ProjectOrder[Newest, Oldest, Name, RecentlyUpdated]
    );
    every_writable_repository!(
        ledger,
        projects,
        id,
        ProjectChanges::new().name("Flask"),
        ProjectFilter::new().search("none"),
        ProjectId::new()
    );
    let projects = ledger.db.projects();
    costs!(ledger, 1, projects.find_by_repository_url("x"));
    costs!(ledger, 1, projects.of_organizations(&[organization]));
    costs!(
        ledger,
        1,
        projects.visible_to(user, &ProjectFilter::new(), &Page::new())
    );
    costs!(
        ledger,
        1,
        projects.visible_to(user, &ProjectFilter::new(), &Page::new().with_total())
    );
    costs!(ledger, 1, projects.access(user, id));
    costs!(ledger, 1, projects.access_many(user, &[id, id]));
    costs!(ledger, 1, projects.archive(id));
    costs!(ledger, 1, projects.soft_delete(id));
    costs!(ledger, 1, projects.restore(id));
    costs!(ledger, 1, projects.touch_last_analyzed(id));
    costs!(
        ledger,
        1,
        projects.merge_configuration(id, json!({"a": 1}).into())
    );

    ledger.settle();
}

/// A plan for any projects leaves the work to one process.
#[both_engines]
#[case]
async fn statistics_of_many_projects_are_planned_each_time() {
    let ledger = ledger().await;
    let many: Vec<ProjectId> = (0..64).map(|_| ProjectId::new()).collect();
    for _ in 0..20 {
        ledger.db.project_stats().find_many(&many).await.unwrap();
    }
    let plans = "SELECT COALESCE(string_agg(custom_plans || ', ' || generic_plans, '; '), '') AS names \
                 FROM pg_prepared_statements WHERE statement LIKE 'SELECT id,%project_stats_of%'";
    assert_eq!(ask(&ledger.db, plans).await, "20, 0");
}

#[both_engines]
#[case]
async fn members_statistics_and_trends_of_projects() {
    let ledger = ledger().await;
    let (id, user) = analysed(&ledger.db).await;
    let members = ledger.db.project_members();
    let member = || NewProjectMember::new(id, user, ProjectRole::Viewer);
    members.create(member()).await.unwrap();
    costs!(ledger, 1, members.upsert(member()));
    costs!(ledger, 1, members.role_of(id, user));
    costs!(ledger, 1, members.of_projects(&[id]));
    costs!(
        ledger,
        1,
        members.list(&ProjectMemberFilter::new().project_id(id), &Page::new())
    );
    costs!(
        ledger,
        1,
        members.change_role(id, user, ProjectRole::Viewer)
    );
    costs!(ledger, 2, members.remove(id, UserId::new()));

    let stats = ledger.db.project_stats();
    costs!(ledger, 1, stats.find(id));
    costs!(ledger, 1, stats.find_many(&[id]));
    let many: Vec<ProjectId> = (0..64).map(|_| ProjectId::new()).collect();
    costs!(ledger, 1, stats.find_many(&many));
    costs!(
        ledger,
        1,
        stats.list(&ProjectStatsFilter::new().search("a"), &Page::new())
    );
    costs!(
        ledger,
        1,
        stats.list(&ProjectStatsFilter::new(), &Page::new().with_total())
    );

    let trends = ledger.db.trends();
    costs!(ledger, 1, trends.of_metric(id, "bugs", 30));
    costs!(ledger, 1, trends.of_metrics(id, &["bugs", "debt"], 30));

    ledger.settle();
}

#[both_engines]
#[case]
async fn a_dashboard() {
    let ledger = ledger().await;
    let (id, _) = analysed(&ledger.db).await;
    let options = DashboardOptions::new().metrics(["bugs", "debt"]);
    let dashboard = ledger.db.dashboard();
    costs!(ledger, 1, dashboard.of_project(id, &options));
    costs!(ledger, 1, dashboard.of_project(ProjectId::new(), &options));
    ledger.settle();
}

#[both_engines]
#[case]
async fn lists_of_many_parents() {
    let ledger = ledger().await;
    let (project, analysis) = pending(&ledger.db).await;
    let (users, projects) = ([UserId::new(), UserId::new()], [project, ProjectId::new()]);
    let organizations = [OrganizationId::new(), OrganizationId::new()];
    let analyses = [analysis, AnalysisId::new()];
    lists_of_parents!(
        ledger,
        user_sessions,
        UserSessionFilter,
        [list_of_users(users)]
    );
    lists_of_parents!(
        ledger,
        organization_members,
        OrganizationMemberFilter,
        [list_of_organizations(organizations), list_of_users(users)]
    );
    lists_of_parents!(
        ledger,
        projects,
        ProjectFilter,
        [list_of_organizations(organizations), list_of_users(users)]
    );
    lists_of_parents!(
        ledger,
        project_members,
        ProjectMemberFilter,
        [list_of_projects(projects), list_of_users(users)]
    );
    lists_of_parents!(
        ledger,
        analyses,
        AnalysisFilter,
        [list_of_projects(projects)]
    );
    lists_of_parents!(
        ledger,
        analysis_issues,
        AnalysisIssueFilter,
        [list_of_analyses(analyses)]
    );
    lists_of_parents!(
        ledger,
        analysis_results,
        AnalysisResultFilter,
        [list_of_analyses(analyses)]
    );
    lists_of_parents!(
        ledger,
        analysis_metrics,
        AnalysisMetricFilter,
        [list_of_analyses(analyses)]
    );
    lists_of_parents!(
        ledger,
        duplicate_groups,
        DuplicateGroupFilter,
        [list_of_analyses(analyses)]
    );
    lists_of_parents!(
        ledger,
        dependency_graphs,
        DependencyGraphFilter,
        [list_of_projects(projects), list_of_analyses(analyses)]
    );
    lists_of_parents!(
        ledger,
        integrations,
        IntegrationFilter,
        [
            list_of_organizations(organizations),
            list_of_projects(projects)
        ]
    );
    lists_of_parents!(
        ledger,
        configurations,
        ConfigurationFilter,
        [
            list_of_organizations(organizations),
            list_of_projects(projects)
        ]
    );
    lists_of_parents!(
        ledger,
        setup_profiles,
        SetupProfileFilter,
        [list_of_organizations(organizations), list_of_users(users)]
    );
    lists_of_parents!(
        ledger,
        setup_sessions,
        SetupSessionFilter,
        [
            list_of_profiles([SetupProfileId::new()]),
            list_of_users(users)
        ]
    );
    lists_of_parents!(
        ledger,
        audit_logs,
        AuditLogFilter,
        [list_of_organizations(organizations), list_of_users(users)]
    );
    lists_of_parents!(ledger, system_logs, SystemLogFilter, [list_of_users(users)]);
    ledger.settle();
}
