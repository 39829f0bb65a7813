//! A failure is logged once, not by each call.

use super::*;
use crate::subscriber::{RecordedSpan, events, listen, spans};

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

/// A miss contains the call of the database, and a hit contains none.
#[both_engines]
#[case]
async fn a_cached_call_is_a_span_with_its_outcome() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(of(&redis.url())).await;
    let ada = user(&pair.one).await.id;
    let hits = pair.other.metrics().hits;
    while pair.other.metrics().hits == hits {
        pair.other.users().find(ada).await.unwrap();
    }
    let spans = spans();
    let cached: Vec<_> = spans
        .iter()
        .filter(|span| span.fields.contains("cached.users.find\""))
        .collect();
    let last = cached.last().unwrap_or_else(|| panic!("{spans:?}"));
    for part in [
        "db.system.name=\"redis\"",
        "db.collection.name=\"users\"",
        "wundr_db.cache.outcome=\"hit\"",
        "outcome=\"ok\"",
    ] {
        assert!(last.fields.contains(part), "{part}: {}", last.fields);
    }
    assert!(!spans.iter().any(|span| span.parent == Some(last.id)));
    let is_missed = |span: &&&RecordedSpan| span.fields.contains("wundr_db.cache.outcome=\"miss\"");
    let missed = cached
        .iter()
        .find(is_missed)
        .unwrap_or_else(|| panic!("{cached:?}"));
    let of_database = spans.iter().filter(|span| span.parent == Some(missed.id));
    let of_database: Vec<_> = of_database.collect();
    assert!(
        of_database
            .iter()
            .any(|span| span.fields.contains("\"users.find\"")),
        "{of_database:?}"
    );
}
