use super::*;
use std::collections::HashMap;

use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};
use wundr_db::{
    AnalysisFilter, AnalysisId, AnalysisStatus, AnalysisSummary, AnalysisType, Config, Error,
    Follow, IssueSeverity, IssueType, LiveAnalysis, NewAnalysis, NewAnalysisIssue, NewProject,
    NewUser, ProjectId, UserId,
};

const IS_LISTENING: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'live' AND datname = current_database())";
const IS_GONE: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'live' AND datname = current_database())";

/// A pool of one connection, somebody who looks on, and settings for a listener whom they can tell from others.
#[both_engines]
async fn database() -> (Db, Observer, Config, TestDatabase) {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    let db = Db::connect(config.clone().max_connections(1))
        .await
        .unwrap();
    let live = config.application_name("live");
    (db, Observer::of(&database.url()), live, database)
}

/// A pending analysis of a project of its own, to be created.
#[both_engines]
async fn new_analysis(db: &Db) -> NewAnalysis {
    let user = NewUser::new(format!("{}@x", UserId::new()), "a");
    let user = db.users().create(user).await.unwrap().id;
    let project = NewProject::new("p", user);
    let project = db.projects().create(project).await.unwrap().id;
    NewAnalysis::new(project, AnalysisType::Quality, user)
}

/// As many pending analyses of one project.
#[both_engines]
async fn pending(db: &Db, number: usize) -> (ProjectId, Vec<AnalysisId>) {
    let new = new_analysis(db).await;
    let project = new.project_id;
    let new: Vec<_> = (0..number)
        .map(|_| new.clone().id(AnalysisId::new()))
        .collect();
    db.analyses().create_many(&new).await.unwrap();
    (project, new.iter().map(|new| new.id).collect())
}

type View = HashMap<AnalysisId, LiveAnalysis>;

/// What a reader knows after this event; whether it is the one that says that all is well.
fn note(view: &mut View, event: LiveEvent) -> bool {
    match event {
        LiveEvent::Changed(row) => {
            view.insert(row.id, row);
        }
        LiveEvent::Deleted(id) => {
            view.remove(&id);
        }
        LiveEvent::Resumed => return true,
        other => panic!("{other:?}"),
    }
    false
}

/// Reads on until all is well.
#[both_engines]
async fn resumed(live: &mut Live, view: &mut View) {
    loop {
        let event = next(live).await;
        if note(view, event) {
            return;
        }
    }
}

/// The state and the progress of each analysis, as a reader knows it and as the database does.
#[both_engines]
async fn assert_right(db: &Db, view: &View) {
    let rows = db.analyses();
    let ids: Vec<_> = view.keys().copied().collect();
    for row in rows.find_many(&ids).await.unwrap() {
        let row = row.unwrap();
        let known = &view[&row.id];
        assert_eq!((known.status, known.progress), (row.status, row.progress));
    }
    let stored = rows.count(&AnalysisFilter::new()).await.unwrap();
    assert_eq!(view.len(), usize::try_from(stored).unwrap());
}

/// The state, the progress and the findings that are told next.
#[both_engines]
async fn changed(live: &mut Live) -> (AnalysisStatus, i32, i64) {
    match next(live).await {
        LiveEvent::Changed(row) => (row.status, row.progress, row.findings),
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn what_becomes_of_a_projects_analyses_is_told() {
    let (db, mut observer, config, _database) = database().await;
    let analyses = db.analyses();
    let (project, ids) = pending(&db, 1).await;
    let id = ids[0];
    let mut live = Live::follow(&config, Follow::Project(project))
        .await
        .unwrap();

    assert_eq!(changed(&mut live).await, (AnalysisStatus::Pending, 0, 0));
    assert_eq!(next(&mut live).await, LiveEvent::Resumed);
    let (_, others) = pending(&db, 3).await;
    let mut one = Live::follow(&config, Follow::Analysis(others[0]))
        .await
        .unwrap();
    assert_eq!(changed(&mut one).await, (AnalysisStatus::Pending, 0, 0));
    assert_eq!(next(&mut one).await, LiveEvent::Resumed);
    analyses.start(id).await.unwrap();
    assert_eq!(changed(&mut live).await, (AnalysisStatus::Running, 0, 0));
    let issue = |n: usize| {
        let (r#type, severity) = (IssueType::Security, IssueSeverity::High);
        NewAnalysisIssue::new(id, r#type, severity, n.to_string(), "a.rs")
    };
    let issues: Vec<_> = (0..7).map(issue).collect();
    db.analysis_issues().create_many(&issues).await.unwrap();
    assert_eq!(changed(&mut live).await, (AnalysisStatus::Running, 0, 7));
    analyses.progress(id, 40).await.unwrap();
    assert_eq!(changed(&mut live).await, (AnalysisStatus::Running, 40, 7));
    // Other changes of the row are nobody's business here.
    observer.run("UPDATE analysis.analyses SET results = '{}'");
    let summary = AnalysisSummary::default();
    analyses.complete(id, summary).await.unwrap();
    assert_eq!(
        changed(&mut live).await,
        (AnalysisStatus::Completed, 100, 7)
    );
    analyses.delete(id).await.unwrap();
    assert_eq!(next(&mut live).await, LiveEvent::Deleted(id));
    analyses.cancel(others[0]).await.unwrap();
    assert_eq!(changed(&mut one).await, (AnalysisStatus::Cancelled, 0, 0));

    assert_eq!((live.waiting(), one.waiting()), (0, 0));
    drop((live, one));
    until(&mut observer, IS_GONE).await;
}

/// Nobody can connect while the listener's connection is ended and everything changes.
#[both_engines]
#[case]
async fn a_lost_connection_is_told_and_the_view_is_right_again() {
    let (db, mut observer, config, database) = database().await;
    let analyses = db.analyses();
    let (_, ids) = pending(&db, 5).await;
    analyses.start(ids[0]).await.unwrap();
    analyses.start(ids[1]).await.unwrap();
    let mut view = View::new();
    let mut live = Live::follow(&config, Follow::All).await.unwrap();
    resumed(&mut live, &mut view).await;
    assert_right(&db, &view).await;
    until(&mut observer, IS_LISTENING).await;

    // From another database: a server keeps nobody from the one that they are in.
    let mut outside = Observer::of(&PostgresServer::shared().unwrap().url("postgres"));
    let let_in = |yes: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {yes}", database.name());
    outside.run(&let_in(false));
    observer.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'live' \
         AND datname = current_database()",
    );
    let summary = AnalysisSummary::default();
    analyses.complete(ids[0], summary).await.unwrap();
    analyses.progress(ids[1], 70).await.unwrap();
    analyses.cancel(ids[2]).await.unwrap();
    analyses.delete(ids[3]).await.unwrap();
    let (_, new) = pending(&db, 2).await;
    analyses.cancel(new[0]).await.unwrap();
    assert!(matches!(next(&mut live).await, LiveEvent::Missed { .. }));
    outside.run(&let_in(true));

    resumed(&mut live, &mut view).await;
    assert_right(&db, &view).await;
    assert_eq!(view[&ids[1]].progress, 70);
    assert!(view.contains_key(&new[0]), "made and ended meanwhile");
    analyses.progress(ids[1], 80).await.unwrap();
    assert_eq!(changed(&mut live).await, (AnalysisStatus::Running, 80, 0));
}

#[both_engines]
#[case]
async fn a_server_that_starts_again_is_found_again() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    migrations::up(&config).await.unwrap();
    let db = Db::connect(config.clone()).await.unwrap();
    let (_, ids) = pending(&db, 1).await;
    let mut view = View::new();
    let mut live = db.follow(Follow::All).await.unwrap();
    resumed(&mut live, &mut view).await;

    server.kill().unwrap();
    assert!(matches!(next(&mut live).await, LiveEvent::Missed { .. }));
    server.restart().unwrap();
    resumed(&mut live, &mut view).await;

    let db = Db::connect(config).await.unwrap();
    assert_right(&db, &view).await;
    db.analyses().start(ids[0]).await.unwrap();
    assert_eq!(changed(&mut live).await, (AnalysisStatus::Running, 0, 0));
}

#[both_engines]
#[case]
async fn a_slow_reader_keeps_little_waiting_and_misses_nothing() {
    let (db, mut observer, config, _database) = database().await;
    let mut view = View::new();
    let mut live = Live::follow(&config, Follow::All).await.unwrap();
    resumed(&mut live, &mut view).await;

    pending(&db, 5000).await;
    for percent in 1..=10 {
        observer.run(&format!(
            "UPDATE analysis.analyses SET progress = {percent}"
        ));
    }
    // 55,000 notifications have been sent. The listener has time for far more than it may read ahead.
    while live.waiting() < 500 {
        db.health().await.unwrap();
    }
    for _ in 0..200 {
        db.health().await.unwrap();
    }
    assert!(live.waiting() <= 1000, "{} wait", live.waiting());
    while view.len() < 5000 || view.values().any(|row| row.progress < 10) {
        let event = next(&mut live).await;
        note(&mut view, event);
        assert!(live.waiting() <= 1000, "{} wait", live.waiting());
    }
    assert_right(&db, &view).await;
}

#[both_engines]
#[case]
async fn behind_a_pgbouncer_it_says_so() {
    let (_db, _observer, config, _database) = database().await;
    let refusal = Live::follow(&config.behind_pgbouncer(), Follow::All).await;
    match refusal.unwrap_err() {
        Error::InvalidInput { field, .. } => assert_eq!(field, "behind_pgbouncer"),
        other => panic!("{other:?}"),
    }
}
