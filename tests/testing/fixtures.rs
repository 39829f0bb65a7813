//! The rows of `wundr_db::testing::fixture`.

use core::prelude::v1::test;

use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::Serialize;
use serde_json::{Value, json};
use wundr_db::testing::{Fixture, TestDatabase, fixture, migrated_database};
use wundr_db::*;

/// Stores a row as it is, without the rows that it refers to.
fn store<R: Fixture + Serialize>(connection: &mut PgConnection, table: &str) {
    let mut row = serde_json::to_value(fixture::<R>()).unwrap();
    let columns = row.as_object_mut().unwrap();
    // The hashes of tokens are left out of JSON.
    if table == "public.user_sessions" {
        columns.insert("token_hash".to_owned(), json!("x"));
    }
    columns.retain(|_, value| *value != Value::Null);
    let names: Vec<_> = columns.keys().map(|name| format!("{name:?}")).collect();
    let names = names.join(", ");
    diesel::sql_query(format!(
        "INSERT INTO {table} ({names}) \
         SELECT {names} FROM pg_catalog.jsonb_populate_record(NULL::{table}, $1::jsonb)"
    ))
    .bind::<Text, _>(row.to_string())
    .execute(connection)
    .unwrap_or_else(|error| panic!("{table}: {error}: {row}"));
}

fn connect(database: &TestDatabase) -> PgConnection {
    let mut connection = PgConnection::establish(&database.url()).unwrap();
    // Foreign keys are triggers, which do not fire.
    let replica = diesel::sql_query("SET session_replication_role = replica");
    replica.execute(&mut connection).unwrap();
    connection
}

#[test]
fn the_database_accepts_the_fixture_of_every_table() {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    macro_rules! store_each {
        ($($schema:ident.$table:ident: $name:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {$(
            // Twice: their unique values differ.
            for _ in 0..2 {
                let table = concat!(stringify!($schema), ".", stringify!($table));
                store::<$row>(&mut connection, table);
            }
        )*};
    }
    wundr_db::__for_each_table!(store_each);
    store::<Invitation>(&mut connection, "public.organization_invitations");
    store::<Invitation>(&mut connection, "public.organization_invitations");
}

#[test]
fn each_value_of_a_fixture_has_a_setter() {
    let time = fixture::<User>().created_at;
    let user = testing::builder::<User>()
        .email("grace@example.org")
        .role(UserRole::Viewer)
        .avatar_url("https://example.org/grace.png")
        .github_username(Some("grace".to_owned()))
        .last_login_at(time)
        .build();
    assert_eq!(user.email, "grace@example.org");
    assert_eq!(user.role, UserRole::Viewer);
    assert_eq!(
        user.avatar_url.as_deref(),
        Some("https://example.org/grace.png")
    );
    assert_eq!(user.github_username.as_deref(), Some("grace"));
    assert_eq!(user.last_login_at, Some(time));
    let session = testing::builder::<UserSession>()
        .user_id(user.id)
        .ip_address(None);
    let session = UserSession::from(session);
    assert_eq!((session.user_id, session.ip_address), (user.id, None));
}

#[test]
fn a_completed_analysis_agrees_with_itself() {
    let database = migrated_database().unwrap();
    let began = fixture::<Analysis>().created_at;
    let analysis = testing::builder::<Analysis>()
        .completed(began, began + chrono::TimeDelta::seconds(90))
        .build();
    assert_eq!(analysis.duration_seconds, Some(90));
    let row = serde_json::to_string(&analysis).unwrap();
    let stored = diesel::sql_query(
        "INSERT INTO analysis.analyses \
         SELECT * FROM pg_catalog.jsonb_populate_record(NULL::analysis.analyses, $1::jsonb)",
    );
    let stored = stored.bind::<Text, _>(row).execute(&mut connect(&database));
    assert_eq!(stored.unwrap(), 1);
}
