//! Reads that are delayed at the worst moment, and servers that change without closing a
//! connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::servers::Held;
use chrono::{TimeDelta, Utc};
use wundr_db::cache::Failpoint;

const PATIENCE: Duration = Duration::from_secs(60);

/// The staleness that is permitted of values near the reader.
const STALENESS: Duration = Duration::from_millis(300);

/// The milliseconds by which the next fill is delayed after it was accepted.
static DELAY: AtomicU64 = AtomicU64::new(0);

fn delay_after_fill(point: Failpoint) -> Duration {
    match point {
        Failpoint::AfterFill => Duration::from_millis(DELAY.swap(0, Ordering::SeqCst)),
        _ => Duration::ZERO,
    }
}

/// A reader has filled an entry, and is delayed before it keeps the value near. Whatever is written
/// meanwhile, the value is as old as was permitted, and the process reads its own writes.
#[both_engines]
#[case]
async fn a_value_is_not_kept_near_beyond_what_was_allowed_although_its_reader_was_delayed() {
    for is_own in [true, false] {
        let config = shared().near(100, STALENESS);
        let pair = pair(config.clone()).await;
        let config = config.failpoint_hook(delay_after_fill);
        let reader = cached(&pair.database.url(), config).await;
        let bob = user(&pair.one).await;
        reader.users().find(bob.id).await.unwrap();
        let ada = user(&pair.one).await;
        let writer = if is_own { &reader } else { &pair.one };
        let fills = reader.metrics().fills;
        DELAY.store(1_500, Ordering::SeqCst);
        let reading = async || reader.users().find(ada.id).await.unwrap();
        let writing = async || {
            let began = Instant::now();
            while reader.metrics().fills == fills {
                assert!(began.elapsed() < PATIENCE, "{:?}", reader.metrics());
                pause(Duration::from_millis(1)).await;
            }
            let renamed = writer.users().set_active(ada.id, false).await.unwrap();
            (renamed, Instant::now())
        };
        let (read, (renamed, acknowledged)) = concurrently!(reading(), writing());
        assert_eq!(read, Some(ada.clone()));
        while !is_own && acknowledged.elapsed() < STALENESS {
            pause(Duration::from_millis(1)).await;
        }
        let found = reader.users().find(ada.id).await.unwrap();
        assert_eq!(found, Some(renamed), "own write: {is_own}");
    }
}

/// A batch whose database read fails gives its leases back: the next reader does not wait for them.
#[both_engines]
#[case]
async fn a_batch_that_fails_leaves_no_leases() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(
        servers::of(&redis.url())
            .shards(3)
            .lease(Duration::from_secs(3_600)),
    )
    .await;
    let mut raw = Raw::of(&redis.url());
    let ids: Vec<UserId> = (0..20).map(|_| UserId::new()).collect();
    let began = Instant::now();
    while raw.keys("*:user:*").len() < ids.len() {
        pair.other.users().find_many(&ids).await.unwrap();
        assert!(began.elapsed() < PATIENCE, "{:?}", pair.other.metrics());
    }
    for value in raw.keys("*:user:*") {
        let _: u32 = raw.ask(&format!("DEL {value}"));
    }
    let mut observer = Observer::of(&pair.database.url());
    observer.run("ALTER TABLE public.users RENAME TO hidden");
    let refused = pair.other.users().find_many(&ids).await;
    observer.run("ALTER TABLE public.hidden RENAME TO users");
    assert!(refused.is_err(), "{refused:?}");
    let began = Instant::now();
    loop {
        let leases = raw.keys("*:lease");
        if leases.is_empty() {
            break;
        }
        assert!(began.elapsed() < PATIENCE / 4, "{leases:?}");
        pause(Duration::from_millis(5)).await;
    }
}

/// The answer in which a process learns the database's clock is late: what has ended meanwhile has
/// ended.
#[both_engines]
#[case]
async fn a_session_ends_although_the_answer_that_told_the_time_was_late() {
    let redis = RedisServer::start().unwrap();
    let config = servers::of(&redis.url());
    let pair = pair(config.clone()).await;
    let database = Proxy::start(&pair.database).unwrap();
    let held = Held::before(&database.url_of(&pair.database));
    let ada = user(&pair.one).await.id;
    let of_one = Config::new(&held.url).unwrap().max_connections(1);
    let late = Cached::new(Db::connect(of_one).await.unwrap(), config).unwrap();
    let mut raw = Raw::of(&redis.url());
    // The connection is there, and the question prepared on it.
    late.users().find(ada).await.unwrap();
    held.hold(Duration::from_secs(4));
    late.forget_everything().await.unwrap();
    let end = Utc::now() + TimeDelta::milliseconds(1_200);
    let new = NewUserSession::new(ada, "token", end);
    pair.one.user_sessions().create(new).await.unwrap();
    while Utc::now() < end {
        let sessions = pair.other.user_sessions();
        sessions.find_by_token_hash("token").await.unwrap();
        // As if the clock of Redis was behind.
        for key in raw.keys("*:session:*") {
            let _: u32 = raw.ask(&format!("PERSIST {key}"));
        }
        pause(Duration::from_millis(1)).await;
    }
    let late = late.user_sessions();
    assert_eq!(late.find_by_token_hash("token").await.unwrap(), None);
}

/// Redis removes values by a clock of its own, which may be set back.
#[both_engines]
#[case]
async fn a_value_is_not_used_beyond_its_lifetime_although_redis_keeps_it() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let lifetime = Duration::from_millis(500);
    let pair = pair(servers::of(&redis.url()).lifetime(CachedKind::User, lifetime)).await;
    let ada = user(&pair.one).await;
    let mut key = Vec::new();
    let began = Instant::now();
    while key.is_empty() {
        pair.other.users().find(ada.id).await.unwrap();
        key = raw.keys(&format!("*:user:{}:*", ada.id));
        assert!(began.elapsed() < PATIENCE);
    }
    let _: u32 = raw.ask(&format!("PERSIST {}", key[0]));
    // Past this crate, so that the cache does not know.
    let mut observer = Observer::of(&pair.database.url());
    observer.run("UPDATE public.users SET name = 'Grace'");
    pause(lifetime).await;
    for _ in 0..2 {
        let found = pair.other.users().find(ada.id).await.unwrap().unwrap();
        assert_eq!(found.name, "Grace");
        let found = pair.other.users().find_many(&[ada.id]).await.unwrap();
        assert_eq!(found[0].as_ref().unwrap().name, "Grace");
    }
    assert_eq!(pair.other.metrics().undecodable, 0);
}

/// Makes one Redis server a replica of another, with all its data.
fn follow(replica: &RedisServer, primary: &RedisServer) {
    let port = primary.tcp_url().unwrap();
    let port = port.rsplit(':').next().unwrap().to_owned();
    let mut raw = Raw::of(&replica.url());
    let _: String = raw.ask(&format!("REPLICAOF 127.0.0.1 {port}"));
    raw.until("INFO replication", |state| {
        state.contains("master_link_status:up")
    });
}

fn lead(server: &RedisServer) {
    let _: String = Raw::of(&server.url()).ask("REPLICAOF NO ONE");
}

/// A primary follows its successor, which lacks its last commands, and becomes primary again.
#[both_engines]
#[case]
async fn a_primary_that_was_a_replica_for_a_while_serves_nothing_that_is_old() {
    for is_fresh in [true, false] {
        let server = || {
            let builder = RedisServer::builder().listen_tcp();
            builder
                .setting("repl-diskless-sync-delay", "0")
                .start()
                .unwrap()
        };
        let (first, second) = (server(), server());
        follow(&second, &first);
        let pair = pair(servers::of(&first.url())).await;
        let ada = user(&pair.one).await;
        let (hits, began) = (pair.other.metrics().hits, Instant::now());
        while pair.other.metrics().hits == hits {
            pair.other.users().find(ada.id).await.unwrap();
            assert!(began.elapsed() < PATIENCE, "{:?}", pair.other.metrics());
        }
        let mut raw = Raw::of(&first.url());
        let _: u32 = raw.ask("WAIT 1 0");
        lead(&second);
        let renamed = pair.one.users().set_active(ada.id, false).await.unwrap();
        follow(&first, &second);
        lead(&first);
        let fresh = cached(&pair.database.url(), servers::of(&first.url())).await;
        let reader = if is_fresh { &fresh } else { &pair.other };
        let began = Instant::now();
        loop {
            let found = reader.users().find(ada.id).await.unwrap();
            if found.as_ref() == Some(&renamed) {
                break;
            }
            // A connection that was not closed is examined every ten seconds.
            assert!(!is_fresh, "the old value");
            assert!(began.elapsed() < Duration::from_secs(20), "the old value");
            pause(Duration::from_millis(20)).await;
        }
    }
}

/// A process that has read a user from the cache, and has one connection and place for another. On
/// a busy machine a pool may open the second one while it waits for the first.
#[both_engines]
async fn with_one_connection(url: &str, id: UserId) -> Cached {
    let began = Instant::now();
    loop {
        let config = Config::new(url).unwrap().max_connections(3).min_idle(0);
        let config = config.acquire_timeout(Duration::from_secs(5));
        let reader = Cached::new(Db::connect(config).await.unwrap(), shared()).unwrap();
        while reader.metrics().hits < 3 {
            reader.users().find(id).await.unwrap();
            assert!(began.elapsed() < PATIENCE, "{:?}", reader.metrics());
        }
        if reader.pool().connections == 1 {
            return reader;
        }
    }
}

/// Returns the name of a user in the database, and keeps the connection for a while.
#[both_engines]
async fn name_in_the_database(db: &Db, id: UserId) -> String {
    let found: Result<Option<User>> = db
        .transaction(async |tx| {
            let found = tx.users().find(id).await?;
            pause(Duration::from_millis(200)).await;
            Ok(found)
        })
        .await;
    found.unwrap().unwrap().name
}

/// The address leads to a standby that has taken over, and no connection is lost: the first one
/// that is opened there says so, and those to the earlier primary are used no more.
#[both_engines]
#[case]
async fn an_address_that_moves_is_noticed_by_the_first_connection_that_is_opened() {
    let servers = wundr_db::testing::Pair::start().unwrap();
    let database = servers.migrated_database().unwrap();
    let address = Proxy::start(servers.primary()).unwrap();
    let url = address.url_of(&database);
    let one = cached(&url, shared()).await;
    let ada = user(&one).await.id;
    servers.wait_for_catch_up().unwrap();
    servers.cut_replication().unwrap();
    let lost = UserChanges::new().name("lost");
    one.users().update(ada, lost).await.unwrap();
    let other = with_one_connection(&url, ada).await;
    let found = other.users().find(ada).await.unwrap().unwrap();
    assert_eq!(found.name, "lost");
    servers.promote().unwrap();
    address.lead_to(servers.standby());
    // Until a connection was opened there, and used.
    let began = Instant::now();
    while !all_concurrently!(3, name_in_the_database(other.db(), ada)).contains(&"Ada".to_owned()) {
        assert!(began.elapsed() < PATIENCE, "no connection is opened");
    }
    for _ in 0..3 {
        let found = other.users().find(ada).await.unwrap().unwrap();
        assert_eq!(found.name, "Ada");
    }
}

/// A refused connection is a sign that the server has gone, too.
#[both_engines]
#[case]
async fn after_a_refused_connection_nothing_is_read_that_the_database_does_not_confirm() {
    let pair = pair(shared()).await;
    let address = Proxy::start(&pair.database).unwrap();
    let url = address.url_of(&pair.database);
    let ada = user(&pair.one).await;
    let (reader, hits) = loop {
        address.set(ProxyMode::Pass).unwrap();
        let reader = with_one_connection(&url, ada.id).await;
        address.set(ProxyMode::Refuse).unwrap();
        let db = reader.db();
        let is_refused: Result<bool> = db
            .transaction(async |tx| {
                tx.tools().find(ToolId::new()).await?;
                if db.tools().find(ToolId::new()).await.is_ok() {
                    // By a connection that was being opened before.
                    return Ok(false);
                }
                // The only connection is in use, and no other can be opened.
                let hits = reader.metrics().hits;
                let found = reader.users().find(ada.id).await;
                assert!(found.is_err(), "{found:?}");
                assert_eq!(reader.metrics().hits, hits);
                Ok(true)
            })
            .await;
        if is_refused.unwrap() {
            let hits = reader.metrics().hits;
            break (reader, hits);
        }
    };
    let began = Instant::now();
    // The database says that it is the same: what is cached is used again.
    while reader.metrics().hits < hits + 2 {
        let found = reader.users().find(ada.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&ada));
        assert!(began.elapsed() < PATIENCE, "{:?}", reader.metrics());
    }
}

/// Set once the leader has read the database.
static HAS_READ: AtomicBool = AtomicBool::new(false);

fn delay_after_read(point: Failpoint) -> Duration {
    match point {
        Failpoint::AfterRead if DELAY_READ.swap(false, Ordering::SeqCst) => {
            HAS_READ.store(true, Ordering::SeqCst);
            Duration::from_secs(4)
        }
        _ => Duration::ZERO,
    }
}

static DELAY_READ: AtomicBool = AtomicBool::new(false);

/// A reader has read what a failover loses, and has not filled the entry yet. Readers that come
/// after the loss of a connection was noticed do not share it.
#[both_engines]
#[case]
async fn a_read_that_began_before_a_failover_is_not_shared_with_later_readers() {
    let servers = wundr_db::testing::Pair::start().unwrap();
    let database = servers.migrated_database().unwrap();
    let address = Proxy::start(servers.primary()).unwrap();
    let url = address.url_of(&database);
    let one = cached(&url, shared()).await;
    let config = shared().lease_wait(Duration::from_secs(10));
    let reader = cached(&url, config.failpoint_hook(delay_after_read)).await;
    let (ada, bob) = (user(&one).await.id, user(&one).await.id);
    let (hits, began) = (reader.metrics().hits, Instant::now());
    while reader.metrics().hits == hits {
        reader.users().find(bob).await.unwrap();
        assert!(began.elapsed() < PATIENCE, "{:?}", reader.metrics());
    }
    servers.wait_for_catch_up().unwrap();
    servers.cut_replication().unwrap();
    let lost = UserChanges::new().name("lost");
    one.users().update(ada, lost).await.unwrap();
    HAS_READ.store(false, Ordering::SeqCst);
    DELAY_READ.store(true, Ordering::SeqCst);
    let leading = async || reader.users().find(ada).await;
    let joining = async || {
        let began = Instant::now();
        while !HAS_READ.load(Ordering::SeqCst) {
            assert!(began.elapsed() < PATIENCE);
            pause(Duration::from_millis(1)).await;
        }
        servers.promote().unwrap();
        address.lead_to(servers.standby());
        address.cut();
        let _ = reader.db().tools().find(ToolId::new()).await;
        loop {
            match reader.users().find(ada).await {
                Ok(found) => break assert_eq!(found.unwrap().name, "Ada"),
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
        }
    };
    let (led, ()) = concurrently!(leading(), joining());
    assert_eq!(led.unwrap().unwrap().name, "lost");
    let found = reader.users().find(ada).await.unwrap();
    assert_eq!(found.unwrap().name, "Ada");
}

/// Does something to Redis that no operator should, under its clients.
fn abuse(raw: &mut Raw, what: usize) -> &'static str {
    let values = raw.keys("*:user:*");
    match what {
        0 => {
            let _: String = raw.ask("FLUSHALL");
            "flushed"
        }
        1 => {
            let _: String = raw.ask("SCRIPT FLUSH");
            "without scripts"
        }
        2 => {
            let _: u32 = raw.ask("CLIENT KILL TYPE normal");
            "without clients"
        }
        3 => {
            let _: String = raw.ask("CONFIG SET maxmemory-policy allkeys-lru");
            let _: String = raw.ask("CONFIG SET maxmemory 1");
            "full"
        }
        4 => {
            for key in values {
                let _: u32 = raw.ask(&format!("DEL {key}"));
                let _: u32 = raw.ask(&format!("RPUSH {key} a b"));
            }
            "lists in place of values"
        }
        5 => {
            // Each value lies under the next key, whatever its schema.
            let bytes: Vec<_> = values.iter().map(|key| raw.bytes(key)).collect();
            for (index, key) in values.iter().enumerate() {
                raw.restore(key, &bytes[(index + 1) % bytes.len()]);
            }
            "moved values"
        }
        6 => {
            for key in values {
                let _: u32 = raw.try_ask(&format!("SETRANGE {key} 0 x")).unwrap_or(0);
            }
            "values of another version"
        }
        7 => {
            for epoch in raw.keys("*:epoch:*") {
                let _: u32 = raw.ask(&format!("DEL {epoch}"));
            }
            "without fences"
        }
        _ => "left alone",
    }
}

/// Processes with and without keys, whose keys are changed one by one, read and write under an
/// operator who does harm.
#[both_engines]
#[case]
async fn processes_with_different_keys_see_each_others_writes_whatever_is_done_to_redis() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let config = || servers::of(&redis.url()).retry_after(Duration::ZERO);
    let pair = pair(config()).await;
    let url = pair.database.url();
    let mut processes = vec![
        cached(&url, config()).await,
        cached(&url, config().key([1; 32])).await,
        cached(&url, config().key([2; 32])).await,
    ];
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    for round in 0..45_u8 {
        let what = abuse(&mut raw, usize::from(round % 9));
        if round % 7 == 6 {
            let place = usize::from(round % 3);
            processes[place] = cached(&url, config().key([round; 32])).await;
        }
        let writer = &processes[usize::from(round / 9 % 3)];
        let changes = UserChanges::new().name(format!("Ada {round}"));
        match writer.users().update(ada.id, changes).await {
            Ok(_) | Err(Error::Cache(_)) => {}
            Err(other) => panic!("{what}: {other:?}"),
        }
        let truth = pair.plain.users().find(ada.id).await.unwrap();
        for process in &processes {
            for _ in 0..2 {
                let found = process.users().find(ada.id).await.unwrap();
                assert_eq!(found, truth, "{what}");
                let found = process.users().find_many(&[bob.id, ada.id]).await.unwrap();
                assert_eq!(found, [Some(bob.clone()), truth.clone()], "{what}");
                let found = process.users().find_by_email(&ada.email).await.unwrap();
                assert_eq!(found, truth, "{what}");
            }
        }
        let _: String = raw.ask("CONFIG SET maxmemory 0");
    }
    let began = Instant::now();
    for process in &processes {
        let hits = process.metrics().hits;
        while process.metrics().hits == hits {
            process.users().find(ada.id).await.unwrap();
            assert!(began.elapsed() < PATIENCE, "{:?}", process.metrics());
        }
    }
}

/// A database is dropped, and another takes its name: what was cached of the first is not read of
/// the second.
#[both_engines]
#[case]
async fn a_database_that_takes_anothers_name_is_another() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    wundr_db::blocking::migrations::up(&Config::new(&database.url()).unwrap()).unwrap();
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    let name = name.split('?').next().unwrap().to_owned();
    let ada = {
        let plain = Db::connect_to(&database.url()).await.unwrap();
        let ada = user(&plain).await.id;
        plain.close().await;
        ada
    };
    let mut operator = Observer::of(&server.url("postgres"));
    operator.run(&format!("CREATE DATABASE copy TEMPLATE {name}"));
    let (one, other) = (
        cached(&database.url(), shared()).await,
        cached(&database.url(), shared()).await,
    );
    let grace = UserChanges::new().name("Grace");
    one.users().update(ada, grace).await.unwrap();
    let (hits, began) = (other.metrics().hits, Instant::now());
    while other.metrics().hits == hits {
        let found = other.users().find(ada).await.unwrap();
        assert_eq!(found.unwrap().name, "Grace");
        assert!(began.elapsed() < PATIENCE, "{:?}", other.metrics());
    }
    operator.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
    operator.run(&format!("ALTER DATABASE copy RENAME TO {name}"));
    let fresh = cached(&database.url(), shared()).await;
    let found = fresh.users().find(ada).await.unwrap();
    assert_eq!(found.unwrap().name, "Ada");
    // One that has connections to the first notices it when it looks again.
    let began = Instant::now();
    loop {
        if let Ok(found) = other.users().find(ada).await
            && found.unwrap().name == "Ada"
        {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "the old one");
        pause(Duration::from_millis(20)).await;
    }
}
