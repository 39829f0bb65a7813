//! Every column of JSON keeps what other clients have written, to the last digit and at any depth,
//! and what cannot be kept is refused before it is sent.

use std::collections::BTreeSet;

use super::*;
use serde_json::json;
use wundr_db::{
    AnalysisChanges, AnalysisResultChanges, AnalysisSummary, AuditAction, ConfigCategory,
    ConfigurationChanges, ConfigurationScope, DependencyGraphChanges, Document, DuplicateFile,
    DuplicateGroupChanges, IntegrationChanges, IntegrationType, Json, LogLevel, NewAnalysisResult,
    NewAuditLog, NewConfiguration, NewDependencyGraph, NewDuplicateGroup, NewIntegration,
    NewSetupProfile, NewSetupSession, NewSystemLog, NewTool, OrganizationChanges, ProjectChanges,
    Secret, SetupCategory, SetupProfileChanges, SetupSessionChanges, ToolCategory, ToolChanges,
    UserChanges, UserFilter,
};

/// Rows of every table that has a column of JSON.
pub(super) struct Rows {
    pub(super) user: UserId,
    pub(super) organization: OrganizationId,
    pub(super) project: ProjectId,
    pub(super) analysis: wundr_db::AnalysisId,
    pub(super) result: wundr_db::AnalysisResultId,
    pub(super) graph: wundr_db::DependencyGraphId,
    pub(super) duplicate: wundr_db::DuplicateGroupId,
    pub(super) profile: wundr_db::SetupProfileId,
    pub(super) session: wundr_db::SetupSessionId,
    pub(super) tool: wundr_db::ToolId,
    pub(super) configuration: wundr_db::ConfigurationId,
    pub(super) integration: wundr_db::IntegrationId,
    pub(super) audit_log: wundr_db::AuditLogId,
    pub(super) system_log: wundr_db::SystemLogId,
}

#[both_engines]
pub(super) async fn rows(db: &Db) -> Rows {
    let user = user(db).await.id;
    let analysis = analysis(db).await;
    let (project, analysis) = (analysis.project_id, analysis.id);
    let new = NewDependencyGraph::new(project, json!({}));
    let graph = db.dependency_graphs().create(new).await.unwrap().id;
    let new = NewDuplicateGroup::new(analysis, "h", 90, 5, Vec::<DuplicateFile>::new());
    let duplicate = db.duplicate_groups().create(new).await.unwrap().id;
    let new = NewSetupProfile::new("Web", SetupCategory::Frontend, user);
    let profile = db.setup_profiles().create(new).await.unwrap().id;
    let new = NewSetupSession::new(profile, user);
    let session = db.setup_sessions().create(new).await.unwrap().id;
    let new = NewTool::new("git", ToolCategory::VersionControl);
    let tool = db.tools().create(new).await.unwrap().id;
    let scope = ConfigurationScope::Global;
    let new = NewConfiguration::new(scope, ConfigCategory::General, "a", 1, user);
    let configuration = db.configurations().create(new).await.unwrap().id;
    let organization = organization(db).await.id;
    let new = NewIntegration::new(IntegrationType::Slack, "s", user).organization_id(organization);
    let integration = db.integrations().create(new).await.unwrap().id;
    let new = NewAuditLog::new(AuditAction::Read, "project");
    let audit_log = db.audit_logs().create(new).await.unwrap().id;
    let new = NewSystemLog::new(LogLevel::Info, "api", "began");
    let system_log = db.system_logs().create(new).await.unwrap().id;
    let new = NewAnalysisResult::new(analysis, "a.rs");
    let result = db.analysis_results().create(new).await.unwrap().id;
    Rows {
        user,
        organization,
        project,
        analysis,
        result,
        graph,
        duplicate,
        profile,
        session,
        tool,
        configuration,
        integration,
        audit_log,
        system_log,
    }
}

/// A number that no binary float holds, one beyond all of them, and one whose last digit a fast
/// parser gets wrong.
const NUMBERS: &str = "1.10, 12345678901234567890123, 51.248178375505404, 179769313486231570000e400, -1e-400, \
                       1.7976931348623157e308";

/// A document that another client has stored is read, to the last digit and at any depth; what is
/// read is written back as it was; and what nests too deep, by whatever way it has become so, is
/// refused with the column's name before anything is sent.
#[both_engines]
macro_rules! keeps {
    ($seen:ident, $db:ident, $observer:ident, $table:literal $field:ident $id:expr;
     $find:expr => |$row:ident| $value:expr; |$document:ident| $written:expr) => {{
        let (table, name, id) = ($table, stringify!($field), $id);
        let column = format!("{table}.{name}");
        let store = |text: &str| format!("UPDATE {table} SET {name} = '{text}' WHERE id = '{id}'");
        let stored = format!("SELECT {name} FROM {table} WHERE id = '{id}'");

        let deep = format!("{}{NUMBERS}{}", "[".repeat(1_000), "]".repeat(1_000));
        execute(&$db, &store(&deep)).await;
        let $row = $find.await.unwrap().unwrap();
        let found: Document = $value;
        assert!(
            found == deep.parse::<Document>().unwrap(),
            "{column}: {found}"
        );
        let $document = found;
        assert_eq!(
            $written.await.map(drop).map_err(field_of),
            Err(name.to_owned()),
            "{column}"
        );

        let exact = format!(r#"{{"n": [{NUMBERS}], "a": "🦀"}}"#);
        execute(&$db, &store(&exact)).await;
        let $row = $find.await.unwrap().unwrap();
        let found: Document = $value;
        assert!(
            found == exact.parse::<Document>().unwrap(),
            "{column}: {found}"
        );
        assert!(found.text().contains("1.10"), "{column}: {found}");
        let before = $observer.ask(&stored);
        execute(&$db, &store("[]")).await;
        let $document = found;
        let $row = $written.await.unwrap();
        let back: Document = $value;
        assert!(
            back == exact.parse::<Document>().unwrap(),
            "{column}: {back}"
        );
        let id = $row.id;
        let stored = format!("SELECT {name} FROM {table} WHERE id = '{id}'");
        assert_eq!($observer.ask(&stored), before, "{column}");

        for text in [
            format!("{}1{}", "[".repeat(101), "]".repeat(101)),
            format!("{}{{}}{}", r#"{"a":"#.repeat(127), "}".repeat(127)),
            r#"{"a": ["\u0000"]}"#.to_owned(),
            r#"["\ud83e"]"#.to_owned(),
            "[1e131072]".to_owned(),
        ] {
            let $document: Document = text.parse().unwrap();
            assert_eq!(
                $written.await.map(drop).map_err(field_of),
                Err(name.to_owned()),
                "{column}"
            );
        }
        assert_eq!(
            $observer.ask(&stored),
            before,
            "{column} after what was refused"
        );
        $seen.insert(column);
    }};
}

#[both_engines]
#[case]
async fn every_column_of_json_keeps_every_digit_at_any_depth() {
    let (db, database) = database().await;
    let mut observer = Observer::of(&database.url());
    let rows = rows(&db).await;
    // No client can change an entry. One that another client has written looks as if it had been.
    observer.run("ALTER TABLE audit.audit_logs DISABLE TRIGGER trg_audit_logs_append_only");
    let mut seen = BTreeSet::new();
    keeps!(seen, db, observer, "public.users" preferences rows.user;
        db.users().find(rows.user) => |row| row.preferences.clone(); |document| db.users().update(rows.user, UserChanges::new().preferences(document)));
    keeps!(seen, db, observer, "public.organizations" settings rows.organization;
        db.organizations().find(rows.organization) => |row| row.settings.clone(); |document| db.organizations().update(rows.organization, OrganizationChanges::new().settings(document)));
    keeps!(seen, db, observer, "public.projects" repository_data rows.project;
        db.projects().find(rows.project) => |row| row.repository_data.clone().unwrap(); |document| db.projects().update(rows.project, ProjectChanges::new().repository_data(document)));
    keeps!(seen, db, observer, "public.projects" configuration rows.project;
        db.projects().find(rows.project) => |row| row.configuration.clone(); |document| db.projects().update(rows.project, ProjectChanges::new().configuration(document)));
    keeps!(seen, db, observer, "analysis.analyses" configuration rows.analysis;
        db.analyses().find(rows.analysis) => |row| row.configuration.clone(); |document| db.analyses().update(rows.analysis, AnalysisChanges::new().configuration(document)));
    keeps!(seen, db, observer, "analysis.analyses" results rows.analysis;
        db.analyses().find(rows.analysis) => |row| row.results.clone().unwrap(); |document| db.analyses().update(rows.analysis, AnalysisChanges::new().results(document)));
    keeps!(seen, db, observer, "analysis.analyses" summary rows.analysis;
        db.analyses().find(rows.analysis) => |row| row.summary.clone().unwrap().to_document().unwrap(); |document| db.analyses().update(rows.analysis, AnalysisChanges::new().summary(Json::Raw(document))));
    keeps!(seen, db, observer, "analysis.analysis_results" metrics rows.result;
        db.analysis_results().find(rows.result) => |row| row.metrics.clone().to_document().unwrap(); |document| db.analysis_results().update(rows.result, AnalysisResultChanges::new().metrics(Json::Raw(document))));
    keeps!(seen, db, observer, "analysis.analysis_results" issues rows.result;
        db.analysis_results().find(rows.result) => |row| row.issues.clone().to_document().unwrap(); |document| db.analysis_results().update(rows.result, AnalysisResultChanges::new().issues(Json::Raw(document))));
    keeps!(seen, db, observer, "analysis.analysis_results" dependencies rows.result;
        db.analysis_results().find(rows.result) => |row| row.dependencies.clone().to_document().unwrap(); |document| db.analysis_results().update(rows.result, AnalysisResultChanges::new().dependencies(Json::Raw(document))));
    keeps!(seen, db, observer, "analysis.dependency_graphs" graph_data rows.graph;
        db.dependency_graphs().find(rows.graph) => |row| row.graph_data.clone(); |document| db.dependency_graphs().update(rows.graph, DependencyGraphChanges::new().graph_data(document)));
    keeps!(seen, db, observer, "analysis.dependency_graphs" metadata rows.graph;
        db.dependency_graphs().find(rows.graph) => |row| row.metadata.clone(); |document| db.dependency_graphs().update(rows.graph, DependencyGraphChanges::new().metadata(document)));
    keeps!(seen, db, observer, "analysis.duplicate_groups" files rows.duplicate;
        db.duplicate_groups().find(rows.duplicate) => |row| row.files.clone().to_document().unwrap(); |document| db.duplicate_groups().update(rows.duplicate, DuplicateGroupChanges::new().files(Json::Raw(document))));
    keeps!(seen, db, observer, "setup.setup_profiles" configuration rows.profile;
        db.setup_profiles().find(rows.profile) => |row| row.configuration.clone(); |document| db.setup_profiles().update(rows.profile, SetupProfileChanges::new().configuration(document)));
    keeps!(seen, db, observer, "setup.setup_profiles" tools rows.profile;
        db.setup_profiles().find(rows.profile) => |row| row.tools.clone(); |document| db.setup_profiles().update(rows.profile, SetupProfileChanges::new().tools(document)));
    keeps!(seen, db, observer, "setup.setup_profiles" templates rows.profile;
        db.setup_profiles().find(rows.profile) => |row| row.templates.clone(); |document| db.setup_profiles().update(rows.profile, SetupProfileChanges::new().templates(document)));
    keeps!(seen, db, observer, "setup.setup_profiles" prerequisites rows.profile;
        db.setup_profiles().find(rows.profile) => |row| row.prerequisites.clone(); |document| db.setup_profiles().update(rows.profile, SetupProfileChanges::new().prerequisites(document)));
    keeps!(seen, db, observer, "setup.setup_sessions" configuration rows.session;
        db.setup_sessions().find(rows.session) => |row| row.configuration.clone(); |document| db.setup_sessions().update(rows.session, SetupSessionChanges::new().configuration(document)));
    keeps!(seen, db, observer, "setup.setup_sessions" logs rows.session;
        db.setup_sessions().find(rows.session) => |row| row.logs.clone(); |document| db.setup_sessions().update(rows.session, SetupSessionChanges::new().logs(document)));
    keeps!(seen, db, observer, "setup.tools" configuration_schema rows.tool;
        db.tools().find(rows.tool) => |row| row.configuration_schema.clone().unwrap(); |document| db.tools().update(rows.tool, ToolChanges::new().configuration_schema(document)));
    keeps!(seen, db, observer, "setup.tools" metadata rows.tool;
        db.tools().find(rows.tool) => |row| row.metadata.clone(); |document| db.tools().update(rows.tool, ToolChanges::new().metadata(document)));
    keeps!(seen, db, observer, "setup.configurations" value rows.configuration;
        db.configurations().find(rows.configuration) => |row| row.value.clone().into_value().unwrap(); |document| db.configurations().update(rows.configuration, ConfigurationChanges::new().value(document)));
    keeps!(seen, db, observer, "setup.integrations" configuration rows.integration;
        db.integrations().find(rows.integration) => |row| row.configuration.clone(); |document| db.integrations().update(rows.integration, IntegrationChanges::new().configuration(document)));
    keeps!(seen, db, observer, "setup.integrations" credentials rows.integration;
        db.integrations().find(rows.integration) => |row| row.credentials.clone().unwrap().into_exposed().unwrap(); |document| db.integrations().update(rows.integration, IntegrationChanges::new().credentials(Secret::new(document))));
    keeps!(seen, db, observer, "audit.audit_logs" old_values rows.audit_log;
        db.audit_logs().find(rows.audit_log) => |row| row.old_values.clone().unwrap(); |document| db.audit_logs().create(NewAuditLog::new(AuditAction::Read, "a").old_values(document)));
    keeps!(seen, db, observer, "audit.audit_logs" new_values rows.audit_log;
        db.audit_logs().find(rows.audit_log) => |row| row.new_values.clone().unwrap(); |document| db.audit_logs().create(NewAuditLog::new(AuditAction::Read, "a").new_values(document)));
    keeps!(seen, db, observer, "audit.audit_logs" metadata rows.audit_log;
        db.audit_logs().find(rows.audit_log) => |row| row.metadata.clone(); |document| db.audit_logs().create(NewAuditLog::new(AuditAction::Read, "a").metadata(document)));
    keeps!(seen, db, observer, "audit.system_logs" data rows.system_log;
        db.system_logs().find(rows.system_log) => |row| row.data.clone().unwrap(); |document| db.system_logs().create(NewSystemLog::new(LogLevel::Info, "a", "b").data(document)));

    let every = observer.ask(
        "SELECT pg_catalog.string_agg(n.nspname || '.' || c.relname || '.' || a.attname, ' ') \
         FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE a.atttypid = 'jsonb'::regtype AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
         AND n.nspname IN ('public', 'analysis', 'setup', 'audit', 'cache')",
    );
    let every: BTreeSet<String> = every.split(' ').map(str::to_owned).collect();
    assert_eq!(seen, every, "a column of JSON that this test does not know");
    assert_eq!(every.len(), 28);
}

#[both_engines]
#[case]
async fn pages_hold_rows_with_any_document() {
    let (db, _database) = database().await;
    let rows = rows(&db).await;
    let deep = format!("{}1e400{}", "[".repeat(5_000), "]".repeat(5_000));
    execute(
        &db,
        &format!(
            "UPDATE public.users SET preferences = '{deep}' WHERE id = '{}'",
            rows.user
        ),
    )
    .await;
    let page = db
        .users()
        .list(&UserFilter::new(), &wundr_db::Page::new().with_total())
        .await
        .unwrap();
    assert_eq!(page.items.len() as u64, page.total.unwrap());
    let found = page.items.iter().find(|user| user.id == rows.user).unwrap();
    assert!(found.preferences.value().is_err());
    assert!(found.preferences == deep.parse::<Document>().unwrap());
    let off = db.users().set_active(rows.user, false).await.unwrap();
    assert!(!off.is_active);
    assert!(
        db.users().delete(rows.user).await.is_err(),
        "it has made what is there"
    );
}

#[both_engines]
#[case]
async fn merging_into_what_is_no_object_makes_one() {
    let (db, _database) = database().await;
    let rows = rows(&db).await;
    let part = || Document::from(json!({"a": 1}));
    for stored in ["null", "[]", r#""x""#, "7", "[{}]", r#"{"a": 0}"#] {
        for (table, column) in [
            ("public.users", "preferences"),
            ("public.organizations", "settings"),
            ("public.projects", "configuration"),
        ] {
            execute(&db, &format!("UPDATE {table} SET {column} = '{stored}'")).await;
        }
        let user = db
            .users()
            .merge_preferences(rows.user, part())
            .await
            .unwrap();
        let organizations = db.organizations();
        let organization = organizations.merge_settings(rows.organization, part());
        let organization = organization.await.unwrap();
        let project = db
            .projects()
            .merge_configuration(rows.project, part())
            .await
            .unwrap();
        for merged in [
            user.preferences,
            organization.settings,
            project.configuration,
        ] {
            assert_eq!(merged, part(), "{stored}");
        }
    }
    let session = rows.session;
    for (stored, expected) in [
        ("null", json!([{"a": 1}])),
        ("[]", json!([{"a": 1}])),
        ("[null]", json!([null, {"a": 1}])),
        (r#""x""#, json!(["x", {"a": 1}])),
    ] {
        execute(
            &db,
            &format!("UPDATE setup.setup_sessions SET logs = '{stored}'"),
        )
        .await;
        db.setup_sessions()
            .append_log(session, part())
            .await
            .unwrap();
        let found = db.setup_sessions().find(session).await.unwrap().unwrap();
        assert_eq!(found.logs, expected, "{stored}");
    }
}

#[both_engines]
#[case]
async fn what_is_put_into_another_document_is_refused_when_it_nests_too_deep() {
    let (db, database) = database().await;
    let mut observer = Observer::of(&database.url());
    let rows = rows(&db).await;
    let inner = format!("{}{}", "[".repeat(127), "]".repeat(127));
    let inner: serde_json::Value = serde_json::from_str(&inner).unwrap();
    let outer = || Document::from(json!({ "inner": inner }));
    let refused = [
        db.users()
            .merge_preferences(rows.user, outer())
            .await
            .map(drop),
        db.organizations()
            .merge_settings(rows.organization, outer())
            .await
            .map(drop),
        db.projects()
            .merge_configuration(rows.project, outer())
            .await
            .map(drop),
        db.setup_sessions().append_log(rows.session, outer()).await,
        db.configurations()
            .set(
                ConfigurationScope::Global,
                ConfigCategory::General,
                "b",
                outer(),
                rows.user,
            )
            .await
            .map(drop),
        db.audit_logs()
            .create_many(&[NewAuditLog::new(AuditAction::Read, "a").new_values(outer())])
            .await
            .map(drop),
    ];
    let fields = refused.map(|refused| field_of(refused.unwrap_err()));
    assert_eq!(
        fields.each_ref().map(String::as_str),
        [
            "preferences",
            "settings",
            "configuration",
            "logs",
            "value",
            "new_values"
        ]
    );
    // As deep as may be, in an array of its own.
    let entry = format!("{}{}", "[".repeat(99), "]".repeat(99));
    let entry: Document = entry.parse().unwrap();
    db.setup_sessions()
        .append_log(rows.session, entry)
        .await
        .unwrap();
    assert_eq!(observer.count("setup.configurations"), 1);
    assert_eq!(observer.count("audit.audit_logs"), 1);
}

#[both_engines]
#[case]
async fn a_summary_that_json_cannot_hold_is_refused() {
    let (db, _database) = database().await;
    let started = db.analyses().start(analysis(&db).await.id).await.unwrap();
    let mut twice = AnalysisSummary::scored(80.0);
    twice
        .extra
        .insert("overallScore".to_owned(), json!(81).into());
    let mut refused = vec![twice];
    refused.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(AnalysisSummary::scored));
    for summary in refused {
        let create = new_analysis(&db, started.project_id)
            .await
            .summary(summary.clone());
        let update = AnalysisChanges::new().summary(summary.clone());
        for outcome in [
            db.analyses().complete(started.id, summary).await,
            db.analyses().update(started.id, update).await,
            db.analyses().create(create).await,
        ] {
            assert_eq!(
                outcome.map(drop).map_err(field_of),
                Err("summary".to_owned())
            );
        }
    }
    let found = db.analyses().find(started.id).await.unwrap().unwrap();
    assert_eq!((found.status, found.summary), (started.status, None));
    // Each of these is read as it was written.
    for score in [51.248178375505404, f64::MAX, f64::MIN_POSITIVE, -0.1, 1e21] {
        let update = AnalysisChanges::new().summary(AnalysisSummary::scored(score));
        let back = db.analyses().update(started.id, update).await.unwrap();
        assert_eq!(back.summary, Some(AnalysisSummary::scored(score).into()));
        let found = db.analyses().find(started.id).await.unwrap().unwrap();
        assert_eq!(found.summary, back.summary);
    }
    let exact = r#"{"overallScore": 80, "price": 1.10, "n": 12345678901234567890123}"#;
    execute(
        &db,
        &format!("UPDATE analysis.analyses SET summary = '{exact}'"),
    )
    .await;
    let found = db.analyses().find(started.id).await.unwrap().unwrap();
    let summary = found.summary.unwrap();
    assert_eq!(summary.typed().unwrap().extra["price"].text(), "1.10");
    let update = AnalysisChanges::new().summary(summary.into_typed().unwrap());
    db.analyses().update(started.id, update).await.unwrap();
    let wanted = "EXISTS (SELECT FROM analysis.analyses WHERE summary::text LIKE '%12345678901234567890123%1.10%' OR summary::text LIKE '%1.10%12345678901234567890123%')";
    until(&_database, wanted).await;
}
