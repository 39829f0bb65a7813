//! Rows of a schema that was changed by hand: what cannot be decoded is named, counted and listed.

use super::*;
use crate::observer::Observer;
use crate::subscriber;
use wundr_db::{
    Error, NewOrganization, NewUser, NewUserSession, OrganizationChanges, Page, Result, Table,
    UserChanges, UserFilter, UserId, UserSessionChanges,
};

#[both_engines]
async fn database() -> (Db, Observer, TestDatabase) {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    (db, Observer::of(&database.url()), database)
}

#[both_engines]
async fn user(db: &Db) -> UserId {
    let new = NewUser::new(format!("{}@example.org", UserId::new()), "Ada");
    db.users().create(new).await.unwrap().id
}

/// The table, key and column that an error names.
fn named<T: std::fmt::Debug>(outcome: Result<T>) -> (String, Option<String>, Option<String>) {
    match outcome {
        Err(Error::Decode {
            what, id, column, ..
        }) => (what.into_owned(), id.map(|id| id.to_string()), column),
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn a_row_that_cannot_be_decoded_is_named_counted_and_listed() {
    subscriber::listen();
    let (db, mut observer, _database) = database().await;
    let (ada, eve, _bob) = (user(&db).await, user(&db).await, user(&db).await);
    observer.run("ALTER TABLE public.users ALTER COLUMN name DROP NOT NULL");
    observer.run(&format!(
        "UPDATE public.users SET name = NULL WHERE id IN ('{ada}', '{eve}')"
    ));

    let row = |id: UserId| {
        (
            "public.users".to_owned(),
            Some(id.to_string()),
            Some("name".to_owned()),
        )
    };
    let filter = UserFilter::new();
    let page = Page::new();
    let before = db.pool().unreadable;
    assert_eq!(named(db.users().find(ada).await), row(ada));
    let event = subscriber::events();
    let event = event.last().unwrap();
    for part in ["WARN", "public.users", &ada.to_string(), "\"name\"", "null"] {
        assert!(event.contains(part), "{event}");
    }
    assert_eq!(named(db.users().find_many(&[eve]).await), row(eve));
    let (table, _, column) = named(db.users().list(&filter, &page).await);
    assert_eq!(
        (table.as_str(), column.as_deref()),
        ("public.users", Some("name"))
    );
    // A total comes with the rows, as one value.
    let (table, id, column) = named(db.users().list(&filter, &page.with_total()).await);
    assert_eq!(
        (table.as_str(), column.as_deref()),
        ("public.users", Some("name"))
    );
    assert!(id.is_some());
    assert_eq!(db.pool().unreadable, before + 4);

    let unreadable = db.unreadable(Table::Users, 100).await.unwrap();
    let listed = unreadable.iter().map(|row| row.id.unwrap());
    assert_eq!(listed.collect::<Vec<_>>(), [*ada.as_uuid(), *eve.as_uuid()]);
    for row in &unreadable {
        assert_eq!(
            (row.table, row.column.as_deref()),
            (Table::Users, Some("name"))
        );
        assert!(row.reason.contains("null"), "{}", row.reason);
    }
    assert_eq!(db.unreadable(Table::Users, 1).await.unwrap().len(), 1);
    assert_eq!(db.pool().unreadable, before + 4);
    for limit in [0, 101] {
        assert!(matches!(
            db.unreadable(Table::Users, limit).await,
            Err(Error::InvalidInput { field, .. }) if field == "limit"
        ));
    }
    for table in Table::ALL {
        let unreadable = db.unreadable(*table, 100).await.unwrap();
        assert_eq!(unreadable.is_empty(), *table != Table::Users, "{table}");
    }
    // The connection goes on.
    assert_eq!(db.users().count(&filter).await.unwrap(), 3);
}

#[both_engines]
#[case]
async fn unreadable_rows_are_found_beyond_a_page() {
    let (db, mut observer, _database) = database().await;
    let new: Vec<NewUser> = (0..250)
        .map(|number| NewUser::new(format!("{number}@example.org"), "n"))
        .collect();
    db.users().create_many(&new).await.unwrap();
    observer.run("ALTER TABLE public.users ALTER COLUMN name DROP NOT NULL");
    for index in [0, 99, 100, 199, 249] {
        observer.run(&format!(
            "UPDATE public.users SET name = NULL WHERE email = '{index}@example.org'"
        ));
    }
    let unreadable = db.unreadable(Table::Users, 100).await.unwrap();
    let listed = unreadable.iter().map(|row| row.id.unwrap());
    let expected = [0, 99, 100, 199, 249].map(|index: usize| *new[index].id.as_uuid());
    assert_eq!(listed.collect::<Vec<_>>(), expected);
}

#[both_engines]
#[case]
async fn nothing_is_said_of_a_secrets_value() {
    let (db, mut observer, _database) = database().await;
    let ada = user(&db).await;
    let expires = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let session = db
        .user_sessions()
        .create(NewUserSession::new(ada, "hash", expires))
        .await
        .unwrap();
    observer.run(
        "ALTER TABLE public.user_sessions ALTER COLUMN token_hash TYPE bytea USING 'secret\\377'::bytea",
    );
    match db.user_sessions().find(session.id).await {
        Err(Error::Decode { column, reason, .. }) => {
            assert_eq!(column.as_deref(), Some("token_hash"));
            assert!(
                reason.starts_with("the value of a secret column"),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn what_a_schema_by_hand_makes_of_a_write() {
    let (db, mut observer, database) = database().await;
    let ada = user(&db).await;
    observer.run("ALTER TABLE public.users ALTER COLUMN name DROP NOT NULL");
    observer.run("UPDATE public.users SET name = NULL");
    let role = "SELECT is_active::text FROM public.users";

    // In a transaction nothing is written, whatever becomes of the error.
    let outcome = db
        .transaction(async |tx| -> Result<()> {
            named(tx.users().set_active(ada, false).await);
            Ok(())
        })
        .await;
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!(observer.ask(role), "true");
    // A statement that returns no row needs none, as the error's documentation says.
    for is_active in [false, true] {
        let sql = format!("UPDATE public.users SET is_active = {is_active} WHERE id = '{ada}'");
        db.transaction(async |tx| -> Result<()> {
            Ok(tx.connection_mut().batch_execute(&sql).await?)
        })
        .await
        .unwrap();
        assert_eq!(observer.ask(role), is_active.to_string());
    }
    // Outside, the first one of a pool is committed before its row is decoded, as the error's
    // documentation says.
    let fresh = Db::connect_to(&database.url()).await.unwrap();
    let first = named(fresh.users().set_active(ada, false).await);
    assert_eq!(first.2.as_deref(), Some("name"));
    assert_eq!(observer.ask(role), "false");
}

/// Of a pool that has met such a row, by a write or a read, for each way of a write.
#[both_engines]
#[case]
async fn a_write_whose_row_cannot_be_decoded_is_not_done_once_one_was_found() {
    let (db, mut observer, database) = database().await;
    let ada = user(&db).await;
    let lab = NewOrganization::new("lab", "lab");
    let lab = db.organizations().create(lab).await.unwrap().id;
    let expires = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let session = NewUserSession::new(ada, "hash", expires);
    let session = db.user_sessions().create(session).await.unwrap().id;
    observer.run(
        "ALTER TABLE public.users ALTER COLUMN name DROP NOT NULL;
         UPDATE public.users SET name = NULL;
         ALTER TABLE public.organizations ALTER COLUMN settings TYPE text;
         CREATE FUNCTION public.odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.name = NULL; RETURN NEW; END $$;
         CREATE TRIGGER odd BEFORE INSERT ON public.users FOR EACH ROW EXECUTE FUNCTION public.odd()",
    );
    let state = "(SELECT string_agg(u::text, ';') FROM public.users u) \
        || (SELECT string_agg(o::text, ';') FROM public.organizations o)";
    let (before, fresh) = (
        observer.ask(state),
        Db::connect_to(&database.url()).await.unwrap(),
    );
    assert!(fresh.users().find(ada).await.is_err());
    let (users, organizations) = (fresh.users(), fresh.organizations());
    let renamed = UserChanges::new().avatar_url("x".to_owned());
    for outcome in [
        users.set_active(ada, false).await.map(drop),
        users.touch_last_login(ada).await.map(drop),
        users.update(ada, renamed).await.map(drop),
        users.create(NewUser::new("b@x", "b")).await.map(drop),
        organizations
            .update(lab, OrganizationChanges::new().name("b"))
            .await
            .map(drop),
        organizations
            .merge_settings(lab, serde_json::json!({"a": 1}).into())
            .await
            .map(drop),
    ] {
        assert!(outcome.is_err());
        assert_eq!(observer.ask(state), before, "{outcome:?}");
    }
    // What can be decoded is written.
    let later = expires + chrono::TimeDelta::hours(1);
    let later = UserSessionChanges::new().expires_at(later);
    fresh.user_sessions().update(session, later).await.unwrap();
}
