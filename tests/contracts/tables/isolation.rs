//! Organizations that are isolated by row-level security: nothing of one is reached on behalf of
//! another.

use super::*;
use serde_json::json;
use wundr_db::migrations::Rights;
use wundr_db::{
    AnalysisChanges, AnalysisFilter, AnalysisId, AnalysisIssueChanges, AnalysisIssueFilter,
    AnalysisIssueId, AnalysisMetricChanges, AnalysisMetricFilter, AnalysisMetricId,
    AnalysisResultChanges, AnalysisResultFilter, AnalysisResultId, AuditAction, AuditLogFilter,
    AuditLogId, Config, ConfigCategory, ConfigurationChanges, ConfigurationFilter, ConfigurationId,
    DashboardOptions, DependencyGraphChanges, DependencyGraphFilter, DependencyGraphId,
    DuplicateGroupChanges, DuplicateGroupFilter, DuplicateGroupId, IntegrationChanges,
    IntegrationFilter, IntegrationId, IntegrationType, Invitation, IssueSeverity, IssueType,
    MetricCategory, NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult, NewAuditLog,
    NewConfiguration, NewDependencyGraph, NewDuplicateGroup, NewIntegration, NewInvitation,
    NewOrganizationMember, NewProjectMember, NewSetupProfile, OrganizationChanges,
    OrganizationFilter, OrganizationMemberChanges, OrganizationMemberFilter, OrganizationMemberId,
    OrganizationRole, Page, ProjectChanges, ProjectFilter, ProjectMemberChanges,
    ProjectMemberFilter, ProjectMemberId, ProjectRole, ProjectStatsFilter, SetupCategory,
    SetupProfileChanges, SetupProfileFilter, SetupProfileId,
};

/// An organization with one row in each table that belongs to one.
pub(crate) struct Tenant {
    pub(crate) user: UserId,
    pub(crate) organization: OrganizationId,
    pub(crate) organization_member: OrganizationMemberId,
    pub(crate) project: ProjectId,
    pub(crate) project_member: ProjectMemberId,
    pub(crate) analysis: AnalysisId,
    pub(crate) result: AnalysisResultId,
    pub(crate) issue: AnalysisIssueId,
    pub(crate) metric: AnalysisMetricId,
    pub(crate) graph: DependencyGraphId,
    pub(crate) duplicates: DuplicateGroupId,
    pub(crate) profile: SetupProfileId,
    pub(crate) setting: ConfigurationId,
    pub(crate) integration: IntegrationId,
    pub(crate) entry: AuditLogId,
    pub(crate) invitation: Invitation,
}

#[both_engines]
pub(crate) async fn tenant(db: &Db, name: &str) -> Tenant {
    let (user, organization) = (super::user(db).await.id, OrganizationId::new());
    let new = NewOrganization::new(name, name).id(organization);
    db.organizations().create(new).await.unwrap();
    let member = NewOrganizationMember::new(organization, user, OrganizationRole::Owner);
    let organization_member = db.organization_members().create(member).await.unwrap().id;
    let new = NewProject::new(name, user).organization_id(organization);
    let project = db.projects().create(new).await.unwrap().id;
    let member = NewProjectMember::new(project, user, ProjectRole::Owner);
    let project_member = db.project_members().create(member).await.unwrap().id;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    let analysis = db.analyses().create(new).await.unwrap().id;
    db.analyses().pin(analysis, "release").await.unwrap();
    let gates = db.quality_gates();
    gates.set_base("merge", analysis).await.unwrap();
    let new = NewAnalysisResult::new(analysis, "a.rs");
    let result = db.analysis_results().create(new).await.unwrap().id;
    let issue = db
        .analysis_issues()
        .create(new_issue(analysis))
        .await
        .unwrap()
        .id;
    let new = NewAnalysisMetric::new(analysis, "a", MetricCategory::Quality);
    let metric = db.analysis_metrics().create(new).await.unwrap().id;
    let new = NewDependencyGraph::new(project, json!({})).analysis_id(analysis);
    let graph = db.dependency_graphs().create(new).await.unwrap().id;
    let new = NewDuplicateGroup::new(
        analysis,
        "a",
        bigdecimal::BigDecimal::from(50),
        1,
        Vec::new(),
    );
    let duplicates = db.duplicate_groups().create(new).await.unwrap().id;
    let new = NewSetupProfile::new(name, SetupCategory::Custom, user).organization_id(organization);
    let profile = db.setup_profiles().create(new).await.unwrap().id;
    let new = NewConfiguration::new(organization, ConfigCategory::General, "a", 1, user);
    let setting = db.configurations().create(new).await.unwrap().id;
    let new = NewIntegration::new(IntegrationType::Github, name, user);
    let new = new.organization_id(organization);
    let integration = db.integrations().create(new).await.unwrap().id;
    let new = NewAuditLog::new(AuditAction::Create, "project").organization_id(organization);
    let entry = db.audit_logs().create(new).await.unwrap().id;
    let invited = super::user(db).await.id;
    let new = NewInvitation::new(organization, invited, OrganizationRole::Admin);
    let invitation = db.invitations().invite(new).await.unwrap().unwrap();
    Tenant {
        user,
        organization,
        organization_member,
        project,
        project_member,
        analysis,
        result,
        issue,
        metric,
        graph,
        duplicates,
        profile,
        setting,
        integration,
        entry,
        invitation,
    }
}

pub(crate) fn new_issue(analysis: AnalysisId) -> NewAnalysisIssue {
    NewAnalysisIssue::new(
        analysis,
        IssueType::Security,
        IssueSeverity::High,
        "a",
        "a.rs",
    )
}

/// The owner of the tables, which sees every row.
#[both_engines]
pub(crate) async fn owner(database: &TestDatabase) -> Db {
    Db::connect_to(&database.url()).await.unwrap()
}

/// A pool of the application's role, in a database whose organizations are isolated.
#[both_engines]
pub(crate) async fn isolated(database: &TestDatabase, owner: &Db) -> Db {
    let role = format!("isolated_{}", database.name());
    execute(owner, &format!("CREATE ROLE \"{role}\" LOGIN")).await;
    let config = Config::new(&database.url()).unwrap();
    let rights = Rights::Application;
    migrations::grant(&config, &role, rights).await.unwrap();
    // It can be called again.
    migrations::isolate(&config).await.unwrap();
    migrations::isolate(&config).await.unwrap();
    let url = crate::hostile::as_role(&database.url(), &role);
    Db::connect_to(&url).await.unwrap()
}

/// What a repository does for one tenant with a row of another.
#[both_engines]
macro_rules! reaches_only_its_own {
    ($db:expr, $table:ident, $filter:ident, $mine:expr, $theirs:expr, $changes:expr) => {{
        let (repository, filter) = ($db.$table(), $filter::new());
        assert!(repository.find($mine).await.unwrap().is_some());
        assert!(repository.find($theirs).await.unwrap().is_none());
        let found = repository.find_many(&[$theirs, $mine]).await.unwrap();
        assert!(found[0].is_none() && found[1].is_some());
        assert!(!repository.exists($theirs).await.unwrap());
        assert_eq!(repository.count(&filter).await.unwrap(), 1);
        let page = Page::new().with_total();
        let page = repository.list(&filter, &page).await.unwrap();
        assert_eq!((page.items.len(), page.total), (1, Some(1)));
        assert_eq!(page.items[0].id, $mine);
        let outcome = repository.update($theirs, $changes).await;
        assert!(matches!(outcome, Err(Error::NotFound { .. })));
        assert!(!repository.delete($theirs).await.unwrap());
    }};
}

/// The SQLSTATE of a refused call.
fn sqlstate<T: std::fmt::Debug>(outcome: wundr_db::Result<T>) -> String {
    let error = outcome.unwrap_err();
    // What the database does not allow is forbidden, and the client gets no name of it.
    let problem = error.problem();
    assert_eq!((problem.code, problem.status), ("forbidden", 403));
    assert_eq!((&problem.detail, &problem.field), (&None, &None));
    match error {
        Error::Other { sqlstate, .. } => sqlstate.unwrap().as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn no_call_for_one_organization_reaches_a_row_of_another() {
    let (_, database) = database().await;
    let owner = owner(&database).await;
    let (one, other) = (tenant(&owner, "one").await, tenant(&owner, "other").await);
    let plain = isolated(&database, &owner).await;
    let db = plain.for_organization(one.organization);
    let name = "changed";
    reaches_only_its_own!(
        db,
        organizations,
        OrganizationFilter,
        one.organization,
        other.organization,
        OrganizationChanges::new().name(name)
    );
    reaches_only_its_own!(
        db,
        organization_members,
        OrganizationMemberFilter,
        one.organization_member,
        other.organization_member,
        OrganizationMemberChanges::new().role(OrganizationRole::Viewer)
    );
    reaches_only_its_own!(
        db,
        projects,
        ProjectFilter,
        one.project,
        other.project,
        ProjectChanges::new().name(name)
    );
    reaches_only_its_own!(
        db,
        project_members,
        ProjectMemberFilter,
        one.project_member,
        other.project_member,
        ProjectMemberChanges::new().role(ProjectRole::Viewer)
    );
    reaches_only_its_own!(
        db,
        analyses,
        AnalysisFilter,
        one.analysis,
        other.analysis,
        AnalysisChanges::new().error_message(name)
    );
    reaches_only_its_own!(
        db,
        analysis_results,
        AnalysisResultFilter,
        one.result,
        other.result,
        AnalysisResultChanges::new().file_hash(name)
    );
    reaches_only_its_own!(
        db,
        analysis_issues,
        AnalysisIssueFilter,
        one.issue,
        other.issue,
        AnalysisIssueChanges::new().title(name)
    );
    reaches_only_its_own!(
        db,
        analysis_metrics,
        AnalysisMetricFilter,
        one.metric,
        other.metric,
        AnalysisMetricChanges::new().metric_unit(name)
    );
    reaches_only_its_own!(
        db,
        dependency_graphs,
        DependencyGraphFilter,
        one.graph,
        other.graph,
        DependencyGraphChanges::new().metadata(json!({}))
    );
    reaches_only_its_own!(
        db,
        duplicate_groups,
        DuplicateGroupFilter,
        one.duplicates,
        other.duplicates,
        DuplicateGroupChanges::new().hash(name)
    );
    reaches_only_its_own!(
        db,
        setup_profiles,
        SetupProfileFilter,
        one.profile,
        other.profile,
        SetupProfileChanges::new().name(name)
    );
    reaches_only_its_own!(
        db,
        configurations,
        ConfigurationFilter,
        one.setting,
        other.setting,
        ConfigurationChanges::new().name(name)
    );
    reaches_only_its_own!(
        db,
        integrations,
        IntegrationFilter,
        one.integration,
        other.integration,
        IntegrationChanges::new().name(name)
    );
    assert!(db.audit_logs().find(one.entry).await.unwrap().is_some());
    assert!(db.audit_logs().find(other.entry).await.unwrap().is_none());
    let entries = AuditLogFilter::new();
    // With that of the invitation.
    assert_eq!(db.audit_logs().count(&entries).await.unwrap(), 2);

    // Reads by other keys.
    assert_eq!(
        db.organizations().find_by_slug("other").await.unwrap(),
        None
    );
    assert_eq!(db.organizations().of_user(other.user).await.unwrap(), []);
    let role = db
        .organization_members()
        .role_of(other.organization, other.user)
        .await;
    assert_eq!(role.unwrap(), None);
    let role = db
        .project_members()
        .role_of(other.project, other.user)
        .await;
    assert_eq!(role.unwrap(), None);
    let of_others = db
        .projects()
        .of_organizations(&[other.organization])
        .await
        .unwrap();
    assert_eq!(of_others, [[]]);
    let page = Page::new();
    let seen = db
        .projects()
        .visible_to(other.user, &ProjectFilter::new(), &page)
        .await;
    assert_eq!(seen.unwrap().items, []);
    let access = db
        .projects()
        .access(other.user, other.project)
        .await
        .unwrap();
    assert_eq!(access, None);
    let access = db
        .organizations()
        .access(other.user, other.organization)
        .await
        .unwrap();
    assert_eq!(access, None);
    let of_others = db
        .analyses()
        .of_projects(&[other.project], 5)
        .await
        .unwrap();
    assert_eq!(of_others, [[]]);
    let quality = AnalysisType::Quality;
    assert_eq!(
        db.analyses().latest(other.project, quality).await.unwrap(),
        None
    );
    let setting = db.configurations();
    let setting = setting.effective(other.organization.into(), ConfigCategory::General, "a");
    assert_eq!(setting.await.unwrap(), None);
    let stats = db
        .project_stats()
        .list(&ProjectStatsFilter::new(), &Page::new())
        .await
        .unwrap();
    assert_eq!(stats.items.len(), 1);
    assert_eq!(stats.items[0].id, one.project);
    let options = DashboardOptions::new();
    let dashboard = db.dashboard().of_project(other.project, &options).await;
    assert_eq!(dashboard.unwrap(), None);

    // Writes by other keys.
    let members = db.project_members();
    assert!(!members.remove(other.project, other.user).await.unwrap());
    let changed = members
        .change_role(other.project, other.user, ProjectRole::Viewer)
        .await;
    assert!(matches!(changed, Err(Error::NotFound { .. })));
    assert!(matches!(
        db.projects().archive(other.project).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        db.analyses().cancel(other.analysis).await,
        Err(Error::NotFound { .. })
    ));
    let moved = ProjectChanges::new().organization_id(other.organization);
    assert_eq!(
        sqlstate(db.projects().update(one.project, moved).await),
        "42501"
    );
    let new = NewProject::new("a", one.user).organization_id(other.organization);
    assert_eq!(sqlstate(db.projects().create(new).await), "42501");
    let new = NewProjectMember::new(other.project, one.user, ProjectRole::Owner);
    assert_eq!(sqlstate(db.project_members().create(new).await), "42501");
    let new = NewOrganizationMember::new(other.organization, one.user, OrganizationRole::Owner);
    assert_eq!(
        sqlstate(db.organization_members().create(new).await),
        "42501"
    );
    let new = NewAnalysis::new(other.project, quality, one.user);
    assert_eq!(sqlstate(db.analyses().create(new).await), "42501");
    let graph = NewDependencyGraph::new(one.project, json!({})).analysis_id(other.analysis);
    assert_eq!(
        sqlstate(db.dependency_graphs().create(graph).await),
        "42501"
    );
    // Of which so many would be copied, elsewhere.
    let many = |analysis| (0..2_000).map(|_| new_issue(analysis)).collect::<Vec<_>>();
    let refused = db
        .analysis_issues()
        .create_many(&many(other.analysis))
        .await;
    assert_eq!(sqlstate(refused), "42501");
    let written = db.analysis_issues().create_many(&many(one.analysis)).await;
    assert_eq!(written.unwrap(), 2_000);
    let everything = AnalysisIssueFilter::new();
    let deleted = db.analysis_issues().delete_many(&everything).await;
    assert_eq!(deleted.unwrap(), 2_001);
    assert_eq!(owner.analysis_issues().count(&everything).await.unwrap(), 1);
    assert_eq!(
        owner.projects().count(&ProjectFilter::new()).await.unwrap(),
        2
    );
    let untouched = owner.projects().find(other.project).await.unwrap().unwrap();
    assert_eq!(untouched.name, "other");
}

#[both_engines]
#[case]
async fn an_organization_holds_in_a_transaction_and_not_after_it() {
    let (_, database) = database().await;
    let owner = owner(&database).await;
    let (one, other) = (tenant(&owner, "one").await, tenant(&owner, "other").await);
    let plain = isolated(&database, &owner).await;
    let all = ProjectFilter::new();
    for _ in 0..5 {
        for tenant in [&one, &other] {
            let db = plain.for_organization(tenant.organization);
            assert_eq!(db.projects().count(&all).await.unwrap(), 1);
            let seen: wundr_db::Result<_> = db
                .transaction(async |tx| {
                    let undone: wundr_db::Result<()> = tx
                        .savepoint(async |tx| {
                            let changes = ProjectChanges::new().name("x");
                            tx.projects().update(tenant.project, changes).await?;
                            Err(Error::NotFound { what: "a reason" })
                        })
                        .await;
                    assert!(undone.is_err());
                    tx.projects().find_many(&[one.project, other.project]).await
                })
                .await;
            let seen: Vec<_> = seen.unwrap().into_iter().flatten().collect();
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].id, tenant.project);
            // The same connections, without an organization.
            assert_eq!(plain.projects().count(&all).await.unwrap(), 0);
            assert_eq!(
                plain
                    .analyses()
                    .count(&AnalysisFilter::new())
                    .await
                    .unwrap(),
                0
            );
        }
    }
    let nothing = plain
        .projects()
        .create(NewProject::new("a", one.user))
        .await;
    assert_eq!(sqlstate(nothing), "42501");
    // What belongs to no organization is there.
    assert!(plain.users().find(one.user).await.unwrap().is_some());
    let config = Config::new(&database.url()).unwrap();
    migrations::end_isolation(&config).await.unwrap();
    assert_eq!(plain.projects().count(&all).await.unwrap(), 2);
}

/// A table that is added needs a policy in `migrations/isolate.sql` if it belongs to an
/// organization.
#[both_engines]
#[case]
async fn every_table_that_belongs_to_an_organization_is_isolated() {
    let (_, database) = database().await;
    let owner = owner(&database).await;
    drop(isolated(&database, &owner).await);
    until(
        &database,
        "SELECT count(*) = 0 FROM pg_catalog.pg_attribute AS a \
         JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit') AND c.relkind IN ('r', 'p') \
           AND NOT c.relispartition AND NOT c.relrowsecurity \
           AND (a.attname IN ('organization_id', 'project_id', 'analysis_id') OR c.relname = 'organizations')",
    )
    .await;
}

/// A login belongs to no organization, but its entry is in a table that is isolated.
#[both_engines]
#[case]
async fn users_log_in_and_reuse_is_caught_where_organizations_are_isolated() {
    use wundr_db::{Refreshed, SessionClient, SessionKeys, SessionPolicy};
    let (_, database) = database().await;
    let owner = owner(&database).await;
    let (lab, ada) = (tenant(&owner, "lab").await, super::user(&owner).await.id);
    let plain = isolated(&database, &owner).await;
    let policy = SessionPolicy::new().grace(std::time::Duration::ZERO);
    let client = SessionClient::new();
    for db in [plain.clone(), plain.for_organization(lab.organization)] {
        let keys = SessionKeys::new(1, [7; 32]);
        let sessions = Sessions::new(&db, keys, policy.clone()).unwrap();
        let opened = sessions.open(ada, &client).await.unwrap().unwrap();
        let (token, first) = (opened.token.expose(), opened.refresh_token.expose());
        assert!(sessions.authenticate(token).await.unwrap().is_some());
        let renewed = sessions.refresh(first, &client).await.unwrap();
        let Refreshed::Granted(renewed) = renewed else {
            panic!("{renewed:?}");
        };
        let reused = sessions.refresh(first, &client).await.unwrap();
        assert!(matches!(reused, Refreshed::Reused { .. }), "{reused:?}");
        let found = sessions.authenticate(renewed.token.expose()).await.unwrap();
        assert_eq!(found, None);
        for _ in 0..3 {
            sessions.open(ada, &client).await.unwrap().unwrap();
        }
        let last = sessions.open(ada, &client).await.unwrap().unwrap();
        assert!(sessions.revoke(last.session.id).await.unwrap());
        assert_eq!(sessions.revoke_user(ada).await.unwrap(), 3);
        // The entries are written, and read by the owner alone.
        let of_ada = AuditLogFilter::new().user_id(ada);
        assert_eq!(db.audit_logs().count(&of_ada).await.unwrap(), 0);
        // Others without an organization are still refused.
        let other = [NewAuditLog::new(AuditAction::Delete, "project")];
        assert_eq!(sqlstate(db.audit_logs().create_many(&other).await), "42501");
    }
    let of_ada = AuditLogFilter::new().user_id(ada);
    // Twice five logins, a refused refresh, and two logouts.
    assert_eq!(owner.audit_logs().count(&of_ada).await.unwrap(), 16);
}
