//! diesel's instrumentation receives the statements of both engines, and not their values.

use std::cell::RefCell;

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use wundr_db::testing::migrated_database;
use wundr_db::{Db, NewUser, UserRepository};

thread_local! {
    /// The events of this thread. Connections of other tests in this process report theirs in other
    /// threads.
    static RECORDED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Listener;

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let line = match event {
            InstrumentationEvent::StartQuery { query, .. } => format!("start {query}"),
            InstrumentationEvent::FinishQuery { query, error, .. } => {
                format!(
                    "{} {query}",
                    if error.is_some() { "failed" } else { "done" }
                )
            }
            _ => return,
        };
        RECORDED.with_borrow_mut(|recorded| recorded.push(line));
    }
}

#[tokio::test]
async fn statements_are_told_without_their_values() {
    set_default_instrumentation(|| Some(Box::new(Listener))).unwrap();
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let new = || NewUser::new("ada@example.org", "Ada");
    db.users().create(new()).await.unwrap();
    RECORDED.take();

    db.users()
        .find_by_email("ada@example.org")
        .await
        .unwrap()
        .unwrap();
    db.users().create(new()).await.unwrap_err();

    let recorded = RECORDED.take();
    let is = |line: &str, start: &str, part: &str| line.starts_with(start) && line.contains(part);
    assert_eq!(recorded.len(), 4, "{recorded:#?}");
    assert!(
        is(&recorded[0], "start SELECT", "FROM \"public\".\"users\""),
        "{recorded:#?}"
    );
    assert!(is(&recorded[1], "done SELECT", "lower("), "{recorded:#?}");
    assert!(
        is(&recorded[2], "start INSERT", "\"users\""),
        "{recorded:#?}"
    );
    assert!(
        recorded[3].starts_with("done INSERT") || recorded[3].starts_with("failed INSERT"),
        "{recorded:#?}"
    );
    assert!(
        !recorded.iter().any(|line| line.contains("ada@example.org")),
        "{recorded:#?}"
    );

    let blocking = wundr_db::blocking::Db::connect_to(&database.url()).unwrap();
    {
        use wundr_db::blocking::UserRepository;
        let users = blocking.users();
        users.find_by_email("ada@example.org").unwrap().unwrap();
        users.create(new()).unwrap_err();
    }
    let recorded = RECORDED.take();
    assert!(
        recorded
            .iter()
            .any(|line| is(line, "start SELECT", "lower(")),
        "{recorded:#?}"
    );
    assert!(
        recorded
            .iter()
            .any(|line| is(line, "failed INSERT", "\"users\"")),
        "{recorded:#?}"
    );
    assert!(
        !recorded.iter().any(|line| line.contains("ada@example.org")),
        "{recorded:#?}"
    );
}
