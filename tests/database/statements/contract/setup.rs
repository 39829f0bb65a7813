use super::*;
use chrono::Utc;
use serde_json::json;
use wundr_db::{
    ConfigCategory, ConfigScope, ConfigurationChanges, ConfigurationFilter, ConfigurationId,
    ConfigurationOrder, ConfigurationScope, IntegrationChanges, IntegrationFilter, IntegrationId,
    IntegrationOrder, IntegrationType, NewConfiguration, NewIntegration, NewSetupProfile,
    NewSetupSession, NewSetupStep, NewTool, OrganizationId, Platform, ProfileVisibility,
    SessionStatus, SetupCategory, SetupProfileChanges, SetupProfileFilter, SetupProfileId,
    SetupProfileOrder, SetupSessionChanges, SetupSessionFilter, SetupSessionId, SetupSessionOrder,
    SetupStepChanges, SetupStepFilter, SetupStepId, SetupStepOrder, StepStatus, SyncStatus,
    ToolCategory, ToolChanges, ToolFilter, ToolId, ToolOrder,
};

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
            .append_log(session, json!({"a": 1}).into())
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

    ledger.settle();
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
    let tools = ledger.db.tools();
    let new = || NewTool::new(unique(), compiler);
    costs!(ledger, 1, tools.create(new().is_active(true)));
    let whole = || {
        let new = new().is_active(true).metadata(json!({"a": 1}));
        new.supported_platforms([Platform::Linux])
    };
    costs!(ledger, 1, tools.create(whole()));
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

    ledger.settle();
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
        configurations.set(global, kind, "depth", json!(2).into(), user)
    );
    for scope in [global, project.into(), OrganizationId::new().into()] {
        costs!(ledger, 1, configurations.find_by_name(scope, kind, "depth"));
        costs!(ledger, 1, configurations.effective(scope, kind, "depth"));
        costs!(ledger, 1, configurations.effective_all(scope, None));
        costs!(ledger, 1, configurations.effective_all(scope, Some(kind)));
    }

    ledger.settle();
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
    ledger.settle();
}
