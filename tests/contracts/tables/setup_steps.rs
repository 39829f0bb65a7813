use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use wundr_db::{
    Change, Error, NewSetupProfile, NewSetupSession, NewSetupStep, Page, SetupCategory,
    SetupSessionId, SetupStep, SetupStepChanges, SetupStepFilter, SetupStepId, StepStatus,
};

/// A session to hold steps.
#[both_engines]
async fn session(db: &Db) -> SetupSessionId {
    let maker = user(db).await;
    let profile = NewSetupProfile::new("Web", SetupCategory::Frontend, maker.id);
    let profile = db.setup_profiles().create(profile).await.unwrap();
    let session = NewSetupSession::new(profile.id, maker.id);
    db.setup_sessions().create(session).await.unwrap().id
}

fn names(steps: &[SetupStep]) -> Vec<&str> {
    steps.iter().map(|step| &*step.name).collect()
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let steps = db.setup_steps();
    let session_id = session(&db).await;
    let new = NewSetupStep::new(session_id, "Install node", 1).tool_name("node");
    let step = steps.create(new).await.unwrap();

    assert_eq!(
        (step.status, step.tool_name.as_deref()),
        (StepStatus::Pending, Some("node"))
    );
    let absent = SetupStepId::new();
    let answers = steps.find_many(&[absent, step.id]).await.unwrap();
    assert_eq!(answers, [None, Some(step.clone())]);
    assert!(steps.exists(step.id).await.unwrap());
    assert!(!steps.exists(absent).await.unwrap());
    assert_eq!(steps.find(step.id).await.unwrap(), Some(step));
    let orphan = NewSetupStep::new(SetupSessionId::new(), "x", 1);
    assert!(matches!(
        steps.create(orphan).await,
        Err(Error::MissingReference(_))
    ));
}

#[both_engines]
#[case]
async fn steps_come_in_their_order_and_ties_by_key() {
    let (db, _database) = database().await;
    let steps = db.setup_steps();
    let (one, two, none) = (
        session(&db).await,
        session(&db).await,
        SetupSessionId::new(),
    );
    let new = [
        NewSetupStep::new(one, "c", 3),
        NewSetupStep::new(one, "a", 1),
        NewSetupStep::new(one, "b", 1),
        NewSetupStep::new(two, "z", 2),
    ];
    assert_eq!(steps.create_many(&new).await.unwrap(), 4);

    assert_eq!(
        names(&steps.of_session(one).await.unwrap()),
        ["a", "b", "c"]
    );
    let batch = steps.of_sessions(&[two, none, one, two]).await.unwrap();
    let batch: Vec<_> = batch.iter().map(|steps| names(steps)).collect();
    assert_eq!(batch, [vec!["z"], vec![], vec!["a", "b", "c"], vec!["z"]]);

    let filter = SetupStepFilter::new().session_id(one);
    let first = steps.list(&filter, &Page::new().limit(2)).await.unwrap();
    assert_eq!(names(&first.items), ["a", "b"]);
    let page = Page::new().limit(2).after(first.next.unwrap());
    let second = steps.list(&filter, &page).await.unwrap();
    assert_eq!((names(&second.items), second.next), (vec!["c"], None));
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name_and_obey_the_check() {
    let (db, _database) = database().await;
    let steps = db.setup_steps();
    let new = NewSetupStep::new(session(&db).await, "Install node", 1).command("nvm install");
    let step = steps.create(new).await.unwrap();
    let start = DateTime::<Utc>::from_timestamp(1_700_000_000, 0).unwrap();

    let changes = SetupStepChanges::new()
        .status(StepStatus::Completed)
        .started_at(start)
        .completed_at(start + TimeDelta::seconds(7))
        .duration_seconds(7);
    let completed = steps.update(step.id, changes).await.unwrap();
    assert_eq!(completed.command.as_deref(), Some("nvm install"));
    assert_eq!(completed.duration_seconds, Some(7));
    let cleared = SetupStepChanges::new().command(Change::Clear);
    assert_eq!(steps.update(step.id, cleared).await.unwrap().command, None);
    let early = SetupStepChanges::new().completed_at(start - TimeDelta::seconds(1));
    let refusal = steps.update(step.id, early).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("check_completed_after_started"));
    let missing = steps.update(SetupStepId::new(), SetupStepChanges::new().step_order(2));
    assert!(matches!(
        missing.await,
        Err(Error::NotFound { what: "SetupStep" })
    ));
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let steps = db.setup_steps();
    let session_id = session(&db).await;
    let new = |name, order| NewSetupStep::new(session_id, name, order);
    steps
        .create_many(&[
            new("a", 1).status(StepStatus::Skipped),
            new("b", 2).tool_name("git"),
            new("c", 3).status(StepStatus::Skipped),
        ])
        .await
        .unwrap();

    let skipped = SetupStepFilter::new().status(StepStatus::Skipped);
    let listed = steps
        .list(&skipped, &Page::new().with_total())
        .await
        .unwrap();
    assert_eq!(
        (names(&listed.items), listed.total),
        (vec!["a", "c"], Some(2))
    );
    let git = SetupStepFilter::new().tool_name("git");
    assert_eq!(steps.count(&git).await.unwrap(), 1);
    assert_eq!(steps.delete_many(&skipped).await.unwrap(), 2);
    let left = steps.of_session(session_id).await.unwrap();
    assert_eq!(names(&left), ["b"]);
    assert!(steps.delete(left[0].id).await.unwrap());
    assert!(!steps.delete(left[0].id).await.unwrap());
}
