use std::time::Duration;

use super::*;
use crate::measurements::{self, measurements};
use crate::subscriber::{self, RecordedSpan, events, spans};
use wundr_db::testing::{PostgresServer, TestDatabase};
use wundr_db::{
    AnalysisType, Availability, Config, Error, NewAnalysis, NewProject, NewUser, Page, Result,
    Retry, TransactionOptions, UserFilter, UserId,
};

#[both_engines]
async fn database(settings: impl FnOnce(Config) -> Config) -> (Db, TestDatabase) {
    subscriber::listen();
    measurements::listen();
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(settings(config)).await.unwrap();
    (db, database)
}

fn ada() -> NewUser {
    NewUser::new("ada@example.org", "Ada Lovelace")
}

/// Returns the newest span of this name.
fn span(name: &str) -> RecordedSpan {
    let name = format!("otel.name=\"{name}\"");
    let spans = spans();
    let found = spans.iter().rev().find(|span| span.fields.contains(&name));
    found.unwrap_or_else(|| panic!("{name}: {spans:?}")).clone()
}

#[both_engines]
#[case]
async fn a_call_is_a_span_with_its_names_its_outcome_and_no_value() {
    let (db, database) = database(|config| config).await;
    let users = db.users();
    users.create(ada()).await.unwrap();
    users.list(&UserFilter::new(), &Page::new()).await.unwrap();
    users.find_many(&[UserId::new()]).await.unwrap();
    let refused = users.create(ada()).await;
    assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");

    let url = database.url();
    let name = url.split('?').next().unwrap().rsplit('/').next().unwrap();
    let listed = span("users.list").fields;
    for part in [
        "db.system.name=\"postgresql\"",
        &format!("db.namespace=\"{name}\""),
        "db.collection.name=\"users\"",
        "db.operation.name=\"list\"",
        "db.query.summary=\"users.list\"",
        "outcome=\"ok\"",
    ] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let found = span("users.find_many").fields;
    assert!(found.contains("db.response.returned_rows=0"), "{found}");
    let refused = span("users.create").fields;
    assert!(refused.contains("outcome=\"error\""), "{refused}");
    assert!(refused.contains("error.type=\"unique\""), "{refused}");
    for span in spans() {
        assert!(!span.fields.contains("Lovelace"), "{span:?}");
        assert!(!span.fields.contains("ada@"), "{span:?}");
    }
}

#[both_engines]
#[case]
async fn calls_of_a_transaction_belong_to_its_span() {
    let (db, _database) = database(|config| config).await;
    db.transaction(async |tx| tx.users().create(ada()).await)
        .await
        .unwrap();
    let (transaction, call) = (span("transaction"), span("users.create"));
    assert_eq!(call.parent, Some(transaction.id));
    assert!(transaction.fields.contains("outcome=\"committed\""));

    let refused = db
        .transaction(async |tx| tx.users().create(ada()).await)
        .await;
    assert!(refused.is_err());
    let fields = span("transaction").fields;
    assert!(fields.contains("outcome=\"rolled back\""), "{fields}");
}

#[both_engines]
#[case]
async fn a_slow_call_is_logged_and_a_fast_one_is_not() {
    let (db, _database) = database(|config| config.slow_call(Duration::ZERO)).await;
    db.users().find(UserId::new()).await.unwrap();
    let logged = events();
    let slow = logged.iter().find(|event| event.contains("slow call"));
    let slow = slow.unwrap_or_else(|| panic!("{logged:?}"));
    assert!(slow.starts_with("WARN"), "{slow}");
    assert!(slow.contains("summary=\"users.find\""), "{slow}");

    let before = events().len();
    let (db, _database) = database(|config| config.slow_call(Duration::from_secs(3600))).await;
    db.users().find(UserId::new()).await.unwrap();
    assert_eq!(events().len(), before);
}

#[both_engines]
#[case]
async fn calls_and_the_pool_are_measured() {
    let (db, _database) = database(|config| config).await;
    db.users().create(ada()).await.unwrap();
    let refused = db.users().create(ada()).await;
    assert!(refused.is_err());
    let measured = measurements();
    let of = |parts: &[&str]| {
        let has_all = |name: &String| parts.iter().all(|part| name.contains(part));
        measured.iter().filter(|(name, _)| has_all(name)).count()
    };
    let duration = "db.client.operation.duration";
    let create = "db.operation.name=create";
    assert_eq!(of(&[duration, create, "outcome=ok"]), 1, "{measured:?}");
    assert_eq!(of(&[duration, create, "error.type=unique"]), 1);

    db.pool().record_metrics("main");
    let measured = measurements();
    let idle = "db.client.connection.count db.client.connection.pool.name=main state=idle";
    let idle = measured.iter().find(|(name, _)| name == idle);
    assert_eq!(idle.unwrap_or_else(|| panic!("{measured:?}")).1, 1.0);
}

#[both_engines]
#[case]
async fn a_repeated_transaction_is_counted() {
    let (db, _database) = database(|config| config).await;
    let tries = std::sync::atomic::AtomicU32::new(0);
    let retry = Retry::default().first_wait(Duration::from_millis(1));
    db.transaction_retrying(
        &TransactionOptions::new(),
        &retry,
        async |_| -> Result<()> {
            match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => Err(Error::Deadlock),
                _ => Ok(()),
            }
        },
    )
    .await
    .unwrap();
    let measured = measurements();
    let retries = ("wundr_db.retries reason=conflict".to_owned(), 1.0);
    assert!(measured.contains(&retries), "{measured:?}");
}

#[both_engines]
#[case]
async fn a_copy_is_measured() {
    let (db, _database) = database(|config| config).await;
    let new = |n: usize| NewUser::new(format!("{n}@example.org"), "a");
    let new: Vec<_> = (0..2_000).map(new).collect();
    db.users().create_many(&new).await.unwrap();
    let measured = measurements();
    let copied = measured
        .iter()
        .find(|(name, _)| name.trim() == "wundr_db.copy.rows");
    assert_eq!(copied.unwrap_or_else(|| panic!("{measured:?}")).1, 2_000.0);
    let logged = events();
    assert!(
        logged.iter().any(|event| event.contains("copied rows")),
        "{logged:?}"
    );
}

#[both_engines]
#[case]
async fn the_depth_of_the_queue_is_measured() {
    let (db, _database) = database(|config| config).await;
    let state = db.queue_state().await.unwrap();
    assert_eq!((state.pending, state.running, state.abandoned), (0, 0, 0));
    assert_eq!(state.longest_wait, None);
    let user = db.users().create(ada()).await.unwrap().id;
    let project = db
        .projects()
        .create(NewProject::new("p", user))
        .await
        .unwrap()
        .id;
    for _ in 0..3 {
        let new = NewAnalysis::new(project, AnalysisType::Quality, user);
        db.analyses().create(new).await.unwrap();
    }
    let types = [AnalysisType::Quality];
    let lease = Duration::from_secs(60);
    let claim = db.analyses().claim(&types, "worker", lease).await.unwrap();
    assert!(claim.is_some());
    let state = db.queue_state().await.unwrap();
    assert_eq!((state.pending, state.running, state.abandoned), (2, 1, 0));
    assert!(state.longest_wait.is_some());
    state.record_metrics("analyses");
    let measured = measurements();
    let pending = "wundr_db.queue.analyses queue=analyses state=pending";
    let pending = measured.iter().find(|(name, _)| name == pending);
    assert_eq!(pending.unwrap_or_else(|| panic!("{measured:?}")).1, 2.0);
}

#[both_engines]
#[case]
async fn a_busy_pool_is_told_from_a_broken_server() {
    let server = PostgresServer::start().unwrap();
    let config = Config::new(&server.url("postgres"))
        .unwrap()
        .max_connections(1);
    let config = config.health_timeout(Duration::from_millis(300));
    let db = Db::connect(config).await.unwrap();
    assert!(db.readiness().await.is_ready());
    let outcome: Result<Availability> = db.transaction(async |_| Ok(db.readiness().await)).await;
    let outcome = outcome.unwrap();
    assert!(
        matches!(&outcome, Availability::Busy(pool) if pool.is_busy()),
        "{outcome:?}"
    );
    server.kill().unwrap();
    let outcome = db.readiness().await;
    assert!(matches!(outcome, Availability::Broken(_)), "{outcome:?}");
    db.liveness().unwrap();
    db.close().await;
    assert!(matches!(db.liveness(), Err(Error::Pool(_))));
    let outcome = db.readiness().await;
    assert!(
        matches!(outcome, Availability::Broken(Error::Pool(_))),
        "{outcome:?}"
    );
}
