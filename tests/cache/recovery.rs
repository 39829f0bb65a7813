//! The cache is there again after its servers were away, and asks for no more connections than
//! there are.

use std::time::{Duration, Instant};

use super::*;
use crate::observer::Observer;
use wundr_db::cache::CacheConfig;
use wundr_db::testing::{PostgresServer, RedisServer, TestDatabase, migrated_database};
use wundr_db::{Config, Error, NewUser, Result, UserChanges, UserId};

/// A server that is not left alone for long after a failure, unless the test waits for that.
fn cache(redis: &RedisServer) -> CacheConfig {
    CacheConfig::new(&redis.url())
        .unwrap()
        .response_timeout(Duration::from_secs(5))
        .retry_after(Duration::ZERO)
}

fn server_of_its_own() -> (PostgresServer, TestDatabase) {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    wundr_db::blocking::migrations::up(&config).unwrap();
    (server, database)
}

#[both_engines]
async fn connected(url: &str, redis: &RedisServer) -> Cached {
    let config = Config::new(url).unwrap().max_connections(2);
    let db = Db::connect(config).await.unwrap();
    Cached::new(db, cache(redis)).unwrap()
}

#[both_engines]
async fn ada(db: &Cached) -> UserId {
    let ada = NewUser::new("ada@example.org", "Ada");
    db.users().create(ada).await.unwrap().id
}

/// A write of which is not known what it touches.
#[both_engines]
async fn write_anything(db: &Cached, id: UserId) -> Result<()> {
    db.transaction(async |tx| -> Result<()> {
        let _ = tx.connection_mut();
        tx.users().touch_last_login(id).await?;
        Ok(())
    })
    .await
}

/// Checks whether the cache answers one of ten reads.
#[both_engines]
async fn is_cached(db: &Cached, id: UserId) -> bool {
    for _ in 0..10 {
        let hits = db.metrics().hits;
        db.users().find(id).await.unwrap();
        if db.metrics().hits > hits {
            return true;
        }
    }
    false
}

/// Reads until the cache answers: a generation is filled when all earlier transactions have ended,
/// those of other tests among them.
#[both_engines]
async fn until_cached(db: &Cached, id: UserId) {
    let began = Instant::now();
    while !is_cached(db, id).await {
        assert!(began.elapsed() < Duration::from_secs(20), "it stays away");
    }
}

#[both_engines]
#[case]
async fn a_write_needs_no_second_connection() {
    let redis = RedisServer::start().unwrap();
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let config = config.acquire_timeout(Duration::from_secs(2));
    let db = Db::connect(config).await.unwrap();
    let db = Cached::new(db, cache(&redis)).unwrap();
    let id = ada(&db).await;
    write_anything(&db, id).await.unwrap();
    until_cached(&db, id).await;
}

#[both_engines]
#[case]
async fn a_server_that_was_started_anew_is_found_by_writes_of_anything() {
    let redis = RedisServer::start().unwrap();
    let database = migrated_database().unwrap();
    let db = connected(&database.url(), &redis).await;
    let id = ada(&db).await;
    redis.restart().unwrap();
    write_anything(&db, id).await.unwrap();
    until_cached(&db, id).await;
}

#[both_engines]
#[case]
async fn both_servers_may_be_started_anew() {
    let redis = RedisServer::start().unwrap();
    let (server, database) = server_of_its_own();
    let db = connected(&database.url(), &redis).await;
    let id = ada(&db).await;
    until_cached(&db, id).await;

    server.kill().unwrap();
    let absent = db.users().find(UserId::new()).await;
    assert!(absent.is_err(), "{absent:?}");
    redis.restart().unwrap();
    server.restart().unwrap();
    until_cached(&db, id).await;
    let changes = UserChanges::new().name("Ada Lovelace");
    db.users().update(id, changes).await.unwrap();
}

#[both_engines]
#[case]
async fn reads_come_back_with_the_server_whoever_finds_it() {
    let redis = RedisServer::start().unwrap();
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let patient = cache(&redis).retry_after(Duration::from_secs(3600));
    let db = Cached::new(db, patient).unwrap();
    let id = ada(&db).await;
    until_cached(&db, id).await;

    redis.kill();
    db.users().find(id).await.unwrap();
    redis.restart().unwrap();
    assert!(!is_cached(&db, id).await, "it is left alone for an hour");
    write_anything(&db, id).await.unwrap();
    until_cached(&db, id).await;
}

#[both_engines]
#[case]
async fn who_has_not_noticed_a_failover_of_the_database_reads_what_is_written_after_it() {
    let redis = RedisServer::start().unwrap();
    let (server, database) = server_of_its_own();
    let unaware = connected(&database.url(), &redis).await;
    let id = ada(&unaware).await;
    until_cached(&unaware, id).await;

    // What a standby does when it takes the primary's place: it goes on, on another timeline.
    server.kill().unwrap();
    std::fs::write(server.data_dir().join("standby.signal"), "").unwrap();
    server.restart().unwrap();
    let promoted = Observer::of(&database.url()).ask("pg_promote()");
    assert_eq!(promoted, "true");

    let other = connected(&database.url(), &redis).await;
    let changes = UserChanges::new().name("Ada Lovelace");
    other.users().update(id, changes).await.unwrap();
    assert_eq!(
        other.metrics().generations,
        1,
        "what was cached may be lost"
    );
    // Each connection that the old server has closed may cost a call.
    let mut found = unaware.users().find(id).await;
    for _ in 0..2 {
        if matches!(found, Err(Error::Connection { .. })) {
            found = unaware.users().find(id).await;
        }
    }
    assert_eq!(found.unwrap().unwrap().name, "Ada Lovelace");
}
