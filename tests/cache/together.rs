//! Readers of different entries, whose reads are one command. In the blocking engine each has a
//! connection.

use wundr_db::cache::CacheConfig;
use wundr_db::testing::{RedisServer, migrated_database};
use wundr_db::{Config, NewUser, ToolId, User, UserId};

use super::*;
use crate::servers::{self, REDIS, Raw};
use crate::wire::Wire;

include!("pair.rs");

const READERS: usize = 40;

/// Users that are cached.
async fn cached_users(pair: &Pair) -> Vec<User> {
    let mut users = Vec::new();
    for _ in 0..READERS {
        let user = user(&pair.one).await;
        assert_eq!(
            pair.other.users().find(user.id).await.unwrap(),
            Some(user.clone())
        );
        users.push(user);
    }
    users
}

#[case]
async fn many_readers_take_few_commands() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let users = cached_users(&pair).await;
    let mut raw = Raw::of(&redis.url());
    let (commands, hits) = (raw.calls("mget"), pair.other.metrics().hits);
    let finds = users
        .iter()
        .map(|user| async { pair.other.users().find(user.id).await.unwrap() });
    let found = futures_util::future::join_all(finds).await;
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), users);
    assert_eq!(pair.other.metrics().hits, hits + READERS as u64);
    // Nobody was given another's answer, which would have been found out and asked for again.
    assert_eq!(pair.other.metrics().undecodable, 0);
    let commands = raw.calls("mget") - commands;
    assert!(commands < READERS / 2, "{commands} commands");
}

/// Whoever goes, be it while the command that others wait for is under way, or while waiting, the
/// others are answered.
#[case]
async fn readers_who_go_do_not_take_others_with_them() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let users = cached_users(&pair).await;
    let hits = pair.other.metrics().hits;
    redis.pause().unwrap();
    let readers: Vec<_> = users
        .iter()
        .map(|user| {
            let (other, id) = (pair.other.clone(), user.id);
            tokio::spawn(async move { other.users().find(id).await.unwrap() })
        })
        .collect();
    // All of them have asked, or wait.
    tokio::task::yield_now().await;
    let has_gone = |index: usize| index < 10 || index.is_multiple_of(3);
    for (index, reader) in readers.iter().enumerate() {
        if has_gone(index) {
            reader.abort();
        }
    }
    tokio::task::yield_now().await;
    redis.resume().unwrap();
    let mut answered = 0;
    for (index, (reader, user)) in readers.into_iter().zip(users).enumerate() {
        match reader.await {
            Ok(found) => {
                assert_eq!(found, Some(user));
                answered += 1;
            }
            Err(error) => assert!(error.is_cancelled() && has_gone(index)),
        }
    }
    assert_eq!(pair.other.metrics().hits, hits + answered);
    assert_eq!(
        answered,
        (0..READERS).filter(|&index| !has_gone(index)).count() as u64
    );
}

/// No reader is left waiting if the last one of a command leaves when the next one arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn everybody_is_answered() {
    let redis = RedisServer::start().unwrap();
    let pair = pair(servers::of(&redis.url())).await;
    let users = cached_users(&pair).await;
    for round in 0..3_000 {
        // One more than one command reads, and none after them.
        let readers = (0..3).map(|reader| {
            let (other, user) = (
                pair.other.clone(),
                users[(3 * round + reader) % READERS].clone(),
            );
            tokio::spawn(async move {
                let found = other.users().find(user.id).await.unwrap();
                assert_eq!(found, Some(user));
            })
        });
        let all = futures_util::future::try_join_all(readers);
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, all).await.unwrap().unwrap();
    }
}

/// If a server does not respond, readers that have waited once do not wait for it again.
#[case]
async fn readers_who_wait_are_told_of_a_failure() {
    let redis = RedisServer::start().unwrap();
    let config = servers::of(&redis.url()).response_timeout(Duration::from_secs(1));
    let pair = pair(config).await;
    let users = cached_users(&pair).await;
    let mut raw = Raw::of(&redis.url());
    let commands = raw.calls("mget");
    redis.pause().unwrap();
    let finds = users
        .iter()
        .map(|user| async { pair.other.users().find(user.id).await.unwrap() });
    let found = futures_util::future::join_all(finds).await;
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), users);
    redis.resume().unwrap();
    // The four that did not have to wait have sent one each, and no other reader has.
    assert!(raw.calls("mget") - commands <= 4);
}
