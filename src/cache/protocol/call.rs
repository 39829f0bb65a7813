//! Calls of the protocol's scripts.

use redis::{Cmd, RedisResult, Value};

use super::cache_io::{RedisConnection, send_all};
use super::repository;
use super::shard::ShardSession;
use super::unavailable::Unavailable;
use crate::Result;
use crate::cache::Counters;
use crate::cache::scripts::{Reply, Step};

/// Calls one script of the protocol on the shard's keys and on `keys`.
#[repository]
pub(crate) async fn step(
    counters: &Counters,
    session: &ShardSession,
    step: &Step,
    keys: &[&str],
    arguments: &[&[u8]],
) -> Result<Reply, Unavailable> {
    let key_space = &session.key_space;
    let keys = [
        &[key_space.generation_key.as_str(), key_space.epoch.as_str()],
        keys,
    ]
    .concat();
    let arguments = [&[key_space.generation.as_bytes()], arguments].concat();
    let reply = call(counters, &session.connection, step, &keys, &arguments).await?;
    Reply::read(reply).ok_or(Unavailable::UnexpectedReply)
}

/// Calls a script on several shards concurrently, by its SHA-1 alone.
#[repository]
pub(crate) async fn step_all<'a>(
    counters: &Counters,
    step: &Step,
    shards: impl Iterator<Item = (&'a ShardSession, &'a [String])>,
    arguments: &[&[u8]],
) -> Vec<Result<Reply, Unavailable>> {
    let commands: Vec<(&RedisConnection, Cmd)> = shards
        .map(|(session, entries)| {
            let key_space = &session.key_space;
            let mut keys = vec![key_space.generation_key.as_str(), key_space.epoch.as_str()];
            keys.extend(entries.iter().map(String::as_str));
            let arguments = [&[key_space.generation.as_bytes()], arguments].concat();
            (&*session.connection, step.by_name(&keys, &arguments))
        })
        .collect();
    let replies = send_all(&commands, counters).await;
    let replies = replies.into_iter();
    let replies = replies.map(|reply| Reply::read(reply?).ok_or(Unavailable::UnexpectedReply));
    replies.collect()
}

/// Calls a script by its SHA-1, and by its text if the server does not have it.
#[repository]
pub(crate) async fn call(
    counters: &Counters,
    connection: &RedisConnection,
    step: &Step,
    keys: &[&str],
    arguments: &[&[u8]],
) -> RedisResult<Value> {
    let by_name = step.by_name(keys, arguments);
    match connection.send(&by_name, counters).await {
        Err(error) if error.code() == Some("NOSCRIPT") => {
            let by_text = step.by_text(keys, arguments);
            connection.send(&by_text, counters).await
        }
        reply => reply,
    }
}
