use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use wundr_db::{
    Change, Error, NewSetupProfile, NewSetupSession, NewSetupStep, Page, SessionStatus,
    SetupCategory, SetupProfileId, SetupSessionChanges, SetupSessionFilter, SetupSessionId,
    SetupSessionOrder, SetupStepFilter, User,
};

/// A profile and the user who made it.
#[both_engines]
async fn profile(db: &Db) -> (SetupProfileId, User) {
    let maker = user(db).await;
    let new = NewSetupProfile::new("Web", SetupCategory::Frontend, maker.id);
    (db.setup_profiles().create(new).await.unwrap().id, maker)
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let sessions = db.setup_sessions();
    let (profile_id, maker) = profile(&db).await;
    let new = NewSetupSession::new(profile_id, maker.id);
    let session = sessions.create(new).await.unwrap();

    assert_eq!(
        (session.status, session.progress),
        (SessionStatus::Pending, 0)
    );
    assert_eq!(
        (&session.configuration, &session.logs),
        (&json!({}).into(), &json!([]).into())
    );
    let absent = SetupSessionId::new();
    let answers = sessions.find_many(&[absent, session.id]).await.unwrap();
    assert_eq!(answers, [None, Some(session.clone())]);
    assert!(sessions.exists(session.id).await.unwrap());
    assert_eq!(sessions.find(session.id).await.unwrap(), Some(session));

    let orphan = NewSetupSession::new(SetupProfileId::new(), maker.id);
    let refusal = sessions.create(orphan).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("setup_sessions_profile_id_fkey"));
}

#[both_engines]
#[case]
async fn history_keeps_its_times() {
    let (db, _database) = database().await;
    let sessions = db.setup_sessions();
    let (profile_id, maker) = profile(&db).await;
    let day = DateTime::<Utc>::from_timestamp(1_700_000_000, 0).unwrap();
    let past: Vec<_> = (0..3)
        .map(|n| {
            NewSetupSession::new(profile_id, maker.id)
                .created_at(day + TimeDelta::days(n))
                .started_at(day + TimeDelta::days(n))
                .completed_at(day + TimeDelta::days(n) + TimeDelta::minutes(5))
                .duration_seconds(300)
                .status(SessionStatus::Completed)
                .progress(100)
        })
        .collect();
    assert_eq!(sessions.create_many(&past).await.unwrap(), 3);
    sessions
        .create(NewSetupSession::new(profile_id, maker.id))
        .await
        .unwrap();

    let early = SetupSessionFilter::new().created_before(day + TimeDelta::days(2));
    let page = Page::new().order(SetupSessionOrder::Oldest);
    let listed = sessions.list(&early, &page).await.unwrap();

    let created: Vec<_> = listed.items.iter().map(|row| row.created_at).collect();
    assert_eq!(created, [day, day + TimeDelta::days(1)]);
    let late = SetupSessionFilter::new().created_from(day + TimeDelta::days(3));
    assert_eq!(sessions.count(&late).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name_and_obey_the_checks() {
    let (db, _database) = database().await;
    let sessions = db.setup_sessions();
    let (profile_id, maker) = profile(&db).await;
    let new = NewSetupSession::new(profile_id, maker.id).current_step("first");
    let session = sessions.create(new).await.unwrap();
    let start = DateTime::<Utc>::from_timestamp(1_700_000_000, 0).unwrap();

    let changes = SetupSessionChanges::new()
        .status(SessionStatus::Running)
        .started_at(start)
        .progress(40);
    let running = sessions.update(session.id, changes).await.unwrap();
    assert_eq!(running.current_step.as_deref(), Some("first"));
    assert_eq!((running.started_at, running.progress), (Some(start), 40));

    let too_far = SetupSessionChanges::new().progress(101);
    let refusal = sessions.update(session.id, too_far).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("setup_sessions_progress_check"));
    let too_early = SetupSessionChanges::new().completed_at(start - TimeDelta::seconds(1));
    let refusal = sessions.update(session.id, too_early).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("check_completed_after_started"));
    let unfinished = SetupSessionChanges::new().duration_seconds(1);
    let refusal = sessions.update(session.id, unfinished).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("check_session_duration"));
    let cleared = SetupSessionChanges::new().current_step(Change::Clear);
    let cleared = sessions.update(session.id, cleared).await.unwrap();
    assert_eq!(cleared.current_step, None);
    let missing = sessions
        .update(
            SetupSessionId::new(),
            SetupSessionChanges::new().progress(1),
        )
        .await;
    assert!(matches!(
        missing,
        Err(Error::NotFound {
            what: "SetupSession"
        })
    ));
}

#[both_engines]
#[case]
async fn log_entries_are_added_in_turn_whatever_json_they_are() {
    let (db, _database) = database().await;
    let sessions = db.setup_sessions();
    let (profile_id, maker) = profile(&db).await;
    let new = NewSetupSession::new(profile_id, maker.id);
    let session = sessions.create(new).await.unwrap();

    for entry in [json!({"line": 1}), json!(["a", "list"]), json!(null)] {
        sessions.append_log(session.id, entry.into()).await.unwrap();
    }

    let logged = sessions.find(session.id).await.unwrap().unwrap();
    assert_eq!(logged.logs, json!([{"line": 1}, ["a", "list"], null]));
    assert!(matches!(
        sessions.append_log(session.id, json!("\0").into()).await,
        Err(Error::InvalidInput { .. })
    ));
    assert!(matches!(
        sessions
            .append_log(SetupSessionId::new(), json!(1).into())
            .await,
        Err(Error::NotFound {
            what: "SetupSession"
        })
    ));
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let sessions = db.setup_sessions();
    let (web, maker) = profile(&db).await;
    let (other, stranger) = profile(&db).await;
    let failed = NewSetupSession::new(web, maker.id).status(SessionStatus::Failed);
    let session = sessions.create(failed).await.unwrap();
    sessions
        .create_many(&[
            NewSetupSession::new(web, stranger.id),
            NewSetupSession::new(other, maker.id),
        ])
        .await
        .unwrap();
    db.setup_steps()
        .create(NewSetupStep::new(session.id, "step", 1))
        .await
        .unwrap();
    let count = async |filter: &SetupSessionFilter| sessions.count(filter).await.unwrap();

    let (of_profile, of_user) = (
        SetupSessionFilter::new().profile_id(web),
        SetupSessionFilter::new().user_id(maker.id),
    );
    assert_eq!((count(&of_profile).await, count(&of_user).await), (2, 2));
    let of_both = of_profile.user_id(maker.id).status(SessionStatus::Failed);
    let listed = sessions.list(&of_both, &Page::new()).await.unwrap();
    assert_eq!(listed.items, [session]);
    assert_eq!(sessions.delete_many(&of_both).await.unwrap(), 1);
    assert_eq!(count(&SetupSessionFilter::new()).await, 2);
    let steps = db.setup_steps().count(&SetupStepFilter::new()).await;
    assert_eq!(steps.unwrap(), 0);
}
