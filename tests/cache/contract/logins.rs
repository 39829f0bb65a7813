//! A login is authenticated by one command, and its use is recorded seldom.

use super::*;
use chrono::{TimeDelta, Utc};

const REQUESTS: usize = 20;

#[both_engines]
async fn is_valid(sessions: &Sessions, opened: &OpenSession) -> bool {
    let found = sessions.authenticate(opened.token.expose()).await.unwrap();
    found.is_some_and(|found| found.session.id == opened.session.id)
}

fn sessions_of(source: &Cached, policy: SessionPolicy) -> Sessions {
    Sessions::new(source, SessionKeys::new(1, [7; 32]), policy).unwrap()
}

/// A login of a new user, which both entries of the cache have.
#[both_engines]
async fn warm(pair: &Pair, sessions: &Sessions) -> OpenSession {
    let ada = user(&pair.one).await.id;
    let opened = sessions.open(ada, &SessionClient::new()).await.unwrap();
    let opened = opened.unwrap();
    let fills = pair.other.metrics().fills;
    let began = std::time::Instant::now();
    while pair.other.metrics().fills < fills + 2 {
        assert!(is_valid(sessions, &opened).await);
        let metrics = pair.other.metrics();
        assert!(began.elapsed() < Duration::from_secs(20), "{metrics:?}");
    }
    opened
}

#[both_engines]
#[case]
async fn a_cached_login_costs_one_command() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let sessions = sessions_of(&pair.other, SessionPolicy::new());
    let opened = warm(&pair, &sessions).await;
    let mut raw = Raw::of(&redis.url());
    let (traffic, before) = (pair.wire.traffic(), pair.other.metrics());
    let (reads, scripts) = (raw.calls("mget"), raw.calls("evalsha"));
    for _ in 0..REQUESTS {
        assert!(is_valid(&sessions, &opened).await);
    }
    assert_eq!(pair.wire.traffic(), traffic, "the database is queried");
    assert_eq!(raw.calls("mget") - reads, REQUESTS);
    assert_eq!(raw.calls("evalsha"), scripts);
    let hits = pair.other.metrics().hits - before.hits;
    assert_eq!(hits as usize, 2 * REQUESTS);
}

/// The cached `last_used_at` is outdated, because another client wrote it past the cache. The
/// process tries to update it once, not with each request.
#[both_engines]
#[case]
async fn a_login_is_recorded_as_used_at_most_once() {
    let pair = pair(shared()).await;
    let policy = SessionPolicy::new().touch_every(Duration::from_secs(3_600));
    let sessions = sessions_of(&pair.other, policy);
    let ada = user(&pair.one).await.id;
    let opened = sessions.open(ada, &SessionClient::new()).await.unwrap();
    let opened = opened.unwrap();
    let id = opened.session.id;
    let long_ago = UserSessionChanges::new().last_used_at(Utc::now() - TimeDelta::hours(2));
    let plain = pair.plain.user_sessions();
    plain.update(id, long_ago).await.unwrap();
    // It is read into the cache without an update.
    let never = sessions_of(&pair.other, SessionPolicy::new().touch_every(None));
    let fills = pair.other.metrics().fills;
    let began = std::time::Instant::now();
    while pair.other.metrics().fills < fills + 2 {
        assert!(is_valid(&never, &opened).await);
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    let recent = UserSessionChanges::new().last_used_at(Utc::now());
    let recent = plain.update(id, recent).await.unwrap();
    let traffic = pair.wire.traffic();
    assert!(is_valid(&sessions, &opened).await);
    let once = pair.wire.traffic();
    assert_ne!(once, traffic, "no update is tried");
    for _ in 0..REQUESTS {
        assert!(is_valid(&sessions, &opened).await);
    }
    assert_eq!(pair.wire.traffic(), once, "an update is tried again");
    assert_eq!(plain.find(id).await.unwrap(), Some(recent));
}

/// The in-process tier may return an outdated user. A login does not: neither the user's former
/// role nor its former state.
#[both_engines]
#[case]
async fn the_user_of_a_login_is_not_outdated() {
    let near = |config: CacheConfig| config.near(1_000, Duration::from_secs(3_600));
    let pair = pair(near(shared())).await;
    let sessions = sessions_of(&pair.other, SessionPolicy::new());
    let opened = warm(&pair, &sessions).await;
    let ada = opened.session.user_id;
    let before = pair.other.metrics().near_hits;
    let outdated = pair.other.users().find(ada).await.unwrap().unwrap();
    let again = pair.other.users().find(ada).await.unwrap();
    assert_eq!(again.as_ref(), Some(&outdated));
    assert!(pair.other.metrics().near_hits > before);

    let role = UserChanges::new().role(UserRole::Viewer);
    let role = role.name("Grace");
    let changed = pair.one.users().update(ada, role).await.unwrap();
    assert!(!is_valid(&sessions, &opened).await);
    let opened = sessions.open(ada, &SessionClient::new()).await.unwrap();
    let opened = opened.unwrap();
    for _ in 0..3 {
        let found = sessions.authenticate(opened.token.expose()).await.unwrap();
        assert_eq!(found.unwrap().user, changed);
    }
}
