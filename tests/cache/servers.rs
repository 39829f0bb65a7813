//! Redis as its operator sees it, past the crate.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue};
use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;

/// One server for all tests that do it no harm: each has a database of its own, and so keys of its
/// own.
pub static REDIS: LazyLock<RedisServer> = LazyLock::new(|| RedisServer::start().unwrap());

/// Longer than anything here takes, except on a machine that stands still.
const PATIENCE: Duration = Duration::from_secs(20);

/// The settings for a server, with answers that are waited for longer than on a machine with other
/// work to do.
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

    /// Returns the number of calls of a command.
    pub fn calls(&mut self, command: &str) -> usize {
        let all: String = self.ask("INFO commandstats");
        let line = all
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    /// Returns the value of a key.
    pub fn value(&mut self, key: &str) -> Vec<u8> {
        match self.ask::<String>(&format!("TYPE {key}")).as_str() {
            "hash" => {
                let fields: Vec<Vec<u8>> = self.ask(&format!("HGETALL {key}"));
                fields.concat()
            }
            _ => self.ask(&format!("GET {key}")),
        }
    }

    /// Puts a value under a key, without an end.
    pub fn set(&mut self, key: &str, value: &[u8]) {
        redis::cmd("SET")
            .arg(key)
            .arg(value)
            .exec(&mut self.0)
            .unwrap();
    }

    pub fn hset(&mut self, key: &str, field: &str, value: &str) {
        let mut command = redis::cmd("HSET");
        command.arg(key).arg(field).arg(value);
        command.exec(&mut self.0).unwrap();
    }

    /// Puts back what [`bytes`](Self::bytes) has found.
    pub fn restore(&mut self, key: &str, bytes: &[u8]) {
        let mut command = redis::cmd("RESTORE");
        command.arg(key).arg(0).arg(bytes).arg("REPLACE");
        command.exec(&mut self.0).unwrap();
    }

    /// Returns the value of a key of any type.
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

/// Stands before a server and lets answers through only when the commands that the cache has sent
/// are a multiple of a number: a client that waits for the response to one of a group before it
/// sends the next waits for ever.
pub struct Turnstile {
    port: u16,
    sent: Arc<Sent>,
}

#[derive(Default)]
struct Sent {
    commands: Mutex<usize>,
    changed: Condvar,
    group: AtomicUsize,
}

impl Turnstile {
    pub fn before(server: &RedisServer) -> Self {
        let address = server.tcp_url().unwrap();
        let address = address.trim_start_matches("redis://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Sent::default());
        sent.group.store(1, Ordering::SeqCst);
        let all = Arc::clone(&sent);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&address)) else {
                    return;
                };
                let (asks, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let sent = Arc::clone(&all);
                thread::spawn(move || pass_on(asks, server, |bytes| sent.count(bytes)));
                let sent = Arc::clone(&all);
                thread::spawn(move || pass_on(answers, client, |_| sent.wait()));
            }
        });
        Self { port, sent }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on so many are sent concurrently. None is in progress.
    pub fn group(&self, size: usize) {
        let mut commands = self.sent.commands.lock().unwrap();
        *commands = 0;
        self.sent.group.store(size, Ordering::SeqCst);
    }

    /// Returns the number of commands that were sent since then.
    pub fn sent(&self) -> usize {
        *self.sent.commands.lock().unwrap()
    }
}

impl Sent {
    fn count(&self, bytes: &[u8]) {
        let names = |name: &[u8]| {
            bytes
                .windows(name.len())
                .filter(|part| *part == name)
                .count()
        };
        *self.commands.lock().unwrap() += names(b"EVALSHA") + names(b"MGET");
        self.changed.notify_all();
    }

    fn wait(&self) {
        let is_incomplete =
            |commands: &mut usize| !commands.is_multiple_of(self.group.load(Ordering::SeqCst));
        let commands = self.commands.lock().unwrap();
        drop(self.changed.wait_while(commands, is_incomplete).unwrap());
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, see: impl Fn(&[u8])) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        see(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Stands before a PostgreSQL server, and can hold its answers.
pub struct Held {
    pub url: String,
    until: Arc<Mutex<Option<Instant>>>,
}

impl Held {
    /// Stands before the server of this URL, which has a TCP port.
    pub fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let address = url.split('@').nth(1).unwrap().split('/').next().unwrap();
        let url = url.replace(address, &own);
        let (until, address) = (Arc::<Mutex<Option<Instant>>>::default(), address.to_owned());
        let shared = Arc::clone(&until);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&address)) else {
                    return;
                };
                let (asks, answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let until = Arc::clone(&shared);
                thread::spawn(move || pass_on(asks, server, |_| ()));
                thread::spawn(move || {
                    pass_on(answers, client, |_| {
                        let until = until.lock().unwrap().take();
                        if let Some(until) = until {
                            thread::sleep(until.saturating_duration_since(Instant::now()));
                        }
                    });
                });
            }
        });
        Self { url, until }
    }

    /// Holds the next answer for this long from now.
    pub fn hold(&self, time: Duration) {
        *self.until.lock().unwrap() = Some(Instant::now() + time);
    }
}
