//! A value that another client writes under a key of the cache is rejected.

use super::*;
use std::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// Puts something else in a key's place.
fn plant(raw: &mut Raw, key: &str, what: &str) {
    let _: u32 = raw.ask(&format!("DEL {key}"));
    match what {
        "nothing" => {}
        "text" => raw.ask(&format!("SET {key} garbage")),
        "empty" => raw.ask(&format!("SET {key} ")),
        "list" => drop(raw.ask::<u32>(&format!("RPUSH {key} a b"))),
        "hash" => drop(raw.ask::<u32>(&format!("HSET {key} run x open 1"))),
        "set" => drop(raw.ask::<u32>(&format!("SADD {key} a"))),
        _ => unreachable!(),
    }
}

#[both_engines]
#[case]
async fn what_somebody_else_wrote_is_not_believed() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let config = servers::of(&redis.url()).lease_wait(Duration::from_millis(20));
    let pair = pair(config).await;
    let mut ada = user(&pair.one).await;
    let parts = [":generation", ":epoch:", ":user:", ":user:by:", ":lease"];
    for part in parts {
        for what in ["nothing", "text", "empty", "list", "hash", "set"] {
            let pattern = match part {
                ":lease" => format!("*:user:{}:*", ada.id),
                _ => format!("*{part}*"),
            };
            // Nothing is stored while some transaction of another test keeps the generation closed.
            let began = Instant::now();
            let mut keys = Vec::new();
            while keys.is_empty() {
                assert!(began.elapsed() < MINUTE, "{part} {what}");
                pair.other.users().find(ada.id).await.unwrap();
                pair.other.users().find_by_email(&ada.email).await.unwrap();
                keys = raw.keys(&pattern);
            }
            if part == ":lease" {
                for value in &keys {
                    let _: u32 = raw.ask(&format!("DEL {value}"));
                }
                keys.iter_mut().for_each(|key| key.push_str(":lease"));
            }
            for key in &keys {
                plant(&mut raw, key, what);
            }
            for _ in 0..3 {
                let found = pair.other.users().find(ada.id).await.unwrap();
                assert_eq!(found.as_ref(), Some(&ada), "{part} {what}");
                let found = pair.other.users().find_by_email(&ada.email).await.unwrap();
                assert_eq!(found.as_ref(), Some(&ada), "{part} {what}");
                let found = pair.other.users().find_many(&[ada.id]).await.unwrap();
                assert_eq!(found[0].as_ref(), Some(&ada), "{part} {what}");
            }
            let renamed = UserChanges::new().name(format!("{part} {what}"));
            let renamed = pair.one.users().update(ada.id, renamed).await;
            ada = renamed.unwrap_or_else(|error| panic!("{part} {what}: {error}"));
            let found = pair.other.users().find(ada.id).await.unwrap();
            assert_eq!(found.as_ref(), Some(&ada), "{part} {what}");
        }
    }
    assert!(pair.other.metrics().undecodable > 0);
    let (hits, began) = (pair.other.metrics().hits, Instant::now());
    while pair.other.metrics().hits == hits {
        assert!(began.elapsed() < MINUTE);
        pair.other.users().find(ada.id).await.unwrap();
    }
}

#[both_engines]
#[case]
async fn a_value_of_another_row_or_session_is_not_taken() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let pair = pair(servers::of(&redis.url())).await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    for user in [&ada, &bob] {
        let found = pair.other.users().find(user.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(user));
    }
    let keys = [&ada, &bob].map(|user| raw.keys(&format!("*:user:{}:*", user.id)).remove(0));
    let _: u32 = raw.ask(&format!("COPY {} {} REPLACE", keys[0], keys[1]));
    let found = pair.other.users().find(bob.id).await.unwrap();
    assert_eq!(found, Some(bob));

    let end = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let mut created = Vec::new();
    for hash in ["ada's", "eve's"] {
        let new = NewUserSession::new(ada.id, hash, end);
        let session = pair.one.user_sessions().create(new).await.unwrap();
        for _ in 0..2 {
            let sessions = pair.other.user_sessions();
            let found = sessions.find_by_token_hash(hash).await.unwrap();
            assert_eq!(found.as_ref(), Some(&session));
        }
        created.push(session);
    }
    // Who can write in Redis cannot make one token good for another's session.
    let keys = raw.keys("*:session:*");
    let _: u32 = raw.ask(&format!("COPY {} {} REPLACE", keys[0], keys[1]));
    for session in created {
        let sessions = pair.other.user_sessions();
        let found = sessions.find_by_token_hash(&session.token_hash).await;
        assert_eq!(found.unwrap(), Some(session));
    }
}
