use super::*;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use wundr_db::{
    AuditAction, AuditLogFilter, NewUserSession, OpenSession, Page, Refreshed, SessionClient,
    SessionKeys, SessionPolicy, UserChanges, UserRole, UserSessionFilter,
};

const DAY: Duration = Duration::from_secs(86_400);

fn keys() -> SessionKeys {
    SessionKeys::new(1, [7; 32])
}

/// A policy whose users can be deleted, since no log entry names them.
fn policy() -> SessionPolicy {
    SessionPolicy::new().record_logins(false)
}

macro_rules! sessions_of {
    ($db:expr) => {
        Sessions::new(&$db, keys(), policy()).unwrap()
    };
}

fn client() -> SessionClient {
    SessionClient::new()
}

#[both_engines]
async fn opened(sessions: &Sessions, user: UserId) -> OpenSession {
    sessions.open(user, &client()).await.unwrap().unwrap()
}

#[both_engines]
async fn is_valid(sessions: &Sessions, opened: &OpenSession) -> bool {
    let found = sessions.authenticate(opened.token.expose()).await.unwrap();
    found.is_some()
}

/// The session with its new tokens.
#[both_engines]
async fn refreshed(sessions: &Sessions, opened: &OpenSession) -> OpenSession {
    match refresh(sessions, opened).await {
        Refreshed::Granted(opened) => *opened,
        other => panic!("{other:?}"),
    }
}

#[both_engines]
async fn refresh(sessions: &Sessions, opened: &OpenSession) -> Refreshed {
    let token = opened.refresh_token.expose();
    sessions.refresh(token, &client()).await.unwrap()
}

/// The entries of the audit log about a user: the action, the kind of resource, the resource.
#[both_engines]
async fn recorded(db: &Db, user: UserId) -> Vec<(AuditAction, String, Option<uuid::Uuid>)> {
    let filter = AuditLogFilter::new().user_id(user);
    let entries = db.audit_logs().list(&filter, &Page::new()).await.unwrap();
    let entries = entries.items.into_iter().rev();
    entries
        .map(|entry| (entry.action, entry.resource_type, entry.resource_id))
        .collect()
}

#[both_engines]
#[case]
async fn a_login_authenticates_and_the_database_has_only_hashes() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = Sessions::new(&db, keys(), SessionPolicy::new()).unwrap();
    let client = SessionClient::new()
        .user_agent("browser")
        .ip_address("192.0.2.1".parse::<ipnetwork::IpNetwork>().unwrap());
    let opened = sessions.open(ada.id, &client).await.unwrap().unwrap();

    for _ in 0..3 {
        let found = sessions.authenticate(opened.token.expose()).await.unwrap();
        let found = found.unwrap();
        assert_eq!((&found.session, &found.user), (&opened.session, &ada));
    }
    let stored = db.user_sessions().find(opened.session.id).await.unwrap();
    let stored = stored.unwrap();
    assert_eq!(stored, opened.session);
    assert_eq!(stored.user_agent.as_deref(), Some("browser"));
    let left = stored.expires_at - Utc::now();
    assert!(
        TimeDelta::days(13) < left && left < TimeDelta::days(15),
        "{left}"
    );
    assert!(
        stored.token_hash.starts_with("v1.1."),
        "{}",
        stored.token_hash
    );
    for token in [opened.token.expose(), opened.refresh_token.expose()] {
        let hashes = format!("{} {:?}", stored.token_hash, stored.refresh_token_hash);
        assert!(!hashes.contains(&token[41..84]), "{hashes}");
        assert!(!format!("{opened:?} {sessions:?}").contains(&token[9..]));
    }

    // The one token is not taken for the other, and none that was made up or mistyped.
    let (token, refresh_token) = (opened.token.expose(), opened.refresh_token.expose());
    assert_eq!(sessions.authenticate(refresh_token).await.unwrap(), None);
    assert_eq!(
        sessions.refresh(token, &client).await.unwrap(),
        Refreshed::Unknown
    );
    for wrong in ["", "wundr_at_", &token[1..], &format!("{token}x")] {
        assert_eq!(sessions.authenticate(wrong).await.unwrap(), None, "{wrong}");
    }
    let foreign = Sessions::new(&db, SessionKeys::new(1, [8; 32]), policy()).unwrap();
    assert!(!is_valid(&foreign, &opened).await);
    assert_eq!(refresh(&foreign, &opened).await, Refreshed::Unknown);
    assert!(is_valid(&sessions, &opened).await);

    let id = Some(uuid::Uuid::from(opened.session.id));
    let login = (AuditAction::Login, "user_session".to_owned(), id);
    assert_eq!(recorded(&db, ada.id).await, std::slice::from_ref(&login));
    assert!(sessions.revoke(opened.session.id).await.unwrap());
    assert!(!sessions.revoke(opened.session.id).await.unwrap());
    let logout = (AuditAction::Logout, "user_session".to_owned(), id);
    assert_eq!(recorded(&db, ada.id).await, [login, logout]);
}

#[both_engines]
#[case]
async fn only_an_active_user_logs_in() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    assert_eq!(sessions.open(UserId::new(), &client()).await.unwrap(), None);
    db.users().set_active(ada.id, false).await.unwrap();
    assert_eq!(sessions.open(ada.id, &client()).await.unwrap(), None);
    db.users().set_active(ada.id, true).await.unwrap();
    assert!(sessions.open(ada.id, &client()).await.unwrap().is_some());
    let client = client().user_agent("\0");
    assert!(matches!(
        sessions.open(ada.id, &client).await,
        Err(Error::InvalidInput { field, .. }) if field == "user_agent"
    ));
}

#[both_engines]
#[case]
async fn a_refresh_replaces_both_tokens() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    let first = opened(&sessions, ada.id).await;
    assert!(is_valid(&sessions, &first).await);
    let mut tokens = vec![first];
    for _ in 0..3 {
        let next = refreshed(&sessions, tokens.last().unwrap()).await;
        assert_eq!(next.session.id, tokens[0].session.id);
        assert_eq!(next.session.created_at, tokens[0].session.created_at);
        assert!(next.session.expires_at > tokens[0].session.expires_at);
        for old in &tokens {
            assert!(!is_valid(&sessions, old).await);
            assert_ne!(old.token, next.token);
            assert_ne!(old.refresh_token, next.refresh_token);
        }
        assert!(is_valid(&sessions, &next).await);
        tokens.push(next);
    }
}

#[both_engines]
#[case]
async fn a_refresh_keeps_within_the_absolute_end() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let policy = policy()
        .refresh_lifetime(2 * DAY)
        .absolute_lifetime(2 * DAY);
    let sessions = Sessions::new(&db, keys(), policy).unwrap();
    let first = opened(&sessions, ada.id).await;
    let second = refreshed(&sessions, &first).await;
    // Not later than the first's end, although a refresh lifetime starts again.
    let more = second.session.expires_at - first.session.expires_at;
    assert!(more <= TimeDelta::milliseconds(1), "{more}");
    execute(
        &db,
        "UPDATE public.user_session_families SET ends_at = pg_catalog.now() + INTERVAL '1 hour'",
    )
    .await;
    let third = refreshed(&sessions, &second).await;
    assert!(third.session.expires_at < Utc::now() + TimeDelta::minutes(61));
}

#[both_engines]
#[case]
async fn a_reused_refresh_token_ends_the_session() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    for reused in 0..3 {
        let mut tokens = vec![opened(&sessions, ada.id).await];
        for _ in 0..4 {
            let next = refreshed(&sessions, tokens.last().unwrap()).await;
            tokens.push(next);
        }
        assert!(is_valid(&sessions, &tokens[4]).await);
        let expected = Refreshed::Reused {
            session_id: tokens[0].session.id,
            user_id: ada.id,
        };
        assert_eq!(refresh(&sessions, &tokens[reused]).await, expected);
        for token in &tokens {
            assert!(!is_valid(&sessions, token).await);
            assert_eq!(refresh(&sessions, token).await, Refreshed::Unknown);
        }
        let rejected = recorded(&db, ada.id).await;
        let id = Some(uuid::Uuid::from(tokens[0].session.id));
        let entry = (AuditAction::Reject, "user_session".to_owned(), id);
        assert_eq!(
            (rejected.len(), rejected.last()),
            (reused + 1, Some(&entry))
        );
    }
}

#[both_engines]
#[case]
async fn a_predecessor_is_accepted_once_more_within_the_grace() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    let first = opened(&sessions, ada.id).await;
    // The response is lost, and the client tries again.
    let lost = refreshed(&sessions, &first).await;
    let second = refreshed(&sessions, &first).await;
    assert!(!is_valid(&sessions, &lost).await);
    assert!(is_valid(&sessions, &second).await);
    let third = refreshed(&sessions, &second).await;
    assert!(is_valid(&sessions, &third).await);
    // The lost tokens were received after all, by another client.
    assert!(matches!(
        refresh(&sessions, &lost).await,
        Refreshed::Reused { .. }
    ));
    assert!(!is_valid(&sessions, &third).await);

    let first = opened(&sessions, ada.id).await;
    refreshed(&sessions, &first).await;
    let second = refreshed(&sessions, &first).await;
    assert!(
        matches!(refresh(&sessions, &first).await, Refreshed::Reused { .. }),
        "twice more"
    );
    assert!(!is_valid(&sessions, &second).await);

    let first = opened(&sessions, ada.id).await;
    let second = refreshed(&sessions, &first).await;
    let past = "UPDATE public.user_session_families SET predecessor_until = pg_catalog.now()";
    execute(&db, past).await;
    assert!(
        matches!(refresh(&sessions, &first).await, Refreshed::Reused { .. }),
        "later"
    );
    assert!(!is_valid(&sessions, &second).await);

    let strict = Sessions::new(&db, keys(), policy().grace(Duration::ZERO)).unwrap();
    let first = opened(&strict, ada.id).await;
    let second = refreshed(&strict, &first).await;
    assert!(
        matches!(refresh(&strict, &first).await, Refreshed::Reused { .. }),
        "no grace"
    );
    assert!(!is_valid(&strict, &second).await);
}

/// Runs two calls that both wait for the lock of a session, and lets them go on together.
#[both_engines]
macro_rules! both_held_up {
    ($db:expr, $database:expr, $first:expr, $second:expr) => {{
        let lock = async || -> Result<(), Error> {
            $db.transaction(async |tx| -> Result<(), Error> {
                run!(tx, "SELECT FROM public.user_sessions FOR UPDATE")?;
                let waiting = "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
                     WHERE datname = pg_catalog.current_database() AND wait_event_type = 'Lock') = 2";
                until(&$database, waiting).await;
                Ok(())
            })
            .await
        };
        let calls = async || {
            let locked = "EXISTS (SELECT FROM pg_catalog.pg_stat_activity \
                 WHERE datname = pg_catalog.current_database() AND state = 'idle in transaction' \
                 AND backend_xid IS NOT NULL AND query LIKE 'SELECT FROM public.user_sessions FOR UPDATE%')";
            until(&$database, locked).await;
            concurrently!($first, $second)
        };
        let (locked, outcomes) = concurrently!(lock(), calls());
        locked.unwrap();
        outcomes
    }};
}

#[both_engines]
#[case]
async fn of_two_refreshes_at_the_same_time_exactly_one_is_granted() {
    let (db, database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    let mut tokens = opened(&sessions, ada.id).await;
    for is_in_grace in [false, true] {
        if is_in_grace {
            refreshed(&sessions, &tokens).await;
        }
        let (first, second) = both_held_up!(
            db,
            database,
            refresh(&sessions, &tokens),
            refresh(&sessions, &tokens)
        );
        let granted = match (first, second) {
            (Refreshed::Granted(granted), Refreshed::Superseded)
            | (Refreshed::Superseded, Refreshed::Granted(granted)) => *granted,
            other => panic!("{is_in_grace}: {other:?}"),
        };
        assert!(is_valid(&sessions, &granted).await);
        tokens = refreshed(&sessions, &granted).await;
    }
}

/// The owner refreshes with the newest token while its predecessor is presented by another client.
#[both_engines]
#[case]
async fn a_predecessor_and_its_successor_are_not_both_granted() {
    let (db, database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    let first = opened(&sessions, ada.id).await;
    let second = refreshed(&sessions, &first).await;
    let outcomes = both_held_up!(
        db,
        database,
        refresh(&sessions, &first),
        refresh(&sessions, &second)
    );
    let granted = match outcomes {
        (Refreshed::Granted(granted), Refreshed::Superseded)
        | (Refreshed::Superseded, Refreshed::Granted(granted)) => *granted,
        other => panic!("{other:?}"),
    };
    assert!(is_valid(&sessions, &granted).await);
    assert!(!is_valid(&sessions, &second).await);
}

#[both_engines]
#[case]
async fn any_number_of_refreshes_leaves_at_most_one_pair_of_tokens() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    for _ in 0..5 {
        let first = opened(&sessions, ada.id).await;
        let outcomes = all_concurrently!(6, refresh(&sessions, &first));
        let mut valid = 0;
        for outcome in &outcomes {
            match outcome {
                Refreshed::Granted(granted) => {
                    valid += usize::from(is_valid(&sessions, granted).await);
                }
                Refreshed::Superseded | Refreshed::Reused { .. } | Refreshed::Unknown => {}
                other => panic!("{other:?}"),
            }
        }
        let was_reused = outcomes
            .iter()
            .any(|outcome| matches!(outcome, Refreshed::Reused { .. }));
        assert_eq!(valid, usize::from(!was_reused), "{outcomes:?}");
        assert!(!is_valid(&sessions, &first).await);
    }
}

#[both_engines]
#[case]
async fn a_user_that_is_deactivated_or_gets_another_role_is_logged_out() {
    let (db, _database) = database().await;
    let bob = user(&db).await.id;
    let sessions = sessions_of!(db);
    let of_bob = opened(&sessions, bob).await;
    for round in 0..6 {
        let ada = user(&db).await;
        let both = [
            opened(&sessions, ada.id).await,
            opened(&sessions, ada.id).await,
        ];
        for opened in &both {
            assert!(is_valid(&sessions, opened).await);
        }
        let users = db.users();
        let role = UserChanges::new().role(UserRole::Admin);
        let new = NewUser::new(ada.email.to_uppercase(), "Ada");
        match round {
            0 => drop(users.set_active(ada.id, false).await.unwrap()),
            1 => drop(users.update(ada.id, role).await.unwrap()),
            2 => drop(users.upsert(new.role(UserRole::Admin)).await.unwrap()),
            3 => drop(users.upsert(new.is_active(false)).await.unwrap()),
            4 => assert!(users.delete(ada.id).await.unwrap()),
            _ => {
                let undone: Result<(), Error> = db
                    .transaction(async |tx| {
                        tx.users().set_active(ada.id, false).await?;
                        Err(Error::NotFound { what: "reason" })
                    })
                    .await;
                undone.unwrap_err();
                assert!(is_valid(&sessions, &both[0]).await);
                let deactivated: Result<User, Error> = db
                    .transaction(async |tx| tx.users().set_active(ada.id, false).await)
                    .await;
                deactivated.unwrap();
            }
        }
        for opened in &both {
            assert!(!is_valid(&sessions, opened).await, "{round}");
            assert_eq!(
                refresh(&sessions, opened).await,
                Refreshed::Unknown,
                "{round}"
            );
        }
        if round != 4 {
            users.set_active(ada.id, true).await.unwrap();
            assert!(!is_valid(&sessions, &both[0]).await, "{round}");
        }
    }
    assert!(is_valid(&sessions, &of_bob).await);
    // Other changes, and the same role again, end nothing.
    let changes = UserChanges::new()
        .name("Bob")
        .role(UserRole::Developer)
        .is_active(true);
    db.users().update(bob, changes).await.unwrap();
    db.users().touch_last_login(bob).await.unwrap();
    assert!(is_valid(&sessions, &of_bob).await);
}

#[both_engines]
#[case]
async fn another_client_of_the_database_logs_a_user_out_too() {
    let (db, _database) = database().await;
    let sessions = sessions_of!(db);
    for assignment in ["is_active = FALSE", "role = 'viewer'"] {
        let ada = user(&db).await.id;
        let opened = opened(&sessions, ada).await;
        execute(
            &db,
            &format!("UPDATE public.users SET {assignment} WHERE id = '{ada}'"),
        )
        .await;
        assert!(!is_valid(&sessions, &opened).await, "{assignment}");
        let filter = UserSessionFilter::new().user_id(ada);
        assert_eq!(db.user_sessions().count(&filter).await.unwrap(), 0);
    }
}

/// The rows of a subscription are written without triggers, so that a session of an inactive user
/// may be left.
#[both_engines]
#[case]
async fn a_session_that_is_left_of_an_inactive_user_is_neither_valid_nor_refreshed() {
    let (db, _database) = database().await;
    let sessions = sessions_of!(db);
    let ada = user(&db).await.id;
    let opened = opened(&sessions, ada).await;
    let deactivate = format!(
        "SET LOCAL session_replication_role = replica; \
         UPDATE public.users SET is_active = FALSE WHERE id = '{ada}'"
    );
    execute(&db, &deactivate).await;
    let filter = UserSessionFilter::new().user_id(ada);
    assert_eq!(db.user_sessions().count(&filter).await.unwrap(), 1);
    assert!(!is_valid(&sessions, &opened).await);
    let refused = refresh(&sessions, &opened).await;
    assert!(!matches!(refused, Refreshed::Granted(_)), "{refused:?}");
}

/// A login waits for a deactivation that is under way, and is then refused.
#[both_engines]
#[case]
async fn no_session_is_opened_beside_a_deactivation() {
    let (db, database) = database().await;
    let ada = user(&db).await.id;
    let sessions = sessions_of!(db);
    let deactivation = async || -> Result<(), Error> {
        db.transaction(async |tx| -> Result<(), Error> {
            tx.users().set_active(ada, false).await?;
            until(&database, crate::observer::SOMEBODY_WAITS).await;
            Ok(())
        })
        .await
    };
    let login = async || {
        let updated = "EXISTS (SELECT FROM pg_catalog.pg_locks \
             WHERE relation = 'public.users'::pg_catalog.regclass AND mode = 'RowExclusiveLock' AND database = (SELECT oid FROM pg_catalog.pg_database \
             WHERE datname = pg_catalog.current_database()))";
        until(&database, updated).await;
        sessions.open(ada, &client()).await
    };
    let (deactivated, login) = concurrently!(deactivation(), login());
    deactivated.unwrap();
    assert_eq!(login.unwrap(), None);
    db.users().set_active(ada, true).await.unwrap();
    assert!(sessions.open(ada, &client()).await.unwrap().is_some());
}

#[both_engines]
#[case]
async fn sessions_are_ended_one_by_one_all_but_one_and_all() {
    let (db, _database) = database().await;
    let (ada, bob) = (user(&db).await.id, user(&db).await.id);
    let sessions = Sessions::new(&db, keys(), SessionPolicy::new()).unwrap();
    let of_bob = opened(&sessions, bob).await;
    let mut of_ada = Vec::new();
    for _ in 0..4 {
        of_ada.push(opened(&sessions, ada).await);
        assert!(is_valid(&sessions, of_ada.last().unwrap()).await);
    }
    assert!(sessions.revoke(of_ada[0].session.id).await.unwrap());
    assert!(!is_valid(&sessions, &of_ada[0]).await);
    assert_eq!(
        sessions.revoke_others(of_ada[0].session.id).await.unwrap(),
        0
    );
    assert_eq!(
        sessions.revoke_others(of_ada[2].session.id).await.unwrap(),
        2
    );
    assert!(!is_valid(&sessions, &of_ada[1]).await);
    assert!(is_valid(&sessions, &of_ada[2]).await);
    assert!(!is_valid(&sessions, &of_ada[3]).await);
    assert_eq!(sessions.revoke_user(ada).await.unwrap(), 1);
    assert!(!is_valid(&sessions, &of_ada[2]).await);
    assert_eq!(sessions.revoke_user(ada).await.unwrap(), 0);
    assert!(is_valid(&sessions, &of_bob).await);
    let resources: Vec<_> = recorded(&db, ada)
        .await
        .into_iter()
        .filter(|(action, ..)| *action == AuditAction::Logout)
        .map(|(_, resource, _)| resource)
        .collect();
    assert_eq!(resources, ["user_session", "user", "user"]);
}

#[both_engines]
#[case]
async fn a_token_under_an_older_key_is_accepted_and_refreshed_under_the_active_one() {
    let (db, _database) = database().await;
    let ada = user(&db).await.id;
    let old = sessions_of!(db);
    let first = opened(&old, ada).await;
    let both = SessionKeys::new(2, [9; 32]).accept(1, [7; 32]).unwrap();
    let both = Sessions::new(&db, both, policy()).unwrap();
    assert!(is_valid(&both, &first).await);
    let second = refreshed(&both, &first).await;
    assert!(second.session.token_hash.starts_with("v1.2."));
    assert!(is_valid(&both, &second).await);
    assert!(!is_valid(&old, &second).await);
    let new = Sessions::new(&db, SessionKeys::new(2, [9; 32]), policy()).unwrap();
    assert!(is_valid(&new, &second).await);
    // The token that was exchanged is under a key that is not accepted any more.
    assert_eq!(refresh(&new, &first).await, Refreshed::Unknown);
    assert!(matches!(
        refresh(&both, &first).await,
        Refreshed::Granted(_)
    ));
}

#[both_engines]
#[case]
async fn an_expired_token_or_session_is_rejected() {
    let (db, database) = database().await;
    let ada = user(&db).await.id;
    let brief = policy().token_lifetime(Duration::from_secs(1));
    let sessions = Sessions::new(&db, keys(), brief).unwrap();
    let first = opened(&sessions, ada).await;
    let end = Utc::now() + TimeDelta::seconds(2);
    until(
        &database,
        &format!("pg_catalog.clock_timestamp() > '{}'", end.to_rfc3339()),
    )
    .await;
    assert!(!is_valid(&sessions, &first).await);
    let second = refreshed(&sessions, &first).await;

    let past = "UPDATE public.user_sessions SET expires_at = pg_catalog.now()";
    execute(&db, past).await;
    assert_eq!(refresh(&sessions, &second).await, Refreshed::Unknown);
    assert_eq!(
        refresh(&sessions, &first).await,
        Refreshed::Reused {
            session_id: first.session.id,
            user_id: ada,
        }
    );
    let other = opened(&sessions, ada).await;
    execute(&db, past).await;
    assert!(!is_valid(&sessions, &other).await);
}

#[both_engines]
#[case]
async fn last_used_at_is_updated_at_most_every_so_often() {
    let (db, _database) = database().await;
    let ada = user(&db).await.id;
    let sessions = sessions_of!(db);
    let opened = opened(&sessions, ada).await;
    let id = opened.session.id;
    let long_ago = Utc::now() - TimeDelta::hours(1);
    for (sessions, is_updated) in [
        (
            Sessions::new(&db, keys(), policy().touch_every(None)).unwrap(),
            false,
        ),
        (
            Sessions::new(&db, keys(), policy().touch_every(DAY)).unwrap(),
            false,
        ),
        (sessions, true),
    ] {
        let changes = wundr_db::UserSessionChanges::new().last_used_at(long_ago);
        let before = db.user_sessions().update(id, changes).await.unwrap();
        for _ in 0..3 {
            assert!(is_valid(&sessions, &opened).await);
        }
        let after = db.user_sessions().find(id).await.unwrap().unwrap();
        assert_eq!(after.last_used_at != before.last_used_at, is_updated);
        if is_updated {
            assert!(after.last_used_at > Utc::now() - TimeDelta::minutes(1));
            let found = sessions.authenticate(opened.token.expose()).await.unwrap();
            assert_eq!(found.unwrap().session, after);
        }
    }
}

#[both_engines]
#[case]
async fn what_has_expired_is_pruned_and_nothing_else() {
    let (db, _database) = database().await;
    let ada = user(&db).await.id;
    let sessions = sessions_of!(db);
    let first = opened(&sessions, ada).await;
    let second = refreshed(&sessions, &first).await;
    let third = refreshed(&sessions, &second).await;
    let past = Utc::now() - TimeDelta::hours(1);
    let new: Vec<_> = (0..3)
        .map(|number| NewUserSession::new(ada, number.to_string(), past))
        .collect();
    db.user_sessions().create_many(&new).await.unwrap();
    assert_eq!(sessions.prune(2).await.unwrap(), 2);
    assert_eq!(sessions.prune(2).await.unwrap(), 1);
    assert_eq!(sessions.prune(2).await.unwrap(), 0);
    // Exchanged tokens are known until they would have expired.
    execute(
        &db,
        "UPDATE public.rotated_refresh_tokens SET expires_at = pg_catalog.now()",
    )
    .await;
    assert_eq!(refresh(&sessions, &first).await, Refreshed::Unknown);
    assert!(is_valid(&sessions, &third).await, "nothing is pruned yet");
    assert_eq!(sessions.prune(1).await.unwrap(), 1);
    assert_eq!(sessions.prune(10).await.unwrap(), 1);
    assert_eq!(refresh(&sessions, &first).await, Refreshed::Unknown);
    assert!(is_valid(&sessions, &third).await);
    assert_eq!(
        db.user_sessions()
            .count(&UserSessionFilter::new())
            .await
            .unwrap(),
        1
    );
}

/// An application removes a refresh token so that the session is not refreshed.
#[both_engines]
#[case]
async fn a_removed_refresh_token_has_no_predecessor() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let sessions = sessions_of!(db);
    let first = opened(&sessions, ada.id).await;
    refreshed(&sessions, &first).await;
    let changes = wundr_db::UserSessionChanges::new().refresh_token_hash(wundr_db::Change::Clear);
    let id = first.session.id;
    db.user_sessions().update(id, changes).await.unwrap();
    let again = refresh(&sessions, &first).await;
    assert!(matches!(again, Refreshed::Reused { .. }), "{again:?}");
    assert!(!db.user_sessions().exists(id).await.unwrap());
}
