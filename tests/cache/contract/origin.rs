//! The database behind the cache: reached through PgBouncer, by a role with few rights, and taken
//! over by a standby.

use super::*;
use crate::pgbouncer::PgBouncer;
use crate::subscriber::{events, listen};
use std::fs;
use std::time::Instant;
use wundr_db::Error;

const PATIENCE: Duration = Duration::from_secs(60);

#[both_engines]
async fn behind(config: Config) -> Cached {
    let db = Db::connect(config).await.unwrap();
    Cached::new(db, shared()).unwrap()
}

/// The reader finds an entry of the cache, and sees what the writer does.
#[both_engines]
async fn works(writer: &Cached, reader: &Cached) {
    let ada = user(writer).await.id;
    let began = Instant::now();
    let hits = reader.metrics().hits;
    while reader.metrics().hits == hits {
        reader.users().find(ada).await.unwrap();
        assert!(began.elapsed() < PATIENCE, "{:?}", reader.metrics());
    }
    let login = writer.users().touch_last_login(ada).await.unwrap();
    assert_eq!(reader.users().find(ada).await.unwrap(), Some(login));
}

#[both_engines]
#[case]
async fn it_works_behind_pgbouncer() {
    for mode in ["transaction", "session"] {
        let bouncer = PgBouncer::start(mode);
        let database = migrated_database().unwrap();
        let config = bouncer
            .config(&database)
            .behind_pgbouncer()
            .max_connections(2);
        let (one, other) = (behind(config.clone()).await, behind(config).await);
        works(&one, &other).await;
        // With others that are not behind it.
        let direct = cached(&database.url(), shared()).await;
        works(&direct, &other).await;
        works(&other, &direct).await;
    }
}

#[both_engines]
#[case]
async fn a_role_that_may_not_name_the_cluster() {
    listen();
    let database = migrated_database().unwrap();
    let role = format!("app_{}", uuid::Uuid::from(UserId::new()).simple());
    let schemas = "public, analysis, setup, audit, cache";
    Observer::of(&database.url()).run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schemas} TO {role}; \
         GRANT ALL ON ALL TABLES IN SCHEMA {schemas} TO {role}; \
         REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
    ));
    let url = database.url().replace("postgres@", &format!("{role}@"));
    assert!(url.contains(&role), "{url}");
    let (one, other) = (cached(&url, shared()).await, cached(&url, shared()).await);
    for _ in 0..3 {
        works(&one, &other).await;
    }
    let warnings = events();
    let warnings = warnings
        .iter()
        .filter(|event| event.contains("may not call pg_control_system"));
    // One for each process.
    assert_eq!(warnings.count(), 2, "{:?}", events());
}

#[both_engines]
#[case]
async fn a_standby_that_takes_over_makes_everything_old() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    wundr_db::blocking::migrations::up(&config).unwrap();
    let (one, other) = (behind(config.clone()).await, behind(config).await);
    works(&one, &other).await;
    let (ada, bob) = (user(&one).await, user(&one).await);
    for _ in 0..2 {
        other.users().find(ada.id).await.unwrap();
        other.users().find(bob.id).await.unwrap();
    }
    // As a standby does that is promoted, it recovers what it has and goes on on a new timeline.
    server.kill().unwrap();
    let data = server.data_dir();
    fs::write(data.join("recovery.signal"), "").unwrap();
    let settings = data.join("postgresql.auto.conf");
    let more = fs::read_to_string(&settings).unwrap_or_default() + "\nrestore_command = 'false'\n";
    fs::write(&settings, more).unwrap();
    server.restart().unwrap();
    until(&database, "NOT pg_is_in_recovery()").await;
    let mut observer = Observer::of(&database.url());
    let timeline = "left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    assert_eq!(observer.ask(timeline), "00000002");
    // What the old primary had acknowledged last is lost, where standbys are asynchronous.
    observer.run("UPDATE public.users SET name = 'as the standby has it'");

    let began = Instant::now();
    loop {
        match one.users().touch_last_login(bob.id).await {
            Ok(_) => break,
            Err(Error::Cache(error)) => panic!("{error}"),
            Err(_) => assert!(began.elapsed() < PATIENCE),
        }
    }
    // The reader has had no reason to ask the database for anything.
    for id in [ada.id, bob.id] {
        let found = loop {
            match other.users().find(id).await {
                Ok(found) => break found.unwrap(),
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
        };
        assert_eq!(found.name, "as the standby has it");
    }
    works(&one, &other).await;
    works(&other, &one).await;
}

/// A process that only reads what is cached asks the database every ten seconds whether it is still
/// the same.
#[both_engines]
#[case]
async fn a_reader_of_the_cache_notices_that_a_standby_has_taken_over() {
    let servers = wundr_db::testing::Pair::start().unwrap();
    let database = servers.migrated_database().unwrap();
    let address = Proxy::start(servers.primary()).unwrap();
    let url = address.url_of(&database);
    let (one, other) = (cached(&url, shared()).await, cached(&url, shared()).await);
    works(&one, &other).await;
    let ada = user(&one).await;
    servers.wait_for_catch_up().unwrap();
    servers.cut_replication().unwrap();
    let lost = UserChanges::new().name("lost");
    one.users().update(ada.id, lost).await.unwrap();
    let hits = other.metrics().hits;
    while other.metrics().hits == hits {
        let found = other.users().find(ada.id).await.unwrap().unwrap();
        assert_eq!(found.name, "lost");
    }
    servers.promote().unwrap();
    address.lead_to(servers.standby());
    address.cut();
    let began = Instant::now();
    loop {
        // While connections are lost it may fail, but it may not go on for ever.
        if let Ok(found) = other.users().find(ada.id).await
            && found.unwrap().name == "Ada"
        {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the lost value is read for ever"
        );
        pause(Duration::from_millis(20)).await;
    }
}

/// Any statement of the process may have found that a connection was lost: from then on nothing is
/// read of a timeline that has ended.
#[both_engines]
#[case]
async fn after_a_lost_connection_nothing_is_read_of_a_timeline_that_has_ended() {
    let servers = wundr_db::testing::Pair::start().unwrap();
    let database = servers.migrated_database().unwrap();
    let address = Proxy::start(servers.primary()).unwrap();
    let url = address.url_of(&database);
    let one = cached(&url, shared()).await;
    let mut others = Vec::new();
    let near = shared().near(100, Duration::from_secs(60));
    for config in [shared(), shared().shards(4), near] {
        let db = Db::connect(Config::new(&url).unwrap()).await.unwrap();
        others.push((db.clone(), Cached::new(db, config).unwrap()));
    }
    works(&one, &others[0].1).await;
    let ada = user(&one).await.id;
    servers.wait_for_catch_up().unwrap();
    servers.cut_replication().unwrap();
    let lost = UserChanges::new().name("lost");
    one.users().update(ada, lost).await.unwrap();
    let began = Instant::now();
    for (_, other) in &others {
        while other.metrics().hits + other.metrics().near_hits < 3 {
            let found = other.users().find(ada).await.unwrap().unwrap();
            assert_eq!(found.name, "lost");
            assert!(began.elapsed() < PATIENCE, "{:?}", other.metrics());
        }
    }
    servers.promote().unwrap();
    address.lead_to(servers.standby());
    address.cut();
    for (db, other) in &others {
        // Past the cache, by a connection that was lost, or by the first new one.
        let _ = db.tools().find(ToolId::new()).await;
        let began = Instant::now();
        loop {
            match other.users().find(ada).await {
                Ok(found) => break assert_eq!(found.unwrap().name, "Ada"),
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
        }
    }
}

/// The cache has seen a later timeline than the database is on, as after a restore.
#[both_engines]
#[case]
async fn a_database_on_an_earlier_timeline_is_used_when_it_stays_there() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let config = servers::of(&redis.url()).shards(2);
    let pair = pair(config.clone()).await;
    let ada = user(&pair.one).await.id;
    let later = |raw: &mut Raw| {
        for epoch in raw.keys("*:epoch:*") {
            let _: u32 = raw.ask(&format!("HSET {epoch} timeline 000000FF"));
        }
    };
    // Immediately, if the application requests it.
    pair.one.forget_everything().await.unwrap();
    later(&mut raw);
    let fresh = cached(&pair.database.url(), config.clone()).await;
    let refused = fresh.users().touch_last_login(ada).await.unwrap_err();
    let said = refused.to_string();
    assert!(matches!(refused, Error::Cache(_)), "{refused:?}");
    for word in ["timeline 000000FF", "forget_everything", "wundr:{*}:"] {
        assert!(said.contains(word), "{said}");
    }
    fresh.forget_everything().await.unwrap();
    fresh.users().touch_last_login(ada).await.unwrap();
    works(&fresh, &pair.other).await;
    // Or by itself, when the database has said the same for ten seconds.
    pair.one.users().touch_last_login(ada).await.unwrap();
    later(&mut raw);
    let fresh = cached(&pair.database.url(), config).await;
    let began = Instant::now();
    while let Err(refused) = fresh.users().touch_last_login(ada).await {
        assert!(matches!(refused, Error::Cache(_)), "{refused:?}");
        assert!(began.elapsed() < PATIENCE, "{refused}");
        pause(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(9), "too early");
    works(&fresh, &pair.other).await;
}

/// A writer that has died has fenced an entry that is not read.
#[both_engines]
#[case]
async fn the_fences_of_a_writer_that_died_go_although_nobody_reads_their_entries() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let pair = pair(servers::of(&redis.url())).await;
    let mut observer = Observer::of(&pair.database.url());
    let ada = user(&pair.one).await.id;
    let transaction = observer.ask("pg_current_xact_id()");
    let epoch = raw.keys("*:epoch:*").remove(0);
    let number: u32 = raw
        .ask::<Option<u32>>(&format!("HGET {epoch} last"))
        .unwrap()
        + 1;
    let fence = format!("token,{transaction},100,{number}");
    for (field, value) in [
        ("last", number.to_string()),
        ("fence:a", fence.clone()),
        ("fence:b", format!("other,{transaction},100,7 {fence}")),
        (&format!("writer:{number}"), format!("{fence} a b")),
    ] {
        raw.hset(&epoch, field, &value);
    }
    let began = Instant::now();
    while pair.other.metrics().fences_cleared == 0 {
        pair.other.users().find(ada).await.unwrap();
        assert!(began.elapsed() < PATIENCE, "{:?}", raw.value(&epoch));
        pause(Duration::from_millis(50)).await;
    }
    raw.until(&format!("HEXISTS {epoch} fence:a"), |there| there == "0");
    let left: String = raw.ask(&format!("HGET {epoch} fence:b"));
    assert_eq!(left, format!("other,{transaction},100,7"));
    raw.until(&format!("HEXISTS {epoch} writer:{number}"), |there| {
        there == "0"
    });
    // Those that have ended are not kept.
    for _ in 0..5 {
        user(&pair.one).await;
    }
    let fields: Vec<String> = raw.ask(&format!("HKEYS {epoch}"));
    assert!(
        !fields.iter().any(|field| field.starts_with("writer:")),
        "{fields:?}"
    );
}
