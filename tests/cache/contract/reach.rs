//! The servers that the cache is found on: which rights it needs, how it is distinguished, and
//! which one holds a shard.

use std::collections::HashMap;

use super::*;
use crate::installations::{Cluster, Sentinels, TlsRedis};
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(40);

/// As `CacheConfig::new` states them.
const RIGHTS: &str = "+info +mget +get +set +del +eval +evalsha +exists +type +time +hget +hmget +hset +hsetnx +hdel +hexists";

/// Entries are found, alone and in batches, and no write leaves a stale one.
#[both_engines]
async fn works(pair: &Pair, what: &str) {
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    let ids = [ada.id, bob.id, UserId::new()];
    let began = Instant::now();
    loop {
        let hits = pair.other.metrics().hits;
        let found = pair.other.users().find(ada.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&ada), "{what}");
        let found = pair.other.users().find_many(&ids).await.unwrap();
        assert_eq!(
            found,
            [Some(ada.clone()), Some(bob.clone()), None],
            "{what}"
        );
        if pair.other.metrics().hits - hits == 4 {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: {:?}",
            pair.other.metrics()
        );
    }
    let changes = UserChanges::new().name("Grace");
    let renamed = pair.one.users().update(ada.id, changes).await;
    let renamed = renamed.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(
        pair.other.users().find(ada.id).await.unwrap(),
        Some(renamed),
        "{what}"
    );
    execute(&pair.one, "UPDATE public.users SET name = 'Ada'").await;
    let found = pair.other.users().find(ada.id).await.unwrap().unwrap();
    assert_eq!(found.name, "Ada", "{what}");
}

#[both_engines]
#[case]
async fn a_user_of_redis_with_the_rights_that_are_stated() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let url = format!(
        "redis+unix://{}?user=app&pass=secret",
        redis.socket().display()
    );
    let _: () = raw.ask(&format!("ACL SETUSER app on >secret ~app:* {RIGHTS}"));
    let config = servers::of(&url).prefix("app");
    let pair = pair(config.clone()).await;
    works(&pair, "the rights").await;
    assert_eq!(pair.one.metrics().errors + pair.other.metrics().errors, 0);
    let denied: Vec<HashMap<String, redis::Value>> = raw.ask("ACL LOG");
    // The driver sends its name, and continues if it may not.
    let is_greeting = |name: &str| name == "client" || name.starts_with("client|");
    for denied in denied {
        let object: String = redis::from_redis_value_ref(&denied["object"]).unwrap();
        assert!(is_greeting(&object), "{object}");
    }
    // None of them can be spared, and without it nothing is wrong.
    for right in RIGHTS.split(' ') {
        let pair = unopened(config.clone().retry_after(Duration::ZERO)).await;
        let ada = user(&pair.plain).await;
        let _: () = raw.ask("FLUSHALL");
        let _: () = raw.ask("SCRIPT FLUSH");
        let _: () = raw.ask(&format!("ACL SETUSER app -{}", &right[1..]));
        let mut ada = ada;
        let errors = || pair.one.metrics().errors + pair.other.metrics().errors;
        let (began, mut rounds) = (Instant::now(), 0);
        // Some are asked for only when the generation may be filled, which a transaction of another
        // test may delay.
        while rounds < 4 || errors() == 0 {
            rounds += 1;
            assert!(began.elapsed() < PATIENCE, "{right} is not needed");
            assert_eq!(
                pair.other.users().find(ada.id).await.unwrap(),
                Some(ada.clone()),
                "{right}"
            );
            let ids = [ada.id, UserId::new()];
            let many = pair.other.users().find_many(&ids).await.unwrap();
            assert_eq!(many, [Some(ada.clone()), None], "{right}");
            let login = pair.one.users().touch_last_login(ada.id).await;
            assert!(
                matches!(login, Ok(_) | Err(Error::Cache(_))),
                "{right}: {login:?}"
            );
            ada = pair.plain.users().find(ada.id).await.unwrap().unwrap();
            assert_eq!(
                pair.other.users().find(ada.id).await.unwrap(),
                Some(ada.clone()),
                "{right}"
            );
        }
        let _: () = raw.ask(&format!("ACL SETUSER app {right}"));
    }
}

#[both_engines]
#[case]
async fn applications_with_prefixes_and_databases_of_their_own() {
    let redis = RedisServer::start().unwrap();
    let url = redis.url();
    let pair = pair(servers::of(&url).prefix("a")).await;
    works(&pair, "a prefix").await;
    let b = cached(&pair.database.url(), servers::of(&url).prefix("b")).await;
    let in_third = servers::of(&format!("{url}?db=3")).prefix("a");
    let third = cached(&pair.database.url(), in_third).await;
    let ada = user(&pair.one).await.id;
    for db in [&b, &third] {
        let hits = db.metrics().hits;
        while db.metrics().hits == hits {
            db.users().find(ada).await.unwrap();
        }
        // The write of another application is not seen: its cache is another one.
        let login = pair.one.users().touch_last_login(ada).await.unwrap();
        assert_ne!(db.users().find(ada).await.unwrap(), Some(login.clone()));
        assert_eq!(pair.other.users().find(ada).await.unwrap(), Some(login));
    }
    let mut raw = Raw::of(&url);
    let keys = raw.keys("*");
    assert!(
        keys.iter()
            .all(|key| key.starts_with("a:{0}:") || key.starts_with("b:{0}:"))
    );
    assert!(keys.iter().any(|key| key.starts_with("b:")));
    let in_third = Raw::of(&format!("{url}?db=3")).keys("*");
    assert!(in_third.iter().all(|key| key.starts_with("a:")) && !in_third.is_empty());
    for prefix in ["", "a b", "a{b"] {
        let db = Db::lazy(Config::new(&pair.database.url()).unwrap()).unwrap();
        let refused = Cached::new(db, shared().prefix(prefix)).unwrap_err();
        assert!(matches!(refused, Error::InvalidInput { .. }), "{refused:?}");
    }
}

#[both_engines]
#[case]
async fn many_shards() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url()).shards(64)).await;
    for round in 0..3 {
        works(&pair, &format!("64 shards, {round}")).await;
    }
    let ids: Vec<_> = (0..500).map(|_| UserId::new()).collect();
    for _ in 0..3 {
        assert_eq!(pair.other.users().find_many(&ids).await.unwrap().len(), 500);
    }
    let clients: String = Raw::of(&redis.url()).ask("CLIENT LIST");
    assert!(clients.lines().count() < 20, "{clients}");
}

#[both_engines]
#[case]
async fn over_tls() {
    let redis = TlsRedis::start();
    let trusting = servers::of(&redis.url("localhost")).root_certificates(redis.authority.clone());
    works(&pair(trusting).await, "TLS").await;
    // Another's certificate, another name.
    let other = servers::of(&redis.url("localhost")).root_certificates(TlsRedis::start().authority);
    let by_address =
        servers::of(&redis.url("127.0.0.1")).root_certificates(redis.authority.clone());
    for config in [other, by_address, servers::of(&redis.url("localhost"))] {
        let pair = unopened(config).await;
        let refused = pair
            .one
            .users()
            .create(NewUser::new("a@x", "A"))
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::Cache(_)), "{refused:?}");
        let found = pair.one.users().find_by_email("a@x").await;
        assert_eq!(found.unwrap(), None);
    }
}

#[both_engines]
#[case]
async fn a_primary_that_sentinels_know() {
    let servers = Sentinels::start();
    let sentinels = servers.urls();
    let sentinels: Vec<_> = sentinels.iter().map(String::as_str).collect();
    let config = CacheConfig::sentinel(&sentinels, "main", "redis://whatever").unwrap();
    let config = config
        .response_timeout(Duration::from_secs(2))
        .retry_after(Duration::from_millis(50));
    let pair = pair(config).await;
    works(&pair, "the first primary").await;
    let ada = user(&pair.one).await.id;
    pair.other.users().find(ada).await.unwrap();
    servers.fail_over();
    let began = Instant::now();
    let login = loop {
        let outcome = pair.one.users().touch_last_login(ada).await;
        let truth = pair.plain.users().find(ada).await.unwrap();
        assert_eq!(pair.other.users().find(ada).await.unwrap(), truth);
        match outcome {
            Ok(login) => break login,
            Err(Error::Cache(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert!(began.elapsed() < PATIENCE, "no other primary is found");
        pause(Duration::from_millis(20)).await;
    };
    assert_eq!(pair.other.users().find(ada).await.unwrap(), Some(login));
    works(&pair, "the second primary").await;
    let unknown = CacheConfig::sentinel(&sentinels, "other", "redis://whatever").unwrap();
    let unknown = unopened(unknown).await;
    let refused = unknown
        .one
        .users()
        .create(NewUser::new("a@x", "A"))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("no primary of this name"),
        "{refused}"
    );
}

/// A cluster whose servers do not announce a reachable address.
#[both_engines]
#[case]
async fn a_cluster_that_announces_no_hosts() {
    let cluster = Cluster::start_with(&[("cluster-preferred-endpoint-type", "unknown-endpoint")]);
    let urls = cluster.urls();
    let config = CacheConfig::cluster(&[&urls[1]]).unwrap();
    let config = config
        .response_timeout(Duration::from_secs(5))
        .retry_after(Duration::from_millis(20));
    let pair = pair(config).await;
    works(&pair, "without hosts").await;
    for url in &urls {
        assert!(
            !Raw::of(url).keys("*:generation").is_empty(),
            "{url} has no shard"
        );
    }
    assert_eq!(pair.other.metrics().errors, 0);
}

/// The server that the settings name is gone, and with it a third of the shards. The others are
/// found by the servers that it has named.
#[both_engines]
#[case]
async fn a_shard_that_cannot_be_found_darkens_no_other() {
    let cluster = Cluster::start_with(&[("cluster-require-full-coverage", "no")]);
    let urls = cluster.urls();
    let config = CacheConfig::cluster(&[&urls[0]]).unwrap();
    let config = config
        .response_timeout(Duration::from_secs(5))
        .retry_after(PATIENCE * 2);
    let pair = pair(config).await;
    works(&pair, "all servers").await;
    cluster.kill_first();
    for url in &urls[1..] {
        let _: u32 = Raw::of(url).ask("CLIENT KILL TYPE normal");
    }
    let ids: Vec<_> = (0..60).map(|_| UserId::new()).collect();
    let began = Instant::now();
    loop {
        let hits = pair.other.metrics().hits;
        for &id in &ids {
            assert_eq!(pair.other.users().find(id).await.unwrap(), None);
        }
        // Two thirds, more or less.
        if pair.other.metrics().hits - hits > 20 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{:?}", pair.other.metrics());
    }
}

#[both_engines]
#[case]
async fn a_cluster_of_three() {
    let cluster = Cluster::start();
    let urls = cluster.urls();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let config = CacheConfig::cluster(&urls).unwrap();
    let config = config
        .response_timeout(Duration::from_secs(5))
        .retry_after(Duration::from_millis(20));
    let pair = pair(config.clone()).await;
    works(&pair, "a cluster").await;
    for url in &urls {
        assert!(
            !Raw::of(url).keys("*:generation").is_empty(),
            "{url} has no shard"
        );
    }
    // Slots of the first server go elsewhere, which the clients find out by their next call.
    let ids: Vec<_> = {
        let mut ids = Vec::new();
        for _ in 0..20 {
            ids.push(user(&pair.one).await.id);
        }
        ids
    };
    let slots = cluster.begin_to_move_slots();
    let mut on_their_way = Vec::new();
    for round in 0..2 {
        for &id in &ids {
            let before = pair.plain.users().find(id).await.unwrap();
            let changes = UserChanges::new().name(format!("Eve {round}"));
            let expected = match pair.one.users().update(id, changes).await {
                Ok(renamed) => Some(renamed),
                Err(Error::Cache(_)) => {
                    on_their_way.push(id);
                    before
                }
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(pair.plain.users().find(id).await.unwrap(), expected);
            assert_eq!(pair.other.users().find(id).await.unwrap(), expected);
            let many = pair.other.users().find_many(&[id]).await.unwrap();
            assert_eq!(many, [expected]);
        }
    }
    assert!(!on_their_way.is_empty(), "no slot was on its way");
    // That a slot is on its way says nothing about the server, which is not left alone for it.
    let patient = Cached::new(pair.plain.clone(), config.retry_after(PATIENCE)).unwrap();
    let at_rest = ids.iter().filter(|id| !on_their_way.contains(id));
    for (&id, moving) in at_rest.zip(on_their_way.iter().cycle()) {
        let (hits, began) = (patient.metrics().hits, Instant::now());
        while patient.metrics().hits == hits {
            assert!(began.elapsed() < PATIENCE / 2, "{:?}", patient.metrics());
            patient.users().find(*moving).await.unwrap();
            patient.users().find(id).await.unwrap();
        }
    }
    cluster.move_slots(slots);
    for round in 0..3 {
        for &id in &ids {
            let changes = UserChanges::new().name(format!("Ada {round}"));
            let began = Instant::now();
            let renamed = loop {
                match pair.one.users().update(id, changes.clone()).await {
                    Ok(renamed) => break renamed,
                    Err(Error::Cache(error)) => {
                        assert!(began.elapsed() < PATIENCE, "{error}");
                    }
                    Err(other) => panic!("{other:?}"),
                }
            };
            let found = pair.other.users().find(id).await.unwrap();
            assert_eq!(found, Some(renamed));
        }
    }
    works(&pair, "a cluster whose slots have moved").await;
}
