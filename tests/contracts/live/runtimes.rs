//! Runtimes that end.

use core::prelude::v1::test;

use super::*;
use tokio::runtime::{Builder, Runtime};
use wundr_db::testing::migrated_database;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The second runtime begins to wait before the first one ends, or after.
#[test]
fn a_stream_goes_on_in_the_next_runtime() {
    let database = migrated_database().unwrap();
    for waits_before in [false, true] {
        let (first, second) = (runtime(), runtime());
        let (db, mut live, project) = first.block_on(async {
            let db = Db::connect_to(&database.url()).await.unwrap();
            let ada = NewUser::new(format!("{waits_before}@x"), "a");
            let ada = db.users().create(ada).await.unwrap().id;
            let project = NewProject::new("p", ada);
            let project = db.projects().create(project).await.unwrap();
            let follow = Follow::Project(project.id);
            let mut live = db.follow(follow).await.unwrap();
            assert_eq!(next(&mut live).await, LiveEvent::Resumed);
            (db, live, project)
        });
        let ended = async {
            let waiting = next(&mut live);
            let ending = async {
                if waits_before {
                    tokio::task::yield_now().await;
                }
                tokio::task::spawn_blocking(move || drop(first))
                    .await
                    .unwrap();
            };
            tokio::join!(waiting, ending).0
        };
        let event = second.block_on(ended);
        let is_told =
            matches!(&event, LiveEvent::Missed { reason, .. } if reason.contains("runtime"));
        assert!(is_told, "{event:?}");
        second.block_on(async {
            assert_eq!(next(&mut live).await, LiveEvent::Resumed);
            let new = NewAnalysis::new(project.id, AnalysisType::Quality, project.created_by);
            let created = db.analyses().create(new).await.unwrap().id;
            let event = next(&mut live).await;
            let is_it = matches!(&event, LiveEvent::Changed(analysis) if analysis.id == created);
            assert!(is_it, "{event:?}");
        });
    }
}

/// The follower waits in the second runtime when the first one, with the listener, ends.
#[test]
fn a_hub_goes_on_in_the_runtime_of_a_follower() {
    let database = migrated_database().unwrap();
    let (first, second) = (runtime(), runtime());
    let (db, hub, mut follower) = first.block_on(async {
        let db = Db::connect_to(&database.url()).await.unwrap();
        let hub = db.live().await.unwrap();
        let mut follower = hub.follow(Follow::All).await.unwrap();
        assert_eq!(next_of(&mut follower).await, LiveEvent::Resumed);
        (db, hub, follower)
    });
    // A stream that is kept without being polled delays no other.
    let _kept = second.block_on(hub.follow(Follow::All)).unwrap();
    let ended = async {
        // After the follower has begun to wait: nothing else wakes it.
        let ending = async {
            tokio::task::yield_now().await;
            std::thread::spawn(move || drop(first));
        };
        tokio::join!(next_of(&mut follower), ending).0
    };
    let event = second.block_on(ended);
    let is_told = matches!(&event, LiveEvent::Missed { reason, .. } if reason.contains("runtime"));
    assert!(is_told, "{event:?}");
    second.block_on(async {
        assert_eq!(next_of(&mut follower).await, LiveEvent::Resumed);
        let ada = NewUser::new("ada@x", "a");
        let ada = db.users().create(ada).await.unwrap().id;
        let project = db
            .projects()
            .create(NewProject::new("p", ada))
            .await
            .unwrap();
        let new = NewAnalysis::new(project.id, AnalysisType::Quality, ada);
        let created = db.analyses().create(new).await.unwrap().id;
        let event = next_of(&mut follower).await;
        let is_it = matches!(&event, LiveEvent::Changed(analysis) if analysis.id == created);
        assert!(is_it, "{event:?}");
    });
}
