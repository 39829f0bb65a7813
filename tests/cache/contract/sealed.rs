//! With a key, entries in Redis can be written only by a process that has it.

use super::*;
use chrono::{TimeDelta, Utc};
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

fn sealed(url: &str) -> CacheConfig {
    servers::of(url).key([7; 32])
}

/// Copies a value's bytes under another key, as a client that may write to Redis could.
fn put(raw: &mut Raw, key: &str, bytes: &[u8]) {
    raw.set(key, bytes);
}

#[both_engines]
async fn cached_user(pair: &Pair) -> User {
    let user = user(&pair.one).await;
    let (began, hits) = (Instant::now(), pair.other.metrics().hits);
    while pair.other.metrics().hits == hits {
        let found = pair.other.users().find(user.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&user));
        assert!(began.elapsed() < PATIENCE, "{:?}", pair.other.metrics());
    }
    user
}

fn key_of(raw: &mut Raw, user: &User) -> String {
    raw.keys(&format!("*:user:{}:*", user.id)).remove(0)
}

#[both_engines]
#[case]
async fn sealed_values_are_hits_and_tell_nothing() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(sealed(&redis.url())).await;
    let ada = cached_user(&pair).await;
    let found = pair.other.users().find_many(&[ada.id]).await.unwrap();
    assert_eq!(found, [Some(ada.clone())]);
    for _ in 0..2 {
        let found = pair.other.users().find_by_email(&ada.email).await.unwrap();
        assert_eq!(found.as_ref(), Some(&ada));
    }
    assert_eq!(pair.other.metrics().undecodable, 0);
    let mut raw = Raw::of(&redis.url());
    for key in raw.keys("*:user:*") {
        let value = raw.value(&key);
        for secret in [ada.email.as_bytes(), ada.name.as_bytes()] {
            let mut parts = value.windows(secret.len());
            assert!(!parts.any(|part| part == secret), "{key}");
        }
    }
    // After a write no stale value is read, as without a key.
    let renamed = pair.one.users().set_active(ada.id, false).await.unwrap();
    for _ in 0..2 {
        let found = pair.other.users().find(ada.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&renamed));
    }
    assert!(!format!("{:?}", pair.one).contains("7, 7"), "the key");
}

#[both_engines]
#[case]
async fn a_value_that_is_moved_or_made_up_does_not_open() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(sealed(&redis.url())).await;
    let mut raw = Raw::of(&redis.url());
    let (ada, eve) = (cached_user(&pair).await, cached_user(&pair).await);
    let (of_ada, of_eve) = (key_of(&mut raw, &ada), key_of(&mut raw, &eve));
    let values = [raw.value(&of_ada), raw.value(&of_eve)];
    // Another process without the key, or with another, has values of its own.
    for config in [
        servers::of(&redis.url()),
        servers::of(&redis.url()).key([8; 32]),
    ] {
        let stranger = cached(&pair.database.url(), config).await;
        for _ in 0..3 {
            let found = stranger.users().find(ada.id).await.unwrap();
            assert_eq!(found.as_ref(), Some(&ada));
        }
        assert!(stranger.metrics().hits > 0 && stranger.metrics().undecodable == 0);
    }
    let all = raw.keys(&format!("*:user:{}:*", ada.id));
    assert_eq!(all.len(), 3, "{all:?}");
    let mut changed = values[0].clone();
    *changed.last_mut().unwrap() ^= 1;
    let open = all
        .iter()
        .find(|key| key.matches(':').count() > 0 && !key.contains('.'));
    let open = raw.value(open.unwrap());
    for (what, bytes) in [
        ("another's", &values[1][..]),
        ("changed", &changed),
        ("not sealed", &open),
        ("nothing", b""),
        ("noise", &[0; 300]),
    ] {
        put(&mut raw, &of_ada, bytes);
        let before = pair.other.metrics();
        let found = pair.other.users().find(ada.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&ada), "{what}");
        assert!(
            pair.other.metrics().undecodable > before.undecodable,
            "{what}"
        );
        // It is as good as none: another takes its place.
        let hits = pair.other.metrics().hits;
        let found = pair.other.users().find(ada.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&ada), "{what}");
        assert_eq!(pair.other.metrics().hits, hits + 1, "{what}");
    }
    // What the write makes old stays so for all of them.
    let renamed = pair.one.users().set_active(ada.id, false).await.unwrap();
    let stranger = cached(&pair.database.url(), servers::of(&redis.url())).await;
    for db in [&pair.other, &stranger] {
        assert_eq!(
            db.users().find(ada.id).await.unwrap(),
            Some(renamed.clone())
        );
    }
}

#[both_engines]
#[case]
async fn a_value_of_an_earlier_generation_does_not_open() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(sealed(&redis.url())).await;
    let mut raw = Raw::of(&redis.url());
    let ada = cached_user(&pair).await;
    let old = key_of(&mut raw, &ada);
    let value = raw.value(&old);
    // All of the earlier state, the generation too.
    let mut state = Vec::new();
    for key in raw.keys("*") {
        state.push((key.clone(), raw.bytes(&key)));
    }
    execute(&pair.one, "UPDATE public.users SET name = 'Grace'").await;
    let grace = pair.plain.users().find(ada.id).await.unwrap().unwrap();
    let (hits, began) = (pair.other.metrics().hits, Instant::now());
    while pair.other.metrics().hits == hits {
        let found = pair.other.users().find(ada.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&grace));
        assert!(began.elapsed() < PATIENCE, "{:?}", pair.other.metrics());
    }
    let mut keys = raw.keys(&format!("*:user:{}:*", ada.id));
    keys.retain(|key| *key != old);
    put(&mut raw, &keys[0], &value);
    let found = pair.other.users().find(ada.id).await.unwrap();
    assert_eq!(
        found.as_ref(),
        Some(&grace),
        "an old value under the new name"
    );
    for (key, bytes) in &state {
        raw.restore(key, bytes);
    }
    for db in [&pair.one, &pair.other] {
        for _ in 0..3 {
            let found = db.users().find(ada.id).await.unwrap();
            assert_eq!(found.as_ref(), Some(&grace), "all of the old state");
        }
    }
}

#[both_engines]
#[case]
async fn a_session_that_is_put_back_after_its_end_does_not_open_where_that_is_known() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(sealed(&redis.url())).await;
    let mut raw = Raw::of(&redis.url());
    let ada = user(&pair.one).await.id;
    let new = NewUserSession::new(ada, "token", Utc::now() + TimeDelta::hours(1));
    let session = pair.one.user_sessions().create(new).await.unwrap();
    let (sessions, others) = (pair.one.user_sessions(), pair.other.user_sessions());
    for _ in 0..2 {
        let found = others.find_by_token_hash("token").await.unwrap();
        assert_eq!(found.as_ref(), Some(&session));
    }
    let key = raw.keys("*:session:*").remove(0);
    let value = raw.value(&key);
    assert!(sessions.delete(session.id).await.unwrap());
    put(&mut raw, &key, &value);
    // The process that has ended it.
    for _ in 0..2 {
        assert_eq!(sessions.find_by_token_hash("token").await.unwrap(), None);
    }
    // Another that has found it ended.
    let _: u32 = raw.ask(&format!("DEL {key}"));
    assert_eq!(others.find_by_token_hash("token").await.unwrap(), None);
    put(&mut raw, &key, &value);
    assert_eq!(others.find_by_token_hash("token").await.unwrap(), None);
}

/// A process that has not read it finds it until the value ends. The end is sealed in the value,
/// whatever Redis keeps.
#[both_engines]
#[case]
async fn a_value_that_redis_keeps_beyond_its_end_does_not_open() {
    let redis = RedisServer::start().unwrap();
    let lifetime = Duration::from_millis(500);
    let pair = pair(sealed(&redis.url()).lifetime(CachedKind::UserSession, lifetime)).await;
    let mut raw = Raw::of(&redis.url());
    let ada = user(&pair.one).await.id;
    let new = NewUserSession::new(ada, "token", Utc::now() + TimeDelta::hours(1));
    let session = pair.one.user_sessions().create(new).await.unwrap();
    let sessions = pair.other.user_sessions();
    assert_eq!(
        sessions.find_by_token_hash("token").await.unwrap(),
        Some(session.clone())
    );
    let key = raw.keys("*:session:*").remove(0);
    let value = raw.value(&key);
    // Past this crate, so that the cache does not know.
    execute(&pair.plain, "DELETE FROM public.user_sessions").await;
    put(&mut raw, &key, &value);
    let began = Instant::now();
    while sessions
        .find_by_token_hash("token")
        .await
        .unwrap()
        .is_some()
    {
        put(&mut raw, &key, &value);
        assert!(began.elapsed() < PATIENCE, "it is found for ever");
    }
}

/// An encrypted setting and the secrets of an integration are sealed in Redis and in the in-process
/// tier.
#[both_engines]
#[case]
async fn secrets_are_sealed_in_the_cache_and_opened_after_it() {
    let redis = RedisServer::start().unwrap();
    let near = servers::of(&redis.url()).near(1_000, Duration::from_secs(60));
    let pair = pair(near.clone()).await;
    let keyed = pair.plain.with_secrets(wundr_db::Keyring::new(1, [1; 32]));
    let keyed = Cached::new(keyed, near).unwrap();
    let ada = user(&pair.one).await.id;
    let scope = ConfigurationScope::Global;
    let category = ConfigCategory::ALL[0];
    let new = NewConfiguration::new(scope, category, "key", "hunter2-of-ada", ada);
    let settings = keyed.configurations();
    settings.upsert(new.is_encrypted(true)).await.unwrap();
    for _ in 0..3 {
        let found = settings.find_by_name(scope, category, "key").await.unwrap();
        assert_eq!(found.unwrap().value, serde_json::json!("hunter2-of-ada"));
        let found = settings.effective(scope, category, "key").await.unwrap();
        assert_eq!(found.unwrap().value, serde_json::json!("hunter2-of-ada"));
        let found = settings.effective_all(scope, None).await.unwrap();
        assert_eq!(
            found[&category]["key"].value,
            serde_json::json!("hunter2-of-ada")
        );
        // Of the same entry, a process without keys has the sealed value.
        let found = pair
            .other
            .configurations()
            .effective(scope, category, "key")
            .await;
        let error = found.unwrap().unwrap().value.get().unwrap_err();
        assert!(matches!(error, Error::Sealed { key: 1, .. }), "{error:?}");
    }
    let metrics = keyed.metrics();
    assert!(
        metrics.fills > 0 && metrics.hits + metrics.near_hits > 0,
        "{metrics:?}"
    );
    let mut raw = Raw::of(&redis.url());
    let keys = raw.keys("*:configurations:*");
    assert!(!keys.is_empty());
    for key in keys {
        let value = raw.value(&key);
        let has = |text: &str| {
            value
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        assert!(!has("hunter2"), "{key}");
    }
}

/// After secrets were moved to another key, no process reads the old sealed value from the cache:
/// the old key may be removed immediately.
#[both_engines]
#[case]
async fn a_setting_that_was_moved_to_another_key_is_not_cached_under_the_old_one() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let old = pair.plain.with_secrets(wundr_db::Keyring::new(1, [1; 32]));
    let ada = user(&pair.one).await.id;
    let scope = ConfigurationScope::Global;
    let category = ConfigCategory::ALL[0];
    let new = NewConfiguration::new(scope, category, "key", 42, ada).is_encrypted(true);
    old.configurations().create(new).await.unwrap();
    let key_of = |found: Option<Configuration>| match found.unwrap().value.get() {
        Err(Error::Sealed { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    // Both processes have it in their caches. They have no keys, so that the key is seen.
    for process in [&pair.one, &pair.other] {
        let began = Instant::now();
        let before = process.metrics().hits;
        while process.metrics().hits == before {
            let found = process
                .configurations()
                .effective(scope, category, "key")
                .await;
            assert_eq!(key_of(found.unwrap()), 1);
            assert!(began.elapsed() < PATIENCE, "{:?}", process.metrics());
        }
    }
    let keys = wundr_db::Keyring::new(2, [2; 32])
        .accept(1, [1; 32])
        .unwrap();
    let moved = pair
        .one
        .db()
        .with_secrets(keys)
        .reseal(None, 10)
        .await
        .unwrap();
    assert_eq!((moved.resealed, moved.next), (1, None));
    for process in [&pair.other, &pair.one] {
        let found = process
            .configurations()
            .effective(scope, category, "key")
            .await;
        assert_eq!(key_of(found.unwrap()), 2);
    }
}
