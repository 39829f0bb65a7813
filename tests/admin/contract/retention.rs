use super::*;
use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use wundr_db::admin::AnalysisRetention;
use wundr_db::testing::migrated_database;
use wundr_db::{
    AnalysisChanges, AnalysisFilter, AnalysisId, AnalysisStatus, AnalysisType,
    DependencyGraphFilter, Error, IssueSeverity, IssueStatus, IssueType, NewAnalysis,
    NewAnalysisIssue, NewAnalysisResult, NewDependencyGraph, NewProject, NewUser, Page, ProjectId,
    UserId,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A database with one project.
struct Scene {
    db: Db,
    project: ProjectId,
    user: UserId,
    database: TestDatabase,
}

#[both_engines]
async fn scene() -> Scene {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let ada = NewUser::new("ada@example.org", "Ada");
    let user = db.users().create(ada).await.unwrap().id;
    let project = NewProject::new("Flask", user);
    let project = db.projects().create(project).await.unwrap().id;
    Scene {
        db,
        project,
        user,
        database,
    }
}

fn days_ago(days: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::days(days)
}

impl Scene {
    /// An analysis that was completed so many days ago.
    fn completed(&self, days: i64) -> NewAnalysis {
        let time = days_ago(days);
        NewAnalysis::new(self.project, AnalysisType::Quality, self.user)
            .created_at(time)
            .completed(time, time)
    }
}

#[both_engines]
async fn created(scene: &Scene, new: NewAnalysis) -> AnalysisId {
    scene.db.analyses().create(new).await.unwrap().id
}

/// Gives an analysis so many issues and results.
#[both_engines]
async fn filled(scene: &Scene, id: AnalysisId, issues: usize, results: usize) {
    let (kind, severity) = (IssueType::Security, IssueSeverity::High);
    let issues: Vec<_> = (0..issues)
        .map(|index| NewAnalysisIssue::new(id, kind, severity, format!("{index}"), "a.rs"))
        .collect();
    scene
        .db
        .analysis_issues()
        .create_many(&issues)
        .await
        .unwrap();
    let results: Vec<_> = (0..results)
        .map(|index| NewAnalysisResult::new(id, format!("{index}.rs")))
        .collect();
    scene
        .db
        .analysis_results()
        .create_many(&results)
        .await
        .unwrap();
}

/// The analyses that are there.
#[both_engines]
async fn left(scene: &Scene) -> BTreeSet<AnalysisId> {
    let all = AnalysisFilter::new();
    let page = Page::new().limit(100);
    let rows = scene.db.analyses().list(&all, &page).await.unwrap();
    rows.items.iter().map(|row| row.id).collect()
}

#[both_engines]
#[case]
async fn the_newest_of_each_project_and_type_are_kept_and_all_that_are_young() {
    let scene = scene().await;
    let mut ids = Vec::new();
    for days in [100, 90, 80, 20, 10] {
        ids.push(created(&scene, scene.completed(days)).await);
    }
    // Another type, and another project.
    let security = {
        let mut new = scene.completed(200);
        new.r#type = AnalysisType::Security;
        new
    };
    let security = created(&scene, security).await;
    let project = NewProject::new("Engine", scene.user);
    let project = scene.db.projects().create(project).await.unwrap().id;
    let elsewhere = {
        let mut new = scene.completed(300);
        new.project_id = project;
        new
    };
    let elsewhere = created(&scene, elsewhere).await;
    filled(&scene, ids[0], 3, 2).await;

    let month = AnalysisRetention::new(1, 30 * DAY);
    let plan = admin::plan_retained_analyses(&scene.db, &month)
        .await
        .unwrap();
    assert_eq!((plan.analyses, plan.issues, plan.results), (3, 3, 2));
    assert!(plan.is_complete);
    assert_eq!(left(&scene).await.len(), 7);
    let three = AnalysisRetention::new(3, 30 * DAY);
    let done = admin::retain_analyses(&scene.db, &three).await.unwrap();
    assert_eq!((done.analyses, done.issues, done.results), (2, 3, 2));
    assert!(done.is_complete);
    let kept = [ids[2], ids[3], ids[4], security, elsewhere];
    assert_eq!(left(&scene).await, kept.into());
    let done = admin::retain_analyses(&scene.db, &month).await.unwrap();
    assert_eq!(done.analyses, 1);
    let none = AnalysisRetention::new(1, Duration::ZERO).of_project(project);
    let done = admin::retain_analyses(&scene.db, &none).await.unwrap();
    assert_eq!((done.analyses, done.is_complete), (0, true));
    let one = AnalysisRetention::new(1, Duration::ZERO);
    admin::retain_analyses(&scene.db, &one).await.unwrap();
    assert_eq!(left(&scene).await, [ids[4], security, elsewhere].into());
}

#[both_engines]
#[case]
async fn the_newest_completed_one_is_kept_before_newer_ones_that_failed() {
    let scene = scene().await;
    let old = created(&scene, scene.completed(120)).await;
    let completed = created(&scene, scene.completed(110)).await;
    let mut failed = Vec::new();
    for days in [100, 90] {
        let new = {
            let mut new = scene.completed(days);
            new.status = Some(AnalysisStatus::Failed);
            new
        };
        failed.push(created(&scene, new).await);
    }
    let policy = AnalysisRetention::new(1, 30 * DAY);
    admin::retain_analyses(&scene.db, &policy).await.unwrap();
    let kept = left(&scene).await;
    assert_eq!(kept, [completed, failed[1]].into());
    assert!(!kept.contains(&old));
}

#[both_engines]
#[case]
async fn a_pinned_analysis_is_kept_until_its_last_pin_is_removed() {
    let scene = scene().await;
    let (release, base) = (
        created(&scene, scene.completed(120)).await,
        created(&scene, scene.completed(110)).await,
    );
    let newest = created(&scene, scene.completed(100)).await;
    let analyses = scene.db.analyses();
    analyses.pin(release, "release 1").await.unwrap();
    analyses.pin(release, "audit").await.unwrap();
    scene
        .db
        .quality_gates()
        .set_base("main", base)
        .await
        .unwrap();
    let policy = AnalysisRetention::new(1, 30 * DAY);
    let done = admin::retain_analyses(&scene.db, &policy).await.unwrap();
    assert_eq!((done.analyses, done.pinned), (0, 2));
    analyses.unpin(release, "audit").await.unwrap();
    let done = admin::retain_analyses(&scene.db, &policy).await.unwrap();
    assert_eq!((done.analyses, done.pinned), (0, 2));
    analyses.unpin(release, "release 1").await.unwrap();
    let done = admin::retain_analyses(&scene.db, &policy).await.unwrap();
    assert_eq!((done.analyses, done.pinned), (1, 1));
    assert_eq!(left(&scene).await, [base, newest].into());
}

#[both_engines]
#[case]
async fn an_unfinished_analysis_is_kept_unless_its_worker_is_long_gone() {
    let scene = scene().await;
    let unfinished = |days| {
        NewAnalysis::new(scene.project, AnalysisType::Quality, scene.user)
            .created_at(days_ago(days))
    };
    let (gone, late) = (
        created(&scene, unfinished(120)).await,
        created(&scene, unfinished(110)).await,
    );
    for expected in [gone, late] {
        let claim = scene.db.analyses().claim(AnalysisType::ALL, "w", DAY).await;
        assert_eq!(claim.unwrap().unwrap().analysis.id, expected);
    }
    let started = created(&scene, unfinished(105)).await;
    scene.db.analyses().start(started).await.unwrap();
    let pending = created(&scene, unfinished(100)).await;
    let mut observer = Observer::of(&scene.database.url());
    for (id, days) in [(gone, 40), (late, 20)] {
        observer.run(&format!(
            "UPDATE analysis.analysis_leases SET expires_at = now() - INTERVAL '{days} days' \
             WHERE analysis_id = '{id}'"
        ));
    }
    let policy = AnalysisRetention::new(1, 30 * DAY);
    let done = admin::retain_analyses(&scene.db, &policy).await.unwrap();
    assert_eq!(done.analyses, 1);
    assert_eq!(left(&scene).await, [late, started, pending].into());
    // A worker that is late by less than a day is not gone, whatever the policy.
    let at_once = AnalysisRetention::new(1, Duration::ZERO);
    observer.run("UPDATE analysis.analysis_leases SET expires_at = now() - INTERVAL '23 hours'");
    let done = admin::retain_analyses(&scene.db, &at_once).await.unwrap();
    assert_eq!(done.analyses, 0);
}

#[both_engines]
#[case]
async fn tracking_goes_on_after_its_base_was_removed() {
    let scene = scene().await;
    let issues = scene.db.analysis_issues();
    let mut bases = Vec::new();
    for days in [120, 110, 0] {
        let id = created(&scene, scene.completed(days)).await;
        filled(&scene, id, 3, 0).await;
        let analyses = scene.db.analyses();
        let latest = analyses
            .latest_completed(scene.project, AnalysisType::Quality)
            .await;
        assert_eq!(latest.unwrap().unwrap().id, id);
        if let Some(&base) = bases.last() {
            let tracking = issues.track(base, id).await.unwrap();
            assert_eq!((tracking.unchanged.len(), tracking.new.len()), (3, 0));
            assert_eq!(tracking.carried_over, 1);
        } else {
            let filter = wundr_db::AnalysisIssueFilter::new().analysis_id(id);
            let page = issues.list(&filter, &Page::new()).await.unwrap();
            issues.ignore(page.items[0].id, scene.user).await.unwrap();
        }
        bases.push(id);
        if days != 0 {
            let policy = AnalysisRetention::new(1, 30 * DAY);
            admin::retain_analyses(&scene.db, &policy).await.unwrap();
            assert_eq!(left(&scene).await, [id].into());
        }
    }
    let ignored = wundr_db::AnalysisIssueFilter::new()
        .analysis_id(bases[2])
        .status(IssueStatus::Ignored);
    assert_eq!(issues.count(&ignored).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn an_analysis_that_may_not_be_tracked_yet_does_not_push_its_predecessor_out() {
    let scene = scene().await;
    let base = created(&scene, scene.completed(120)).await;
    let new = created(&scene, scene.completed(0)).await;
    let policy = AnalysisRetention::new(1, 30 * DAY);
    let done = admin::retain_analyses(&scene.db, &policy).await.unwrap();
    assert_eq!(done.analyses, 0);
    scene.db.analysis_issues().track(base, new).await.unwrap();
    let tracked = policy.tracked_within(Duration::ZERO);
    admin::retain_analyses(&scene.db, &tracked).await.unwrap();
    assert_eq!(left(&scene).await, [new].into());
}

#[both_engines]
#[case]
async fn a_large_analysis_is_removed_in_slices_and_the_next_call_ends_what_was_interrupted() {
    let scene = scene().await;
    let large = created(&scene, scene.completed(120)).await;
    filled(&scene, large, 25, 17).await;
    let newest = created(&scene, scene.completed(100)).await;
    let later = created(&scene, scene.completed(0)).await;
    let policy = AnalysisRetention::new(1, 30 * DAY)
        .batch(10)
        .tracked_within(Duration::ZERO);
    let bounded = policy.clone().most_rows(15);
    scene.db.analyses().pin(newest, "kept").await.unwrap();

    let plan = admin::plan_retained_analyses(&scene.db, &policy)
        .await
        .unwrap();
    assert_eq!((plan.analyses, plan.issues, plan.results), (1, 25, 17));
    let done = admin::retain_analyses(&scene.db, &bounded).await.unwrap();
    assert_eq!((done.analyses, done.issues), (0, 20));
    assert!(!done.is_complete);
    assert_eq!(left(&scene).await, [large, newest, later].into());
    let pinned = scene.db.analyses().pin(large, "too late").await;
    assert!(matches!(pinned, Err(Error::NotFound { what: "Analysis" })));
    let tracked = scene.db.analysis_issues().track(large, later).await;
    assert!(matches!(tracked, Err(Error::NotFound { what: "Analysis" })));

    // A policy that would keep it.
    let other = AnalysisRetention::new(100, 365 * DAY).batch(10);
    let done = admin::retain_analyses(&scene.db, &other).await.unwrap();
    assert_eq!((done.analyses, done.issues, done.results), (1, 5, 17));
    assert!(done.is_complete);
    assert_eq!(left(&scene).await, [newest, later].into());
    let mut observer = Observer::of(&scene.database.url());
    assert_eq!(observer.count("analysis.analysis_removals"), 0);
}

#[both_engines]
#[case]
async fn a_bound_of_time_or_rows_ends_a_call_and_the_next_one_continues() {
    let scene = scene().await;
    for days in 100..110 {
        let id = created(&scene, scene.completed(days)).await;
        filled(&scene, id, 4, 1).await;
    }
    let policy = AnalysisRetention::new(1, 30 * DAY).batch(10);
    let no_time = policy.clone().within(Duration::ZERO);
    let done = admin::retain_analyses(&scene.db, &no_time).await.unwrap();
    assert_eq!((done.analyses, done.is_complete), (0, false));
    let some = policy.clone().most_rows(20);
    let done = admin::retain_analyses(&scene.db, &some).await.unwrap();
    assert_eq!((done.analyses, done.issues, done.results), (4, 16, 4));
    assert!(!done.is_complete);
    let done = admin::retain_analyses(&scene.db, &policy).await.unwrap();
    assert_eq!((done.analyses, done.is_complete), (5, true));
}

#[both_engines]
#[case]
async fn an_analysis_that_another_transaction_has_locked_is_left_to_the_next_call() {
    let scene = scene().await;
    let locked = created(&scene, scene.completed(120)).await;
    let free = created(&scene, scene.completed(110)).await;
    let newest = created(&scene, scene.completed(100)).await;
    let policy = AnalysisRetention::new(1, 30 * DAY);
    let (db, policy) = (&scene.db, &policy);
    let outcome: Result<_, Error> = db
        .transaction(async |tx| {
            let changes = AnalysisChanges::new().error_message("mine".to_owned());
            tx.analyses().update(locked, changes).await?;
            admin::retain_analyses(db, policy).await
        })
        .await;
    let done = outcome.unwrap();
    assert_eq!((done.analyses, done.skipped), (1, 1));
    assert_eq!(left(&scene).await, [locked, newest].into());
    assert!(!left(&scene).await.contains(&free));
    let done = admin::retain_analyses(db, policy).await.unwrap();
    assert_eq!((done.analyses, done.skipped), (1, 0));
}

/// The pin is committed after the analyses were examined, and before its analysis is locked.
#[both_engines]
#[case]
async fn a_pin_that_is_committed_while_a_call_runs_keeps_its_analysis() {
    let scene = scene().await;
    let first = created(&scene, scene.completed(120)).await;
    let second = created(&scene, scene.completed(110)).await;
    for id in [first, second] {
        filled(&scene, id, 1, 0).await;
    }
    let newest = created(&scene, scene.completed(100)).await;
    let mut holder = Observer::of(&scene.database.url());
    holder.run(&format!(
        "BEGIN; SELECT FROM analysis.analysis_issues WHERE analysis_id = '{first}' FOR UPDATE"
    ));
    let policy = AnalysisRetention::new(1, 30 * DAY).batch(1);
    let (done, ()) = concurrently!(
        admin::retain_analyses(&scene.db, &policy),
        pin_meanwhile(&scene, second, &mut holder)
    );
    assert_eq!(done.unwrap().skipped, 1);
    assert_eq!(left(&scene).await, [second, newest].into());
}

#[both_engines]
async fn pin_meanwhile(scene: &Scene, id: AnalysisId, holder: &mut Observer) {
    until(&scene.database, crate::observer::SOMEBODY_WAITS).await;
    scene.db.analyses().pin(id, "just in time").await.unwrap();
    holder.run("COMMIT");
}

#[both_engines]
#[case]
async fn concurrent_calls_delete_each_analysis_once() {
    let scene = scene().await;
    for days in 100..140 {
        let id = created(&scene, scene.completed(days)).await;
        filled(&scene, id, 3, 1).await;
    }
    let policy = AnalysisRetention::new(1, 30 * DAY).batch(10);
    let (db, policy) = (&scene.db, &policy);
    let (one, other) = concurrently!(
        admin::retain_analyses(db, policy),
        admin::retain_analyses(db, policy)
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    let rest = admin::retain_analyses(db, policy).await.unwrap();
    assert_eq!(one.analyses + other.analyses + rest.analyses, 39);
    assert_eq!(one.issues + other.issues + rest.issues, 3 * 39);
    assert_eq!(left(&scene).await.len(), 1);
}

#[both_engines]
#[case]
async fn graphs_without_an_analysis_go_except_the_newest_of_their_project() {
    let scene = scene().await;
    let graphs = scene.db.dependency_graphs();
    let mut ids = Vec::new();
    for days in [120, 110, 100] {
        let analysis = created(&scene, scene.completed(days)).await;
        let graph = NewDependencyGraph::new(scene.project, serde_json::json!({}))
            .analysis_id(analysis)
            .created_at(days_ago(days));
        ids.push(graphs.create(graph).await.unwrap().id);
    }
    let removed = admin::remove_orphaned_graphs(&scene.db, 10).await;
    assert_eq!(removed.unwrap(), 0);
    scene
        .db
        .analyses()
        .delete_many(&AnalysisFilter::new())
        .await
        .unwrap();
    assert_eq!(
        admin::remove_orphaned_graphs(&scene.db, 1).await.unwrap(),
        1
    );
    assert_eq!(
        admin::remove_orphaned_graphs(&scene.db, 10).await.unwrap(),
        1
    );
    let page = graphs
        .list(&DependencyGraphFilter::new(), &Page::new())
        .await;
    let left: Vec<_> = page.unwrap().items.iter().map(|graph| graph.id).collect();
    assert_eq!(left, [ids[2]]);
    let none = admin::remove_orphaned_graphs(&scene.db, 0).await;
    assert!(matches!(none, Err(Error::InvalidInput { .. })));
}

#[both_engines]
#[case]
async fn a_policy_that_would_keep_nothing_or_cannot_be_meant_is_refused() {
    let scene = scene().await;
    for policy in [
        AnalysisRetention::new(0, DAY),
        AnalysisRetention::new(1, 40_000 * DAY),
        AnalysisRetention::new(1, DAY).tracked_within(Duration::MAX),
        AnalysisRetention::new(1, DAY).batch(0),
        AnalysisRetention::new(1, DAY).batch(1_000_001),
    ] {
        let done = admin::retain_analyses(&scene.db, &policy).await;
        assert!(
            matches!(done, Err(Error::InvalidInput { .. })),
            "{policy:?}"
        );
        let plan = admin::plan_retained_analyses(&scene.db, &policy).await;
        assert!(
            matches!(plan, Err(Error::InvalidInput { .. })),
            "{policy:?}"
        );
    }
}
