//! What counts as silence of the server, and what does not.

use super::beside::{begun, user};
use super::*;
use std::time::Duration;

use wundr_db::testing::{Proxy, ProxyMode};

/// The limit of silence. Longer than a loaded machine keeps a server from responding.
const LIMIT: Duration = Duration::from_secs(4);

/// Its response has arrived, read by another statement, and no other is due.
#[tokio::test]
async fn a_response_that_its_owner_does_not_take_is_no_silence_of_the_server() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config.response_timeout(LIMIT)).await.unwrap();
    db.transaction(async |tx| -> Result<()> {
        let (users, filter, ids) = (tx.users(), UserFilter::new(), [UserId::new()]);
        let created = begun(users.create(user("kept")));
        let found = begun(users.find_many(&ids));
        let streamed = begun(users.stream(&filter).collect::<Vec<_>>());
        users.create(user("other")).await?;
        tokio::time::sleep(LIMIT * 3 / 2).await;
        users.create(user("late")).await?;
        assert_eq!(created.await?.email, "kept@example.org");
        assert_eq!(found.await?, [None]);
        // Each had to be prepared, so that they may be executed in any order.
        assert!(streamed.await.len() <= 3);
        Ok(())
    })
    .await
    .unwrap();
}

/// The response to its preparation arrives together with that of another statement, whose owner
/// takes it and leaves. Then it is the client that has not sent the statement.
#[tokio::test]
async fn a_statement_that_its_owner_does_not_send_is_no_silence_of_the_server() {
    const ALL_IS_ANSWERED: &str = "EXISTS (SELECT FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND state = 'idle in transaction' AND wait_event = 'ClientRead' AND query ~ 'EXISTS')";
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let mut observer = Observer::of(&database.url());
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let config = config.max_connections(1).response_timeout(LIMIT);
    let db = Db::connect(config).await.unwrap();
    // Prepares what is not kept.
    assert!(!db.users().exists(UserId::new()).await.unwrap());
    db.transaction(async |tx| -> Result<()> {
        let (users, filter) = (tx.users(), UserFilter::new());
        assert!(users.find(UserId::new()).await?.is_none());
        proxy.set(ProxyMode::Silent).unwrap();
        let kept = begun(users.count(&filter));
        let other = begun(users.exists(UserId::new()));
        proxy.set(ProxyMode::Pass).unwrap();
        // Nothing is read meanwhile: this blocks the only thread.
        observer.until(ALL_IS_ANSWERED);
        assert!(!other.await?);
        tokio::time::sleep(LIMIT * 3 / 2).await;
        users.create(user("late")).await?;
        assert!(kept.await? <= 1);
        Ok(())
    })
    .await
    .unwrap();
}

/// The driver passes a row on when it is complete.
#[tokio::test]
async fn a_row_that_takes_long_to_arrive_is_no_silence_of_the_server() {
    const LIMIT: Duration = Duration::from_secs(1);
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let config = config.max_connections(1).response_timeout(LIMIT);
    let db = Db::connect(config).await.unwrap();
    let changes = UserChanges::new().preferences(serde_json::json!("x".repeat(200_000)));
    let ada = db.users().create(user("ada")).await.unwrap().id;
    db.users().update(ada, changes).await.unwrap();
    let pause = Duration::from_millis(2);
    proxy.set(ProxyMode::Split { pause, seed: 1 }).unwrap();
    let started = std::time::Instant::now();
    assert!(db.users().find(ada).await.unwrap().is_some());
    assert!(started.elapsed() > LIMIT);
}
