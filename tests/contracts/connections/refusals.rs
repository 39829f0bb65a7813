//! Connections that are refused: which refusals last, and what is tried again.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::observer::Observer;
use crate::pgbouncer::PgBouncer;
use wundr_db::testing::{PostgresServer, Proxy, ProxyMode};
use wundr_db::{Advice, Config, Error, Fate, Result, Retry, TransactionOptions, UserFilter};

const ROLES: &str = "
    CREATE ROLE ada LOGIN PASSWORD 'right';
    CREATE ROLE eve LOGIN PASSWORD 'right';
    CREATE ROLE idle NOLOGIN PASSWORD 'right';
    CREATE ROLE many LOGIN PASSWORD 'right' CONNECTION LIMIT 0;
    REVOKE CONNECT ON DATABASE secret FROM PUBLIC;
";

/// A server that asks for passwords over TCP.
fn guarded() -> PostgresServer {
    let server = PostgresServer::builder().listen_tcp().start().unwrap();
    let mut observer = Observer::of(&server.url("postgres"));
    observer.run("CREATE DATABASE secret");
    observer.run(ROLES);
    let rules = "local all all trust\nhost all eve all reject\nhost all all all scram-sha-256\n";
    fs::write(server.data_dir().join("pg_hba.conf"), rules).unwrap();
    observer.run("SELECT pg_reload_conf()");
    observer.until(
        "(SELECT count(*) FILTER (WHERE auth_method = 'reject') = 1 FROM pg_hba_file_rules)",
    );
    server
}

fn url(server: &PostgresServer, role: &str, database: &str, parameters: &str) -> String {
    let port = server.port();
    format!("postgres://{role}@127.0.0.1:{port}/{database}?sslmode=disable&{parameters}")
}

/// The error of a connection by this URL.
#[both_engines]
async fn refusal(url: &str) -> Error {
    let config = Config::without_environment(url).unwrap();
    Db::connect(config.acquire_timeout(Duration::from_secs(20)))
        .await
        .unwrap_err()
}

#[both_engines]
#[case]
async fn a_refusal_that_lasts_is_not_tried_again() {
    let server = guarded();
    let (never, elsewhere) = (Advice::Never, Advice::AgainElsewhere);
    // A server that listens where nothing is: a port of a listener that has gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let unreachable = format!("postgres://ada:right@127.0.0.1:{port}/postgres");
    let of =
        |role: &str, database: &str, parameters: &str| url(&server, role, database, parameters);
    let both = |first: u16, second: u16| {
        format!(
            "postgres://ada:wrong@127.0.0.1:{first},127.0.0.1:{second}/postgres?sslmode=disable"
        )
    };

    for (url, advice) in [
        (of("ada:wrong", "postgres", ""), never),
        (of("ada", "postgres", ""), never),
        (of("nobody:right", "postgres", ""), never),
        (of("idle:right", "postgres", ""), never),
        (of("eve:right", "postgres", ""), never),
        (of("ada:right", "missing", ""), never),
        (of("ada:right", "secret", ""), never),
        (
            of("ada:right", "postgres", "options=-c%20no_such_setting%3D1"),
            never,
        ),
        (
            of("ada:right", "postgres", "options=-c%20work_mem%3Dx"),
            never,
        ),
        (of("many:right", "postgres", ""), elsewhere),
        (unreachable.clone(), elsewhere),
        // As libpq: what lasts for one host lasts for all of them.
        (both(server.port(), port), never),
        (both(port, server.port()), never),
    ] {
        let refused = refusal(&url).await;
        assert!(
            matches!(refused, Error::Connection { .. }),
            "{url}: {refused:?}"
        );
        assert_eq!(refused.advice(), advice, "{url}: {refused:?}");
        assert_eq!(refused.fate(), Some(Fate::NotSent), "{url}: {refused:?}");
        assert_eq!(refused.is_retryable(), advice == elsewhere, "{url}");
    }

    // A transaction that is to survive a failover ends immediately.
    let config = Config::without_environment(&of("ada:wrong", "postgres", "")).unwrap();
    let db = Db::lazy(config).unwrap();
    let (options, started) = (TransactionOptions::new(), Instant::now());
    let patient = Retry::default().through_failover(Duration::from_secs(60));
    let refused = db
        .transaction_retrying(&options, &patient, async |tx| -> Result<()> {
            tx.users().count(&UserFilter::new()).await.map(drop)
        })
        .await
        .unwrap_err();
    assert_eq!(refused.advice(), never, "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{refused:?}");

    // A server that shuts down, as one that starts, may be another's successor.
    let mut last = Observer::of(&server.url("postgres"));
    let pid = server.pid().unwrap().to_string();
    let asked = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(asked.unwrap().success());
    loop {
        let refused = refusal(&of("ada:wrong", "postgres", "")).await;
        if refused.to_string().contains("shutting down") {
            assert_eq!(refused.advice(), elsewhere, "{refused:?}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{refused:?}");
    }
    assert_eq!(last.ask("1"), "1");
}

/// The hosts after one that refuses are not used, as in libpq; those after one that cannot be
/// reached are.
#[both_engines]
#[case]
async fn hosts_after_one_that_refuses_are_not_tried() {
    let (guarded, open) = (guarded(), guarded());
    Observer::of(&open.url("postgres")).run("ALTER ROLE ada PASSWORD 'other'");
    // Accepts a connection and says nothing. The async engine may have begun with it when the
    // refusal comes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port();
    let hosts = |first: u16, second: u16| {
        format!(
            "postgres://ada:other@127.0.0.1:{first},127.0.0.1:{second}/postgres?sslmode=disable"
        )
    };
    for (url, is_taken) in [
        (hosts(guarded.port(), silent), false),
        (hosts(open.port(), guarded.port()), true),
        (hosts(1, open.port()), true),
    ] {
        let psql = Command::new("psql")
            .args(["-XAtc", "SELECT 1", &url])
            .output()
            .unwrap();
        assert_eq!(psql.status.success(), is_taken, "{url}: {psql:?}");
        let outcome = Db::connect(Config::without_environment(&url).unwrap()).await;
        assert_eq!(outcome.is_ok(), is_taken, "{url}: {outcome:?}");
        if let Err(refused) = outcome {
            assert_eq!(refused.advice(), Advice::Never, "{refused:?}");
        }
    }
}

/// A refusal that takes its time ends the attempt at the next host, which was begun meanwhile. It
/// is no failure of the host after which another would be tried first.
#[both_engines]
#[case]
async fn a_refusal_that_is_late_ends_the_attempts_at_other_hosts() {
    let (guarded, open) = (guarded(), guarded());
    let slow = Proxy::start(SocketAddr::from(([127, 0, 0, 1], guarded.port()))).unwrap();
    let pause = Duration::from_millis(300);
    slow.set(ProxyMode::Split { pause, seed: 1 }).unwrap();
    let gate = Proxy::start(SocketAddr::from(([127, 0, 0, 1], open.port()))).unwrap();
    gate.set(ProxyMode::Silent).unwrap();
    let (first, second) = (slow.port(), gate.port());
    let url = format!(
        "postgres://ada:wrong@127.0.0.1:{first},127.0.0.1:{second}/postgres?sslmode=disable"
    );
    let config = Config::without_environment(&url).unwrap();
    let config = config
        .connect_timeout(Duration::from_secs(120))
        .acquire_timeout(Duration::from_secs(110));
    let db = Db::lazy(config).unwrap();
    let started = Instant::now();
    for _ in 0..2 {
        let refused = db.users().count(&UserFilter::new()).await.unwrap_err();
        assert_eq!(refused.advice(), Advice::Never, "{refused:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[both_engines]
#[case]
async fn what_a_pgbouncer_says_of_a_refusal_is_understood() {
    let server = guarded();
    let database = server.create_database().unwrap();
    let bouncer = PgBouncer::with(
        &server,
        "session",
        "auth_type = md5",
        "\"postgres\" \"right\"\n\"many\" \"right\"\n",
    );
    let url = bouncer.url(&database);
    let (host, _) = url.rsplit_once('/').unwrap();
    let by = |role: &str, database: &str| {
        let host = host.replace("postgres@", &format!("{role}@"));
        format!("{host}/{database}")
    };
    for url in [
        by("postgres:wrong", "postgres"),
        by("postgres", "postgres"),
        by("nobody:right", "postgres"),
        by("postgres:right", "missing"),
    ] {
        let config = Config::without_environment(&url).unwrap();
        let config = config.behind_pgbouncer();
        let refused = Db::connect(config.acquire_timeout(Duration::from_secs(20)))
            .await
            .unwrap_err();
        assert_eq!(refused.advice(), Advice::Never, "{url}: {refused:?}");
    }
    // The server behind it is gone.
    server.kill().unwrap();
    let config = Config::without_environment(&by("postgres:right", "template1")).unwrap();
    let config = config.behind_pgbouncer();
    let gone = Db::connect(config.acquire_timeout(Duration::from_secs(20)))
        .await
        .unwrap_err();
    assert_eq!(gone.advice(), Advice::AgainElsewhere, "{gone:?}");
}
