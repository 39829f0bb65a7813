//! The servers of a trial, and what can be done to them.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::observer::Observer;
use crate::random::Random;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use wundr_db::testing::{Pair, PostgresServer, Proxy, ProxyMode, RedisServer};
use wundr_db::{Config, blocking};

/// Two Redis servers, of which one is the primary and the other follows it. Clients find the
/// primary by a link.
pub struct Caches {
    servers: [RedisServer; 2],
    primary: usize,
    directory: tempfile::TempDir,
    /// The number of restarts that loaded a file.
    snapshot: Option<PathBuf>,
}

fn start() -> RedisServer {
    let builder = RedisServer::builder().listen_tcp();
    let builder = builder.setting("repl-diskless-sync-delay", "0");
    builder.setting("loglevel", "warning").start().unwrap()
}

fn command(server: &RedisServer, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let client = redis::Client::open(server.url())?;
    let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    command.query(&mut connection)
}

fn information(server: &RedisServer, section: &str) -> String {
    let answer = command(server, &["INFO", section]).unwrap_or(redis::Value::Nil);
    redis::from_redis_value(answer).unwrap_or_default()
}

impl Caches {
    pub fn start() -> Self {
        let caches = Self {
            servers: [start(), start()],
            primary: 0,
            directory: tempfile::tempdir().unwrap(),
            snapshot: None,
        };
        caches.point();
        caches.follow();
        caches
    }

    /// The address under which clients reach the primary.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.link().display())
    }

    fn link(&self) -> PathBuf {
        self.directory.path().join("primary.sock")
    }

    fn primary(&self) -> &RedisServer {
        &self.servers[self.primary]
    }

    fn standby(&self) -> &RedisServer {
        &self.servers[1 - self.primary]
    }

    /// Makes the link lead to the primary immediately.
    fn point(&self) {
        let new = self.directory.path().join("new.sock");
        let _ = fs::remove_file(&new);
        std::os::unix::fs::symlink(self.primary().socket(), &new).unwrap();
        fs::rename(&new, self.link()).unwrap();
    }

    /// Makes the other server follow the primary.
    fn follow(&self) {
        let url = self.primary().tcp_url().unwrap();
        let port = url.rsplit(':').next().unwrap();
        let _ = command(self.standby(), &["REPLICAOF", "127.0.0.1", port]);
    }

    pub fn ask(&self, words: &[&str]) -> bool {
        command(self.primary(), words).is_ok()
    }

    pub fn stand_still(&self, time: Duration) {
        self.primary().pause().unwrap();
        std::thread::sleep(time);
        self.primary().resume().unwrap();
    }

    pub fn restart_empty(&self, down: Duration) {
        self.primary().kill();
        let _ = fs::remove_file(self.primary().data_dir().join("dump.rdb"));
        std::thread::sleep(down);
        self.primary().restart().unwrap();
    }

    /// Keeps what there is now, to start from it later.
    pub fn remember(&mut self) -> bool {
        let copy = self.directory.path().join("old.rdb");
        let is_saved = self.ask(&["SAVE"])
            && fs::copy(self.primary().data_dir().join("dump.rdb"), &copy).is_ok();
        if is_saved {
            self.snapshot = Some(copy);
        }
        is_saved
    }

    /// Starts again with what was there a while ago.
    pub fn restart_old(&self, down: Duration) -> bool {
        let Some(snapshot) = &self.snapshot else {
            return false;
        };
        self.primary().kill();
        fs::copy(snapshot, self.primary().data_dir().join("dump.rdb")).unwrap();
        std::thread::sleep(down);
        self.primary().restart().unwrap();
        true
    }

    /// Kills the primary; the other takes its place, with what it has of its data.
    pub fn fail_over(&mut self, chance: &Random) -> bool {
        if !information(self.standby(), "replication").contains("master_link_status:up") {
            return false;
        }
        self.primary().kill();
        self.primary = 1 - self.primary;
        // Clients may find it before it is the primary.
        let is_found_early = chance.in_a_thousand(500);
        if is_found_early {
            self.point();
        }
        std::thread::sleep(chance.within(100));
        command(self.primary(), &["REPLICAOF", "NO", "ONE"]).unwrap();
        self.point();
        let _ = fs::remove_file(self.standby().data_dir().join("dump.rdb"));
        self.standby().restart().unwrap();
        self.follow();
        true
    }

    /// Leaves too little memory for what is there.
    pub fn starve(&self, chance: &Random, time: Duration) {
        const POLICIES: [&str; 5] = [
            "allkeys-lru",
            "allkeys-random",
            "volatile-lru",
            "volatile-ttl",
            "noeviction",
        ];
        let memory = information(self.primary(), "memory");
        let used = memory
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        let used: u64 = used.and_then(|used| used.trim().parse().ok()).unwrap_or(0);
        let limit = (used + chance.below(60_000)).saturating_sub(50_000).max(1);
        let policy = *chance.pick(&POLICIES);
        self.ask(&["CONFIG", "SET", "maxmemory-policy", policy]);
        self.ask(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
        std::thread::sleep(time);
        self.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    }
}

/// A PostgreSQL server with a database, behind an address that leads to it, whichever it is.
pub struct Database {
    name: String,
    address: Proxy,
    /// `None` only while a standby takes over.
    server: Mutex<Option<PostgresServer>>,
    /// The server that the address leads to.
    way: Mutex<Proxy>,
}

/// After such a time the system gives the connections to a server up that has vanished:
/// `unacknowledged_timeout` of the crate's settings. It sees to those for which the crate has no
/// limit of its own.
const GIVEN_UP: Duration = Duration::from_secs(12);

impl Database {
    pub fn start() -> Self {
        let server = PostgresServer::start().unwrap();
        let name = "history".to_owned();
        Observer::of(&server.url("postgres")).run(&format!("CREATE DATABASE {name}"));
        blocking::migrations::up(&Config::new(&server.url(&name)).unwrap()).unwrap();
        let way = Proxy::start(&server).unwrap();
        Self {
            address: Proxy::start(&way).unwrap(),
            name,
            server: Mutex::new(Some(server)),
            way: Mutex::new(way),
        }
    }

    /// Its address for the processes.
    pub fn url(&self) -> String {
        self.address.url(&self.name)
    }

    /// Past everything that lies between.
    pub fn direct_url(&self) -> String {
        self.server().as_ref().unwrap().url(&self.name)
    }

    fn server(&self) -> MutexGuard<'_, Option<PostgresServer>> {
        self.server.lock().unwrap()
    }

    /// Ends it as in a crash, in the middle of what it does. What it has acknowledged is there
    /// again afterwards.
    pub fn crash(&self, down: Duration) {
        let server = self.server();
        let server = server.as_ref().unwrap();
        server.kill().unwrap();
        std::thread::sleep(down);
        server.restart().unwrap();
    }

    pub fn terminate(&self, sessions: u64) {
        Observer::of(&self.direct_url()).ask(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT {sessions}) session"
        ));
    }

    /// All connections lead to a server that says nothing any more; new ones lead to another with
    /// the same data.
    pub fn vanish(&self) {
        let server = self.server();
        let new = Proxy::start(server.as_ref().unwrap()).unwrap();
        self.address.lead_to(&new);
        let old = std::mem::replace(&mut *self.way.lock().unwrap(), new);
        old.set(ProxyMode::Silent).unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(GIVEN_UP);
            drop(old);
        });
        drop(server);
        // With the host its sessions are gone, and what they have locked.
        self.terminate(1_000);
    }

    /// A standby takes over. It has every acknowledged write.
    pub fn fail_over(&self) {
        let mut server = self.server();
        let pair = Pair::of(server.take().unwrap()).unwrap();
        self.address.set(ProxyMode::Refuse).unwrap();
        self.address.cut();
        pair.wait_for_catch_up().unwrap();
        pair.primary().kill().unwrap();
        pair.promote().unwrap();
        let (_old, new) = pair.into_servers();
        let way = Proxy::start(&new).unwrap();
        self.address.lead_to(&way);
        *self.way.lock().unwrap() = way;
        *server = Some(new);
        self.address.set(ProxyMode::Pass).unwrap();
    }

    /// Runs a statement of a migration. Tells whether it could be done.
    pub fn migrate(&self, statement: &str) -> bool {
        PgConnection::establish(&self.direct_url()).is_ok_and(|mut connection| {
            connection
                .batch_execute(&format!("SET lock_timeout = '2s'; {statement}"))
                .is_ok()
        })
    }
}
