//! Setup sessions follow from their steps.

use super::*;
use crate::observer::SOMEBODY_WAITS;
use wundr_db::{
    NewSetupProfile, NewSetupSession, NewSetupStep, SessionStatus, SetupCategory, SetupSession,
    SetupSessionId, SetupStepId, StepStatus,
};

/// A pending session with as many steps, named by their places.
#[both_engines]
async fn session_of(db: &Db, steps: i32) -> (SetupSessionId, Vec<SetupStepId>) {
    let maker = user(db).await;
    let profile = NewSetupProfile::new("Web", SetupCategory::Frontend, maker.id);
    let profile = db.setup_profiles().create(profile).await.unwrap();
    let session = NewSetupSession::new(profile.id, maker.id);
    let session = db.setup_sessions().create(session).await.unwrap().id;
    let steps: Vec<_> = (1..=steps)
        .map(|place| NewSetupStep::new(session, place.to_string(), place))
        .collect();
    db.setup_steps().create_many(&steps).await.unwrap();
    (session, steps.iter().map(|step| step.id).collect())
}

#[both_engines]
async fn started(db: &Db, steps: i32) -> (SetupSessionId, Vec<SetupStepId>) {
    let (session, steps) = session_of(db, steps).await;
    db.setup_sessions().start(session).await.unwrap();
    (session, steps)
}

#[both_engines]
async fn now(db: &Db, id: SetupSessionId) -> SetupSession {
    db.setup_sessions().find(id).await.unwrap().unwrap()
}

/// Status, progress and current step of a session.
fn state(session: &SetupSession) -> (&str, i32, Option<&str>) {
    let current = session.current_step.as_deref();
    (session.status.as_str(), session.progress, current)
}

#[both_engines]
#[case]
async fn a_session_goes_as_its_steps_go() {
    let (db, _database) = database().await;
    let steps = db.setup_steps();
    let (session, ids) = started(&db, 3).await;

    let running = now(&db, session).await;
    assert_eq!(state(&running), ("running", 0, None));
    assert!(running.started_at.is_some() && running.completed_at.is_none());
    let second = steps.start(ids[1]).await.unwrap();
    assert_eq!(second.status, StepStatus::Running);
    assert_eq!(state(&now(&db, session).await), ("running", 0, Some("2")));
    steps.start(ids[0]).await.unwrap();
    assert_eq!(state(&now(&db, session).await), ("running", 0, Some("1")));
    steps.append_log(ids[0], "one\n").await.unwrap();
    steps.append_log(ids[0], "two\n").await.unwrap();
    let done = steps.complete(ids[0]).await.unwrap();
    assert_eq!(
        (done.status, done.logs.as_deref()),
        (StepStatus::Completed, Some("one\ntwo\n"))
    );
    assert!(done.duration_seconds >= Some(1));
    assert_eq!(state(&now(&db, session).await), ("running", 33, Some("2")));
    steps.complete(ids[1]).await.unwrap();
    let skipped = steps.skip(ids[2]).await.unwrap();
    assert_eq!(
        (skipped.status, skipped.duration_seconds),
        (StepStatus::Skipped, None)
    );

    let ended = now(&db, session).await;
    assert_eq!(state(&ended), ("completed", 100, None));
    assert!(ended.duration_seconds >= Some(1));
    assert!(ended.completed_at >= ended.started_at);
    let (empty, _) = session_of(&db, 0).await;
    let empty = db.setup_sessions().start(empty).await.unwrap();
    assert_eq!(state(&empty), ("completed", 100, None));
    let nothing = steps.append_log(SetupStepId::new(), "x").await;
    assert!(matches!(
        nothing,
        Err(Error::NotFound { what: "SetupStep" })
    ));
    assert_eq!(
        field_of(steps.append_log(ids[0], "\0").await.unwrap_err()),
        "logs"
    );
}

#[both_engines]
#[case]
async fn a_session_is_failed_while_a_step_is() {
    let (db, _database) = database().await;
    let steps = db.setup_steps();
    let (session, ids) = started(&db, 3).await;
    for id in &ids[..2] {
        steps.start(*id).await.unwrap();
    }

    let failed = steps.fail(ids[1], "no space left").await.unwrap();
    assert_eq!(failed.error_message.as_deref(), Some("no space left"));
    let row = now(&db, session).await;
    assert_eq!(state(&row), ("failed", 0, Some("1")));
    assert_eq!(row.error_message.as_deref(), Some("no space left"));
    assert!(row.completed_at.is_some() && row.duration_seconds >= Some(1));
    // What ran when it failed may end, nothing else may begin.
    let early = steps.start(ids[2]).await.unwrap_err();
    assert_eq!(
        early.to_string(),
        "SetupSession is failed: the start of a step cannot take it to running"
    );
    steps.complete(ids[0]).await.unwrap();
    assert_eq!(state(&now(&db, session).await), ("failed", 33, None));

    let again = steps.retry(ids[1]).await.unwrap();
    assert_eq!(
        (again.status, again.error_message, again.started_at),
        (StepStatus::Pending, None, None)
    );
    let row = now(&db, session).await;
    assert_eq!(state(&row), ("running", 33, None));
    assert_eq!(
        (row.error_message, row.completed_at, row.duration_seconds),
        (None, None, None)
    );
    steps.start(ids[1]).await.unwrap();
    steps.fail(ids[1], "still none").await.unwrap();
    steps.skip(ids[1]).await.unwrap();
    assert_eq!(state(&now(&db, session).await), ("running", 66, None));
    steps.start(ids[2]).await.unwrap();
    steps.complete(ids[2]).await.unwrap();
    assert_eq!(state(&now(&db, session).await), ("completed", 100, None));
}

#[both_engines]
#[case]
async fn a_cancelled_session_skips_what_is_left() {
    let (db, _database) = database().await;
    let (sessions, steps) = (db.setup_sessions(), db.setup_steps());
    let (session, ids) = started(&db, 3).await;
    steps.start(ids[0]).await.unwrap();
    steps.complete(ids[0]).await.unwrap();
    steps.start(ids[1]).await.unwrap();

    let cancelled = sessions.cancel(session).await.unwrap();
    assert_eq!(state(&cancelled), ("cancelled", 33, None));
    assert!(cancelled.duration_seconds >= Some(1));
    let left = steps.of_session(session).await.unwrap();
    let left: Vec<_> = left.iter().map(|step| step.status.as_str()).collect();
    assert_eq!(left, ["completed", "skipped", "skipped"]);
    let (never_started, _) = session_of(&db, 1).await;
    let cancelled = sessions.cancel(never_started).await.unwrap();
    assert_eq!(
        (cancelled.status, cancelled.completed_at),
        (SessionStatus::Cancelled, None)
    );
}

#[both_engines]
#[case]
async fn what_the_states_do_not_allow_is_refused_by_their_names() {
    let (db, _database) = database().await;
    let (sessions, steps) = (db.setup_sessions(), db.setup_steps());
    let (session, ids) = session_of(&db, 2).await;
    let refused = |outcome: wundr_db::Result<wundr_db::SetupStep>| outcome.unwrap_err().to_string();

    assert_eq!(
        refused(steps.start(ids[0]).await),
        "SetupSession is pending: the start of a step cannot take it to running"
    );
    steps.skip(ids[1]).await.unwrap();
    assert_eq!(state(&now(&db, session).await), ("pending", 50, None));
    sessions.start(session).await.unwrap();
    let twice = sessions.start(session).await.unwrap_err().to_string();
    assert_eq!(
        twice,
        "SetupSession is running: start cannot take it to running"
    );
    assert_eq!(
        refused(steps.complete(ids[0]).await),
        "SetupStep is pending: complete cannot take it to completed"
    );
    assert_eq!(
        refused(steps.retry(ids[1]).await),
        "SetupStep is skipped: retry cannot take it to pending"
    );
    steps.start(ids[0]).await.unwrap();
    steps.complete(ids[0]).await.unwrap();
    for outcome in [steps.fail(ids[0], "x").await, steps.skip(ids[0]).await] {
        assert!(refused(outcome).starts_with("SetupStep is completed: "));
    }
    let late = sessions.cancel(session).await.unwrap_err().to_string();
    assert_eq!(
        late,
        "SetupSession is completed: cancel cannot take it to cancelled"
    );
    let nothing = steps.start(SetupStepId::new()).await;
    assert!(matches!(
        nothing,
        Err(Error::NotFound { what: "SetupStep" })
    ));
    let nothing = sessions.start(SetupSessionId::new()).await;
    assert!(matches!(
        nothing,
        Err(Error::NotFound {
            what: "SetupSession"
        })
    ));
}

/// The second statement begins before the first is committed, and waits for it.
///
/// A statement that is only prepared is shown as well; it has no transaction id yet.
#[both_engines]
#[case]
async fn the_second_of_two_steps_that_end_concurrently_completes_the_session() {
    let (db, database) = database().await;
    let (session, ids) = started(&db, 2).await;
    for id in &ids {
        db.setup_steps().start(*id).await.unwrap();
    }
    let in_transaction = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                          AND state = 'idle in transaction' AND backend_xid IS NOT NULL AND query LIKE '%taken%')";

    let (first, second) = concurrently!(
        async {
            db.transaction(async |tx| -> wundr_db::Result<()> {
                tx.setup_steps().complete(ids[0]).await?;
                until(&database, SOMEBODY_WAITS).await;
                Ok(())
            })
            .await
        },
        async {
            until(&database, in_transaction).await;
            db.setup_steps().complete(ids[1]).await
        }
    );

    first.unwrap();
    second.unwrap();
    assert_eq!(state(&now(&db, session).await), ("completed", 100, None));
}

#[both_engines]
#[case]
async fn of_many_that_complete_the_same_step_one_does() {
    let (db, _database) = database().await;
    let (session, ids) = started(&db, 1).await;
    db.setup_steps().start(ids[0]).await.unwrap();
    let (steps, id) = (&db.setup_steps(), ids[0]);
    let outcomes = all_concurrently!(8, steps.complete(id));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(state(&now(&db, session).await), ("completed", 100, None));
}
