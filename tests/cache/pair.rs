// Two processes in front of one database.

/// A database, and two processes' caches of it: each has connections of its own to PostgreSQL and
/// to Redis.
struct Pair {
    one: Cached,
    other: Cached,
    /// Past the cache.
    plain: Db,
    /// Counts what `other` sends to the database.
    #[allow(dead_code, reason = "one of the programs that have it counts")]
    wire: Wire,
    database: TestDatabase,
}

#[both_engines]
async fn cached(url: &str, config: CacheConfig) -> Cached {
    let db = Db::connect(Config::new(url).unwrap()).await.unwrap();
    Cached::new(db, config).unwrap()
}

/// Two processes and a cache that may be filled: a new generation may not be while any transaction
/// of the server is under way that was there before, and other tests have some.
#[both_engines]
async fn pair(config: CacheConfig) -> Pair {
    let pair = unopened(config.clone()).await;
    let third = cached(&pair.database.url(), config).await;
    let nothing = ToolId::new();
    let began = std::time::Instant::now();
    while third.metrics().fills == 0 {
        third.tools().find(nothing).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", third.metrics());
    }
    pair
}

#[both_engines]
async fn unopened(config: CacheConfig) -> Pair {
    let database = migrated_database().unwrap();
    let wire = Wire::start();
    Pair {
        one: cached(&database.url(), config.clone()).await,
        other: cached(&wire.url(&database), config).await,
        plain: Db::connect_to(&database.url()).await.unwrap(),
        wire,
        database,
    }
}

fn shared() -> CacheConfig {
    servers::of(&REDIS.url())
}

/// A user like no other.
#[both_engines]
async fn user(db: &Db) -> User {
    let new = NewUser::new(format!("{}@example.org", UserId::new()), "Ada");
    db.users().create(new).await.unwrap()
}
