use super::*;
use std::collections::HashMap;
use std::time::Instant;

use wundr_db::testing::{Pair, PostgresServer, Proxy, ProxyMode, TestDatabase, migrated_database};
use wundr_db::{
    AnalysisFilter, AnalysisId, AnalysisStatus, AnalysisSummary, AnalysisType, Config, Error,
    Follow, IssueSeverity, IssueType, LiveAnalysis, NewAnalysis, NewAnalysisIssue, NewProject,
    NewUser, ProjectId, UserId,
};

const IS_LISTENING: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'live' AND datname = current_database())";
const IS_GONE: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'live' AND datname = current_database())";

/// A pool of one connection, an observer, and settings for a listener that the observer can
/// identify.
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

/// Records an event. Returns `true` if the reader is up to date after it.
fn note(view: &mut View, event: LiveEvent) -> bool {
    match event {
        LiveEvent::Changed(row) => {
            view.insert(row.id, row);
        }
        LiveEvent::Deleted { id, project_id } => {
            let known = view.remove(&id);
            assert_eq!(known.map(|known| known.project_id), Some(project_id));
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

/// The state and the progress of each analysis, as a reader has it and as the database does.
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

/// The state, the progress and the findings of the next event.
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
    // Other changes of the row are no events.
    observer.run("UPDATE analysis.analyses SET results = '{}'");
    let summary = AnalysisSummary::default();
    analyses.complete(id, summary).await.unwrap();
    assert_eq!(
        changed(&mut live).await,
        (AnalysisStatus::Completed, 100, 7)
    );
    analyses.delete(id).await.unwrap();
    let deleted = LiveEvent::Deleted {
        id,
        project_id: project,
    };
    assert_eq!(next(&mut live).await, deleted);
    analyses.cancel(others[0]).await.unwrap();
    assert_eq!(changed(&mut one).await, (AnalysisStatus::Cancelled, 0, 0));

    assert_eq!((live.waiting(), one.waiting()), (0, 0));
    drop((live, one));
    until(&mut observer, IS_GONE).await;
}

/// Nobody can connect while the listener's connection is ended and everything changes. The listener
/// may not have run yet: in the async engine its task has not been polled when the analysis ends.
#[both_engines]
#[case]
async fn an_analysis_that_ends_as_soon_as_it_is_followed_is_delivered() {
    let (db, mut observer, config, _database) = database().await;
    for _ in 0..10 {
        let (project, ids) = pending(&db, 1).await;
        let mut live = Live::follow(&config, Follow::Project(project))
            .await
            .unwrap();
        let id = ids[0];
        observer.run(&format!(
            "UPDATE analysis.analyses SET status = 'cancelled' WHERE id = '{id}'"
        ));
        let mut view = View::new();
        while view.get(&id).map(|row| row.status) != Some(AnalysisStatus::Cancelled) {
            let event = next(&mut live).await;
            note(&mut view, event);
        }
    }
}

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

    // From another database: a notification stays in its database.
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

/// One follower has nothing to ask but for a sign of life, one counts the findings of what runs.
#[both_engines]
#[case]
async fn a_server_that_says_nothing_any_more_is_missed_within_two_heartbeats() {
    let (db, _observer, _config, database) = database().await;
    let (_, ids) = pending(&db, 2).await;
    db.analyses().start(ids[0]).await.unwrap();
    let heartbeat = Duration::from_millis(500);
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let config = config.heartbeat(heartbeat);
    let mut view = View::new();
    let (all, idle) = (Follow::All, Follow::Project(ProjectId::new()));
    let mut followers = [
        Live::follow(&config, all).await.unwrap(),
        Live::follow(&config, idle).await.unwrap(),
    ];
    for live in &mut followers {
        resumed(live, &mut view).await;
    }

    proxy.set(ProxyMode::Silent).unwrap();
    let began = Instant::now();
    for live in &mut followers {
        assert!(matches!(next(live).await, LiveEvent::Missed { .. }));
    }
    // Far less than the system needs, and than the 12 s of the default heartbeat.
    assert!(began.elapsed() < heartbeat * 12, "{:?}", began.elapsed());
    db.analyses().progress(ids[0], 50).await.unwrap();
    db.analyses().delete(ids[1]).await.unwrap();
    proxy.set(ProxyMode::Pass).unwrap();
    for live in &mut followers {
        resumed(live, &mut view).await;
    }
    assert_right(&db, &view).await;
    assert_eq!(view[&ids[0]].progress, 50);
}

/// The standby has not got the last analyses when it takes over.
#[both_engines]
#[case]
async fn what_a_failover_has_lost_is_told() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let (primary, standby) = (
        Proxy::start(pair.primary()).unwrap(),
        Proxy::start(pair.standby()).unwrap(),
    );
    // A follower wants the primary, wherever its settings would have others go.
    let url = format!(
        "postgres://postgres@{},{}/{}?target_session_attrs=prefer-standby",
        standby.address(),
        primary.address(),
        database.name()
    );
    let (_, kept) = pending(&db, 2).await;
    let mut view = View::new();
    let config = Config::new(&url).unwrap();
    let mut live = Live::follow(&config, Follow::All).await.unwrap();
    resumed(&mut live, &mut view).await;
    db.analyses().cancel(kept[0]).await.unwrap();
    let event = next(&mut live).await;
    note(&mut view, event);

    pair.wait_for_catch_up().unwrap();
    pair.cut_replication().unwrap();
    let (_, lost) = pending(&db, 1).await;
    while !view.contains_key(&lost[0]) || view[&lost[0]].status != AnalysisStatus::Cancelled {
        if view.contains_key(&lost[0]) {
            db.analyses().cancel(lost[0]).await.unwrap();
        }
        let event = next(&mut live).await;
        note(&mut view, event);
    }
    db.analyses().cancel(kept[1]).await.unwrap();
    while view[&kept[1]].status != AnalysisStatus::Cancelled {
        let event = next(&mut live).await;
        note(&mut view, event);
    }
    primary.set(ProxyMode::Refuse).unwrap();
    pair.promote().unwrap();
    primary.cut();
    assert!(matches!(next(&mut live).await, LiveEvent::Missed { .. }));
    resumed(&mut live, &mut view).await;

    assert!(!view.contains_key(&lost[0]), "deleted, as it were");
    assert_eq!(view[&kept[0]].status, AnalysisStatus::Cancelled);
    assert_eq!(view[&kept[1]].status, AnalysisStatus::Pending, "undone");
    let db = Db::connect_to(&pair.standby_url(&database)).await.unwrap();
    assert_right(&db, &view).await;
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
    // 55,000 notifications have been sent. The listener has time for far more than it may read
    // ahead.
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

/// More analyses change than the listener keeps the ids of, while the reader takes nothing.
#[both_engines]
#[case]
async fn a_reader_that_falls_too_far_behind_receives_missed_and_all_states_again() {
    let (db, mut observer, config, _database) = database().await;
    let (project, _) = pending(&db, 600).await;
    let mut view = View::new();
    let mut live = Live::follow(&config, Follow::All).await.unwrap();
    resumed(&mut live, &mut view).await;
    observer.run("UPDATE analysis.analyses SET progress = 1");
    while live.waiting() < 500 {
        db.health().await.unwrap();
    }

    observer.run(&format!(
        "SELECT pg_notify('wundr_analyses', json_build_object('id', gen_random_uuid(), \
             'project_id', '{project}', 'status', 'pending')::text) \
         FROM generate_series(1, 51000)"
    ));
    // Only what is discarded leaves the queue. It may be full again at once.
    let began = Instant::now();
    while live.waiting() >= 500 && began.elapsed().as_secs() < 5 {
        db.health().await.unwrap();
    }
    loop {
        match next(&mut live).await {
            LiveEvent::Changed(row) => drop(view.insert(row.id, row)),
            LiveEvent::Missed { .. } => break,
            event => panic!("{event:?}"),
        }
    }
    resumed(&mut live, &mut view).await;
    assert_right(&db, &view).await;
}

/// Any role that may connect to the database can notify.
#[both_engines]
#[case]
async fn a_notification_that_is_made_up_shows_nothing_else_than_what_is_followed() {
    let (db, mut observer, config, _database) = database().await;
    let analyses = db.analyses();
    let (mine, my_ids) = pending(&db, 1).await;
    let (other, other_ids) = pending(&db, 1).await;
    let (_, ended) = pending(&db, 1).await;
    analyses.cancel(ended[0]).await.unwrap();
    let mut view = View::new();
    let mut live = Live::follow(&config, Follow::Project(mine)).await.unwrap();
    let mut all = Live::follow(&config, Follow::All).await.unwrap();
    let mut one = Live::follow(&config, Follow::Analysis(my_ids[0]))
        .await
        .unwrap();
    for live in [&mut live, &mut all, &mut one] {
        resumed(live, &mut view).await;
    }
    assert_eq!(view.len(), 2, "{view:?}");
    for (id, project) in [
        (other_ids[0], mine),
        (other_ids[0], ProjectId::new()),
        (AnalysisId::new(), mine),
        (AnalysisId::new(), other),
        (my_ids[0], ProjectId::new()),
    ] {
        observer.run(&format!(
            "SELECT pg_notify('wundr_analyses', '{{\"id\": \"{id}\", \"project_id\": \"{project}\", \"status\": \"pending\"}}')"
        ));
    }
    // It was never reported, so its end is not.
    analyses.delete(ended[0]).await.unwrap();

    analyses.start(my_ids[0]).await.unwrap();
    let running = (AnalysisStatus::Running, 0, 0);
    assert_eq!(changed(&mut live).await, running);
    // It is reported again, as it is.
    while changed(&mut one).await != running {}
    loop {
        match next(&mut all).await {
            LiveEvent::Changed(row) if row.id == other_ids[0] => {}
            LiveEvent::Changed(row) if row.id == my_ids[0] => {
                if row.status == AnalysisStatus::Running {
                    break;
                }
            }
            event => panic!("{event:?}"),
        }
    }
    analyses.delete(my_ids[0]).await.unwrap();
    let deleted = LiveEvent::Deleted {
        id: my_ids[0],
        project_id: mine,
    };
    for live in [&mut live, &mut all, &mut one] {
        let mut event = next(live).await;
        while matches!(&event, LiveEvent::Changed(row) if row.id == other_ids[0]) {
            event = next(live).await;
        }
        assert_eq!(event, deleted);
    }
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
