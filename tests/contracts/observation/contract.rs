use std::time::Duration;

use super::*;
use crate::measurements::{self, measurements};
use crate::subscriber::{self, RecordedSpan, events, spans};
use wundr_db::testing::{PostgresServer, TestDatabase};
use wundr_db::{
    AnalysisType, Availability, Config, Error, NewAnalysis, NewProject, NewUser, Page, Result,
    Retry, TransactionOptions, User, UserChanges, UserFilter, UserId,
};

#[both_engines]
pub async fn database(settings: impl FnOnce(Config) -> Config) -> (Db, TestDatabase) {
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
pub fn span(name: &str) -> RecordedSpan {
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
    users.find(UserId::new()).await.unwrap();
    let found = span("users.find").fields;
    assert!(found.contains("db.response.returned_rows=0"), "{found}");
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
async fn a_checkout_is_a_span_with_the_time_that_the_caller_waited() {
    let limit = Duration::from_secs(1);
    let (db, _database) = database(|config| config.acquire_timeout(limit)).await;
    // The first may open the connection.
    db.users().find(UserId::new()).await.unwrap();
    db.users().find(UserId::new()).await.unwrap();
    let (checkout, call) = (span("checkout"), span("users.find"));
    assert_eq!(checkout.parent, Some(call.id));
    for part in ["outcome=\"ok\"", "wundr_db.wait_us=0 "] {
        assert!(checkout.fields.contains(part), "{checkout:?}");
    }
    let busy = db
        .transaction(async |_| db.users().find(UserId::new()).await)
        .await;
    assert!(matches!(busy, Err(Error::Pool(_))), "{busy:?}");
    let checkout = span("checkout");
    for part in ["outcome=\"error\"", "error.type=\"pool\""] {
        assert!(checkout.fields.contains(part), "{checkout:?}");
    }
    let (_, waited) = checkout.fields.split_once("wundr_db.wait_us=").unwrap();
    let waited: u128 = waited.split(' ').next().unwrap().parse().unwrap();
    assert!(waited >= limit.as_micros(), "{waited}");
    let measured = measurements();
    let waits = measured
        .iter()
        .filter(|(name, _)| name.trim() == "db.client.connection.wait_time");
    let longest = waits.map(|(_, seconds)| *seconds).fold(0.0, f64::max);
    assert!(longest >= limit.as_secs_f64(), "{measured:?}");
}

/// A repository of an application.
#[both_engines]
trait MarkRepository: Send + Sync {
    async fn find(&self, id: UserId) -> Result<Option<User>>;

    async fn rename(&self, id: UserId, name: &str) -> Result<User>;
}

struct Marks<'a>(OwnTables<'a>);

#[both_engines(observed)]
impl MarkRepository for Marks<'_> {
    async fn find(&self, id: UserId) -> Result<Option<User>> {
        self.0.find(id).await
    }

    async fn rename(&self, id: UserId, name: &str) -> Result<User> {
        let changes = UserChanges::new().name(name);
        self.0.update(id, changes).await
    }
}

struct NamedMarks<'a>(OwnTables<'a>);

#[both_engines(observed = "signs")]
impl MarkRepository for NamedMarks<'_> {
    async fn find(&self, id: UserId) -> Result<Option<User>> {
        self.0.find(id).await
    }
}

#[both_engines]
#[case]
async fn calls_of_an_applications_repository_are_observed_by_its_names() {
    let (db, _database) = database(|config| config).await;
    let marks = Marks(db.own_tables());
    assert!(marks.find(UserId::new()).await.unwrap().is_none());
    let found = span("marks.find").fields;
    for part in [
        "db.collection.name=\"marks\"",
        "db.operation.name=\"find\"",
        "db.query.summary=\"marks.find\"",
        "db.response.returned_rows=0",
        "outcome=\"ok\"",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    let refused = db
        .transaction(async |tx| {
            let marks = Marks(tx.own_tables());
            marks.rename(UserId::new(), "Ada Lovelace").await
        })
        .await;
    assert!(
        matches!(refused, Err(Error::NotFound { .. })),
        "{refused:?}"
    );
    let (transaction, call) = (span("transaction"), span("marks.rename"));
    assert_eq!(call.parent, Some(transaction.id));
    assert!(call.fields.contains("error.type=\"not_found\""), "{call:?}");
    assert!(!call.fields.contains("Lovelace"), "{call:?}");
    NamedMarks(db.own_tables())
        .find(UserId::new())
        .await
        .unwrap();
    span("signs.find");
    let measured = measurements();
    for (collection, operation) in [("marks", "find"), ("marks", "rename"), ("signs", "find")] {
        let labels = [
            format!("db.collection.name={collection}"),
            format!("db.operation.name={operation}"),
        ];
        let is_measured = |(name, _): &&(String, f64)| {
            name.starts_with("db.client.operation.duration ")
                && labels.iter().all(|label| name.contains(label))
        };
        assert_eq!(
            measured.iter().filter(is_measured).count(),
            1,
            "{measured:?}"
        );
    }
}

#[both_engines]
#[case]
async fn invitations_and_ingests_are_calls() {
    let (db, _database) = database(|config| config).await;
    let user = db.users().create(ada()).await.unwrap().id;
    db.invitations().of_user(user).await.unwrap();
    span("invitations.of_user");
    let project = NewProject::new("p", user);
    let project = db.projects().create(project).await.unwrap().id;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    db.analyses().ingest(new).run().await.unwrap();
    let ingest = span("analyses.ingest");
    assert!(ingest.fields.contains("outcome=\"ok\""), "{ingest:?}");
    let keys = wundr_db::SessionKeys::new(1, [7; 32]);
    let sessions = Sessions::new(&db, keys, wundr_db::SessionPolicy::new()).unwrap();
    sessions.authenticate("no token").await.unwrap();
    span("sessions.authenticate");
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
    // Each attempt is a span.
    let attempts = spans();
    let attempts = attempts
        .iter()
        .filter(|span| span.fields.contains("otel.name=\"transaction\""));
    let numbers: Vec<_> = attempts
        .map(|span| {
            let (_, number) = span.fields.split_once("wundr_db.attempt=").unwrap();
            number.split(' ').next().unwrap().to_owned()
        })
        .collect();
    assert_eq!(numbers, ["1", "2"]);
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
    let (copy, call) = (span("COPY"), span("users.create_many"));
    assert_eq!(copy.parent, Some(call.id));
    for part in [
        "db.collection.name=\"users\"",
        "wundr_db.copied_rows=2000",
        "outcome=\"ok\"",
    ] {
        assert!(copy.fields.contains(part), "{part}: {copy:?}");
    }
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
