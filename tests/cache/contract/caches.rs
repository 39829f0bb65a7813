//! A cached value is not read from the database again, and equals that of the database.

use super::*;
use chrono::{TimeDelta, Utc};
use serde_json::json;

/// The other process's second read is answered by the cache, and is what the database says.
#[both_engines]
macro_rules! is_cached {
    ($pair:ident, $($repository:ident.$method:ident($($argument:expr),*)),+ $(,)?) => {$({
        let read = stringify!($repository.$method);
        let expected = $pair.plain.$repository().$method($($argument),*).await.unwrap();
        let first = $pair.other.$repository().$method($($argument),*).await.unwrap();
        let (traffic, before) = ($pair.wire.traffic(), $pair.other.metrics());
        let second = $pair.other.$repository().$method($($argument),*).await.unwrap();
        let after = $pair.other.metrics();
        assert_eq!($pair.wire.traffic(), traffic, "{read} asks the database");
        assert!(after.hits > before.hits, "{read} is no hit");
        assert_eq!((after.misses, after.bypasses), (before.misses, before.bypasses), "{read}");
        assert_eq!((&first, &second), (&expected, &expected), "{read}");
        assert!(!format!("{expected:?}").starts_with("None"), "{read} finds nothing");
    })+};
}

/// JSON as a form might spoil it.
fn document() -> serde_json::Value {
    json!({
        "u64": u64::MAX, "i64": i64::MIN, "large": 1.5e300, "small": 2.5e-300, "whole": 1.0, "null": null,
        "text": "\u{1F600} \"\\ \n", "": [[[]], {}], "nested": { "a": [true, false] },
    })
}

#[both_engines]
#[case]
async fn accounts_are_answered_without_the_database() {
    let pair = pair(shared()).await;
    let one = &pair.one;
    let ada = NewUser::new("Ada@Example.org", "Ada")
        .avatar_url("https://example.org/a.png")
        .github_username("ada")
        .preferences(document())
        .role(UserRole::Manager);
    let ada = one.users().create(ada).await.unwrap();
    let ada = one.users().touch_last_login(ada.id).await.unwrap();
    let session = NewUserSession::new(ada.id, "token", Utc::now() + TimeDelta::hours(1))
        .refresh_token_hash("refresh")
        .user_agent("a browser")
        .ip_address("2001:db8::/32".parse::<ipnetwork::IpNetwork>().unwrap());
    let session = one.user_sessions().create(session).await.unwrap();
    let lab = NewOrganization::new("Lab", "lab")
        .description("Where it is done")
        .settings(document())
        .subscription_plan(SubscriptionPlan::Enterprise);
    let lab = one.organizations().create(lab).await.unwrap();
    let owner = NewOrganizationMember::new(lab.id, ada.id, OrganizationRole::Owner);
    one.organization_members().create(owner).await.unwrap();

    is_cached!(
        pair,
        users.find(ada.id),
        users.find_by_email("aDA@example.ORG"),
        user_sessions.find_by_token_hash("token"),
        organizations.find(lab.id),
        organizations.find_by_slug("lab"),
        organization_members.role_of(lab.id, ada.id),
    );
    let found = pair.other.user_sessions().find_by_token_hash("token").await;
    assert_eq!(found.unwrap(), Some(session), "with its hashes");
}

#[both_engines]
#[case]
async fn projects_are_answered_without_the_database() {
    let pair = pair(shared()).await;
    let one = &pair.one;
    let ada = user(one).await.id;
    let lab = NewOrganization::new("Lab", "lab");
    let lab = one.organizations().create(lab).await.unwrap().id;
    let flask = NewProject::new("Flask", ada)
        .organization_id(lab)
        .repository_data(document())
        .configuration(document())
        .last_analyzed_at(Utc::now());
    let flask = one.projects().create(flask).await.unwrap().id;
    let member = NewProjectMember::new(flask, ada, ProjectRole::Maintainer).added_by(ada);
    one.project_members().create(member).await.unwrap();
    let global = ConfigurationScope::Global;
    let category = ConfigCategory::ALL[0];
    for (scope, name) in [
        (global, "a"),
        (lab.into(), "a"),
        (lab.into(), "b"),
        (flask.into(), "b"),
    ] {
        let new = NewConfiguration::new(scope, category, name, document(), ada);
        let new = new.is_encrypted(name == "b").description("as it is");
        let one = one.with_secrets(wundr_db::Keyring::new(1, [1; 32]));
        one.configurations().create(new).await.unwrap();
    }
    let scope = ConfigurationScope::Project(flask);

    is_cached!(
        pair,
        projects.find(flask),
        project_members.role_of(flask, ada),
        configurations.find_by_name(scope, category, "b"),
        configurations.find_by_name(global, category, "a"),
        configurations.effective(scope, category, "a"),
        configurations.effective(lab.into(), category, "b"),
        configurations.effective_all(scope, None),
        configurations.effective_all(scope, Some(category)),
    );
}

#[both_engines]
#[case]
async fn analyses_and_setup_are_answered_without_the_database() {
    let pair = pair(shared()).await;
    let one = &pair.one;
    let ada = user(one).await.id;
    let new = NewProject::new("Flask", ada);
    let flask = one.projects().create(new).await.unwrap().id;
    let hour_ago = Utc::now() - TimeDelta::hours(1);
    let mut summary = AnalysisSummary::scored(81.25);
    summary.extra.insert("more".to_owned(), document().into());
    let typed = NewAnalysis::new(flask, AnalysisType::Quality, ada)
        .completed(hour_ago - TimeDelta::minutes(1), hour_ago)
        .configuration(document())
        .results(document());
    let typed = {
        let mut new = typed;
        new.summary = Some(Json::Typed(summary));
        new
    };
    let raw = {
        let mut new = typed.clone();
        new.id = AnalysisId::new();
        new.r#type = AnalysisType::Security;
        new.summary = Some(Json::Raw(
            json!({ "overallScore": "high", "n": [1, 2.5] }).into(),
        ));
        new
    };
    let created = one.analyses().create(typed).await.unwrap();
    one.analyses().create(raw).await.unwrap();
    let metric = NewAnalysisMetric::new(created.id, "lines", MetricCategory::Quality);
    let value: bigdecimal::BigDecimal = "1234.5678".parse().unwrap();
    let metrics = [metric.metric_value(value)];
    one.analysis_metrics().create_many(&metrics).await.unwrap();
    let profile = NewSetupProfile::new("Web", SetupCategory::Frontend, ada)
        .configuration(document())
        .tools(json!(["git"]))
        .estimated_duration(30);
    let profile = one.setup_profiles().create(profile).await.unwrap().id;
    let tool = NewTool::new("git", ToolCategory::ALL[0])
        .version("2.47")
        .configuration_schema(document())
        .supported_platforms(Platform::ALL.to_vec())
        .dependencies(vec!["sh".to_owned()]);
    let tool = one.tools().create(tool).await.unwrap().id;

    is_cached!(
        pair,
        analyses.latest(flask, AnalysisType::Quality),
        analyses.latest_completed(flask, AnalysisType::Quality),
        analyses.latest(flask, AnalysisType::Security),
        analyses.latest_completed(flask, AnalysisType::Security),
        setup_profiles.find(profile),
        tools.find(tool),
        project_stats.find(flask),
        trends.of_metric(flask, "lines", 30),
    );
    let stats = pair.other.project_stats();
    assert_eq!(stats.max_age(), Duration::from_secs(60));
    assert_eq!(pair.other.trends().max_age(), Duration::from_secs(60));
    let points = pair.other.trends().of_metric(flask, "lines", 30).await;
    assert_eq!(points.unwrap().len(), 1);
}

#[both_engines]
#[case]
async fn several_are_answered_by_one_command() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    let ids = [ada.id, UserId::new(), bob.id, ada.id, bob.id];
    let expected = [
        Some(ada.clone()),
        None,
        Some(bob.clone()),
        Some(ada),
        Some(bob),
    ];
    let users = pair.other.users();
    // The first to come opens the generation, the second fills.
    for _ in 0..2 {
        assert_eq!(users.find_many(&ids).await.unwrap(), expected);
    }
    let mut raw = Raw::of(&redis.url());
    let (traffic, hits) = (pair.wire.traffic(), pair.other.metrics().hits);
    let (reads, scripts) = (raw.calls("mget"), raw.calls("evalsha"));
    assert_eq!(users.find_many(&ids).await.unwrap(), expected);
    assert_eq!(pair.wire.traffic(), traffic, "the database is asked");
    assert_eq!(raw.calls("mget"), reads + 1);
    assert_eq!(raw.calls("evalsha"), scripts);
    assert_eq!(pair.other.metrics().hits, hits + 5);
    assert_eq!(users.find_many(&[]).await.unwrap(), []);
    // One that is new beside some that are there is filled, too.
    let eve = user(&pair.one).await;
    let with_eve = [ids[0], eve.id];
    users.find_many(&with_eve).await.unwrap();
    let traffic = pair.wire.traffic();
    assert_eq!(users.find(eve.id).await.unwrap(), Some(eve));
    assert_eq!(pair.wire.traffic(), traffic);
}

#[both_engines]
#[case]
async fn what_is_not_to_be_cached_is_not() {
    let pair = pair(
        shared()
            .without(CachedKind::User)
            .without(CachedKind::ProjectStats),
    )
    .await;
    let ada = user(&pair.one).await;
    for _ in 0..3 {
        let before = pair.wire.traffic();
        assert_eq!(
            pair.other.users().find(ada.id).await.unwrap(),
            Some(ada.clone())
        );
        assert_ne!(pair.wire.traffic(), before);
    }
    let metrics = pair.other.metrics();
    assert_eq!((metrics.hits, metrics.misses, metrics.bypasses), (0, 0, 3));
    assert_eq!(pair.other.project_stats().max_age(), Duration::ZERO);
    assert_ne!(
        pair.one.metrics().fences,
        0,
        "others may cache it: writes are fenced all the same"
    );
}
