use super::*;
use std::time::Duration;

use wundr_db::{
    Analysis, AnalysisSummary, Bound, Claim, GateCondition, IssueSeverity, IssueType, Missing,
    NewAnalysisIssue, NewSetupProfile, NewSetupSession, NewSetupStep, QualityGate, Reference,
    SetupCategory, SetupProfileId, SetupSession, SetupStep,
};

const HOUR: Duration = Duration::from_secs(3_600);

/// Two statements.
#[both_engines]
async fn claimed(db: &Db, new: NewAnalysis) -> Result<Claim> {
    db.analyses().create(new).await?;
    let claim = db
        .analyses()
        .claim(AnalysisType::ALL, "worker", HOUR)
        .await?;
    Ok(claim.unwrap())
}

/// Four statements.
#[both_engines]
async fn completed(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let claim = claimed(db, new).await?;
    let lease = db.analyses().renew(&claim.lease, HOUR, Some(50)).await?;
    let summary = AnalysisSummary::scored(9.5);
    db.analyses().complete_claimed(&lease, summary).await
}

/// Three statements.
#[both_engines]
async fn failed(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let claim = claimed(db, new).await?;
    db.analyses().fail_claimed(&claim.lease, "no disk").await
}

/// Four statements.
#[both_engines]
async fn released(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let claim = claimed(db, new).await?;
    let analysis = db.analyses().release(&claim.lease).await?;
    db.analyses().cancel(analysis.id).await
}

#[both_engines]
#[case]
async fn the_queue() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let new = || NewAnalysis::new(project, AnalysisType::Quality, user);
    let analyses = ledger.db.analyses();
    costs!(ledger, 4, completed(&ledger.db, new()));
    costs!(ledger, 3, failed(&ledger.db, new()));
    costs!(ledger, 4, released(&ledger.db, new()));
    costs!(ledger, 1, analyses.claim(AnalysisType::ALL, "worker", HOUR));
    costs!(ledger, 1, analyses.requeue_abandoned(9));
    ledger.settle();
}

#[both_engines]
#[case]
async fn the_steps_of_a_worker_have_names() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let analyses = ledger.db.analyses();
    let mut leases = Vec::new();
    for _ in 0..3 {
        let new = NewAnalysis::new(project, AnalysisType::Quality, user);
        leases.push(claimed(&ledger.db, new).await.unwrap().lease);
    }
    named!(ledger, analyses.renew(&leases[0], HOUR, None));
    named!(ledger, analyses.renew(&leases[0], HOUR, Some(50)));
    named!(
        ledger,
        analyses.complete_claimed(&leases[0], AnalysisSummary::scored(9.5))
    );
    named!(ledger, analyses.fail_claimed(&leases[1], "no disk"));
    named!(ledger, analyses.release(&leases[2]));
    ledger.settle();
}

fn issue(analysis: AnalysisId, title: &str) -> NewAnalysisIssue {
    let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Low);
    NewAnalysisIssue::new(analysis, kind, severity, title, "src/a.rs")
}

/// An analysis with two issues.
#[both_engines]
async fn ingested(db: &Db, new: NewAnalysis) -> Result<AnalysisId> {
    let id = new.id;
    let issues = [issue(id, "wrong"), issue(id, "long")];
    Ok(db
        .analyses()
        .ingest(new)
        .issues(issues)
        .run()
        .await?
        .analysis
        .id)
}

#[both_engines]
#[case]
async fn ingest_tracking_and_gate() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let new = || NewAnalysis::new(project, AnalysisType::Quality, user);
    let base = ingested(&ledger.db, new()).await.unwrap();
    let later = ingested(&ledger.db, new()).await.unwrap();
    // BEGIN, the analysis, the rows between a savepoint and its end, completion, COMMIT.
    costs!(ledger, 7, "analyses.ingest", ingested(&ledger.db, new()));
    costs!(ledger, 1, ledger.db.analysis_issues().track(base, later));
    let drift = GateCondition::Drift {
        name: "coverage".to_owned(),
        since: Reference::Days(30),
        bound: Bound::AtLeast(0.into()),
        missing: Missing::Passes,
    };
    let none_new = GateCondition::NewIssues {
        severity: None,
        at_most: 0,
    };
    let gate = QualityGate::new([drift, none_new]);
    let gates = ledger.db.quality_gates();
    costs!(ledger, 1, gates.evaluate(&gate, Some(base), later));
    costs!(ledger, 1, gates.evaluate(&gate, None, later));
    let scope = wundr_db::ConfigurationScope::Global;
    costs!(ledger, 1, gates.save(scope, "main", &gate, user));
    costs!(ledger, 1, gates.find(scope, "main"));
    ledger.settle();
}

/// Two statements.
#[both_engines]
async fn cancelled(db: &Db, profile: SetupProfileId, user: UserId) -> Result<SetupSession> {
    let session = db
        .setup_sessions()
        .create(NewSetupSession::new(profile, user))
        .await?;
    db.setup_sessions().cancel(session.id).await
}

/// Nine statements.
#[both_engines]
async fn set_up(db: &Db, profile: SetupProfileId, user: UserId) -> Result<SetupStep> {
    let (sessions, steps) = (db.setup_sessions(), db.setup_steps());
    let session = sessions
        .create(NewSetupSession::new(profile, user))
        .await?
        .id;
    let step = steps
        .create(NewSetupStep::new(session, "Install", 1))
        .await?
        .id;
    sessions.start(session).await?;
    steps.start(step).await?;
    steps.append_log(step, "no network").await?;
    steps.fail(step, "no network").await?;
    steps.retry(step).await?;
    steps.start(step).await?;
    steps.complete(step).await
}

#[both_engines]
#[case]
async fn the_steps_of_setup_sessions_have_names() {
    let ledger = ledger().await;
    let (_, user) = analysed(&ledger.db).await;
    let profile = NewSetupProfile::new("Rust", SetupCategory::ALL[0], user);
    let profile = ledger.db.setup_profiles().create(profile).await.unwrap().id;
    let (sessions, steps) = (ledger.db.setup_sessions(), ledger.db.setup_steps());
    let new = NewSetupSession::new(profile, user);
    let session = sessions.create(new).await.unwrap().id;
    let step = NewSetupStep::new(session, "Install", 1);
    let step = steps.create(step).await.unwrap().id;
    named!(ledger, sessions.start(session));
    named!(ledger, steps.start(step));
    named!(ledger, steps.append_log(step, "no network"));
    named!(ledger, steps.fail(step, "no network"));
    named!(ledger, steps.retry(step));
    steps.start(step).await.unwrap();
    named!(ledger, steps.complete(step));
    // The session ends with its last step.
    let new = NewSetupSession::new(profile, user);
    let session = sessions.create(new).await.unwrap().id;
    named!(ledger, sessions.cancel(session));
    ledger.settle();
}

#[both_engines]
#[case]
async fn the_lives_of_setup_sessions() {
    let ledger = ledger().await;
    let (_, user) = analysed(&ledger.db).await;
    let profile = NewSetupProfile::new("Rust", SetupCategory::ALL[0], user);
    let profile = ledger.db.setup_profiles().create(profile).await.unwrap().id;
    costs!(ledger, 2, cancelled(&ledger.db, profile, user));
    costs!(ledger, 9, set_up(&ledger.db, profile, user));
    ledger.settle();
}
