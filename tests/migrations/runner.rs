use super::*;

/// The databases that users built themselves may hold this.
const TWO_OF_ONE: &str =
    "INSERT INTO users (email, name) VALUES ('Ada@example.org', 'A'), ('ada@example.org', 'B')";

#[both_engines]
#[case]
async fn what_was_applied_is_not_applied_again() {
    let (config, _database) = empty_database();
    let status = migrations::status(&config).await.unwrap();
    assert!(status.iter().all(|migration| !migration.is_applied));
    assert_eq!(migrations::down(&config).await.unwrap(), [""; 0]);
    assert_eq!(migrations::down_by_one(&config).await.unwrap(), None);
    let all: Vec<_> = status.into_iter().map(|migration| migration.name).collect();
    assert!(all.is_sorted() && all.len() > 6);

    assert_eq!(migrations::up(&config).await.unwrap(), all);
    assert_eq!(migrations::up(&config).await.unwrap(), [""; 0]);

    let last = migrations::down_by_one(&config).await.unwrap();
    assert_eq!(last.as_ref(), all.last());
    let status = migrations::status(&config).await.unwrap();
    let applied = status.iter().filter(|migration| migration.is_applied);
    assert_eq!(applied.count(), all.len() - 1);
    assert_eq!(migrations::up(&config).await.unwrap(), all[all.len() - 1..]);

    let reverted = migrations::down(&config).await.unwrap();
    assert!(reverted.iter().eq(all.iter().rev()));
    assert_eq!(migrations::down(&config).await.unwrap(), [""; 0]);
}

#[both_engines]
#[case]
async fn a_migration_that_fails_is_named_and_leaves_nothing() {
    let (config, database) = designed_database();
    let mut connection = connect(&database);
    connection.batch_execute(TWO_OF_ONE).unwrap();

    let failure = migrations::adopt(&config).await.unwrap_err();

    let Error::Migration { version, message } = &failure else {
        panic!("{failure:?}");
    };
    assert_eq!(version, "2025-01-02-000800_users_email_lower");
    assert!(message.contains("ada@example.org"), "{message}");
    let status = migrations::status(&config).await.unwrap();
    let first = status.iter().find(|migration| !migration.is_applied);
    assert_eq!(&first.unwrap().name, version);
    let before = dump(&database);
    assert!(migrations::up(&config).await.is_err());
    assert_same("after a failure", before.lines(), dump(&database).lines());

    connection
        .batch_execute("UPDATE public.users SET email = 'b@example.org' WHERE name = 'B'")
        .unwrap();
    let rest = migrations::up(&config).await.unwrap();
    assert_eq!(rest.first(), Some(version));
    let status = migrations::status(&config).await.unwrap();
    assert!(status.iter().all(|migration| migration.is_applied));
}

#[both_engines]
#[case]
async fn a_database_is_adopted_once() {
    let (config, _database) = designed_database();
    migrations::adopt(&config).await.unwrap();
    for _ in 0..2 {
        let again = migrations::adopt(&config).await;
        assert!(
            matches!(again, Err(Error::InvalidInput { .. })),
            "{again:?}"
        );
    }
    assert_eq!(migrations::up(&config).await.unwrap(), [""; 0]);

    let (config, database) = empty_database();
    let nothing = migrations::adopt(&config).await;
    assert!(
        matches!(nothing, Err(Error::Migration { .. })),
        "{nothing:?}"
    );
    let schemas = "SELECT nspname::text AS line FROM pg_namespace WHERE nspname IN ('analysis', 'setup', 'audit')";
    assert!(lines(&mut connect(&database), schemas).is_empty());
}
