//! Inside a transaction everything is read from the database; what is not committed leaves the
//! cache as it was.

use super::*;

/// Everything that lies in the cache, but for when it ends.
fn content(raw: &mut Raw) -> Vec<(String, Vec<u8>)> {
    let mut keys = raw.keys("*");
    keys.sort();
    keys.into_iter()
        .map(|key| {
            let bytes = raw.bytes(&key);
            (key, bytes)
        })
        .collect()
}

#[derive(Debug)]
struct Undone;

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        panic!("{error:?}")
    }
}

#[both_engines]
#[case]
async fn a_transaction_reads_the_database_and_fills_nothing() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let pair = pair(servers::of(&redis.url())).await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    pair.other.users().find(ada.id).await.unwrap();
    let (before, metrics) = (content(&mut raw), pair.one.metrics());
    let renamed = pair
        .one
        .transaction(async |tx| -> Result<_> {
            assert_eq!(tx.users().find(bob.id).await?, Some(bob.clone()));
            assert_eq!(
                tx.users().find_by_email(&bob.email).await?,
                Some(bob.clone())
            );
            tx.users().find_many(&[ada.id, bob.id]).await?;
            tx.configurations()
                .effective_all(ConfigurationScope::Global, None)
                .await?;
            tx.users().find(ada.id).await
        })
        .await;
    assert_eq!(renamed.unwrap(), Some(ada.clone()));
    assert_eq!(pair.one.metrics(), metrics, "the cache was asked");
    assert_eq!(content(&mut raw), before);

    // Only the transaction itself reads its writes before its end.
    let changes = UserChanges::new().name("Grace");
    let outcome: Result<()> = pair
        .one
        .transaction(async |tx| {
            tx.users().update(ada.id, changes.clone()).await?;
            assert_eq!(tx.users().find(ada.id).await?.unwrap().name, "Grace");
            let elsewhere = pair.other.users().find(ada.id).await?;
            assert_eq!(elsewhere.unwrap().name, "Ada");
            Ok(())
        })
        .await;
    outcome.unwrap();
    assert_eq!(
        pair.other.users().find(ada.id).await.unwrap().unwrap().name,
        "Grace"
    );
}

#[both_engines]
#[case]
async fn what_was_not_committed_leaves_the_cache_as_it_was() {
    let redis = RedisServer::start().unwrap();
    let mut raw = Raw::of(&redis.url());
    let pair = pair(servers::of(&redis.url())).await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    for id in [ada.id, bob.id] {
        pair.one.users().find(id).await.unwrap();
        pair.other.users().find(id).await.unwrap();
    }
    let (before, fences) = (content(&mut raw), pair.one.metrics().fences);

    let undone: Result<(), Undone> = pair
        .one
        .transaction(async |tx| {
            tx.users().set_active(ada.id, false).await?;
            tx.users().delete(bob.id).await?;
            Err(Undone)
        })
        .await;
    undone.unwrap_err();
    // One that only reads, and one that has nothing to write to.
    let read: Result<Option<User>> = pair
        .one
        .transaction(async |tx| tx.users().find(ada.id).await)
        .await;
    read.unwrap();
    let users = pair.one.users();
    assert!(!users.delete(UserId::new()).await.unwrap());
    let twice = UserChanges::new().email(bob.email.clone());
    let refused = users.update(ada.id, twice).await.unwrap_err();
    assert!(matches!(refused, Error::Unique { .. }), "{refused:?}");
    let new = NewUser::new("x".repeat(300), "Too long");
    assert!(matches!(
        users.create(new).await,
        Err(Error::InvalidInput { .. })
    ));
    let new = [
        NewUser::new("new@x", "New"),
        NewUser::new(ada.email.clone(), "Twice"),
    ];
    users.create_many(&new).await.unwrap_err();
    let refused = users.set_active(UserId::new(), true).await.unwrap_err();
    assert!(matches!(refused, Error::NotFound { .. }), "{refused:?}");

    assert_eq!(content(&mut raw), before);
    assert_eq!(pair.one.metrics().fences, fences);
    let traffic = pair.wire.traffic();
    assert_eq!(pair.other.users().find(ada.id).await.unwrap(), Some(ada));
    assert_eq!(pair.wire.traffic(), traffic, "it is still cached");
}

#[both_engines]
#[case]
async fn raw_sql_makes_everything_old() {
    let pair = pair(shared()).await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    for _ in 0..2 {
        pair.other.users().find(ada.id).await.unwrap();
        pair.other.users().find_by_email(&bob.email).await.unwrap();
    }
    let generations = pair.one.metrics().generations;
    execute(&pair.one, "UPDATE public.users SET name = 'Grace'").await;
    assert_eq!(pair.one.metrics().generations, generations + 1);
    assert_eq!(
        pair.other.users().find(ada.id).await.unwrap().unwrap().name,
        "Grace"
    );
    let found = pair.other.users().find_by_email(&bob.email).await.unwrap();
    assert_eq!(found.unwrap().name, "Grace");
    // Nothing was written: nothing is old.
    execute(&pair.one, "SELECT 1").await;
    assert_eq!(pair.one.metrics().generations, generations + 1);
    // The cache works in the new one.
    let hits = pair.other.metrics().hits;
    while pair.other.metrics().hits == hits {
        pair.other.users().find(ada.id).await.unwrap();
    }
}

#[both_engines]
#[case]
async fn a_write_needs_no_second_connection() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    let config = config
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5));
    let db = Db::connect(config).await.unwrap();
    // All of them are the first to need the cache.
    let cached = Cached::new(db, shared()).unwrap();
    for outcome in all_concurrently!(20, user_of(&cached)) {
        outcome.unwrap();
    }
    assert_eq!(cached.metrics().fences, 20);
    execute(&cached, "UPDATE public.users SET name = 'Grace'").await;
    let ada = user(&cached).await;
    assert_eq!(cached.users().find(ada.id).await.unwrap(), Some(ada));
}

#[both_engines]
async fn user_of(db: &Cached) -> Result<User> {
    let new = NewUser::new(format!("{}@example.org", UserId::new()), "Ada");
    db.users().create(new).await
}
