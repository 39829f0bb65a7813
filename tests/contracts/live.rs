//! Live progress: which events arrive, also if connections are lost and readers are slow.

#[path = "live"]
mod asynchronous {
    use std::time::Duration;

    use crate::observer::Observer;
    use futures_util::StreamExt as _;
    use tokio::test as case;
    use wundr_db::{repository as both_engines, *};

    /// The next event, which is sure to come.
    async fn next(live: &mut Live) -> LiveEvent {
        let next = tokio::time::timeout(Duration::from_secs(20), live.next());
        next.await.expect("the stream ended").unwrap()
    }

    /// The next event of a hub's follower, which is sure to come.
    async fn next_of(follower: &mut LiveFollower) -> LiveEvent {
        let next = tokio::time::timeout(Duration::from_secs(60), follower.next());
        next.await.expect("no event came").unwrap()
    }

    /// Waits until a condition on the server's state holds.
    async fn until(observer: &mut Observer, condition: &str) {
        observer.eventually(condition).await;
    }

    mod contract;
    mod hub;
    mod runtimes;
}

#[path = "live"]
mod blocking {
    use std::time::Duration;

    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::LiveEvent;
    use wundr_db::blocking::{repository as both_engines, *};

    /// The next event, which is sure to come.
    fn next(live: &mut Live) -> LiveEvent {
        let next = live.next_within(Duration::from_secs(20));
        next.expect("the stream ended")
    }

    /// The next event of a hub's follower, which is sure to come.
    fn next_of(follower: &mut LiveFollower) -> LiveEvent {
        let next = follower.next_within(Duration::from_secs(60));
        next.expect("no event came")
    }

    /// Waits until a condition on the server's state holds.
    fn until(observer: &mut Observer, condition: &str) {
        observer.until(condition);
    }

    mod contract;
    mod hub;

    #[test]
    fn nothing_comes_within_a_time_in_which_nothing_happens() {
        let database = wundr_db::testing::migrated_database().unwrap();
        let db = Db::connect_to(&database.url()).unwrap();
        let mut live = db.follow(wundr_db::Follow::All).unwrap();
        assert_eq!(live.next(), Some(LiveEvent::Resumed));
        assert_eq!(live.next_within(Duration::from_millis(60)), None);
    }
}
