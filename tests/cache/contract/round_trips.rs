use super::*;

#[both_engines]
#[case]
async fn the_shards_of_a_write_are_asked_at_once() {
    const SHARDS: u16 = 2;
    let redis = RedisServer::builder().listen_tcp().start().unwrap();
    let turnstile = Turnstile::before(&redis);
    let pair = pair(servers::of(&turnstile.url()).shards(SHARDS)).await;
    // So many that each shard has some of them.
    let users = || -> Vec<NewUser> {
        let addresses = (0..50).map(|_| format!("{}@example.org", UserId::new()));
        addresses
            .map(|address| NewUser::new(address, "Ada"))
            .collect()
    };
    // Both servers are known then, and know the scripts.
    pair.one.users().create_many(&users()).await.unwrap();
    turnstile.group(SHARDS.into());
    pair.one.users().create_many(&users()).await.unwrap();
    assert_eq!(turnstile.sent(), 2 * usize::from(SHARDS));
    // The write set of such a write is unknown: both begin a new generation.
    let generations = pair.one.metrics().generations;
    turnstile.group(SHARDS.into());
    execute(&pair.one, "UPDATE public.users SET name = 'Eve'").await;
    assert_eq!(turnstile.sent(), usize::from(SHARDS));
    assert_eq!(
        pair.one.metrics().generations,
        generations + u64::from(SHARDS)
    );
}

#[both_engines]
#[case]
async fn the_shards_of_a_batch_are_asked_at_once() {
    const SHARDS: u16 = 2;
    let redis = RedisServer::builder().listen_tcp().start().unwrap();
    let turnstile = Turnstile::before(&redis);
    let pair = pair(servers::of(&turnstile.url()).shards(SHARDS)).await;
    let ids: Vec<_> = (0..50).map(|_| UserId::new()).collect();
    let users = pair.other.users();
    let began = std::time::Instant::now();
    loop {
        let hits = pair.other.metrics().hits;
        users.find_many(&ids).await.unwrap();
        if pair.other.metrics().hits == hits + 50 {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            pair.other.metrics()
        );
    }
    turnstile.group(SHARDS.into());
    let hits = pair.other.metrics().hits;
    users.find_many(&ids).await.unwrap();
    assert_eq!(pair.other.metrics().hits, hits + 50);
    assert_eq!(turnstile.sent(), usize::from(SHARDS));
}
