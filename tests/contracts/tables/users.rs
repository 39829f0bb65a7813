use super::*;
use serde_json::json;
use wundr_db::{
    Change, Error, NewUser, Page, UserChanges, UserFilter, UserId, UserOrder, UserRole,
};

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let users = db.users();
    let ada = users
        .create(NewUser::new("Ada@example.org", "Ada"))
        .await
        .unwrap();

    assert_eq!(ada.role, UserRole::Developer);
    assert!(ada.is_active && !ada.email_verified);
    assert_eq!(ada.preferences, json!({}));
    assert_eq!(users.find(ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(
        users.find_by_email("ada@EXAMPLE.org").await.unwrap(),
        Some(ada.clone())
    );
    assert!(users.exists(ada.id).await.unwrap());

    let absent = UserId::new();
    assert_eq!(users.find(absent).await.unwrap(), None);
    assert!(!users.exists(absent).await.unwrap());
    let answers = users.find_many(&[absent, ada.id, ada.id]).await.unwrap();
    assert_eq!(answers, [None, Some(ada.clone()), Some(ada)]);
}

#[both_engines]
#[case]
async fn an_address_is_taken_whatever_its_case() {
    let (db, _database) = database().await;
    let users = db.users();
    users
        .create(NewUser::new("ada@example.org", "Ada"))
        .await
        .unwrap();

    let refusal = users
        .create(NewUser::new("ADA@example.org", "Impostor"))
        .await
        .unwrap_err();

    assert!(matches!(refusal, Error::Unique(_)), "{refusal:?}");
    assert_eq!(
        refusal.constraint(),
        Some(wundr_db::constraints::USERS_EMAIL_KEY)
    );
    assert_eq!(users.count(&UserFilter::new()).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn a_refused_value_names_its_column() {
    let (db, _database) = database().await;
    let users = db.users();
    let field_of = |error: Error| match error {
        Error::InvalidInput { field, .. } => field.into_owned(),
        other => panic!("{other:?}"),
    };

    let long = users
        .create(NewUser::new("a@b", "x".repeat(256)))
        .await
        .unwrap_err();
    assert_eq!(field_of(long), "name");
    let zero = users
        .create(NewUser::new("a@b", "x").preferences(json!({"a": ["\0"]})))
        .await
        .unwrap_err();
    assert_eq!(field_of(zero), "preferences");
    let widest = users
        .create(NewUser::new("a@b", "ß".repeat(255)))
        .await
        .unwrap();
    let changed = users
        .update(widest.id, UserChanges::new().email("e".repeat(256)))
        .await
        .unwrap_err();
    assert_eq!(field_of(changed), "email");
}

#[both_engines]
#[case]
async fn any_number_of_rows_is_created_or_none() {
    let (db, _database) = database().await;
    let users = db.users();
    let mut many: Vec<_> = (0..12_000)
        .map(|n| NewUser::new(format!("{n}@example.org"), "n"))
        .collect();

    assert_eq!(users.create_many(&[]).await.unwrap(), 0);
    many.push(NewUser::new("0@example.org", "twice"));
    assert!(matches!(
        users.create_many(&many).await,
        Err(Error::Unique(_))
    ));
    assert_eq!(users.count(&UserFilter::new()).await.unwrap(), 0);
    many.pop();
    assert_eq!(users.create_many(&many).await.unwrap(), 12_000);
    assert_eq!(users.count(&UserFilter::new()).await.unwrap(), 12_000);
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let users = db.users();
    let ada = users
        .create(NewUser::new("ada@example.org", "Ada").avatar_url("a.png"))
        .await
        .unwrap();

    assert_eq!(users.update(ada.id, UserChanges::new()).await.unwrap(), ada);
    let renamed = users
        .update(
            ada.id,
            UserChanges::new().name("Lovelace").github_username("ada"),
        )
        .await
        .unwrap();
    assert_eq!(
        (renamed.name.as_str(), renamed.avatar_url.as_deref()),
        ("Lovelace", Some("a.png"))
    );
    assert!(renamed.updated_at > ada.updated_at);
    let cleared = users
        .update(ada.id, UserChanges::new().avatar_url(Change::Clear))
        .await
        .unwrap();
    assert_eq!(
        (cleared.avatar_url, cleared.github_username.as_deref()),
        (None, Some("ada"))
    );

    let stale = UserChanges::new()
        .name("Late")
        .unchanged_since(ada.updated_at);
    assert!(matches!(
        users.update(ada.id, stale).await,
        Err(Error::StaleWrite { what: "User" })
    ));
    let missing = users
        .update(UserId::new(), UserChanges::new().name("Nobody"))
        .await;
    assert!(matches!(missing, Err(Error::NotFound { what: "User" })));
}

#[both_engines]
#[case]
async fn changes_without_an_assignment_are_conditional_like_any_other() {
    let (db, _database) = database().await;
    let users = db.users();
    let ada = users.create(NewUser::new("ada@example.org", "Ada")).await;
    let ada = ada.unwrap();
    let renamed = UserChanges::new().name("Lovelace");
    let renamed = users.update(ada.id, renamed).await.unwrap();

    let current = UserChanges::new().unchanged_since(renamed.updated_at);
    assert_eq!(users.update(ada.id, current).await.unwrap(), renamed);
    let stale = UserChanges::new().unchanged_since(ada.updated_at);
    assert!(matches!(
        users.update(ada.id, stale).await,
        Err(Error::StaleWrite { what: "User" })
    ));
    let missing = UserChanges::new().unchanged_since(ada.updated_at);
    assert!(matches!(
        users.update(UserId::new(), missing).await,
        Err(Error::NotFound { what: "User" })
    ));
}

#[both_engines]
#[case]
async fn an_upsert_keeps_what_it_is_not_given() {
    let (db, _database) = database().await;
    let users = db.users();
    let new = NewUser::new("ada@example.org", "Ada")
        .role(UserRole::Admin)
        .preferences(json!({"theme": "dark"}));
    let first = users.upsert(new).await.unwrap();

    let second = users
        .upsert(NewUser::new("ADA@example.org", "Lovelace"))
        .await
        .unwrap();

    assert_eq!(
        (second.id, second.name.as_str(), second.role),
        (first.id, "Lovelace", UserRole::Admin)
    );
    assert_eq!(second.preferences, json!({"theme": "dark"}));
    assert_eq!(users.count(&UserFilter::new()).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let users = db.users();
    for n in 0..5 {
        let role = if n < 2 {
            UserRole::Viewer
        } else {
            UserRole::Manager
        };
        users
            .create(NewUser::new(format!("{n}@example.org"), format!("100%_{n}")).role(role))
            .await
            .unwrap();
    }
    let viewers = UserFilter::new().role(UserRole::Viewer);
    let page = Page::new().order(UserOrder::Email).with_total();

    let listed = users.list(&viewers, &page).await.unwrap();
    assert_eq!(
        listed
            .items
            .iter()
            .map(|user| user.email.as_str())
            .collect::<Vec<_>>(),
        ["0@example.org", "1@example.org"]
    );
    assert_eq!(
        (listed.total, users.count(&viewers).await.unwrap()),
        (Some(2), 2)
    );
    assert_eq!(
        users.count(&UserFilter::new().search("%_3")).await.unwrap(),
        1
    );
    assert_eq!(
        users.count(&UserFilter::new().search("%%")).await.unwrap(),
        0
    );
    assert_eq!(users.delete_many(&viewers).await.unwrap(), 2);
    assert_eq!(users.count(&UserFilter::new()).await.unwrap(), 3);
    assert!(matches!(
        users.list(&viewers, &Page::new().limit(101)).await,
        Err(Error::InvalidInput { .. })
    ));
}

#[both_engines]
#[case]
async fn the_special_updates_do_one_thing_each() {
    let (db, _database) = database().await;
    let users = db.users();
    let ada = users
        .create(NewUser::new("ada@example.org", "Ada").preferences(json!({"a": 1, "b": 1})))
        .await
        .unwrap();

    let merged = users
        .merge_preferences(ada.id, json!({"b": 2}).into())
        .await
        .unwrap();
    assert_eq!(merged.preferences, json!({"a": 1, "b": 2}));
    assert!(matches!(
        users.merge_preferences(ada.id, json!([]).into()).await,
        Err(Error::InvalidInput { .. })
    ));
    assert!(!users.set_active(ada.id, false).await.unwrap().is_active);
    assert!(
        users
            .touch_last_login(ada.id)
            .await
            .unwrap()
            .last_login_at
            .is_some()
    );
    assert!(matches!(
        users.touch_last_login(UserId::new()).await,
        Err(Error::NotFound { what: "User" })
    ));
    assert!(users.delete(ada.id).await.unwrap());
    assert!(!users.delete(ada.id).await.unwrap());
}
