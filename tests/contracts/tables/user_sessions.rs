use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use wundr_db::{
    Change, Error, NewUserSession, Page, UserSessionChanges, UserSessionFilter, UserSessionId,
    UserSessionOrder,
};

/// A time that many hours from now.
fn hours(hours: i64) -> DateTime<Utc> {
    Utc::now() + TimeDelta::hours(hours)
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (ada, bob) = (user(&db).await, user(&db).await);
    let sessions = db.user_sessions();
    let new = NewUserSession::new(ada.id, "hash", hours(1))
        .refresh_token_hash("refresh")
        .ip_address("192.0.2.1".parse::<ipnetwork::IpNetwork>().unwrap());
    let first = sessions.create(new).await.unwrap();
    let second = sessions
        .create(NewUserSession::new(ada.id, "other", hours(1)))
        .await
        .unwrap();

    assert_eq!(sessions.find(first.id).await.unwrap(), Some(first.clone()));
    assert!(sessions.exists(first.id).await.unwrap());
    let absent = UserSessionId::new();
    let answers = sessions.find_many(&[absent, second.id]).await.unwrap();
    assert_eq!(answers, [None, Some(second.clone())]);
    let refreshed = sessions
        .find_by_refresh_token_hash("refresh")
        .await
        .unwrap();
    assert_eq!(refreshed, Some(first.clone()));
    let groups = sessions.of_users(&[bob.id, ada.id, ada.id]).await.unwrap();
    let of_ada = vec![first, second];
    let (all, page) = (UserSessionFilter::new(), Page::new().with_total());
    let page = page.order(UserSessionOrder::Oldest);
    let page = sessions.list(&all, &page).await.unwrap();
    assert_eq!(page.items, of_ada);
    assert_eq!(groups, [vec![], of_ada.clone(), of_ada]);

    let stranger = NewUserSession::new(UserId::new(), "hash", hours(1));
    assert!(matches!(
        sessions.create(stranger).await,
        Err(Error::MissingReference(_))
    ));
    let long = NewUserSession::new(ada.id, "x".repeat(256), hours(1));
    assert!(matches!(
        sessions.create_many(&[long]).await,
        Err(Error::InvalidInput { field, .. }) if field == "token_hash"
    ));
}

#[both_engines]
#[case]
async fn a_token_finds_the_newest_session_that_has_not_expired() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = db.user_sessions();
    let with_end = |end| NewUserSession::new(ada.id, "hash", end).refresh_token_hash("refresh");
    sessions.create(with_end(hours(2))).await.unwrap();
    let newest = sessions.create(with_end(hours(1))).await.unwrap();
    sessions.create(with_end(hours(-1))).await.unwrap();

    for found in [
        sessions.find_by_token_hash("hash").await.unwrap(),
        sessions
            .find_by_refresh_token_hash("refresh")
            .await
            .unwrap(),
    ] {
        assert_eq!(found, Some(newest.clone()));
    }
    assert_eq!(sessions.find_by_token_hash("HASH").await.unwrap(), None);
    sessions
        .delete_many(&UserSessionFilter::new().is_expired(false))
        .await
        .unwrap();
    assert_eq!(sessions.find_by_token_hash("hash").await.unwrap(), None);
    assert_eq!(
        sessions
            .find_by_refresh_token_hash("refresh")
            .await
            .unwrap(),
        None
    );
}

#[both_engines]
#[case]
async fn a_hash_is_neither_printed_nor_serialized() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let new = NewUserSession::new(ada.id, "secret", hours(1)).refresh_token_hash("secret");
    let changes = UserSessionChanges::new()
        .token_hash("secret")
        .refresh_token_hash("secret");
    let mut printed = format!("{new:?} {changes:?}");
    let session = db.user_sessions().create(new).await.unwrap();

    printed += &format!("{session:?} {session:#?}");
    printed += &serde_json::to_string(&session).unwrap();

    assert!(!printed.contains("secret"), "{printed}");
    assert!(printed.contains(&session.id.to_string()));
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = db.user_sessions();
    let new = NewUserSession::new(ada.id, "hash", hours(1)).user_agent("browser");
    let session = sessions.create(new).await.unwrap();

    let unchanged = sessions.update(session.id, UserSessionChanges::new()).await;
    assert_eq!(unchanged.unwrap(), session);
    let changes = UserSessionChanges::new()
        .token_hash("rotated")
        .user_agent(Change::Clear);
    let rotated = sessions.update(session.id, changes).await.unwrap();
    assert_eq!(
        (rotated.token_hash.as_str(), rotated.user_agent),
        ("rotated", None)
    );
    assert_eq!(rotated.expires_at, session.expires_at);
    let touched = sessions.touch(session.id).await.unwrap();
    assert!(touched.last_used_at > session.last_used_at);
    let missing = Error::NotFound {
        what: "UserSession",
    };
    for refusal in [
        sessions.touch(UserSessionId::new()).await,
        sessions
            .update(UserSessionId::new(), UserSessionChanges::new())
            .await,
    ] {
        assert_eq!(refusal.unwrap_err().to_string(), missing.to_string());
    }
}

#[both_engines]
#[case]
async fn expired_sessions_are_deleted_in_batches() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = db.user_sessions();
    let new: Vec<_> = (1..=7)
        .map(|n| NewUserSession::new(ada.id, n.to_string(), hours(if n < 6 { -n } else { n })))
        .collect();
    assert_eq!(sessions.create_many(&new).await.unwrap(), 7);

    assert_eq!(sessions.delete_expired(0).await.unwrap(), 0);
    assert_eq!(sessions.delete_expired(2).await.unwrap(), 2);
    let page = Page::new().order(UserSessionOrder::ExpiringSoonest);
    let left = sessions
        .list(&UserSessionFilter::new(), &page)
        .await
        .unwrap();
    let hashes: Vec<_> = left
        .items
        .iter()
        .map(|row| row.token_hash.as_str())
        .collect();
    assert_eq!(hashes, ["3", "2", "1", "6", "7"]);
    let (first, second) = concurrently!(sessions.delete_expired(2), sessions.delete_expired(2));
    assert_eq!(first.unwrap() + second.unwrap(), 3);
    assert_eq!(sessions.delete_expired(u32::MAX).await.unwrap(), 0);
    assert_eq!(sessions.count(&UserSessionFilter::new()).await.unwrap(), 2);
}

#[both_engines]
#[case]
async fn a_user_ends_the_own_sessions_alone() {
    let (db, _database) = database().await;
    let (ada, bob) = (user(&db).await, user(&db).await);
    let sessions = db.user_sessions();
    let mut of_ada = Vec::new();
    for owner in [ada.id, ada.id, ada.id, bob.id] {
        let new = NewUserSession::new(owner, "hash", hours(1));
        of_ada.push(sessions.create(new).await.unwrap());
    }
    let others = UserSessionFilter::new()
        .user_id(ada.id)
        .other_than(of_ada[1].id);
    let page = Page::new().order(UserSessionOrder::Oldest).with_total();

    let listed = sessions.list(&others, &page).await.unwrap();
    assert_eq!(listed.items, [of_ada[0].clone(), of_ada[2].clone()]);
    assert_eq!(
        (listed.total, sessions.count(&others).await.unwrap()),
        (Some(2), 2)
    );
    assert_eq!(sessions.delete_many(&others).await.unwrap(), 2);
    assert!(sessions.delete(of_ada[1].id).await.unwrap());
    assert!(!sessions.delete(of_ada[1].id).await.unwrap());
    sessions
        .create(NewUserSession::new(ada.id, "hash", hours(1)))
        .await
        .unwrap();
    assert_eq!(sessions.delete_for_user(ada.id).await.unwrap(), 1);
    assert_eq!(sessions.count(&UserSessionFilter::new()).await.unwrap(), 1);
    assert!(db.users().delete(bob.id).await.unwrap());
    assert_eq!(sessions.count(&UserSessionFilter::new()).await.unwrap(), 0);
}

#[both_engines]
#[case]
async fn many_sessions_are_updated_and_keep_their_hashes() {
    let (db, _database) = database().await;
    let (ada, bob) = (user(&db).await.id, user(&db).await.id);
    let sessions = db.user_sessions();
    for (owner, hash) in [(ada, "a"), (ada, "b"), (bob, "c")] {
        let new = NewUserSession::new(owner, hash, hours(1));
        sessions.create(new).await.unwrap();
    }
    let of_ada = UserSessionFilter::new().user_id(ada);
    let ended = UserSessionChanges::new().expires_at(hours(-1));
    assert_eq!(sessions.update_many(&of_ada, ended).await.unwrap(), 2);
    let expired = UserSessionFilter::new().is_expired(true);
    assert_eq!(sessions.count(&expired).await.unwrap(), 2);
    // An expired session is not found by its hash.
    let renewed = UserSessionChanges::new().expires_at(hours(1));
    assert_eq!(sessions.update_many(&of_ada, renewed).await.unwrap(), 2);
    assert!(sessions.find_by_token_hash("b").await.unwrap().is_some());
    let nothing = UserSessionChanges::new();
    assert_eq!(sessions.update_many(&of_ada, nothing).await.unwrap(), 0);
    let same = UserSessionChanges::new().token_hash("same");
    let refused = sessions.update_many(&of_ada, same).await;
    assert_eq!(field_of(refused.unwrap_err()), "token_hash");
    let damaged = UserSessionChanges::new().user_agent("a\0b");
    let refused = sessions.update_many(&of_ada, damaged).await;
    assert_eq!(field_of(refused.unwrap_err()), "user_agent");
}
