//! Redis stopped, standing still, full, or not Redis at all: reads are right and soon there, writes
//! keep the promise.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Instant;

/// Longer than the timeouts together, and than a busy machine needs beside them.
const SOON: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(30);

fn impatient(url: &str) -> CacheConfig {
    CacheConfig::new(url)
        .unwrap()
        .connect_timeout(Duration::from_millis(400))
        .response_timeout(Duration::from_millis(300))
        .retry_after(Duration::from_millis(100))
        .early_refresh(false)
}

#[both_engines]
async fn find(db: &Cached, id: UserId) -> Result<Option<User>> {
    db.users().find(id).await
}

/// Reads of all kinds are what the database has, a hundred concurrently, and none takes long.
#[both_engines]
async fn reads_are_right(pair: &Pair, ada: &User, what: &str) {
    let began = Instant::now();
    for found in all_concurrently!(100, find(&pair.other, ada.id)) {
        assert_eq!(found.unwrap().as_ref(), Some(ada), "{what}");
    }
    let took = began.elapsed();
    assert!(
        took < SOON,
        "{what}: a hundred concurrent reads took {took:?}"
    );
    let began = Instant::now();
    let users = pair.other.users();
    let by_email = users.find_by_email(&ada.email).await.unwrap();
    assert_eq!(by_email.as_ref(), Some(ada), "{what}");
    let mut ids = vec![ada.id];
    ids.extend((0..100).map(|_| UserId::new()));
    let many = users.find_many(&ids).await.unwrap();
    assert_eq!(many[0].as_ref(), Some(ada), "{what}");
    let settings = pair.other.configurations();
    settings
        .effective_all(ConfigurationScope::Global, None)
        .await
        .unwrap();
    let took = began.elapsed();
    assert!(took < SOON, "{what}: one after the other took {took:?}");
}

/// A write fails before it is committed, or is done and seen. Returns the user as it is then.
#[both_engines]
async fn writes_keep_the_promise(pair: &Pair, ada: &User, what: &str) -> User {
    let began = Instant::now();
    let renamed = UserChanges::new().name(format!("{what} {}", UserId::new()));
    let outcome = pair.one.users().update(ada.id, renamed).await;
    let took = began.elapsed();
    assert!(took < SOON, "{what}: a write took {took:?}");
    let truth = pair.plain.users().find(ada.id).await.unwrap().unwrap();
    match outcome {
        Ok(user) => assert_eq!(user, truth, "{what}"),
        Err(Error::Cache(_)) => assert_eq!(*ada, truth, "{what}: refused, and written"),
        Err(other) => panic!("{what}: {other:?}"),
    }
    truth
}

#[both_engines]
async fn write_is_refused(pair: &Pair, ada: &User, what: &str) {
    let began = Instant::now();
    let refused = pair
        .one
        .users()
        .set_active(ada.id, false)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Cache(_)), "{what}: {refused:?}");
    assert!(began.elapsed() < SOON, "{what}: {:?}", began.elapsed());
    assert_eq!(
        pair.plain.users().find(ada.id).await.unwrap().as_ref(),
        Some(ada),
        "{what}"
    );
}

/// Entries are found again, and writes are done and seen.
#[both_engines]
async fn works_again(pair: &Pair, id: UserId, what: &str) {
    let began = Instant::now();
    loop {
        let hits = pair.other.metrics().hits;
        let found = pair.other.users().find(id).await.unwrap();
        assert_eq!(found, pair.plain.users().find(id).await.unwrap(), "{what}");
        if pair.other.metrics().hits > hits {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: {:?}",
            pair.other.metrics()
        );
        pause(Duration::from_millis(10)).await;
    }
    let changed = loop {
        match pair.one.users().touch_last_login(id).await {
            Ok(user) => break user,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{what}: {error:?}"),
        }
        pause(Duration::from_millis(10)).await;
    };
    assert_eq!(
        pair.other.users().find(id).await.unwrap(),
        Some(changed),
        "{what}"
    );
}

#[both_engines]
#[case]
async fn a_server_that_is_stopped_or_stands_still() {
    for shards in [1, 64] {
        let redis = RedisServer::start().unwrap();
        let pair = pair(impatient(&redis.url()).shards(shards)).await;
        let ada = user(&pair.one).await;
        let fill: Vec<_> = (0..100).map(|_| UserId::new()).collect();
        pair.other.users().find_many(&fill).await.unwrap();
        works_again(&pair, ada.id, "at first").await;
        for what in ["stopped", "standing still"] {
            let ada = pair.plain.users().find(ada.id).await.unwrap().unwrap();
            match what {
                "stopped" => redis.kill(),
                _ => redis.pause().unwrap(),
            }
            reads_are_right(&pair, &ada, what).await;
            write_is_refused(&pair, &ada, what).await;
            let began = Instant::now();
            for refused in all_concurrently!(10, create(&pair.one)) {
                assert!(
                    matches!(refused, Err(Error::Cache(_))),
                    "{what}: {refused:?}"
                );
            }
            let took = began.elapsed();
            assert!(took < SOON, "{what}: ten concurrent writes took {took:?}");
            reads_are_right(&pair, &ada, what).await;
            match what {
                "stopped" => redis.restart().unwrap(),
                _ => redis.resume().unwrap(),
            }
            works_again(&pair, ada.id, what).await;
        }
    }
}

#[both_engines]
async fn create(db: &Cached) -> Result<User> {
    let new = NewUser::new(format!("{}@example.org", UserId::new()), "Ada");
    db.users().create(new).await
}

#[both_engines]
#[case]
async fn a_server_that_was_started_anew_is_noticed_by_the_next_write() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let ada = user(&pair.one).await;
    for round in 0..5 {
        works_again(&pair, ada.id, "before").await;
        redis.restart().unwrap();
        // No failure, although each connection is one of the server that is gone.
        let renamed = UserChanges::new().name(format!("Ada {round}"));
        let renamed = pair.one.users().update(ada.id, renamed).await.unwrap();
        let found = pair.other.users().find(ada.id).await.unwrap();
        assert_eq!(found, Some(renamed));
    }
    // Connections alone are lost: the cache does not rest.
    works_again(&pair, ada.id, "before").await;
    let mut raw = Raw::of(&redis.url());
    let bypasses = pair.other.metrics().bypasses;
    for _ in 0..5 {
        let _: u32 = raw.ask("CLIENT KILL TYPE normal");
        pair.other.users().find(ada.id).await.unwrap();
    }
    assert_eq!(pair.other.metrics().bypasses, bypasses);
}

#[both_engines]
#[case]
async fn a_write_that_may_proceed_makes_everything_old_when_it_can() {
    let redis = RedisServer::start().unwrap();
    let config = impatient(&redis.url())
        .shards(8)
        .unfenced(Unfenced::Proceed);
    let pair = pair(config).await;
    let ada = user(&pair.one).await;
    works_again(&pair, ada.id, "at first").await;
    redis.pause().unwrap();
    let began = Instant::now();
    let renamed = UserChanges::new().name("Grace");
    let renamed = pair.one.users().update(ada.id, renamed).await.unwrap();
    let everything = began.elapsed();
    execute(&pair.one, "UPDATE public.users SET avatar_url = 'x'").await;
    assert!(
        began.elapsed() < SOON,
        "{everything:?}, {:?}",
        began.elapsed()
    );
    assert!(pair.one.metrics().unfenced >= 9, "{:?}", pair.one.metrics());
    redis.resume().unwrap();
    // Its own reads are right immediately, and those of the others when it has reached the server.
    let own = pair.one.users().find(ada.id).await.unwrap().unwrap();
    assert_eq!(
        (own.name.as_str(), own.avatar_url.as_deref()),
        ("Grace", Some("x"))
    );
    let began = Instant::now();
    let generations = pair.one.metrics().generations;
    while pair.one.metrics().generations == generations {
        assert!(began.elapsed() < PATIENCE);
        pair.one.users().find(ada.id).await.unwrap();
        pause(Duration::from_millis(10)).await;
    }
    let found = pair.other.users().find(ada.id).await.unwrap().unwrap();
    assert_eq!(
        (found.name, found.avatar_url.as_deref()),
        (renamed.name, Some("x"))
    );
}

#[both_engines]
#[case]
async fn a_server_that_is_full() {
    for policy in ["noeviction", "allkeys-lru", "volatile-ttl"] {
        let redis = RedisServer::start().unwrap();
        let mut raw = Raw::of(&redis.url());
        let pair = pair(impatient(&redis.url())).await;
        let mut ada = user(&pair.one).await;
        works_again(&pair, ada.id, policy).await;
        let _: () = raw.ask(&format!("CONFIG SET maxmemory-policy {policy}"));
        for bytes in ["1", "1100000", "1200000"] {
            let _: () = raw.ask(&format!("CONFIG SET maxmemory {bytes}"));
            ada = pair.plain.users().find(ada.id).await.unwrap().unwrap();
            for _ in 0..5 {
                reads_are_right(&pair, &ada, policy).await;
                ada = writes_keep_the_promise(&pair, &ada, policy).await;
            }
        }
        let _: () = raw.ask("CONFIG SET maxmemory 0");
        works_again(&pair, ada.id, policy).await;
    }
}

/// A server of something else: it says this and hangs up, or nothing and does not.
fn stranger(says: &'static [u8]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the process.
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for client in listener.incoming() {
            let mut client = client.unwrap();
            if says.is_empty() {
                silent.push(client);
            } else {
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(says);
            }
        }
    });
    format!("redis://{address}")
}

#[both_engines]
#[case]
async fn what_is_no_server_or_does_not_let_us_in() {
    let redis = RedisServer::builder().password("right").start().unwrap();
    let postgres = PostgresServer::shared().unwrap();
    let socket = postgres
        .socket_dir()
        .join(format!(".s.PGSQL.{}", postgres.port()));
    let unix = format!("redis+unix://{}", redis.socket().display());
    let wrong = format!("{unix}?pass=secret-but-wrong");
    for (what, url) in [
        ("no password", unix.as_str()),
        ("wrong password", &wrong),
        ("no socket", "redis+unix:///nonexistent"),
        ("no server listens", "redis://127.0.0.1:1"),
        ("PostgreSQL", &format!("redis+unix://{}", socket.display())),
        ("HTTP", &stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("binary", &stranger(b"\x00\xff\x15\x03\x03\r\n")),
        ("lies", &stranger(b"*1000000000\r\n$-5\r\n")),
        (
            "a PONG to everything",
            &stranger(b"+PONG\r\n+PONG\r\n+PONG\r\n+PONG\r\n"),
        ),
        ("silence", &stranger(b"")),
    ] {
        let pair = unopened(impatient(url)).await;
        let ada = user(&pair.plain).await;
        reads_are_right(&pair, &ada, what).await;
        write_is_refused(&pair, &ada, what).await;
        let refused = pair
            .one
            .users()
            .set_active(ada.id, false)
            .await
            .unwrap_err();
        assert!(!refused.to_string().contains("secret"), "{refused}");
        assert!(!format!("{:?}", pair.one).contains("secret"));
        assert!(pair.other.metrics().errors > 0, "{what}");
        assert_eq!(pair.other.metrics().hits, 0, "{what}");
    }
}
