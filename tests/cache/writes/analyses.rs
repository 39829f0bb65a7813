use super::*;
use chrono::Utc;
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

/// A project, and what makes analyses of it, each newer than those before.
#[both_engines]
pub(super) async fn analysed(mode: Mode) -> (Scene, impl Fn(AnalysisType) -> NewAnalysis) {
    let mut scene = scene(mode, Subjects::default()).await;
    let one = &scene.pair.one;
    let ada = user(one).await.id;
    let flask = one
        .projects()
        .create(NewProject::new("Flask", ada))
        .await
        .unwrap()
        .id;
    scene.subjects.projects.push(flask);
    (scene, move |r#type| {
        NewAnalysis::new(flask, r#type, ada).created_at(Utc::now())
    })
}

#[both_engines]
#[case]
async fn of_analyses() {
    for mode in MODES {
        let (mut scene, new) = analysed(mode).await;
        let (quality, security) = (AnalysisType::Quality, AnalysisType::Security);
        let first = new(quality);
        wrote!(scene, analyses.create(first.clone()));
        wrote!(
            scene,
            analyses.update(
                first.id,
                AnalysisChanges::new().configuration(json!({ "a": 1 }))
            )
        );
        wrote!(scene, analyses.start(first.id));
        wrote!(scene, analyses.progress(first.id, 50));
        wrote!(
            scene,
            analyses.complete(first.id, AnalysisSummary::scored(1.0))
        );
        let (second, third, fourth) = (new(quality), new(security), new(security));
        wrote!(
            scene,
            analyses.create_many(&[second.clone(), third.clone(), fourth.clone()])
        );
        wrote!(scene, analyses.start(second.id));
        wrote!(scene, analyses.fail(second.id, "why"));
        wrote!(scene, analyses.cancel(fourth.id));
        // The one before is the latest again.
        wrote!(scene, analyses.delete(fourth.id));
        wrote!(
            scene,
            analyses.delete_many(&AnalysisFilter::new().r#type(quality))
        );
    }
}

#[both_engines]
#[case]
async fn of_the_queue() {
    for mode in MODES {
        let (mut scene, new) = analysed(mode).await;
        let any = AnalysisType::ALL;
        let first = new(AnalysisType::Quality);
        wrote!(scene, analyses.create(first.clone()));
        let claim = wrote!(scene, analyses.claim(any, "w", MINUTE)).unwrap();
        let lease = wrote!(scene, analyses.renew(&claim.lease, MINUTE, Some(30)));
        wrote!(scene, analyses.release(&lease));
        let claim = wrote!(scene, analyses.claim(any, "w", MINUTE)).unwrap();
        Observer::of(&scene.pair.database.url())
            .run("UPDATE analysis.analysis_leases SET expires_at = now() - INTERVAL '1 second'");
        let requeued = wrote!(scene, analyses.requeue_abandoned(9));
        assert_eq!(requeued[0].lease.analysis_id, claim.lease.analysis_id);
        let claim = wrote!(scene, analyses.claim(any, "w", MINUTE)).unwrap();
        wrote!(scene, analyses.fail_claimed(&claim.lease, "why"));
    }
}

#[both_engines]
#[case]
async fn of_the_queue_completed() {
    for mode in MODES {
        let (mut scene, new) = analysed(mode).await;
        let any = AnalysisType::ALL;
        let first = new(AnalysisType::Quality);
        wrote!(scene, analyses.create(first.clone()));
        let claim = wrote!(scene, analyses.claim(any, "w", MINUTE)).unwrap();
        let lease = claim.lease;
        wrote!(
            scene,
            analyses.complete_claimed(&lease, AnalysisSummary::scored(2.0))
        );
    }
}

#[both_engines]
#[case]
async fn of_ingests() {
    for mode in MODES {
        let (mut scene, new) = analysed(mode).await;
        let first = new(AnalysisType::Quality);
        wrote!(scene, "ingest", db => db.analyses().ingest(first.clone()).run());
        let again = {
            let mut new = first.clone();
            new.r#type = AnalysisType::Security;
            new
        };
        // It was the latest of another type.
        wrote!(scene, "replacing", db => db.analyses().ingest(again.clone()).replacing().run());
        let (second, third) = (new(AnalysisType::Quality), new(AnalysisType::Security));
        wrote!(scene, analyses.create(second.clone()));
        wrote!(scene, analyses.start(second.id));
        wrote!(scene, "ingest_into", db => db.analyses().ingest_into(second.id).run());
        wrote!(scene, analyses.create(third.clone()));
        let claim = wrote!(scene, analyses.claim(AnalysisType::ALL, "w", MINUTE)).unwrap();
        let lease = claim.lease;
        wrote!(scene, "ingest_claimed", db => db.analyses().ingest_claimed(&lease).run());
    }
}

#[both_engines]
#[case]
async fn of_retentions() {
    let (mut scene, new) = analysed(Mode::Pooled).await;
    let day = chrono::TimeDelta::days(1);
    // Three were completed, and the newest was abandoned by its worker.
    for days in [400, 399, 398] {
        let time = Utc::now() - day * days;
        let completed = new(AnalysisType::Quality)
            .created_at(time)
            .completed(time, time);
        scene.pair.one.analyses().create(completed).await.unwrap();
    }
    let claimed = new(AnalysisType::Quality).created_at(Utc::now() - day * 300);
    scene.pair.one.analyses().create(claimed).await.unwrap();
    let analyses = scene.pair.one.analyses();
    let claim = analyses.claim(AnalysisType::ALL, "w", MINUTE).await;
    claim.unwrap().unwrap();
    Observer::of(&scene.pair.database.url())
        .run("UPDATE analysis.analysis_leases SET expires_at = now() - INTERVAL '200 days'");
    warm(&mut scene).await;
    // It deletes the latest: its worker is gone.
    let policy = wundr_db::admin::AnalysisRetention::new(1, 100 * 24 * 60 * MINUTE);
    let done = admin::retain_analyses(&scene.pair.one, &policy).await;
    assert_eq!(done.unwrap().analyses, 3);
    is_seen(&scene, "retain_analyses").await;
}
