//! The database behind the cache: reached through PgBouncer, by a role with few rights, and taken over by a standby.

use super::*;
use crate::bouncer::{PgBouncer, follows_statements};
use crate::subscriber::{listen, told};
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
    let mode = if follows_statements() {
        "transaction"
    } else {
        "session"
    };
    let bouncer = PgBouncer::start(mode);
    let database = migrated_database().unwrap();
    let config = bouncer
        .config(&database)
        .behind_pgbouncer()
        .max_connections(2);
    let (one, other) = (behind(config.clone()).await, behind(config).await);
    works(&one, &other).await;
    // With others who are not behind it.
    let direct = cached(&database.url(), shared()).await;
    works(&direct, &other).await;
    works(&other, &direct).await;
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
    let warnings = told();
    let warnings = warnings
        .iter()
        .filter(|event| event.contains("may not call pg_control_system"));
    // One for each process.
    assert_eq!(warnings.count(), 2, "{:?}", told());
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
