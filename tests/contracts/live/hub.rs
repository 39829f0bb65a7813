//! Many followers of one connection.

use super::*;
use std::collections::HashMap;

use wundr_db::testing::{Pair, PostgresServer, Proxy, ProxyMode, TestDatabase, migrated_database};
use wundr_db::{
    AnalysisId, AnalysisStatus, AnalysisType, Config, Follow, LiveAnalysis, NewAnalysis,
    NewProject, NewUser, ProjectId, UserId,
};

const CONNECTIONS: &str = "(SELECT count(*) FROM pg_stat_activity \
    WHERE application_name = 'hub' AND datname = current_database())";

#[both_engines]
async fn database() -> (Db, LiveHub, Observer, TestDatabase) {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let hub = hub_of(&database).await;
    (db, hub, Observer::of(&database.url()), database)
}

/// A hub that the observer can identify. It begins with the analyses that are there.
#[both_engines]
async fn hub_of(database: &TestDatabase) -> LiveHub {
    let config = Config::new(&database.url()).unwrap();
    let config = config.application_name("hub").max_connections(1);
    Db::lazy(config).unwrap().live().await.unwrap()
}

/// As many pending analyses of one project.
#[both_engines]
async fn pending(db: &Db, number: usize) -> (ProjectId, Vec<AnalysisId>) {
    let user = NewUser::new(format!("{}@x", UserId::new()), "a");
    let user = db.users().create(user).await.unwrap().id;
    let project = NewProject::new("p", user);
    let project = db.projects().create(project).await.unwrap().id;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    let new: Vec<_> = (0..number)
        .map(|_| new.clone().id(AnalysisId::new()))
        .collect();
    db.analyses().create_many(&new).await.unwrap();
    (project, new.iter().map(|new| new.id).collect())
}

/// The open analyses between the last [`LiveEvent::Missed`], or the beginning, and
/// [`LiveEvent::Resumed`].
#[both_engines]
async fn resumed(follower: &mut LiveFollower) -> HashMap<AnalysisId, LiveAnalysis> {
    let mut view = HashMap::new();
    loop {
        match next_of(follower).await {
            LiveEvent::Changed(row) => {
                view.insert(row.id, row);
            }
            LiveEvent::Deleted { id, .. } => {
                view.remove(&id);
            }
            LiveEvent::Missed { .. } => view.clear(),
            LiveEvent::Resumed => return view,
            other => panic!("{other:?}"),
        }
    }
}

#[both_engines]
async fn changed(follower: &mut LiveFollower) -> (AnalysisId, AnalysisStatus, i32) {
    match next_of(follower).await {
        LiveEvent::Changed(row) => (row.id, row.status, row.progress),
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn followers_of_one_connection_receive_what_they_follow() {
    let (db, _, mut observer, database) = database().await;
    let (here, mine) = pending(&db, 2).await;
    let (there, others) = pending(&db, 1).await;
    db.analyses().cancel(mine[1]).await.unwrap();
    let hub = hub_of(&database).await;
    let mut all = hub.follow(Follow::All).await.unwrap();
    let mut project = hub.follow(Follow::Project(here)).await.unwrap();
    let mut other = hub.follow(Follow::Project(there)).await.unwrap();
    assert_eq!(resumed(&mut all).await.len(), 2);
    assert!(resumed(&mut project).await.keys().eq([&mine[0]]));
    assert!(resumed(&mut other).await.keys().eq([&others[0]]));
    let mut many = Vec::new();
    for _ in 0..50 {
        many.push(hub.follow(Follow::Analysis(mine[0])).await.unwrap());
    }
    assert_eq!(hub.followers(), 53);
    // That of the hub, and one of its pool.
    until(&mut observer, &format!("{CONNECTIONS} = 2")).await;

    db.analyses().start(mine[0]).await.unwrap();
    db.analyses().start(others[0]).await.unwrap();
    let running = (mine[0], AnalysisStatus::Running, 0);
    assert_eq!(changed(&mut project).await, running);
    assert_eq!(changed(&mut all).await, running);
    let of_other = (others[0], AnalysisStatus::Running, 0);
    assert_eq!(changed(&mut all).await, of_other);
    assert_eq!(changed(&mut other).await, of_other);
    for follower in &mut many {
        // The state with which it began may be the one before.
        while changed_or_resumed(follower).await != Some(running) {}
    }
    db.analyses().delete(mine[0]).await.unwrap();
    let deleted = LiveEvent::Deleted {
        id: mine[0],
        project_id: here,
    };
    assert_eq!(next_of(&mut project).await, deleted);
    assert_eq!(next_of(&mut all).await, deleted);
}

#[both_engines]
async fn changed_or_resumed(
    follower: &mut LiveFollower,
) -> Option<(AnalysisId, AnalysisStatus, i32)> {
    match next_of(follower).await {
        LiveEvent::Changed(row) => Some((row.id, row.status, row.progress)),
        LiveEvent::Resumed => None,
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn an_analysis_that_has_ended_is_delivered_to_the_follower_that_asks_for_it() {
    let (db, _, _observer, database) = database().await;
    let (_, ids) = pending(&db, 1).await;
    db.analyses().cancel(ids[0]).await.unwrap();
    // The hub knows open analyses alone, and no notification is under way.
    let hub = hub_of(&database).await;
    let mut all = hub.follow(Follow::All).await.unwrap();
    assert_eq!(next_of(&mut all).await, LiveEvent::Resumed);
    let mut follower = hub.follow(Follow::Analysis(ids[0])).await.unwrap();
    let ended = (ids[0], AnalysisStatus::Cancelled, 0);
    while changed_or_resumed(&mut follower).await != Some(ended) {}
    let mut nothing = hub
        .follow(Follow::Analysis(AnalysisId::new()))
        .await
        .unwrap();
    assert_eq!(next_of(&mut nothing).await, LiveEvent::Resumed);
}

#[both_engines]
#[case]
async fn a_lost_connection_is_reported_to_every_follower() {
    let (db, _, mut observer, database) = database().await;
    let (project, ids) = pending(&db, 3).await;
    let hub = hub_of(&database).await;
    let mut followers = [
        hub.follow(Follow::All).await.unwrap(),
        hub.follow(Follow::Project(project)).await.unwrap(),
        hub.follow(Follow::Project(project)).await.unwrap(),
    ];
    for follower in &mut followers {
        assert_eq!(resumed(follower).await.len(), 3);
    }
    observer.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hub' \
         AND datname = current_database()",
    );
    db.analyses().cancel(ids[0]).await.unwrap();
    db.analyses().delete(ids[1]).await.unwrap();
    for follower in &mut followers {
        let mut view = HashMap::new();
        let mut is_missed = false;
        // The two changes come before the loss, or after it.
        loop {
            match next_of(follower).await {
                LiveEvent::Missed { discarded, .. } => {
                    assert_eq!(discarded, 0);
                    is_missed = true;
                }
                LiveEvent::Changed(row) => {
                    view.insert(row.id, row.status);
                }
                LiveEvent::Deleted { id, project_id } => {
                    assert_eq!((id, project_id), (ids[1], project));
                    view.remove(&id);
                    view.insert(ids[1], AnalysisStatus::Failed);
                }
                LiveEvent::Resumed if is_missed => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(view[&ids[0]], AnalysisStatus::Cancelled);
        assert_eq!(view[&ids[1]], AnalysisStatus::Failed, "deleted");
        assert_eq!(view[&ids[2]], AnalysisStatus::Pending);
    }
}

/// The standby does not have the last analysis when it takes over.
#[both_engines]
#[case]
async fn what_a_failover_has_lost_is_reported_to_followers() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let (_, kept) = pending(&db, 1).await;
    pair.wait_for_catch_up().unwrap();
    pair.cut_replication().unwrap();
    let (primary, standby) = (
        Proxy::start(pair.primary()).unwrap(),
        Proxy::start(pair.standby()).unwrap(),
    );
    let (first, second) = (primary.address(), standby.address());
    let hosts = format!("postgres://postgres@{first},{second}/{}", database.name());
    let db_of_both = Db::lazy(Config::new(&hosts).unwrap()).unwrap();
    let hub = db_of_both.live().await.unwrap();
    let (_, lost) = pending(&db, 1).await;
    let mut follower = hub.follow(Follow::All).await.unwrap();
    let mut view = resumed(&mut follower).await;
    while !view.contains_key(&lost[0]) {
        if let LiveEvent::Changed(row) = next_of(&mut follower).await {
            view.insert(row.id, row);
        }
    }
    primary.set(ProxyMode::Refuse).unwrap();
    pair.promote().unwrap();
    primary.cut();
    let mut is_lost = false;
    loop {
        match next_of(&mut follower).await {
            LiveEvent::Deleted { id, .. } => is_lost |= id == lost[0],
            LiveEvent::Resumed => break,
            _ => {}
        }
    }
    assert!(is_lost, "the lost analysis is still there");
    let mut late = hub.follow(Follow::All).await.unwrap();
    assert!(resumed(&mut late).await.keys().eq([&kept[0]]));
}

#[both_engines]
#[case]
async fn a_slow_follower_does_not_delay_the_others_and_learns_what_it_missed() {
    let (db, hub, mut observer, _database) = database().await;
    let mut slow = hub.follow(Follow::All).await.unwrap();
    let mut fast = hub.follow(Follow::All).await.unwrap();
    assert_eq!(next_of(&mut slow).await, LiveEvent::Resumed);
    assert_eq!(next_of(&mut fast).await, LiveEvent::Resumed);
    let (_, ids) = pending(&db, 3000).await;
    let mut view = HashMap::new();
    while view.len() < ids.len() {
        match next_of(&mut fast).await {
            LiveEvent::Changed(row) => {
                view.insert(row.id, row);
            }
            // It may have been the slow one.
            LiveEvent::Missed { .. } | LiveEvent::Resumed => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(slow.waiting() <= 1_000, "{} wait", slow.waiting());
    // It discards 1,001 at a time.
    let LiveEvent::Missed { discarded, .. } = next_of(&mut slow).await else {
        panic!("nothing was discarded");
    };
    assert!((1_001..=3_000).contains(&discarded), "{discarded}");
    observer.run("UPDATE analysis.analyses SET status = 'cancelled'");
    let mut open = 0;
    // The view is complete after the first of them.
    for row in resumed(&mut slow).await.into_values() {
        open += usize::from(row.status == AnalysisStatus::Pending);
    }
    let mut ended = 0;
    while ended + open < ids.len() && open > 0 {
        if let LiveEvent::Changed(row) = next_of(&mut slow).await
            && row.status == AnalysisStatus::Cancelled
        {
            (ended, open) = (ended + 1, open - 1);
        }
    }
}

#[both_engines]
#[case]
async fn the_connection_ends_with_the_last_follower() {
    let (db, hub, mut observer, _database) = database().await;
    let mut first = hub.follow(Follow::All).await.unwrap();
    let second = hub.follow(Follow::All).await.unwrap();
    assert_eq!(next_of(&mut first).await, LiveEvent::Resumed);
    drop(second);
    assert_eq!(hub.followers(), 1);
    drop(hub);
    // A follower needs no hub.
    let (_, ids) = pending(&db, 1).await;
    assert_eq!(changed(&mut first).await.0, ids[0]);
    until(&mut observer, &format!("{CONNECTIONS} >= 1")).await;
    drop(first);
    until(&mut observer, &format!("{CONNECTIONS} = 0")).await;
}

#[both_engines]
#[case]
async fn a_server_that_starts_again_is_found_by_the_hub() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    migrations::up(&config).await.unwrap();
    let db = Db::connect(config).await.unwrap();
    let hub = db.live().await.unwrap();
    let (_, ids) = pending(&db, 1).await;
    let mut follower = hub.follow(Follow::All).await.unwrap();
    resumed(&mut follower).await;
    server.kill().unwrap();
    while !matches!(next_of(&mut follower).await, LiveEvent::Missed { .. }) {}
    server.restart().unwrap();
    assert!(resumed(&mut follower).await.contains_key(&ids[0]));
}

/// The connection stays open, and nothing comes on it.
#[both_engines]
#[case]
async fn a_server_that_is_silent_is_reported_to_every_follower() {
    let (db, _, _observer, database) = database().await;
    let (_, ids) = pending(&db, 1).await;
    db.analyses().start(ids[0]).await.unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let config = config.heartbeat(Duration::from_millis(500));
    let hub = Db::lazy(config).unwrap().live().await.unwrap();
    let mut followers = [
        hub.follow(Follow::All).await.unwrap(),
        hub.follow(Follow::All).await.unwrap(),
    ];
    for follower in &mut followers {
        resumed(follower).await;
    }
    proxy.set(ProxyMode::Silent).unwrap();
    for follower in &mut followers {
        while !matches!(next_of(follower).await, LiveEvent::Missed { .. }) {}
    }
    db.analyses().progress(ids[0], 50).await.unwrap();
    proxy.set(ProxyMode::Pass).unwrap();
    for follower in &mut followers {
        let mut view = resumed(follower).await;
        // The hub may have begun again just before.
        while view.get(&ids[0]).is_none_or(|row| row.progress != 50) {
            if let LiveEvent::Changed(row) = next_of(follower).await {
                view.insert(row.id, row);
            }
        }
    }
}
