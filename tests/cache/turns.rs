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
    assert_eq!(turnstile.called(), 2 * usize::from(SHARDS));
}
