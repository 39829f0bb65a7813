//! Redis as its operator sees it, past the crate.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue};
use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;

/// One server for all tests that do it no harm: each has a database of its own, and so keys of its own.
pub static REDIS: LazyLock<RedisServer> = LazyLock::new(|| RedisServer::start().unwrap());

/// Longer than anything here takes, except on a machine that stands still.
const PATIENCE: Duration = Duration::from_secs(20);

/// The settings for a server, with answers that are waited for longer than on a machine with other work to do.
pub fn of(url: &str) -> CacheConfig {
    CacheConfig::new(url)
        .unwrap()
        .response_timeout(Duration::from_secs(5))
        .early_refresh(false)
}

/// A connection of its own to a server.
pub struct Raw(Connection);

impl Raw {
    pub fn of(url: &str) -> Self {
        Self(redis::Client::open(url).unwrap().get_connection().unwrap())
    }

    /// Sends a command, written as for `redis-cli` without quotes.
    pub fn try_ask<T: FromRedisValue>(&mut self, command: &str) -> redis::RedisResult<T> {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        command.query(&mut self.0)
    }

    pub fn ask<T: FromRedisValue>(&mut self, command: &str) -> T {
        self.try_ask(command)
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    pub fn keys(&mut self, pattern: &str) -> Vec<String> {
        self.ask(&format!("KEYS {pattern}"))
    }

    /// How often a command was called.
    pub fn calls(&mut self, command: &str) -> usize {
        let all: String = self.ask("INFO commandstats");
        let line = all
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    /// What a client reads under a key.
    pub fn value(&mut self, key: &str) -> Vec<u8> {
        match self.ask::<String>(&format!("TYPE {key}")).as_str() {
            "hash" => {
                let fields: Vec<Vec<u8>> = self.ask(&format!("HGETALL {key}"));
                fields.concat()
            }
            _ => self.ask(&format!("GET {key}")),
        }
    }

    /// What lies under a key, whatever its type.
    pub fn bytes(&mut self, key: &str) -> Vec<u8> {
        redis::cmd("DUMP").arg(key).query(&mut self.0).unwrap()
    }

    pub fn until(&mut self, command: &str, holds: impl Fn(&str) -> bool) {
        let started = Instant::now();
        loop {
            let answer: String = self.try_ask(command).unwrap_or_default();
            if holds(&answer) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{command}: {answer}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
