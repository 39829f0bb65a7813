//! Properties of changes: whatever is kept, cleared or set, the database holds what a plain
//! assignment gives.

use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use wundr_db::blocking::{Db, UserRepository};
use wundr_db::testing::migrated_database;
use wundr_db::{Change, NewUser, User, UserChanges, UserRole};

fn change<T: std::fmt::Debug + Clone>(
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Change<T>> {
    prop_oneof![1 => Just(Change::Keep), 1 => Just(Change::Clear), 2 => value.prop_map(Change::Set)]
}

fn changes() -> impl Strategy<Value = UserChanges> {
    let text = || "[^\\x00]{0,20}";
    let role = prop::sample::select(UserRole::ALL);
    let document = prop_oneof![
        Just(json!({})),
        text().prop_map(|text| json!({"a": [text, null, 1.5]}))
    ];
    let time = (0..4_102_444_800_000_000i64)
        .prop_filter_map("a time", chrono::DateTime::from_timestamp_micros);
    (
        option::of(text()),
        option::of(role),
        change(text()),
        change(text()),
        option::of(document),
        option::of(any::<bool>()),
        change(time),
    )
        .prop_map(
            |(name, role, avatar_url, github_username, preferences, is_active, last_login_at)| {
                let mut changes = UserChanges::new();
                changes.name = name;
                changes.role = role;
                changes.avatar_url = avatar_url;
                changes.github_username = github_username;
                changes.preferences = preferences.map(Into::into);
                changes.is_active = is_active;
                changes.last_login_at = last_login_at;
                changes
            },
        )
}

fn assign<T: Clone>(column: &mut Option<T>, change: &Change<T>) {
    match change {
        Change::Keep => {}
        Change::Clear => *column = None,
        Change::Set(value) => *column = Some(value.clone()),
    }
}

fn applied(mut user: User, changes: &UserChanges) -> User {
    let UserChanges {
        name,
        role,
        preferences,
        is_active,
        ..
    } = changes.clone();
    user.name = name.unwrap_or(user.name);
    user.role = role.unwrap_or(user.role);
    user.preferences = preferences.unwrap_or(user.preferences);
    user.is_active = is_active.unwrap_or(user.is_active);
    assign(&mut user.avatar_url, &changes.avatar_url);
    assign(&mut user.github_username, &changes.github_username);
    assign(&mut user.last_login_at, &changes.last_login_at);
    user
}

#[test]
fn an_update_is_a_plain_assignment() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).unwrap();
    let start = db
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 200,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&changes(), |changes| {
        let before = db.users().find(start.id).unwrap().unwrap();
        let after = db.users().update(start.id, changes.clone()).unwrap();

        let mut expected = applied(before.clone(), &changes);
        let is_same = expected == before;
        expected.updated_at = after.updated_at;
        prop_assert_eq!(&after, &expected);
        prop_assert_eq!(is_same, after.updated_at == before.updated_at);
        prop_assert_eq!(db.users().find(start.id).unwrap(), Some(after));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn json_tells_null_from_nothing() {
    let read = |document: Value| serde_json::from_value::<UserChanges>(document).unwrap();

    assert_eq!(read(json!({})), UserChanges::new());
    assert_eq!(
        read(json!({"avatar_url": null})),
        UserChanges::new().avatar_url(Change::Clear)
    );
    assert_eq!(
        read(json!({"avatar_url": "a.png", "name": "Ada"})),
        UserChanges::new().avatar_url("a.png").name("Ada")
    );
}
