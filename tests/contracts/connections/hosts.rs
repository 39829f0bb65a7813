use std::time::{Duration, Instant};

use super::*;
use crate::observer::Observer;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use wundr_db::testing::{Pair, PostgresServer, Proxy, ProxyMode};
use wundr_db::{Config, Error, Follow, Keepalives, Result};

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

#[both_engines]
async fn server_of(db: &Db) -> Result<String> {
    db.transaction(async |tx| -> Result<_> {
        let question = diesel::sql_query("SELECT current_setting('cluster_name') AS answer");
        let answer: Answer = question.get_result(tx.connection_mut()).await?;
        Ok(answer.answer)
    })
    .await
}

fn started(name: &str, is_read_only: bool) -> PostgresServer {
    let read_only = if is_read_only { "on" } else { "off" };
    PostgresServer::builder()
        .setting("cluster_name", name)
        .setting("default_transaction_read_only", read_only)
        .start()
        .unwrap()
}

fn url_of(proxies: &[&Proxy], parameters: &str) -> String {
    let hosts: Vec<_> = proxies
        .iter()
        .map(|one| one.address().to_string())
        .collect();
    format!(
        "postgres://postgres@{}/postgres?{parameters}",
        hosts.join(",")
    )
}

/// The kernel accepts for a server that stands still, so that only the answer is missing.
#[both_engines]
#[case]
async fn a_host_that_is_silent_is_left_for_the_next() {
    let server = started("good", false);
    let (silent, good) = (
        Proxy::start(&server).unwrap(),
        Proxy::start(&server).unwrap(),
    );
    silent.set(ProxyMode::Silent).unwrap();
    let config = Config::new(&url_of(&[&silent, &good], ""))
        .unwrap()
        .connect_timeout(Duration::from_secs(2))
        .max_connections(1);
    let db = Db::lazy(config).unwrap();

    let began = Instant::now();
    assert_eq!(server_of(&db).await.unwrap(), "good");
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );

    // The next one begins with the host that was good.
    let tried = silent.accepted();
    let mut observer = Observer::of(&server.url("postgres"));
    observer.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wundr-db'");
    while server_of(&db).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60));
        pause().await;
    }
    assert_eq!(silent.accepted(), tried);
}

#[both_engines]
#[case]
async fn a_silent_host_is_given_its_time_and_no_more() {
    let server = started("silent", false);
    let silent = Proxy::start(&server).unwrap();
    silent.set(ProxyMode::Silent).unwrap();
    let config = Config::new(&url_of(&[&silent], ""))
        .unwrap()
        .connect_timeout(Duration::from_secs(2))
        .acquire_timeout(Duration::from_secs(60));
    let began = Instant::now();
    match Db::connect(config).await {
        Err(Error::Connection { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
}

#[both_engines]
#[case]
async fn an_error_names_the_reason_of_every_host() {
    let server = started("none", true);
    let (refusing, read_only) = (
        Proxy::start(&server).unwrap(),
        Proxy::start(&server).unwrap(),
    );
    refusing.set(ProxyMode::Refuse).unwrap();
    let config = Config::new(&url_of(&[&refusing, &read_only], "")).unwrap();
    match Db::connect(config).await {
        Err(Error::Connection { message, .. }) => {
            for part in [
                &*refusing.address().to_string(),
                "refused",
                &*read_only.address().to_string(),
                "read-only",
            ] {
                assert!(message.contains(part), "no {part} in {message}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn several_hosts_mean_one_that_takes_writes() {
    let (reader, writer) = (started("reader", true), started("writer", false));
    let proxies = [
        &Proxy::start(&reader).unwrap(),
        &Proxy::start(&writer).unwrap(),
    ];
    let reached = async |parameters: &str| -> Result<String> {
        let config = Config::new(&url_of(&proxies, parameters))?;
        server_of(&Db::connect(config).await?).await
    };
    assert_eq!(reached("").await.unwrap(), "writer");
    assert_eq!(reached("target_session_attrs=any").await.unwrap(), "reader");
    assert_eq!(
        reached("target_session_attrs=read-only").await.unwrap(),
        "reader"
    );

    let one = Config::new(&reader.url("postgres")).unwrap();
    Db::connect(one.clone()).await.unwrap();
    match Db::connect(one.require_primary()).await {
        Err(Error::Connection { message, .. }) => {
            assert!(message.contains("read-only"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let one = Config::new(&writer.url("postgres")).unwrap();
    Db::connect(one.require_primary()).await.unwrap();
}

#[both_engines]
#[case]
async fn a_session_is_one_of_those_that_are_asked_for() {
    let pair = Pair::start().unwrap();
    let servers = [pair.primary(), pair.standby()];
    let list = |of: fn(&PostgresServer) -> String| servers.map(of).join(",");
    let base = format!(
        "postgres://postgres@/postgres?host={}&port={}",
        list(|server| server.socket_dir().display().to_string()),
        list(|server| server.port().to_string()),
    );
    for (attrs, is_standby) in [
        ("any", false),
        ("read-write", false),
        ("read-only", true),
        ("primary", false),
        ("standby", true),
        ("prefer-standby", true),
    ] {
        let url = format!("{base}&target_session_attrs={attrs}");
        let db = Db::connect(Config::new(&url).unwrap()).await.unwrap();
        assert_eq!(db.health().await.unwrap().is_standby, is_standby, "{attrs}");
    }
    let primary = pair.primary().url("postgres");
    for (attrs, is_there) in [
        ("read-only", false),
        ("standby", false),
        ("prefer-standby", true),
    ] {
        let url = format!("{primary}?target_session_attrs={attrs}");
        let outcome = Db::connect(Config::new(&url).unwrap()).await;
        assert_eq!(outcome.is_ok(), is_there, "{attrs}: {outcome:?}");
    }
}

/// The timer of the system for the connection to this port that this process holds: none, or when
/// it sends a probe.
fn keepalive_to(port: u16) -> Vec<Option<Duration>> {
    let text = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    let connections = text.lines().skip(1).map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        (
            fields[2].to_owned(),
            fields[3].to_owned(),
            fields[5].to_owned(),
        )
    });
    connections
        .filter(|(to, state, _)| to.ends_with(&remote) && state == "01")
        .map(|(_, _, timer)| {
            let (kind, when) = timer.split_once(':').unwrap();
            // In hundredths of a second.
            let when = u64::from_str_radix(when, 16).unwrap() * 10;
            (kind == "02").then(|| Duration::from_millis(when))
        })
        .collect()
}

#[both_engines]
#[case]
async fn the_system_looks_after_idle_connections() {
    let server = PostgresServer::builder().listen_tcp().start().unwrap();
    let url = server.tcp_url("postgres").unwrap();
    let port = server.port();
    // A timer runs only where nothing that was sent is on its way.
    let settled = async |wanted: fn(&Option<Duration>) -> bool, connections: usize| {
        let began = Instant::now();
        loop {
            let timers = keepalive_to(port);
            if timers.len() == connections && timers.iter().all(wanted) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{timers:?}");
            pause().await;
        }
    };
    let soon = |timer: &Option<Duration>| timer.is_some_and(|at| at <= Duration::from_secs(5));
    // With more, a pool that waits for long opens another connection.
    let config = |url: &str| Config::new(url).unwrap().max_connections(1);
    // Without tables, the listener would connect again and again.
    wundr_db::blocking::migrations::up(&config(&url)).unwrap();
    let db = Db::connect(config(&url)).await.unwrap();
    let live = Live::follow(db.config(), Follow::All).await.unwrap();
    settled(soon, 2).await;
    drop(live);
    db.close().await;
    settled(soon, 0).await;

    let later = |timer: &Option<Duration>| {
        timer.is_some_and(|at| at > Duration::from_secs(5) && at <= Duration::from_secs(90))
    };
    let seconds = Duration::from_secs;
    let keepalives = Keepalives::new(seconds(90), seconds(9), 5);
    let by_setting = Db::connect(config(&url).keepalives(keepalives))
        .await
        .unwrap();
    settled(later, 1).await;
    by_setting.close().await;
    settled(later, 0).await;

    let by_url = format!("{url}?keepalives_idle=90");
    let by_url = Db::connect(config(&by_url)).await.unwrap();
    settled(later, 1).await;
    by_url.close().await;
    settled(later, 0).await;

    let none = Db::connect(config(&url).keepalives(None)).await.unwrap();
    settled(Option::is_none, 1).await;
    drop(none);
}

/// By its name, a server is looked up for each connection.
#[both_engines]
#[case]
async fn a_name_with_several_addresses_is_one_host() {
    let server = PostgresServer::builder().listen_tcp().start().unwrap();
    let url = format!("postgres://postgres@localhost:{}/postgres", server.port());
    let mut observer = Observer::of(&server.url("postgres"));
    observer.run("CREATE ROLE other");
    // On many machines ::1 comes first, where this server does not listen.
    let db = Db::connect(Config::new(&url).unwrap()).await.unwrap();
    assert!(!db.health().await.unwrap().is_standby);
}
