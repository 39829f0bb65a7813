use super::*;
use std::sync::Mutex;

use chrono::{TimeDelta, Utc};
use diesel::QueryableByName;
use diesel::sql_types::Text;
use serde_json::json;
use wundr_db::statement::prepared;
use wundr_db::{
    Analysis, AnalysisChanges, AnalysisFilter, AnalysisId, AnalysisIssueChanges,
    AnalysisIssueFilter, AnalysisIssueId, AnalysisIssueOrder, AnalysisMetricChanges,
    AnalysisMetricFilter, AnalysisMetricId, AnalysisMetricOrder, AnalysisOrder,
    AnalysisResultChanges, AnalysisResultFilter, AnalysisResultId, AnalysisResultOrder,
    AnalysisStatus, AnalysisSummary, AnalysisType, AuditAction, AuditLogFilter, AuditLogOrder,
    ConfigCategory, ConfigScope, ConfigurationChanges, ConfigurationFilter, ConfigurationId,
    ConfigurationOrder, ConfigurationScope, DashboardOptions, DependencyGraphChanges,
    DependencyGraphFilter, DependencyGraphId, DependencyGraphOrder, DuplicateFile,
    DuplicateGroupChanges, DuplicateGroupFilter, DuplicateGroupId, DuplicateGroupOrder,
    IntegrationChanges, IntegrationFilter, IntegrationId, IntegrationOrder, IntegrationType,
    IssueSeverity, IssueStatus, IssueType, LogLevel, MetricCategory, NewAnalysis, NewAnalysisIssue,
    NewAnalysisMetric, NewAnalysisResult, NewAuditLog, NewConfiguration, NewDependencyGraph,
    NewDuplicateGroup, NewIntegration, NewOrganization, NewOrganizationMember, NewProject,
    NewProjectMember, NewSetupProfile, NewSetupSession, NewSetupStep, NewSystemLog, NewTool,
    NewUser, NewUserSession, OrganizationChanges, OrganizationFilter, OrganizationId,
    OrganizationMemberChanges, OrganizationMemberFilter, OrganizationMemberId, OrganizationOrder,
    OrganizationRole, Page, Platform, ProfileVisibility, ProjectChanges, ProjectFilter, ProjectId,
    ProjectMemberFilter, ProjectOrder, ProjectRole, ProjectStatsFilter, ProjectStatus,
    ProjectVisibility, RepositoryProvider, Result, SessionStatus, SetupCategory,
    SetupProfileChanges, SetupProfileFilter, SetupProfileId, SetupProfileOrder,
    SetupSessionChanges, SetupSessionFilter, SetupSessionId, SetupSessionOrder, SetupStepChanges,
    SetupStepFilter, SetupStepId, SetupStepOrder, StepStatus, SubscriptionPlan, SyncStatus,
    SystemLogFilter, SystemLogOrder, ToolCategory, ToolChanges, ToolFilter, ToolId, ToolOrder,
    User, UserChanges, UserFilter, UserId, UserOrder, UserRole, UserSessionChanges,
    UserSessionFilter, UserSessionId, UserSessionOrder,
};

/// A pool of one connection, and what was found that costs more than it must.
struct Ledger {
    db: Db,
    wire: Wire,
    findings: Mutex<Vec<String>>,
    _database: TestDatabase,
}

impl Ledger {
    fn is_settled(self) {
        let findings = self.findings.into_inner().unwrap();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}

#[both_engines]
async fn ledger() -> Ledger {
    let (db, wire, _database) = database().await;
    Ledger {
        db,
        wire,
        findings: Mutex::default(),
        _database,
    }
}

#[derive(QueryableByName)]
struct Names {
    #[diesel(sql_type = Text)]
    names: String,
}

/// Every statement that the pool's connection has prepared, and when.
#[both_engines]
async fn prepared_statements(db: &Db) -> String {
    let names = "SELECT COALESCE(string_agg(name || ' ' || prepare_time, ', ' ORDER BY name), '') AS names \
                 FROM pg_prepared_statements";
    let question = prepared(diesel::sql_query(names));
    db.transaction(async |tx| -> Result<Names> {
        Ok(question.get_result(tx.connection_mut()).await?)
    })
    .await
    .unwrap()
    .names
}

/// Calls a hundred times. After the first few, each call takes so many turns, and nothing is prepared.
#[both_engines]
async fn costs(ledger: &Ledger, turns: usize, name: &str, call: Call<'_>) {
    repeat(FIRST_CALLS, call).await;
    let before = prepared_statements(&ledger.db).await;
    let traffic = ledger.wire.traffic();
    let counted = CALLS - FIRST_CALLS;
    repeat(counted, call).await;
    let spent = ledger.wire.traffic().since(traffic);
    let kept = before == prepared_statements(&ledger.db).await;
    if spent.turns != turns * counted || spent.parses > 0 || !kept {
        let turns = turns * counted;
        let finding =
            format!("{name}: {counted} calls, {turns} turns expected, {spent:?}, kept: {kept}");
        ledger.findings.lock().unwrap().push(finding);
    }
}

#[both_engines]
macro_rules! costs {
    ($ledger:ident, $turns:expr, $call:expr) => {
        costs(&$ledger, $turns, stringify!($call), call!($call)).await
    };
}

/// Two statements that do not need each other's answers.
const TWO: usize = if PIPELINES { 1 } else { 2 };

/// What every repository has; `$none` is a filter that matches nothing, `$new` a new row, `$orders` the orders of its
/// lists.
#[both_engines]
macro_rules! every_repository {
    ($ledger:ident, $rows:ident, $new:expr, $filter:ident, [$($shape:ident($value:expr)),* $(,)?], $order:ident [$($sort:ident),*]) => {{
        let rows = $ledger.db.$rows();
        let id = rows.create($new).await.unwrap().id;
        rows.create_many(&[$new, $new]).await.unwrap();
        costs!($ledger, 1, rows.create($new));
        costs!($ledger, 1, rows.create_many(&[$new, $new]));
        costs!($ledger, 1, rows.find(id));
        costs!($ledger, 1, rows.find_many(&[id]));
        costs!($ledger, 1, rows.exists(id));
        costs!($ledger, 1, rows.count(&$filter::new()));
        let all = $filter::new();
        $(
            let page = Page::new().limit(1).order($order::$sort);
            costs!($ledger, 1, rows.list(&all, &page));
            let next = rows.list(&all, &page).await.unwrap().next.unwrap();
            costs!($ledger, 1, rows.list(&all, &page.clone().after(next.clone())));
            costs!($ledger, 1, rows.list(&all, &page.clone().before(next.clone())));
            costs!($ledger, 1, rows.list(&all, &page.clone().last()));
            costs!($ledger, TWO, rows.list(&all, &page.clone().after(next.clone()).with_total()));
        )*
        $(
            let filter = $filter::new().$shape($value);
            costs!($ledger, 1, rows.list(&filter, &Page::new()));
            costs!($ledger, 1, rows.count(&filter));
        )*
        let all_at_once = $filter::new()$(.$shape($value))*;
        costs!($ledger, 1, rows.list(&all_at_once, &Page::new()));
        id
    }};
}

/// What every repository has whose rows can be changed and deleted.
#[both_engines]
macro_rules! every_writable_repository {
    ($ledger:ident, $rows:ident, $id:ident, $changes:expr, $nothing:expr, $nobody:expr) => {{
        let rows = $ledger.db.$rows();
        costs!($ledger, 1, rows.update($id, $changes));
        costs!($ledger, 1, rows.delete($nobody));
        costs!($ledger, 1, rows.delete_many(&$nothing));
    }};
}

fn unique() -> String {
    UserId::new().to_string()
}

fn new_user() -> NewUser {
    NewUser::new(format!("{}@example.org", unique()), "Ada")
}

#[both_engines]
#[case]
async fn users_and_their_sessions() {
    let ledger = ledger().await;
    let now = Utc::now();
    let id = every_repository!(
        ledger, users, new_user(), UserFilter,
        [role(UserRole::Developer), is_active(true), email_verified(false), search("a"),
         created_from(now), created_before(now)],
        UserOrder[Newest, Oldest, Name, Email]
    );
    every_writable_repository!(
        ledger,
        users,
        id,
        UserChanges::new().name("Grace"),
        UserFilter::new().search("nobody"),
        UserId::new()
    );
    let users = ledger.db.users();
    costs!(
        ledger,
        1,
        users.upsert(NewUser::new("ada@example.org", "Ada"))
    );
    costs!(ledger, 1, users.find_by_email("ada@example.org"));
    costs!(ledger, 1, users.find_by_github_username("ada"));
    costs!(ledger, 1, users.set_active(id, true));
    costs!(ledger, 1, users.touch_last_login(id));
    costs!(
        ledger,
        1,
        users.merge_preferences(id, json!({"theme": "dark"}))
    );

    ledger.is_settled();
}

#[both_engines]
#[case]
async fn sessions_of_users() {
    let ledger = ledger().await;
    let now = Utc::now();
    let id = ledger.db.users().create(new_user()).await.unwrap().id;
    let session = || NewUserSession::new(id, unique(), now + TimeDelta::days(1));
    let session_id = every_repository!(
        ledger, user_sessions, session(), UserSessionFilter,
        [user_id(id), other_than(UserSessionId::new()), is_expired(false), expires_from(now), expires_before(now),
         used_from(now), used_before(now)],
        UserSessionOrder[Newest, Oldest, RecentlyUsed, ExpiringSoonest]
    );
    every_writable_repository!(
        ledger,
        user_sessions,
        session_id,
        UserSessionChanges::new().user_agent("x".to_owned()),
        UserSessionFilter::new().is_expired(true),
        UserSessionId::new()
    );
    let sessions = ledger.db.user_sessions();
    costs!(ledger, 1, sessions.find_by_token_hash("x"));
    costs!(ledger, 1, sessions.find_by_refresh_token_hash("x"));
    costs!(ledger, 1, sessions.of_users(&[id]));
    costs!(ledger, 1, sessions.touch(session_id));
    costs!(ledger, 1, sessions.delete_expired(10));
    costs!(ledger, 1, sessions.delete_for_user(UserId::new()));
    ledger.is_settled();
}

#[both_engines]
#[case]
async fn organizations_and_their_members() {
    let ledger = ledger().await;
    let now = Utc::now();
    let id = every_repository!(
        ledger, organizations, NewOrganization::new("Lab", unique()), OrganizationFilter,
        [subscription_plan(SubscriptionPlan::Free), search("a"), created_from(now), created_before(now)],
        OrganizationOrder[Newest, Oldest, Name, Slug, RecentlyUpdated]
    );
    every_writable_repository!(
        ledger,
        organizations,
        id,
        OrganizationChanges::new().name("Lab"),
        OrganizationFilter::new().search("none"),
        OrganizationId::new()
    );
    let organizations = ledger.db.organizations();
    let user = ledger.db.users().create(new_user()).await.unwrap().id;
    costs!(
        ledger,
        1,
        organizations.upsert(NewOrganization::new("Lab", "lab"))
    );
    costs!(ledger, 1, organizations.find_by_slug("lab"));
    costs!(ledger, 1, organizations.of_user(user));
    costs!(
        ledger,
        1,
        organizations.change_plan(id, SubscriptionPlan::Free)
    );
    costs!(ledger, 1, organizations.merge_settings(id, json!({"a": 1})));

    let members = ledger.db.organization_members();
    let member = || NewOrganizationMember::new(id, user, OrganizationRole::Member);
    let member_id = members.create(member()).await.unwrap().id;
    costs!(ledger, 1, members.upsert(member()));
    costs!(ledger, 1, members.find(member_id));
    costs!(ledger, 1, members.role_of(id, user));
    costs!(ledger, 1, members.of_organizations(&[id]));
    costs!(
        ledger,
        1,
        members.list(
            &OrganizationMemberFilter::new().organization_id(id),
            &Page::new()
        )
    );
    costs!(
        ledger,
        1,
        members.update(
            member_id,
            OrganizationMemberChanges::new().role(OrganizationRole::Member)
        )
    );
    costs!(
        ledger,
        1,
        members.change_role(id, user, OrganizationRole::Member)
    );
    costs!(ledger, 1, members.remove(id, UserId::new()));
    costs!(ledger, 1, members.delete(OrganizationMemberId::new()));
    costs!(
        ledger,
        1,
        members.delete_many(&OrganizationMemberFilter::new().user_id(UserId::new()))
    );
    ledger.is_settled();
}

#[both_engines]
#[case]
async fn projects_and_what_they_own() {
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
        TWO,
        projects.visible_to(user, &ProjectFilter::new(), &Page::new().with_total())
    );
    costs!(ledger, 1, projects.archive(id));
    costs!(ledger, 1, projects.soft_delete(id));
    costs!(ledger, 1, projects.restore(id));
    costs!(ledger, 1, projects.touch_last_analyzed(id));
    costs!(ledger, 1, projects.merge_configuration(id, json!({"a": 1})));

    ledger.is_settled();
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
    costs!(ledger, 1, members.remove(id, UserId::new()));

    let stats = ledger.db.project_stats();
    costs!(ledger, 1, stats.find(id));
    costs!(ledger, 1, stats.find_many(&[id]));
    costs!(
        ledger,
        1,
        stats.list(&ProjectStatsFilter::new().search("a"), &Page::new())
    );
    costs!(
        ledger,
        TWO,
        stats.list(&ProjectStatsFilter::new(), &Page::new().with_total())
    );

    let trends = ledger.db.trends();
    costs!(ledger, 1, trends.of_metric(id, "bugs", 30));
    costs!(ledger, 1, trends.of_metrics(id, &["bugs", "debt"], 30));

    ledger.is_settled();
}

#[both_engines]
#[case]
async fn a_dashboard() {
    let ledger = ledger().await;
    let (id, _) = analysed(&ledger.db).await;
    // Six statements.
    let options = DashboardOptions::new().metrics(["bugs", "debt"]);
    let six = if PIPELINES { 1 } else { 6 };
    costs!(ledger, six, ledger.db.dashboard().of_project(id, &options));
    costs!(
        ledger,
        six,
        ledger.db.dashboard().of_project(ProjectId::new(), &options)
    );
    ledger.is_settled();
}

#[both_engines]
async fn analysed(db: &Db) -> (ProjectId, UserId) {
    let user = db.users().create(new_user()).await.unwrap().id;
    let project = db
        .projects()
        .create(NewProject::new("Flask", user))
        .await
        .unwrap();
    (project.id, user)
}

#[both_engines]
async fn pending(db: &Db) -> (ProjectId, AnalysisId) {
    let (project, user) = analysed(db).await;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    (project, db.analyses().create(new).await.unwrap().id)
}

/// Four statements.
#[both_engines]
async fn completed(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let id = db.analyses().create(new).await?.id;
    db.analyses().start(id).await?;
    db.analyses().progress(id, 50).await?;
    db.analyses()
        .complete(id, AnalysisSummary::scored(9.5))
        .await
}

/// Three statements.
#[both_engines]
async fn failed(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let id = db.analyses().create(new).await?.id;
    db.analyses().start(id).await?;
    db.analyses().fail(id, "no disk").await
}

/// Two statements.
#[both_engines]
async fn cancelled(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let id = db.analyses().create(new).await?.id;
    db.analyses().cancel(id).await
}

#[both_engines]
#[case]
async fn analyses_and_their_lives() {
    let ledger = ledger().await;
    let now = Utc::now();
    let (project, user) = analysed(&ledger.db).await;
    let new = || NewAnalysis::new(project, AnalysisType::Quality, user);
    let id = every_repository!(
        ledger, analyses, new(), AnalysisFilter,
        [project_id(project), r#type(AnalysisType::Quality), status(AnalysisStatus::Pending), created_by(user),
         created_from(now), created_before(now), completed_from(now), completed_before(now)],
        AnalysisOrder[Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        analyses,
        id,
        AnalysisChanges::new().error_message("x".to_owned()),
        AnalysisFilter::new().project_id(ProjectId::new()),
        AnalysisId::new()
    );
    let analyses = ledger.db.analyses();
    costs!(ledger, 1, analyses.latest(project, AnalysisType::Quality));
    costs!(
        ledger,
        1,
        analyses.latest_completed(project, AnalysisType::Quality)
    );
    costs!(ledger, 1, analyses.of_projects(&[project], 3));
    costs!(ledger, 4, completed(&ledger.db, new()));
    costs!(ledger, 3, failed(&ledger.db, new()));
    costs!(ledger, 2, cancelled(&ledger.db, new()));
    ledger.is_settled();
}

#[both_engines]
#[case]
async fn what_analyses_find() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    let analysis = ledger.db.analyses().create(new).await.unwrap().id;
    let nowhere = AnalysisId::new();

    let (kind, high) = (IssueType::CodeQuality, IssueSeverity::High);
    let issue = || NewAnalysisIssue::new(analysis, kind, high, "wrong", "src/a.rs");
    let id = every_repository!(
        ledger, analysis_issues, issue(), AnalysisIssueFilter,
        [analysis_id(analysis), analysis_ids(vec![analysis, nowhere]), r#type(kind), severity(high),
         severity_at_least(high), status(IssueStatus::Open), rule_id("x"), file_path("src/a.rs"),
         file_path_prefix("src/"), resolved_by(user)],
        AnalysisIssueOrder[Severity, Newest, Oldest, File]
    );
    let nothing = AnalysisIssueFilter::new().analysis_id(nowhere);
    every_writable_repository!(
        ledger,
        analysis_issues,
        id,
        AnalysisIssueChanges::new().title("worse"),
        nothing,
        AnalysisIssueId::new()
    );
    let issues = ledger.db.analysis_issues();
    costs!(ledger, 1, issues.resolve(id, user));
    costs!(ledger, 1, issues.ignore(id, user));
    costs!(ledger, 1, issues.mark_false_positive(id, user));
    costs!(ledger, 1, issues.reopen(id));
    costs!(ledger, 1, issues.resolve_many(&nothing, user));
    costs!(ledger, 1, issues.count_by_severity(&nothing));
    costs!(ledger, 1, issues.count_by_type(&nothing));
    costs!(ledger, 1, issues.count_by_rule(&nothing, 5));

    ledger.is_settled();
}

#[both_engines]
#[case]
async fn results_and_metrics_of_analyses() {
    let ledger = ledger().await;
    let (project, analysis) = pending(&ledger.db).await;
    let nowhere = AnalysisId::new();
    let result = || NewAnalysisResult::new(analysis, "src/a.rs");
    let id = every_repository!(
        ledger, analysis_results, result(), AnalysisResultFilter,
        [analysis_id(analysis), file_path("src/a.rs"), file_path_prefix("src/"), file_hash("x")],
        AnalysisResultOrder[Newest, Oldest, File]
    );
    every_writable_repository!(
        ledger,
        analysis_results,
        id,
        AnalysisResultChanges::new().file_hash("y".to_owned()),
        AnalysisResultFilter::new().analysis_id(nowhere),
        AnalysisResultId::new()
    );

    let metric =
        || NewAnalysisMetric::new(analysis, "bugs", MetricCategory::Quality).metric_value(1);
    let id = every_repository!(
        ledger, analysis_metrics, metric(), AnalysisMetricFilter,
        [analysis_id(analysis), metric_name("bugs"), category(MetricCategory::Quality)],
        AnalysisMetricOrder[Newest, Oldest, Name]
    );
    every_writable_repository!(
        ledger,
        analysis_metrics,
        id,
        AnalysisMetricChanges::new().metric_unit("x".to_owned()),
        AnalysisMetricFilter::new().analysis_id(nowhere),
        AnalysisMetricId::new()
    );
    let metrics = ledger.db.analysis_metrics();
    costs!(ledger, 1, metrics.of_analyses(&[analysis]));
    costs!(ledger, 1, metrics.latest_of_project(project, &["bugs"]));

    ledger.is_settled();
}

#[both_engines]
#[case]
async fn duplicates_and_graphs_of_analyses() {
    let ledger = ledger().await;
    let (project, analysis) = pending(&ledger.db).await;
    let nowhere = AnalysisId::new();
    let group =
        || NewDuplicateGroup::new(analysis, "x", 90, 10, vec![DuplicateFile::new("a", 1, 2)]);
    let id = every_repository!(
        ledger, duplicate_groups, group(), DuplicateGroupFilter,
        [analysis_id(analysis), hash("x"), similarity_at_least(50)],
        DuplicateGroupOrder[MostSimilar, Longest, Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        duplicate_groups,
        id,
        DuplicateGroupChanges::new().total_lines(11),
        DuplicateGroupFilter::new().analysis_id(nowhere),
        DuplicateGroupId::new()
    );
    costs!(ledger, 1, ledger.db.duplicate_groups().find_by_hash("x"));

    let graph = || NewDependencyGraph::new(project, json!({})).analysis_id(analysis);
    let id = every_repository!(
        ledger, dependency_graphs, graph(), DependencyGraphFilter,
        [project_id(project), analysis_id(analysis), created_from(Utc::now()), created_before(Utc::now())],
        DependencyGraphOrder[Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        dependency_graphs,
        id,
        DependencyGraphChanges::new().metadata(json!({})),
        DependencyGraphFilter::new().analysis_id(nowhere),
        DependencyGraphId::new()
    );
    costs!(ledger, 1, ledger.db.dependency_graphs().latest(project));
    costs!(
        ledger,
        1,
        ledger.db.dependency_graphs().of_analysis(nowhere)
    );
    ledger.is_settled();
}

#[both_engines]
#[case]
async fn setup() {
    let ledger = ledger().await;
    let now = Utc::now();
    let (_, user) = analysed(&ledger.db).await;
    let development = SetupCategory::ALL[0];
    let profile = every_repository!(
        ledger, setup_profiles, NewSetupProfile::new("Rust", development, user), SetupProfileFilter,
        [category(development), visibility(ProfileVisibility::Private), visible_to(user), is_featured(true),
         created_by(user), organization_id(OrganizationId::new()), search("a"), created_from(now), created_before(now)],
        SetupProfileOrder[Newest, Oldest, Name]
    );
    every_writable_repository!(
        ledger,
        setup_profiles,
        profile,
        SetupProfileChanges::new().name("Rust"),
        SetupProfileFilter::new().search("none"),
        SetupProfileId::new()
    );
    let session = every_repository!(
        ledger, setup_sessions, NewSetupSession::new(profile, user), SetupSessionFilter,
        [profile_id(profile), user_id(user), status(SessionStatus::Pending), created_from(now), created_before(now)],
        SetupSessionOrder[Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        setup_sessions,
        session,
        SetupSessionChanges::new().current_step("x".to_owned()),
        SetupSessionFilter::new().user_id(UserId::new()),
        SetupSessionId::new()
    );
    costs!(
        ledger,
        1,
        ledger
            .db
            .setup_sessions()
            .append_log(session, json!({"a": 1}))
    );
    let step = every_repository!(
        ledger, setup_steps, NewSetupStep::new(session, "Install", 1), SetupStepFilter,
        [session_id(session), status(StepStatus::Pending), tool_name("cargo")],
        SetupStepOrder[StepOrder, Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        setup_steps,
        step,
        SetupStepChanges::new().name("Install"),
        SetupStepFilter::new().tool_name("none"),
        SetupStepId::new()
    );
    costs!(ledger, 1, ledger.db.setup_steps().of_session(session));
    costs!(ledger, 1, ledger.db.setup_steps().of_sessions(&[session]));

    ledger.is_settled();
}

#[both_engines]
#[case]
async fn tools() {
    let ledger = ledger().await;
    let compiler = ToolCategory::ALL[0];
    let tool = every_repository!(
        ledger, tools, NewTool::new(unique(), compiler), ToolFilter,
        [name("cargo"), category(compiler), platform(Platform::ALL[0]), is_active(true), search("a")],
        ToolOrder[Newest, Oldest, Name]
    );
    every_writable_repository!(
        ledger,
        tools,
        tool,
        ToolChanges::new().is_active(true),
        ToolFilter::new().name("none"),
        ToolId::new()
    );
    costs!(ledger, 1, ledger.db.tools().find_newest("cargo"));
    costs!(
        ledger,
        1,
        ledger.db.tools().find_by_name_and_version("cargo", None)
    );
    costs!(
        ledger,
        1,
        ledger
            .db
            .tools()
            .find_by_name_and_version("cargo", Some("1"))
    );
    costs!(ledger, 1, ledger.db.tools().install_order(&[]));

    ledger.is_settled();
}

#[both_engines]
#[case]
async fn configurations() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let (global, kind) = (ConfigurationScope::Global, ConfigCategory::Analysis);
    let configurations = ledger.db.configurations();
    let setting = || NewConfiguration::new(global, kind, unique(), 1, user);
    let id = every_repository!(
        ledger, configurations, setting(), ConfigurationFilter,
        [organization_id(OrganizationId::new()), project_id(project), scope(ConfigScope::Global), category(kind),
         name("depth"), is_encrypted(false), created_by(user)],
        ConfigurationOrder[Newest, Oldest, Name]
    );
    every_writable_repository!(
        ledger,
        configurations,
        id,
        ConfigurationChanges::new().value(json!(2)),
        ConfigurationFilter::new().name("none"),
        ConfigurationId::new()
    );
    costs!(
        ledger,
        1,
        configurations.upsert(NewConfiguration::new(global, kind, "depth", 1, user))
    );
    costs!(
        ledger,
        1,
        configurations.set(global, kind, "depth", json!(2), user)
    );
    for scope in [global, project.into(), OrganizationId::new().into()] {
        costs!(ledger, 1, configurations.find_by_name(scope, kind, "depth"));
        costs!(ledger, 1, configurations.effective(scope, kind, "depth"));
        costs!(ledger, 1, configurations.effective_all(scope, None));
        costs!(ledger, 1, configurations.effective_all(scope, Some(kind)));
    }

    ledger.is_settled();
}

#[both_engines]
#[case]
async fn integrations() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let github = IntegrationType::ALL[0];
    let integration = || NewIntegration::new(github, "GitHub", user).project_id(project);
    let id = every_repository!(
        ledger, integrations, integration(), IntegrationFilter,
        [organization_id(OrganizationId::new()), project_id(project), r#type(github), is_enabled(true),
         sync_status(SyncStatus::Success), created_by(user)],
        IntegrationOrder[Newest, Oldest, Name]
    );
    every_writable_repository!(
        ledger,
        integrations,
        id,
        IntegrationChanges::new().name("GitHub"),
        IntegrationFilter::new().created_by(UserId::new()),
        IntegrationId::new()
    );
    costs!(ledger, 1, ledger.db.integrations().set_enabled(id, true));
    costs!(
        ledger,
        1,
        ledger
            .db
            .integrations()
            .record_sync(id, SyncStatus::Success)
    );
    ledger.is_settled();
}

#[both_engines]
#[case]
async fn logs() {
    let ledger = ledger().await;
    let now = Utc::now();
    let user = ledger.db.users().create(new_user()).await.unwrap().id;
    every_repository!(
        ledger, audit_logs, NewAuditLog::new(AuditAction::Create, "project"), AuditLogFilter,
        [user_id(user), organization_id(OrganizationId::new()), actions(vec![AuditAction::Create]),
         resource_type("project"), resource_id(*user.as_uuid()), created_from(now), created_before(now)],
        AuditLogOrder[Newest, Oldest]
    );
    every_repository!(
        ledger, system_logs, NewSystemLog::new(LogLevel::Info, "api", "started"), SystemLogFilter,
        [level(LogLevel::Info), at_least(LogLevel::Info), service("api"), component("db"),
         correlation_id(*user.as_uuid()), request_id(*user.as_uuid()), user_id(user), search("a"),
         created_from(now), created_before(now)],
        SystemLogOrder[Newest, Oldest]
    );
    ledger.is_settled();
}

/// A transaction with three statements.
#[both_engines]
async fn transaction(db: &Db, id: UserId) -> Result<User> {
    db.transaction(async |tx| -> Result<User> {
        tx.users().find(id).await?;
        tx.users().count(&UserFilter::new()).await?;
        tx.users().set_active(id, true).await
    })
    .await
}

#[both_engines]
#[case]
async fn a_transaction_takes_two_turns_more_than_its_statements() {
    let ledger = ledger().await;
    let id = ledger.db.users().create(new_user()).await.unwrap().id;
    costs!(ledger, 5, transaction(&ledger.db, id));
    costs!(ledger, 1, ledger.db.health());
    ledger.is_settled();
}
