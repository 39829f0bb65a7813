//! Many readers, entries that end, and values of the near cache.

use super::*;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

#[both_engines]
async fn find(db: &Cached, id: UserId) -> Result<Option<User>> {
    db.users().find(id).await
}

#[both_engines]
#[case]
async fn a_thousand_readers_of_a_cold_entry_ask_the_database_once() {
    // A thousand threads open a connection each: on a busy machine all of it takes longer than an
    // application would wait.
    let config = shared()
        .connect_timeout(PATIENCE)
        .response_timeout(PATIENCE)
        .lease(PATIENCE * 3)
        .lease_wait(PATIENCE);
    let began = Instant::now();
    let pair = pair(config).await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    // Connections are there, and statements prepared.
    for db in [&pair.one, &pair.other] {
        db.users().find(bob.id).await.unwrap();
    }
    pair.one.users().touch_last_login(bob.id).await.unwrap();
    pair.other.users().find(bob.id).await.unwrap();

    // In one process.
    let (traffic, before) = (pair.wire.traffic(), pair.other.metrics());
    for found in all_concurrently!(1_000, find(&pair.other, ada.id)) {
        assert_eq!(found.unwrap(), Some(ada.clone()));
    }
    let after = pair.other.metrics();
    let requests = pair.wire.traffic().since(traffic).requests;
    // Every ten seconds the database is asked whether it is still the same, too.
    if began.elapsed() < Duration::from_secs(9) {
        assert_eq!(requests, 1);
    }
    assert_eq!(
        (after.misses - before.misses, after.fills - before.fills),
        (1, 1)
    );
    assert_eq!(after.bypasses, before.bypasses);
    let answered =
        |metrics: wundr_db::cache::CacheMetrics| metrics.hits + metrics.shared + metrics.misses;
    assert_eq!(answered(after) - answered(before), 1_000);

    // In two.
    let ada = pair.one.users().touch_last_login(ada.id).await.unwrap();
    let before = [pair.one.metrics(), pair.other.metrics()];
    let of_one = async || all_concurrently!(500, find(&pair.one, ada.id));
    let of_other = async || all_concurrently!(500, find(&pair.other, ada.id));
    let (of_one, of_other) = concurrently!(of_one(), of_other());
    for found in of_one.into_iter().chain(of_other) {
        assert_eq!(found.unwrap(), Some(ada.clone()));
    }
    let after = [pair.one.metrics(), pair.other.metrics()];
    let asked = |metrics: [wundr_db::cache::CacheMetrics; 2]| -> u64 {
        metrics
            .iter()
            .map(|metrics| metrics.misses + metrics.bypasses)
            .sum()
    };
    assert_eq!(asked(after) - asked(before), 1);
}

#[both_engines]
#[case]
async fn an_entry_is_filled_again_before_its_end() {
    for early in [true, false] {
        let config = shared().early_refresh(early);
        let pair = pair(config.lifetime(CachedKind::User, Duration::from_millis(40))).await;
        let ada = user(&pair.one).await.id;
        let began = Instant::now();
        while pair.other.metrics().early_refreshes < 3 && began.elapsed() < PATIENCE {
            pair.other.users().find(ada).await.unwrap();
            if !early && pair.other.metrics().fills > 10 {
                break;
            }
        }
        let metrics = pair.other.metrics();
        assert_eq!(metrics.early_refreshes > 0, early, "{metrics:?}");
        assert!(metrics.fills >= 3, "{metrics:?}");
    }
}

#[both_engines]
#[case]
async fn entries_do_not_end_together_nor_absence_last_long() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let pair =
        pair(servers::of(&redis.url()).lifetime(CachedKind::User, Duration::from_secs(1_000)))
            .await;
    let mut ends = |pattern: &str| -> Vec<i64> {
        let keys = raw.keys(pattern);
        keys.iter()
            .map(|key| raw.ask(&format!("PTTL {key}")))
            .collect()
    };
    for _ in 0..40 {
        let ada = user(&pair.one).await.id;
        pair.one.users().find(ada).await.unwrap();
    }
    let of_users = ends("*:user:*");
    assert_eq!(of_users.len(), 40);
    assert!(
        of_users
            .iter()
            .all(|end| (890_000..=1_000_000).contains(end)),
        "{of_users:?}"
    );
    let (first, last) = (
        of_users.iter().min().unwrap(),
        of_users.iter().max().unwrap(),
    );
    assert!(last - first > 20_000, "{of_users:?}");
    for _ in 0..2 {
        assert_eq!(pair.one.users().find(UserId::new()).await.unwrap(), None);
    }
    let absent: Vec<_> = ends("*:user:*")
        .into_iter()
        .filter(|end| *end <= 30_000)
        .collect();
    assert_eq!(absent.len(), 2);
    // Of what is kept for ever there is only where the generation is.
    let kept = ends("*");
    assert_eq!(kept.iter().filter(|end| **end == -1).count(), 2);
}

#[both_engines]
#[case]
async fn a_value_that_is_too_large_is_read_and_not_stored() {
    let pair = pair(shared().max_value_bytes(1_000)).await;
    let ada = user(&pair.one).await.id;
    let preferences = serde_json::json!({ "text": "x".repeat(1_000) });
    let ada = pair
        .one
        .users()
        .merge_preferences(ada, preferences.into())
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(
            pair.other.users().find(ada.id).await.unwrap(),
            Some(ada.clone())
        );
        let many = pair.other.users().find_many(&[ada.id]).await.unwrap();
        assert_eq!(many, [Some(ada.clone())]);
    }
    let metrics = pair.other.metrics();
    assert_eq!((metrics.hits, metrics.too_large), (0, 6), "{metrics:?}");
    // One that had fitted does not stay.
    let bob = user(&pair.one).await;
    pair.other.users().find(bob.id).await.unwrap();
    let preferences = serde_json::json!({ "text": "x".repeat(1_000) });
    let bob = pair
        .one
        .users()
        .merge_preferences(bob.id, preferences.into())
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(
            pair.other.users().find(bob.id).await.unwrap(),
            Some(bob.clone())
        );
    }
}

#[both_engines]
#[case]
async fn a_value_near_the_reader_is_as_old_as_was_allowed() {
    let bound = Duration::from_millis(400);
    let pair = pair(shared().near(100, bound)).await;
    let ada = user(&pair.one).await;
    for _ in 0..3 {
        pair.other.users().find(ada.id).await.unwrap();
    }
    let before = pair.other.metrics();
    assert!(before.near_hits > 0);
    let renamed = pair.one.users().set_active(ada.id, false).await.unwrap();
    let acknowledged = Instant::now();
    // The writer reads its own write.
    assert_eq!(
        pair.one.users().find(ada.id).await.unwrap(),
        Some(renamed.clone())
    );
    loop {
        let begun = acknowledged.elapsed();
        let found = pair.other.users().find(ada.id).await.unwrap().unwrap();
        if found == renamed {
            break;
        }
        assert!(begun <= bound, "{begun:?} after the write");
    }
    assert!(pair.other.metrics().hit_rate() > 0.0);
    // Near all the same: the other's own writes, and everything.
    let activated = pair.other.users().set_active(ada.id, true).await.unwrap();
    assert_eq!(
        pair.other.users().find(ada.id).await.unwrap(),
        Some(activated)
    );
    execute(&pair.other, "UPDATE public.users SET name = 'Grace'").await;
    assert_eq!(
        pair.other.users().find(ada.id).await.unwrap().unwrap().name,
        "Grace"
    );
}

#[both_engines]
#[case]
async fn what_it_does_is_counted() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let none = pair.other.metrics();
    assert_eq!(none, wundr_db::cache::CacheMetrics::default());
    assert_eq!((none.hit_rate(), none.mean_call()), (0.0, Duration::ZERO));
    let ada = user(&pair.one).await.id;
    assert_eq!(
        (pair.one.metrics().fences, pair.one.metrics().generations),
        (1, 0)
    );
    for _ in 0..4 {
        pair.other.users().find(ada).await.unwrap();
    }
    let metrics = pair.other.metrics();
    assert_eq!((metrics.misses, metrics.fills, metrics.hits), (1, 1, 3));
    assert_eq!((metrics.errors, metrics.bypasses), (0, 0));
    assert!((metrics.hit_rate() - 0.75).abs() < 1e-9);
    assert!(metrics.calls >= 6 && metrics.mean_call() > Duration::ZERO);
    assert_eq!(metrics.latencies.count(), metrics.calls);
    assert!(metrics.latencies.quantile(0.5) > Duration::ZERO);
    let _: () = Raw::of(&redis.url()).ask("FLUSHALL");
    pair.other.users().find(ada).await.unwrap();
    assert_eq!(
        pair.other.metrics().generations,
        1,
        "begun by the reader that found it lost"
    );
}
