//! A report of pgBadger from the log of a real run, with the settings that the documentation names.

use std::process::Command;
use std::time::{Duration, Instant};

use wundr_db::blocking::{Db, UserRepository as _};
use wundr_db::testing::PostgresServer;
use wundr_db::{Config, NewUser, Page, UserFilter};

use crate::observer::Observer;
use crate::servers::{SETTINGS, migrated};

const PREFIX: &str = "%t [%p]: user=%u,db=%d,app=%a,client=%h ";

/// The addresses that are bound to statements.
const ADDRESSES: [&str; 2] = ["secret.one@example.org", "secret.two@example.org"];

fn run_an_application(url: &str, name: &str) {
    let config = Config::new(url).unwrap().application_name(name);
    let db = Db::connect(config.max_connections(1)).unwrap();
    for address in ADDRESSES {
        let _ = db.users().create(NewUser::new(address, "Ada"));
        for _ in 0..20 {
            db.users().find_by_email(address).unwrap();
        }
        db.users().list(&UserFilter::new(), &Page::new()).unwrap();
    }
}

/// Returns the server's log up to the end of the application's session.
fn log_of(server: &PostgresServer, name: &str) -> String {
    let path = server.data_dir().join("log/postgresql.log");
    let end = format!("app={name},client=[local] LOG:  disconnection");
    let started = Instant::now();
    loop {
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        if log.contains(&end) {
            return log;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{log}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the report on a log as text.
fn report(log: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let (file, report) = (
        directory.path().join("log"),
        directory.path().join("report.txt"),
    );
    std::fs::write(&file, log).unwrap();
    let output = Command::new("pgbadger")
        .args([
            "--quiet",
            "--format",
            "stderr",
            "--prefix",
            PREFIX,
            "--outfile",
        ])
        .arg(&report)
        .args(["--extension", "text", "--top", "100"])
        .arg(&file)
        .output()
        .expect("pgbadger is not installed: apt-get install pgbadger, or `sh .ci/install-servers`");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    std::fs::read_to_string(&report).unwrap()
}

#[test]
fn a_report_has_the_statements_and_the_application_but_no_bound_value() {
    let settings = SETTINGS.iter().copied().chain([
        ("log_min_duration_statement", "0"),
        ("logging_collector", "on"),
        ("log_directory", "log"),
        ("log_filename", "postgresql.log"),
    ]);
    let settings = settings.filter(|(name, _)| !name.starts_with("archive"));
    let server = settings
        .fold(PostgresServer::builder(), |builder, (name, value)| {
            builder.setting(name, value)
        })
        .start()
        .unwrap();
    let database = migrated(&server);
    run_an_application(&database.url(), "nightly-report");
    let log = log_of(&server, "nightly-report");
    // For the picture in docs.
    if let Some(path) = std::env::var_os("WUNDR_PGBADGER_LOG") {
        std::fs::write(path, &log).unwrap();
    }
    let report = report(&log);
    for expected in [
        "app: nightly-report",
        "INSERT INTO \"public\".\"users\"",
        "FROM \"public\".\"users\"",
        "lower(\"public\".\"users\".\"email\"",
    ] {
        let (report, expected) = (report.to_lowercase(), expected.to_lowercase());
        assert!(report.contains(&expected), "{expected}: {report}");
    }
    for address in ADDRESSES {
        assert!(
            !log.contains(address) && !report.contains(address),
            "{address}"
        );
    }

    // The same with the server's defaults: the test detects what it looks for.
    let mut observer = Observer::of(&database.url());
    observer.run("ALTER ROLE postgres SET log_parameter_max_length = -1");
    run_an_application(&database.url(), "leaking");
    assert!(log_of(&server, "leaking").contains(ADDRESSES[0]));
}
