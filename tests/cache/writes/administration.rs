use super::analyses::analysed;
use super::*;
use admin::{AfterRestoreOptions, AnalysisRetention, ConflictPolicy, Input, Output, Policy};
use chrono::Utc;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A scene whose latest analysis has a worker that is gone since 200 days. Two older ones were
/// completed.
#[both_engines]
async fn abandoned() -> Scene {
    let (scene, new) = analysed(Mode::Pooled).await;
    for days in [399, 398] {
        let time = Utc::now() - DAY * days;
        let completed = new(AnalysisType::Quality)
            .created_at(time)
            .completed(time, time);
        scene.pair.one.analyses().create(completed).await.unwrap();
    }
    let claimed = new(AnalysisType::Quality).created_at(Utc::now() - DAY * 300);
    let analyses = scene.pair.one.analyses();
    analyses.create(claimed).await.unwrap();
    let claim = analyses.claim(AnalysisType::ALL, "w", DAY).await;
    claim.unwrap().unwrap();
    Observer::of(&scene.pair.database.url())
        .run("UPDATE analysis.analysis_leases SET expires_at = now() - INTERVAL '200 days'");
    scene
}

/// Runs the maintenance in one process. No step fails.
#[both_engines]
async fn maintained(scene: &Scene, policy: &Policy) {
    let report = scene.pair.one.maintenance(policy).await.unwrap();
    assert_eq!(report.errors().count(), 0, "{report:?}");
}

#[both_engines]
#[case]
async fn of_the_maintenance_that_queues_an_abandoned_run_again() {
    let mut scene = abandoned().await;
    warm(&mut scene).await;
    maintained(&scene, &Policy::new()).await;
    is_seen(&scene, "the maintenance of abandoned runs").await;
}

#[both_engines]
#[case]
async fn of_the_maintenance_that_deletes_the_latest_analysis() {
    let mut scene = abandoned().await;
    warm(&mut scene).await;
    let policy = Policy::new()
        .attempts(None)
        .analyses(AnalysisRetention::new(1, DAY * 100));
    maintained(&scene, &policy).await;
    is_seen(&scene, "the maintenance of analyses").await;
}

#[both_engines]
#[case]
async fn of_the_maintenance_that_deletes_a_session() {
    let subjects = Subjects {
        token_hashes: vec!["ended", "other"],
        ..Subjects::default()
    };
    let mut scene = scene(Mode::Pooled, subjects).await;
    let ada = user(&scene.pair.one).await.id;
    for (hash, end) in [("ended", Utc::now() - DAY), ("other", Utc::now() + DAY)] {
        let session = NewUserSession::new(ada, hash, end);
        scene
            .pair
            .one
            .user_sessions()
            .create(session)
            .await
            .unwrap();
    }
    warm(&mut scene).await;
    maintained(&scene, &Policy::new()).await;
    // A session that has expired is not found before, either.
    is_seen(&scene, "the maintenance (delete_expired)").await;
    let mut observer = Observer::of(&scene.pair.database.url());
    assert_eq!(observer.count("public.user_sessions"), 1);
}

#[both_engines]
#[case]
async fn of_a_restore() {
    let mut scene = abandoned().await;
    warm(&mut scene).await;
    let done = admin::after_restore(&scene.pair.one, &AfterRestoreOptions::new()).await;
    assert_eq!(done.unwrap().requeued, 1);
    is_seen(&scene, "after_restore").await;
}

/// The reads have found nothing before, which is cached as well.
#[both_engines]
#[case]
async fn of_an_import() {
    let subjects = Subjects {
        slugs: vec!["lab"],
        ..Subjects::default()
    };
    let mut scene = scene(Mode::Pooled, subjects).await;
    let one = &scene.pair.one;
    let (ada, other) = (user(one).await.id, user(one).await.id);
    let lab = NewOrganization::new("Lab", "lab");
    let lab = one.organizations().create(lab).await.unwrap().id;
    let member = NewOrganizationMember::new(lab, ada, OrganizationRole::Owner);
    one.organization_members().create(member).await.unwrap();
    let engine = NewProject::new("Engine", ada).organization_id(lab);
    let engine = one.projects().create(engine).await.unwrap().id;
    let member = NewProjectMember::new(engine, other, ProjectRole::Owner);
    one.project_members().create(member).await.unwrap();
    let time = Utc::now() - DAY;
    let analysis = NewAnalysis::new(engine, AnalysisType::Quality, ada);
    let analysis = analysis.created_at(time).completed(time, time);
    one.analyses().create(analysis).await.unwrap();
    let mut archive = Vec::new();
    admin::export_organization(one, lab, Output::immediate(&mut archive))
        .await
        .unwrap();
    one.organizations().delete(lab).await.unwrap();
    scene.subjects.users = vec![ada, other];
    scene.subjects.organizations.push(lab);
    scene.subjects.projects.push(engine);
    warm(&mut scene).await;
    let input = Input::immediate(archive.as_slice());
    admin::import_organization(&scene.pair.one, input, ConflictPolicy::Refuse)
        .await
        .unwrap();
    is_seen(&scene, "import_organization").await;
}
