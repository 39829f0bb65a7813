//! The guarantees that hold with any triggers, defaults and limits of a database.

use super::*;
use std::time::Duration;
use wundr_db::{
    AnalysisChanges, AnalysisFilter, AnalysisIssueFilter, AnalysisStatus, AnalysisSummary,
    Document, IssueSeverity, IssueType, NewAnalysisIssue, NewOrganizationMember, NewProjectMember,
    NewSetupProfile, NewSetupSession, NewSetupStep, NewUserSession, OrganizationRole,
    ProjectChanges, ProjectRole, ProjectStatus, SetupCategory, SyncStatus, UserChanges,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Has every UPDATE of a table changed to nothing.
fn suppressing(table: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION public.suppress() RETURNS TRIGGER LANGUAGE plpgsql \
         AS $$ BEGIN RETURN NULL; END $$; \
         CREATE TRIGGER suppress BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.suppress()"
    )
}

fn suppressed<T: std::fmt::Debug>(outcome: Result<T, Error>) -> &'static str {
    match outcome {
        Err(Error::Suppressed { what }) => what,
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn a_step_that_a_trigger_suppresses_ends_with_an_error() {
    let (db, _database) = database().await;
    let pending = analysis(&db).await.id;
    let profile = NewSetupProfile::new("dev", SetupCategory::Frontend, user(&db).await.id);
    let profile = db.setup_profiles().create(profile).await.unwrap();
    let session = NewSetupSession::new(profile.id, user(&db).await.id);
    let session = db.setup_sessions().create(session).await.unwrap().id;
    let started = NewSetupSession::new(profile.id, user(&db).await.id);
    let started = db.setup_sessions().create(started).await.unwrap().id;
    let step = NewSetupStep::new(started, "clone", 1);
    let step = db.setup_steps().create(step).await.unwrap().id;
    db.setup_sessions().start(started).await.unwrap();
    for table in [
        "analysis.analyses",
        "setup.setup_sessions",
        "setup.setup_steps",
    ] {
        execute(&db, &suppressing(table)).await;
    }

    assert_eq!(suppressed(db.analyses().start(pending).await), "Analysis");
    assert_eq!(suppressed(db.analyses().cancel(pending).await), "Analysis");
    assert_eq!(
        suppressed(db.setup_sessions().start(session).await),
        "SetupSession"
    );
    assert_eq!(
        suppressed(db.setup_sessions().cancel(session).await),
        "SetupSession"
    );
    assert_eq!(suppressed(db.setup_steps().start(step).await), "SetupStep");
    // In a transaction of the caller's too, which goes on.
    let outcome = db.transaction(async |tx| {
        let outcome = tx.analyses().start(pending).await;
        tx.users()
            .create(NewUser::new("ada@example.org", "Ada"))
            .await?;
        Ok::<_, Error>(outcome)
    });
    assert_eq!(suppressed(outcome.await.unwrap()), "Analysis");
}

/// Has every write of this kind changed to nothing, in these tables.
fn suppressing_all(event: &str, tables: &[&str]) -> String {
    let function = "CREATE OR REPLACE FUNCTION public.suppress() RETURNS TRIGGER LANGUAGE plpgsql \
         AS $$ BEGIN RETURN NULL; END $$";
    let triggers = tables.iter().map(|table| {
        format!(
            "CREATE OR REPLACE TRIGGER suppress_{event} BEFORE {event} ON {table} \
             FOR EACH ROW EXECUTE FUNCTION public.suppress()"
        )
    });
    let all: Vec<_> = std::iter::once(function.to_owned())
        .chain(triggers)
        .collect();
    all.join("; ")
}

/// Every table of the catalog with a repository that deletes rows by their key.
const TABLES: &[&str] = &[
    "public.users",
    "public.user_sessions",
    "public.organizations",
    "public.organization_members",
    "public.projects",
    "public.project_members",
    "analysis.analyses",
    "analysis.analysis_results",
    "analysis.analysis_issues",
    "analysis.analysis_metrics",
    "analysis.duplicate_groups",
    "analysis.dependency_graphs",
    "setup.configurations",
    "setup.integrations",
    "setup.setup_profiles",
    "setup.setup_sessions",
    "setup.setup_steps",
    "setup.tools",
];

/// Deletions of what is there, and of what is not.
#[both_engines]
macro_rules! keeps {
    ($db:ident; $($repository:ident $id:expr, $none:expr => $what:literal;)*) => {$(
        assert_eq!(suppressed($db.$repository().delete($id).await), $what);
        assert!($db.$repository().exists($id).await.unwrap());
        assert!(!$db.$repository().delete($none).await.unwrap());
    )*};
}

#[both_engines]
#[case]
async fn a_write_of_one_row_that_is_suppressed_is_an_error() {
    let (db, _database) = database().await;
    let rows = super::documents::rows(&db).await;
    let new = NewAnalysisIssue::new(
        rows.analysis,
        IssueType::Security,
        IssueSeverity::Low,
        "x",
        "a.rs",
    );
    let issue = db.analysis_issues().create(new).await.unwrap().id;
    let step = NewSetupStep::new(rows.session, "clone", 1);
    let step = db.setup_steps().create(step).await.unwrap().id;
    let member = NewOrganizationMember::new(rows.organization, rows.user, OrganizationRole::Member);
    let of_organization = db.organization_members().create(member).await.unwrap().id;
    let member = NewProjectMember::new(rows.project, rows.user, ProjectRole::Viewer);
    let of_project = db.project_members().create(member).await.unwrap().id;
    let end = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let session = NewUserSession::new(rows.user, "hash", end);
    let session = db.user_sessions().create(session).await.unwrap().id;
    for event in ["UPDATE", "DELETE"] {
        execute(&db, &suppressing_all(event, TABLES)).await;
    }

    keeps! { db;
        users rows.user, UserId::new() => "User";
        user_sessions session, wundr_db::UserSessionId::new() => "UserSession";
        organizations rows.organization, OrganizationId::new() => "Organization";
        organization_members of_organization, wundr_db::OrganizationMemberId::new() => "OrganizationMember";
        projects rows.project, ProjectId::new() => "Project";
        project_members of_project, wundr_db::ProjectMemberId::new() => "ProjectMember";
        analyses rows.analysis, wundr_db::AnalysisId::new() => "Analysis";
        analysis_results rows.result, wundr_db::AnalysisResultId::new() => "AnalysisResult";
        analysis_issues issue, wundr_db::AnalysisIssueId::new() => "AnalysisIssue";
        duplicate_groups rows.duplicate, wundr_db::DuplicateGroupId::new() => "DuplicateGroup";
        dependency_graphs rows.graph, wundr_db::DependencyGraphId::new() => "DependencyGraph";
        configurations rows.configuration, wundr_db::ConfigurationId::new() => "Configuration";
        integrations rows.integration, wundr_db::IntegrationId::new() => "Integration";
        setup_profiles rows.profile, wundr_db::SetupProfileId::new() => "SetupProfile";
        setup_sessions rows.session, wundr_db::SetupSessionId::new() => "SetupSession";
        setup_steps step, wundr_db::SetupStepId::new() => "SetupStep";
        tools rows.tool, wundr_db::ToolId::new() => "Tool";
    }
    let members = db.organization_members();
    assert_eq!(
        suppressed(members.remove(rows.organization, rows.user).await),
        "OrganizationMember"
    );
    let members = db.project_members();
    assert_eq!(
        suppressed(members.remove(rows.project, rows.user).await),
        "ProjectMember"
    );

    // Updates without a condition.
    let some = || Document::from(serde_json::json!({"a": 1}));
    let (users, projects) = (db.users(), db.projects());
    assert_eq!(suppressed(users.touch_last_login(rows.user).await), "User");
    let merged = users.merge_preferences(rows.user, some()).await;
    assert_eq!(suppressed(merged), "User");
    let merged = projects.merge_configuration(rows.project, some()).await;
    assert_eq!(suppressed(merged), "Project");
    let touched = projects.touch_last_analyzed(rows.project).await;
    assert_eq!(suppressed(touched), "Project");
    assert_eq!(suppressed(projects.archive(rows.project).await), "Project");
    let merged = db.organizations();
    let merged = merged.merge_settings(rows.organization, some()).await;
    assert_eq!(suppressed(merged), "Organization");
    let touched = db.user_sessions().touch(session).await;
    assert_eq!(suppressed(touched), "UserSession");
    let issues = db.analysis_issues();
    assert_eq!(suppressed(issues.reopen(issue).await), "AnalysisIssue");
    let settled = issues.ignore(issue, rows.user).await;
    assert_eq!(suppressed(settled), "AnalysisIssue");
    let synced = db.integrations();
    let synced = synced.record_sync(rows.integration, SyncStatus::Failed);
    assert_eq!(suppressed(synced.await), "Integration");
    let logged = db.setup_sessions();
    let logged = logged.append_log(rows.session, some()).await;
    assert_eq!(suppressed(logged), "SetupSession");
    let logged = db.setup_steps().append_log(step, "x").await;
    assert_eq!(suppressed(logged), "SetupStep");
    let role = ProjectRole::Maintainer;
    let members = db.project_members();
    let changed = members.change_role(rows.project, rows.user, role).await;
    assert_eq!(suppressed(changed), "ProjectMember");
    let again = NewProjectMember::new(rows.project, rows.user, role);
    assert_eq!(suppressed(members.upsert(again).await), "ProjectMember");
    let members = db.organization_members();
    let role = OrganizationRole::Admin;
    let changed = members.change_role(rows.organization, rows.user, role);
    assert_eq!(suppressed(changed.await), "OrganizationMember");
    let again = NewOrganizationMember::new(rows.organization, rows.user, role);
    let again = members.upsert(again).await;
    assert_eq!(suppressed(again), "OrganizationMember");
}

/// What a trigger keeps from being stored is not counted as stored.
#[both_engines]
#[case]
async fn an_insert_that_is_suppressed_is_not_acknowledged() {
    let (db, _database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let tables = ["public.users", "analysis.analysis_issues"];
    execute(&db, &suppressing_all("INSERT", &tables)).await;
    let ada = || NewUser::new("ada@example.org", "Ada");
    assert_eq!(suppressed(db.users().create(ada()).await), "User");
    assert_eq!(suppressed(db.users().upsert(ada()).await), "User");
    let users: Vec<_> = (0..1_500)
        .map(|n| NewUser::new(format!("{n}@x"), "x"))
        .collect();
    for users in [&users[..3], &users] {
        assert_eq!(db.users().create_many(users).await.unwrap(), 0);
    }
    for rows in [3, 1_500] {
        let new = new.clone().id(wundr_db::AnalysisId::new());
        let id = new.id;
        let issues = (0..rows).map(move |number: i32| {
            let (kind, severity) = (IssueType::Security, IssueSeverity::Low);
            NewAnalysisIssue::new(id, kind, severity, number.to_string(), "a.rs")
        });
        let ingest = db.analyses().ingest(new).issues(issues);
        assert_eq!(suppressed(ingest.run().await), "AnalysisIssue");
        assert!(!db.analyses().exists(id).await.unwrap());
    }
}

#[both_engines]
#[case]
async fn a_row_security_policy_that_hides_a_row_from_steps_ends_them_with_an_error() {
    let (db, database) = database().await;
    let pending = analysis(&db).await.id;
    let sql = format!(
        "CREATE ROLE reader_{0} LOGIN; \
         GRANT USAGE ON SCHEMA public, analysis TO reader_{0}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, analysis TO reader_{0}; \
         ALTER TABLE analysis.analyses ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY seen ON analysis.analyses FOR SELECT USING (true); \
         CREATE POLICY kept ON analysis.analyses FOR UPDATE USING (false)",
        database.name()
    );
    execute(&db, &sql).await;
    let url = database
        .url()
        .replace("postgres@", &format!("reader_{}@", database.name()));
    let reader = Db::connect_to(&url).await.unwrap();

    assert_eq!(
        suppressed(reader.analyses().start(pending).await),
        "Analysis"
    );
    let changes = AnalysisChanges::new().configuration(serde_json::json!({"a": 1}));
    assert_eq!(
        suppressed(reader.analyses().update(pending, changes).await),
        "Analysis"
    );
}

#[both_engines]
#[case]
async fn an_update_that_expects_nothing_is_never_stale() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    execute(&db, &suppressing("public.users")).await;

    let changes = UserChanges::new().name("Eve");
    assert_eq!(
        suppressed(db.users().update(ada.id, changes.clone()).await),
        "User"
    );
    assert_eq!(
        suppressed(db.users().set_active(ada.id, false).await),
        "User"
    );
    let expecting = changes.unchanged_since(ada.created_at);
    let stale = db.users().update(ada.id, expecting).await;
    assert!(matches!(stale, Err(Error::StaleWrite { .. })), "{stale:?}");
}

/// Begins transactions that say nothing else as strictly as the server can.
#[both_engines]
async fn strictly(database: &TestDatabase, isolation: &str) -> Db {
    Observer::of(&database.url()).run(&format!(
        "ALTER DATABASE {} SET default_transaction_isolation = '{isolation}'",
        database.name()
    ));
    Db::connect_to(&database.url()).await.unwrap()
}

#[both_engines]
#[case]
async fn claims_fail_under_no_default_isolation() {
    for isolation in ["repeatable read", "serializable"] {
        let (relaxed, database) = database().await;
        let new = new_analysis(&relaxed, project(&relaxed).await.id).await;
        let new: Vec<_> = (0..60)
            .map(|_| new.clone().id(wundr_db::AnalysisId::new()))
            .collect();
        relaxed.analyses().create_many(&new).await.unwrap();
        let db = strictly(&database, isolation).await;
        let analyses = db.analyses();

        let claims = all_concurrently!(8, async {
            let mut claims = Vec::new();
            while let Some(claim) = analyses
                .claim(AnalysisType::ALL, "one of eight", MINUTE)
                .await
                .unwrap()
            {
                claims.push(claim);
            }
            for claim in &claims {
                analyses.renew(&claim.lease, MINUTE, Some(1)).await.unwrap();
            }
            claims.len()
        });
        assert_eq!(claims.into_iter().sum::<usize>(), 60);
        Observer::of(&database.url())
            .run("UPDATE analysis.analysis_leases SET expires_at = now() - INTERVAL '1 second'");
        let requeued = all_concurrently!(4, async {
            analyses.requeue_abandoned(3).await.unwrap().len()
        });
        let mut requeued = requeued.into_iter().sum::<usize>();
        // The server reports a failed statement before it releases its locks. A call that runs it
        // again on another connection may skip these rows, and leaves them to the next call.
        let began = std::time::Instant::now();
        while requeued < 60 && began.elapsed() < MINUTE {
            requeued += analyses.requeue_abandoned(3).await.unwrap().len();
        }
        assert_eq!(requeued, 60);
    }
}

#[both_engines]
#[case]
async fn a_step_fails_under_no_default_isolation_because_of_another() {
    let (relaxed, database) = database().await;
    let id = analysis(&relaxed).await.id;
    relaxed.analyses().start(id).await.unwrap();
    let db = strictly(&database, "serializable").await;
    let progress = all_concurrently!(8, async {
        db.analyses().progress(id, 50).await.map(|row| row.progress)
    });
    for progress in progress {
        assert_eq!(progress.unwrap(), 50);
    }
}

#[both_engines]
#[case]
async fn changes_of_members_fail_under_no_default_isolation_because_of_another() {
    let (relaxed, database) = database().await;
    let (lab, flask) = (organization(&relaxed).await.id, project(&relaxed).await.id);
    let (ada, bob) = (user(&relaxed).await.id, user(&relaxed).await.id);
    let db = strictly(&database, "serializable").await;
    let (of_lab, of_flask) = (db.organization_members(), db.project_members());
    let first = NewOrganizationMember::new(lab, ada, OrganizationRole::Owner);
    of_lab.create(first).await.unwrap();
    let first = NewProjectMember::new(flask, ada, ProjectRole::Owner);
    of_flask.create(first).await.unwrap();

    let changes = all_concurrently!(8, async {
        let new = NewOrganizationMember::new(lab, bob, OrganizationRole::Member);
        of_lab.upsert(new).await?;
        let new = NewProjectMember::new(flask, bob, ProjectRole::Viewer);
        of_flask.upsert(new).await?;
        of_lab
            .change_role(lab, bob, OrganizationRole::Admin)
            .await?;
        let role = ProjectRole::Maintainer;
        of_flask.change_role(flask, bob, role).await.map(drop)
    });
    for changed in changes {
        changed.unwrap();
    }
    let removed = all_concurrently!(8, async {
        let of_lab = of_lab.remove(lab, bob).await?;
        Ok::<_, Error>((of_lab, of_flask.remove(flask, bob).await?))
    });
    let removed: Vec<_> = removed.into_iter().map(Result::unwrap).collect();
    assert_eq!(removed.iter().filter(|(of_lab, _)| *of_lab).count(), 1);
    assert_eq!(removed.iter().filter(|(_, of_flask)| *of_flask).count(), 1);
}

#[both_engines]
#[case]
async fn analyses_of_projects_that_are_not_active_are_not_claimed() {
    let (db, _database) = database().await;
    let mut ids = Vec::new();
    for status in ProjectStatus::ALL {
        let project = project(&db).await;
        let new = new_analysis(&db, project.id).await;
        ids.push((
            *status,
            project.id,
            db.analyses().create(new).await.unwrap().id,
        ));
        let changes = ProjectChanges::new().status(*status);
        db.projects().update(project.id, changes).await.unwrap();
    }
    let claim = async || {
        let claim = db
            .analyses()
            .claim(AnalysisType::ALL, "one", MINUTE)
            .await
            .unwrap();
        claim.map(|claim| claim.analysis.id)
    };
    let active: Vec<_> = ids
        .iter()
        .filter(|(status, ..)| *status == ProjectStatus::Active)
        .collect();
    assert_eq!(claim().await, Some(active[0].2));
    assert_eq!(claim().await, None);
    for (status, project, id) in ids {
        if status != ProjectStatus::Active {
            let changes = ProjectChanges::new().status(ProjectStatus::Active);
            db.projects().update(project, changes).await.unwrap();
            assert_eq!(claim().await, Some(id));
        }
    }
    let pending = AnalysisFilter::new().status(AnalysisStatus::Pending);
    assert_eq!(db.analyses().count(&pending).await.unwrap(), 0);
}

#[both_engines]
#[case]
async fn a_fence_holds_the_timeline_of_the_server() {
    let (db, database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let mut fences = Vec::new();
    for _ in 0..3 {
        db.analyses()
            .create(new.clone().id(wundr_db::AnalysisId::new()))
            .await
            .unwrap();
        let claim = db
            .analyses()
            .claim(AnalysisType::ALL, "one", MINUTE)
            .await
            .unwrap()
            .unwrap();
        db.analyses().release(&claim.lease).await.unwrap();
        let claim = db
            .analyses()
            .claim(AnalysisType::ALL, "one", MINUTE)
            .await
            .unwrap()
            .unwrap();
        fences.push(claim.lease.fence);
        db.analyses()
            .complete_claimed(&claim.lease, AnalysisSummary::default())
            .await
            .unwrap();
    }
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    let timeline = Observer::of(&database.url())
        .ask("SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()");
    assert!(
        fences
            .iter()
            .all(|fence| (fence >> 40).to_string() == timeline),
        "{fences:?}"
    );
}

#[both_engines]
#[case]
async fn an_ingest_outlasts_the_idle_limit_while_its_source_pauses() {
    let (plain, database) = database().await;
    let new = new_analysis(&plain, project(&plain).await.id).await;
    let config = wundr_db::Config::new(&database.url()).unwrap();
    let config = config.idle_in_transaction_timeout(Duration::from_millis(200));
    let db = Db::connect(config).await.unwrap();
    let slow = |id| {
        (0..2).map(move |index| {
            if index == 1 {
                std::thread::sleep(Duration::from_millis(700));
            }
            NewAnalysisIssue::new(id, IssueType::Security, IssueSeverity::Low, "slow", "a.rs")
        })
    };
    let id = new.id;
    db.analyses()
        .ingest(new.clone())
        .issues(slow(id))
        .run()
        .await
        .unwrap();

    // In a transaction of the caller's, the limit counts again afterwards.
    let id = wundr_db::AnalysisId::new();
    let check = "DO $$ BEGIN IF current_setting('idle_in_transaction_session_timeout') <> '200ms' THEN \
                 RAISE EXCEPTION 'the limit is lifted'; END IF; END $$";
    db.transaction(async |tx| {
        let ingest = tx.analyses().ingest(new.clone().id(id)).issues(slow(id));
        ingest.run().await?;
        run!(tx, check)
    })
    .await
    .unwrap();
    let issues = AnalysisIssueFilter::new();
    assert_eq!(plain.analysis_issues().count(&issues).await.unwrap(), 4);
}

#[both_engines]
#[case]
async fn statistics_are_read_with_the_rights_of_the_role_that_asks() {
    let (db, database) = database().await;
    project(&db).await;
    let role = format!("reader_{}", database.name());
    let mut observer = Observer::of(&database.url());
    observer.run(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA cache TO {role}; \
         GRANT SELECT ON cache.project_stats TO {role}"
    ));
    let sees = |observer: &mut Observer| {
        observer.run(&format!("SET ROLE {role}"));
        let refused = observer.refusal("SELECT count(*) FROM cache.project_stats");
        observer.run("RESET ROLE");
        refused
    };
    let refused = sees(&mut observer).unwrap_or_default();
    assert!(refused.contains("permission denied"), "{refused}");
    observer.run(&format!(
        "GRANT USAGE ON SCHEMA public, analysis TO {role}; \
         GRANT SELECT ON public.projects, public.project_members, analysis.analyses TO {role}"
    ));
    assert_eq!(sees(&mut observer), None);
}
