//! An ended session is not read from the cache, and its entry in Redis reveals nothing.

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
    assert!(hits > 0, "{hits}");
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
    while now(&mut observer) < end {
        pause(Duration::from_millis(20)).await;
    }
    let there: u32 = raw.ask(&format!("EXISTS {key}"));
    assert_eq!(there, 1, "it is there no more");
    assert_eq!(sessions.find_by_token_hash("token").await.unwrap(), None);
}

#[both_engines]
#[case]
async fn a_session_that_is_ended_is_gone_when_the_call_returns() {
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

/// A token is rotated while its user is deleted: the deletion takes the session out under its new
/// hash too.
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
             AND mode = 'RowExclusiveLock' AND database = (SELECT oid FROM pg_catalog.pg_database \
             WHERE datname = pg_catalog.current_database()))",
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
    let (rotated, deleted) = concurrently!(rotation(), deletion());
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

fn keys() -> SessionKeys {
    SessionKeys::new(1, [7; 32])
}

fn policy() -> SessionPolicy {
    SessionPolicy::new().record_logins(false)
}

/// A login that both processes have in their caches.
#[both_engines]
async fn warm_login(one: &Sessions, other: &Sessions, user: UserId) -> OpenSession {
    let client = SessionClient::new();
    let opened = one.open(user, &client).await.unwrap().unwrap();
    for _ in 0..2 {
        for sessions in [one, other] {
            let found = sessions.authenticate(opened.token.expose()).await.unwrap();
            assert_eq!(found.unwrap().session, opened.session);
        }
    }
    opened
}

/// Whatever ends a session in one process ends it in the other from its acknowledgement on, with an
/// in-process tier too.
#[both_engines]
#[case]
async fn a_login_that_is_ended_is_rejected_by_every_process() {
    let near = |config: CacheConfig| config.near(1_000, Duration::from_secs(60));
    let pair = pair(near(shared())).await;
    let client = SessionClient::new();
    let one = Sessions::new(&pair.one, keys(), policy()).unwrap();
    let other = Sessions::new(&pair.other, keys(), policy()).unwrap();
    // A process without the cache.
    let plain = Sessions::new(&pair.plain, keys(), policy()).unwrap();
    let users = pair.one.users();
    for round in 0..11 {
        let ada = user(&pair.one).await;
        let opened = warm_login(&one, &other, ada.id).await;
        let found = plain.authenticate(opened.token.expose()).await.unwrap();
        assert_eq!(found.unwrap().session, opened.session);
        let hits = pair.other.metrics().hits;
        assert!(
            other
                .authenticate(opened.token.expose())
                .await
                .unwrap()
                .is_some()
        );
        assert!(
            pair.other.metrics().hits > hits,
            "the session was not read from the cache"
        );
        let role = UserChanges::new().role(UserRole::Admin);
        let new = NewUser::new(ada.email.to_uppercase(), "Ada");
        match round {
            0 => assert!(one.revoke(opened.session.id).await.unwrap()),
            1 => assert_eq!(one.revoke_user(ada.id).await.unwrap(), 1),
            2 => {
                let kept = warm_login(&one, &other, ada.id).await;
                assert_eq!(one.revoke_others(kept.session.id).await.unwrap(), 1);
                let found = other.authenticate(kept.token.expose()).await.unwrap();
                assert_eq!(found.unwrap().session, kept.session);
            }
            3 => drop(users.set_active(ada.id, false).await.unwrap()),
            4 => drop(users.update(ada.id, role).await.unwrap()),
            5 => drop(users.upsert(new.role(UserRole::Admin)).await.unwrap()),
            6 => drop(users.upsert(new.is_active(false)).await.unwrap()),
            7 => assert!(users.delete(ada.id).await.unwrap()),
            8 => {
                let token = opened.refresh_token.expose();
                let refreshed = one.refresh(token, &client).await.unwrap();
                assert!(matches!(refreshed, Refreshed::Granted(_)), "{refreshed:?}");
            }
            9 => {
                // Of a family whose exchanged token is presented, the newest tokens end.
                let strict = policy().grace(Duration::ZERO);
                let strict = Sessions::new(&pair.one, keys(), strict).unwrap();
                let token = opened.refresh_token.expose();
                let Refreshed::Granted(next) = strict.refresh(token, &client).await.unwrap() else {
                    panic!("the first refresh is not granted");
                };
                assert!(
                    other
                        .authenticate(next.token.expose())
                        .await
                        .unwrap()
                        .is_some()
                );
                let reused = strict.refresh(token, &client).await.unwrap();
                assert!(matches!(reused, Refreshed::Reused { .. }), "{reused:?}");
                assert_eq!(other.authenticate(next.token.expose()).await.unwrap(), None);
            }
            // Last: what is invalidated as a whole is filled again when all transactions of the
            // server have ended.
            _ => {
                let filter = UserFilter::new().search(ada.email.clone());
                assert_eq!(users.delete_many(&filter).await.unwrap(), 1);
            }
        }
        for sessions in [&other, &one, &plain] {
            let found = sessions.authenticate(opened.token.expose()).await.unwrap();
            assert_eq!(found, None, "{round}");
        }
        if (3..7).contains(&round) {
            users.set_active(ada.id, true).await.unwrap();
            let found = other.authenticate(opened.token.expose()).await.unwrap();
            assert_eq!(found, None, "{round}, active again");
        }
    }
}

/// A deactivation that is not committed yet: others authenticate and cache, and are rejected once
/// it is acknowledged.
#[both_engines]
#[case]
async fn a_login_that_is_cached_during_a_deactivation_is_rejected_after_it() {
    let pair = pair(shared()).await;
    let one = Sessions::new(&pair.one, keys(), policy()).unwrap();
    let other = Sessions::new(&pair.other, keys(), policy()).unwrap();
    let ada = user(&pair.one).await.id;
    let opened = warm_login(&one, &other, ada).await;
    let deactivated: Result<()> = pair
        .one
        .transaction(async |tx| {
            tx.users().set_active(ada, false).await?;
            for _ in 0..3 {
                assert!(other.authenticate(opened.token.expose()).await?.is_some());
            }
            Ok(())
        })
        .await;
    deactivated.unwrap();
    for sessions in [&other, &one] {
        assert_eq!(
            sessions.authenticate(opened.token.expose()).await.unwrap(),
            None
        );
    }
}

/// An outage of Redis costs a login neither its validity nor an attempt to record its use with each
/// request.
#[both_engines]
#[case]
async fn a_login_is_authenticated_while_redis_is_down() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let every = policy().touch_every(Duration::from_secs(1));
    let other = Sessions::new(&pair.other, keys(), every).unwrap();
    let ada = user(&pair.one).await.id;
    let client = SessionClient::new();
    let opened = other.open(ada, &client).await.unwrap().unwrap();
    let long_ago = UserSessionChanges::new().last_used_at(Utc::now() - TimeDelta::hours(1));
    let id = opened.session.id;
    pair.plain
        .user_sessions()
        .update(id, long_ago)
        .await
        .unwrap();
    drop(redis);
    for _ in 0..3 {
        assert!(
            other
                .authenticate(opened.token.expose())
                .await
                .unwrap()
                .is_some()
        );
    }
    let session = pair.plain.user_sessions().find(id).await.unwrap().unwrap();
    assert!(session.last_used_at < Utc::now() - TimeDelta::minutes(30));
    // What has to be fenced is refused, and a login needs no fence.
    let token = opened.refresh_token.expose();
    assert!(matches!(
        other.refresh(token, &client).await,
        Err(Error::Cache(_))
    ));
    assert!(other.open(ada, &client).await.unwrap().is_some());
    assert!(
        other
            .authenticate(opened.token.expose())
            .await
            .unwrap()
            .is_some()
    );
}

/// Neither the tokens nor the hashes of a login are in Redis.
#[both_engines]
#[case]
async fn nothing_of_a_login_is_to_be_read_in_redis() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let one = Sessions::new(&pair.one, keys(), policy()).unwrap();
    let other = Sessions::new(&pair.other, keys(), policy()).unwrap();
    let ada = user(&pair.one).await.id;
    let opened = warm_login(&one, &other, ada).await;
    let hash = opened.session.token_hash.as_str();
    let random = |token: &str| token[41..84].to_owned();
    let secrets = [
        hash.rsplit('.').next().unwrap().to_owned(),
        random(opened.token.expose()),
        random(opened.refresh_token.expose()),
    ];
    let mut raw = Raw::of(&redis.url());
    let mut values = 0;
    for key in raw.keys("*") {
        let value = raw.value(&key);
        values += usize::from(key.contains(":session:"));
        for secret in &secrets {
            let has = |bytes: &[u8]| {
                bytes
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes())
            };
            assert!(!has(key.as_bytes()) && !has(&value), "{secret} is in {key}");
        }
    }
    assert_eq!(values, 1);
}
