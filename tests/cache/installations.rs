//! Redis behind TLS, behind Sentinels, and as a cluster.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use wundr_db::testing::RedisServer;

use crate::servers::Raw;

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A server that takes connections over TLS, with a certificate for the name `localhost`.
pub struct TlsRedis {
    _server: RedisServer,
    _directory: TempDir,
    port: u16,
    /// The authority that has signed the certificate, as PEM.
    pub authority: String,
}

impl TlsRedis {
    pub fn start() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "the tests' authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| -> PathBuf {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let port = free_port();
        let server = RedisServer::builder()
            .setting("tls-port", port.to_string())
            .setting(
                "tls-cert-file",
                file("crt", &certificate.pem()).display().to_string(),
            )
            .setting(
                "tls-key-file",
                file("key", &key.serialize_pem()).display().to_string(),
            )
            .setting(
                "tls-ca-cert-file",
                file("ca", &authority).display().to_string(),
            )
            .setting("tls-auth-clients", "no")
            .start()
            .unwrap();
        Self {
            _server: server,
            _directory: directory,
            port,
            authority,
        }
    }

    pub fn url(&self, host: &str) -> String {
        format!("rediss://{host}:{}", self.port)
    }
}

/// A primary with a replica, and three Sentinels that watch them.
pub struct Sentinels {
    primary: RedisServer,
    _replica: RedisServer,
    sentinels: Vec<Child>,
    ports: Vec<u16>,
    _directory: TempDir,
}

impl Sentinels {
    pub fn start() -> Self {
        let primary = RedisServer::builder().listen_tcp().start().unwrap();
        let port = port_of(&primary);
        let replica = RedisServer::builder()
            .listen_tcp()
            .setting("replicaof", format!("127.0.0.1 {port}"))
            .setting("repl-diskless-sync-delay", "0")
            .start()
            .unwrap();
        Raw::of(&replica.url()).until("INFO replication", |state| {
            state.contains("master_link_status:up")
        });
        let directory = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let sentinels = ports.iter().map(|&own| {
            let file = directory.path().join(format!("{own}.conf"));
            let settings = format!(
                "port {own}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
            );
            fs::write(&file, settings).unwrap();
            let mut command = Command::new("redis-server");
            command
                .arg(&file)
                .arg("--sentinel")
                .current_dir(directory.path());
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        let this = Self {
            sentinels: sentinels.collect(),
            primary,
            _replica: replica,
            ports,
            _directory: directory,
        };
        for url in this.urls() {
            let mut raw = connected(&url);
            raw.until("INFO sentinel", |state| {
                state.contains("slaves=1,sentinels=3")
            });
        }
        this
    }

    pub fn urls(&self) -> Vec<String> {
        let urls = self
            .ports
            .iter()
            .map(|port| format!("redis://127.0.0.1:{port}"));
        urls.collect()
    }

    /// The primary dies; the replica takes over when the Sentinels have agreed on it.
    pub fn fail_over(&self) {
        self.primary.kill();
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for sentinel in &mut self.sentinels {
            let _ = sentinel.kill();
            let _ = sentinel.wait();
        }
    }
}

fn port_of(server: &RedisServer) -> u16 {
    let url = server.tcp_url().unwrap();
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// A connection to a server that is about to start.
fn connected(url: &str) -> Raw {
    let began = Instant::now();
    loop {
        match redis::Client::open(url).unwrap().get_connection() {
            Ok(_) => return Raw::of(url),
            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

const SLOTS: u16 = 16_384;

/// Three primaries, each with a third of the slots.
pub struct Cluster {
    servers: Vec<RedisServer>,
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Stops the first server for good.
    pub fn kill_first(&self) {
        self.servers[0].kill();
    }

    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let server = RedisServer::builder()
            .listen_tcp()
            .setting("cluster-enabled", "yes")
            .setting("cluster-node-timeout", "2000");
        let server = settings.iter().fold(server, |server, (name, value)| {
            server.setting(*name, *value)
        });
        // The servers talk to each other at a port 10,000 higher, which not every port has and
        // others may use.
        let start = |_| {
            let mut tries = (0..50).map(|_| server.start());
            let started = tries.find(Result::is_ok);
            started.unwrap_or_else(|| server.start()).unwrap()
        };
        let this = Self {
            servers: (0..3).map(start).collect(),
        };
        let first = port_of(&this.servers[0]);
        for (n, url) in this.urls().iter().enumerate() {
            let mut raw = Raw::of(url);
            let part = SLOTS / 3 + 1;
            let (from, to) = (part * n as u16, (part * (n as u16 + 1)).min(SLOTS) - 1);
            let slots: Vec<String> = (from..=to).map(|slot| slot.to_string()).collect();
            let _: () = raw.ask(&format!("CLUSTER ADDSLOTS {}", slots.join(" ")));
            if n > 0 {
                let _: () = raw.ask(&format!("CLUSTER MEET 127.0.0.1 {first}"));
            }
        }
        for url in this.urls() {
            let mut raw = Raw::of(&url);
            raw.until("CLUSTER INFO", |state| {
                state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
            });
        }
        this
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers
            .iter()
            .map(|server| server.tcp_url().unwrap())
            .collect()
    }

    /// The first server's slots with keys in them begin to go to the second, as
    /// `redis-cli --cluster reshard` does: of each the key that says which generation lives is
    /// there already, and the others are not yet.
    pub fn begin_to_move_slots(&self) -> Vec<u16> {
        let mut all = self.all();
        let ids: Vec<String> = all.iter_mut().map(|raw| raw.ask("CLUSTER MYID")).collect();
        let mut slots = Vec::new();
        for key in all[0].keys("*:generation") {
            let slot: u16 = all[0].ask(&format!("CLUSTER KEYSLOT {key}"));
            let _: () = all[1].ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[0]));
            let _: () = all[0].ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[1]));
            self.migrate(&mut all[0], &[key]);
            slots.push(slot);
        }
        slots
    }

    pub fn move_slots(&self, slots: Vec<u16>) {
        let mut all = self.all();
        let second: String = all[1].ask("CLUSTER MYID");
        for slot in slots {
            loop {
                let keys: Vec<String> = all[0].ask(&format!("CLUSTER GETKEYSINSLOT {slot} 100"));
                if keys.is_empty() {
                    break;
                }
                self.migrate(&mut all[0], &keys);
            }
            for raw in &mut all {
                let _: () = raw.ask(&format!("CLUSTER SETSLOT {slot} NODE {second}"));
            }
        }
    }

    fn all(&self) -> Vec<Raw> {
        self.urls().iter().map(|url| Raw::of(url)).collect()
    }

    fn migrate(&self, from: &mut Raw, keys: &[String]) {
        let port = port_of(&self.servers[1]);
        let keys = keys.join(" ");
        let _: String = from.ask(&format!(
            "MIGRATE 127.0.0.1 {port}  0 5000 REPLACE KEYS {keys}"
        ));
    }
}
