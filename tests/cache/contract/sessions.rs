//! Sessions end when they end, and what lies in Redis of them tells nothing.

use super::*;
use chrono::{DateTime, TimeDelta, Utc};

/// The time by the database's clock.
fn now(observer: &mut Observer) -> DateTime<Utc> {
    let seconds: f64 = observer
        .ask("extract(epoch FROM clock_timestamp())")
        .parse()
        .unwrap();
    DateTime::from_timestamp_micros((seconds * 1e6) as i64).unwrap()
}

#[both_engines]
#[case]
async fn a_session_ends_by_the_databases_clock() {
    let pair = pair(shared()).await;
    let mut observer = Observer::of(&pair.database.url());
    let ada = user(&pair.one).await.id;
    let end = now(&mut observer) + TimeDelta::milliseconds(1_500);
    let new = NewUserSession::new(ada, "token", end);
    let session = pair.one.user_sessions().create(new).await.unwrap();
    let sessions = pair.other.user_sessions();
    for _ in 0..2 {
        assert_eq!(
            sessions.find_by_token_hash("token").await.unwrap(),
            Some(session.clone())
        );
    }
    let mut hits = 0;
    loop {
        let before = now(&mut observer);
        let already = pair.other.metrics().hits;
        let found = sessions.find_by_token_hash("token").await.unwrap();
        let after = now(&mut observer);
        hits += pair.other.metrics().hits - already;
        assert!(found.is_none() || before < end, "found after its end");
        if found.is_none() {
            assert!(after >= end, "gone before its end");
            break;
        }
        pause(Duration::from_millis(20)).await;
    }
    assert!(hits > 5, "{hits}");
    // It is given more time.
    let later = UserSessionChanges::new().expires_at(end + TimeDelta::hours(1));
    pair.one
        .user_sessions()
        .update(session.id, later)
        .await
        .unwrap();
    assert!(
        sessions
            .find_by_token_hash("token")
            .await
            .unwrap()
            .is_some()
    );
}

/// Redis ends the entry too, by its own clock, which may go wrong.
#[both_engines]
#[case]
async fn a_session_ends_although_redis_keeps_it() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let mut observer = Observer::of(&pair.database.url());
    let ada = user(&pair.one).await.id;
    let end = now(&mut observer) + TimeDelta::milliseconds(1_500);
    let new = NewUserSession::new(ada, "token", end);
    let session = pair.one.user_sessions().create(new).await.unwrap();
    let sessions = pair.other.user_sessions();
    let found = sessions.find_by_token_hash("token").await.unwrap();
    assert_eq!(found, Some(session));
    let mut raw = Raw::of(&redis.url());
    let key = raw.keys("*:session:*").remove(0);
    let _: u32 = raw.ask(&format!("PERSIST {key}"));
    let hits = pair.other.metrics().hits;
    while now(&mut observer) < end {
        pause(Duration::from_millis(20)).await;
    }
    assert_eq!(sessions.find_by_token_hash("token").await.unwrap(), None);
    assert!(pair.other.metrics().hits > hits, "it is there no more");
}

#[both_engines]
#[case]
async fn a_session_that_is_ended_is_gone_at_once() {
    let near = |config: CacheConfig| config.near(1_000, Duration::from_secs(60));
    let pair = pair(near(shared())).await;
    let ada = user(&pair.one).await.id;
    for round in 0..20 {
        let hash = format!("token {round}");
        let new = NewUserSession::new(ada, hash.clone(), Utc::now() + TimeDelta::hours(1));
        let session = pair.one.user_sessions().create(new).await.unwrap();
        for _ in 0..2 {
            assert!(
                pair.other
                    .user_sessions()
                    .find_by_token_hash(&hash)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        assert!(pair.one.user_sessions().delete(session.id).await.unwrap());
        assert_eq!(
            pair.other
                .user_sessions()
                .find_by_token_hash(&hash)
                .await
                .unwrap(),
            None
        );
        assert_eq!(
            pair.one
                .user_sessions()
                .find_by_token_hash(&hash)
                .await
                .unwrap(),
            None
        );
    }
    assert_eq!(
        pair.other.metrics().near_hits,
        0,
        "sessions are not kept near"
    );
}

/// A token is rotated while its user is deleted: the deletion takes the session out under its new hash too.
#[both_engines]
#[case]
async fn a_session_of_a_deleted_user_is_gone_although_its_token_was_rotated() {
    let pair = pair(shared()).await;
    let ada = user(&pair.one).await.id;
    let new = NewUserSession::new(ada, "first", Utc::now() + TimeDelta::hours(1));
    let session = pair.one.user_sessions().create(new).await.unwrap().id;
    let sessions = pair.plain.user_sessions();
    let rotation = async || -> Result<()> {
        pair.one
            .transaction(async |tx| {
                let rotated = UserSessionChanges::new().token_hash("second");
                tx.user_sessions().update(session, rotated).await?;
                // The deletion waits for this.
                until(&pair.database, crate::observer::SOMEBODY_WAITS).await;
                Ok(())
            })
            .await
    };
    let deletion = async || -> Result<()> {
        until(
            &pair.database,
            "EXISTS (SELECT FROM pg_locks WHERE relation = 'public.user_sessions'::regclass \
             AND mode = 'RowExclusiveLock')",
        )
        .await;
        pair.one
            .transaction(async |tx| {
                assert!(tx.users().delete(ada).await?);
                // Not committed yet: others find the session, and cache it.
                let others = pair.other.user_sessions();
                for _ in 0..3 {
                    assert!(others.find_by_token_hash("second").await?.is_some());
                }
                Ok(())
            })
            .await
    };
    let (rotated, deleted) = at_once!(rotation(), deletion());
    rotated.unwrap();
    deleted.unwrap();
    assert_eq!(sessions.find_by_token_hash("second").await.unwrap(), None);
    for hash in ["first", "second"] {
        let found = pair.other.user_sessions().find_by_token_hash(hash).await;
        assert_eq!(found.unwrap(), None, "{hash}");
    }
}

#[both_engines]
#[case]
async fn nothing_of_a_session_is_to_be_read_in_redis() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let ada = user(&pair.one).await;
    let secrets = [
        "token-hash-of-ada",
        "refresh-hash-of-ada",
        "Ada's own browser",
    ];
    let new = NewUserSession::new(ada.id, secrets[0], Utc::now() + TimeDelta::hours(1))
        .refresh_token_hash(secrets[1])
        .user_agent(secrets[2])
        .ip_address("198.51.100.7".parse::<ipnetwork::IpNetwork>().unwrap());
    let session = pair.one.user_sessions().create(new).await.unwrap();
    for _ in 0..3 {
        let found = pair
            .other
            .user_sessions()
            .find_by_token_hash(secrets[0])
            .await;
        assert_eq!(found.unwrap(), Some(session.clone()));
        pair.other.users().find_by_email(&ada.email).await.unwrap();
    }
    let mut raw = Raw::of(&redis.url());
    let mut values = 0;
    for key in raw.keys("*") {
        let value = raw.value(&key);
        values += usize::from(key.contains(":session:"));
        for secret in secrets {
            let has = |bytes: &[u8]| {
                bytes
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes())
            };
            assert!(!has(key.as_bytes()) && !has(&value), "{secret} is in {key}");
        }
        let id = session.id.to_string();
        assert!(!key.contains(&id) && !key.contains(&ada.email), "{key}");
        if key.contains(":session:") {
            let id = uuid::Uuid::from(session.id);
            let has_id = value.windows(16).any(|part| part == id.as_bytes());
            assert!(!has_id, "its id is in {key}");
        }
    }
    assert_eq!(values, 1);
}
