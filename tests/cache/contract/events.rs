//! A failure is logged once, not by each call.

use super::*;
use crate::subscriber::{events, listen};

fn of(url: &str) -> CacheConfig {
    listen();
    CacheConfig::new(url)
        .unwrap()
        .retry_after(Duration::from_millis(1))
}

/// Returns the number of events of this thread that contain the words.
fn times(words: &str) -> usize {
    events()
        .iter()
        .filter(|event| event.contains(words))
        .count()
}

#[both_engines]
#[case]
async fn a_server_that_is_gone_is_told_once() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(of(&redis.url())).await;
    let ada = user(&pair.one).await.id;
    pair.other.users().find(ada).await.unwrap();
    for round in 1..=2 {
        redis.kill();
        for _ in 0..20 {
            pair.other.users().find(ada).await.unwrap();
            pause(Duration::from_millis(2)).await;
        }
        assert_eq!(times("does not answer"), round, "{:?}", events());
        redis.restart().unwrap();
        let hits = pair.other.metrics().hits;
        while pair.other.metrics().hits == hits {
            pair.other.users().find(ada).await.unwrap();
        }
    }
    assert_eq!(times("began a new generation"), 3, "{:?}", events());
}

#[both_engines]
#[case]
async fn a_value_that_is_none_is_told_once() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let pair = pair(of(&redis.url())).await;
    let ada = user(&pair.one).await.id;
    for _ in 0..5 {
        pair.other.users().find(ada).await.unwrap();
        for key in raw.keys("*:user:*") {
            let _: () = raw.ask(&format!("SET {key} garbage"));
        }
        pair.other.users().find(ada).await.unwrap();
    }
    assert!(pair.other.metrics().undecodable >= 5);
    assert_eq!(times("cannot be decoded"), 1, "{:?}", events());
}

#[both_engines]
#[case]
async fn a_server_that_refuses_is_told_once() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(of(&redis.url())).await;
    let ada = user(&pair.one).await.id;
    pair.other.users().find(ada).await.unwrap();
    let mut raw = Raw::of(&redis.url());
    let _: () = raw.ask("CONFIG SET maxmemory 1");
    for _ in 0..20 {
        pair.other.users().find(UserId::new()).await.unwrap();
    }
    assert_eq!(times("Redis rejected a cache command"), 1, "{:?}", events());
    assert_eq!(times("does not answer"), 0, "{:?}", events());
}
