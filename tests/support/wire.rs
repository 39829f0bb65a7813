//! A proxy between a pool and the server that counts what PostgreSQL's protocol carries.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;
use wundr_db::testing::{PostgresServer, TestDatabase};

/// The traffic through the proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Round trips: how often the client, with no answer outstanding, has sent something and
    /// waited.
    pub round_trips: usize,
    /// Requests that the server answers on their own: ends of statements (`Sync`) and simple
    /// queries.
    pub requests: usize,
    /// Statements that the server was asked to prepare (`Parse`).
    pub parses: usize,
}

impl Traffic {
    pub fn since(self, before: Self) -> Self {
        Self {
            round_trips: self.round_trips - before.round_trips,
            requests: self.requests - before.requests,
            parses: self.parses - before.parses,
        }
    }
}

#[derive(Default)]
struct State {
    traffic: Traffic,
    /// Requests without an answer.
    outstanding: usize,
    /// A request has begun and not ended.
    is_within_request: bool,
}

impl State {
    fn client_says(&mut self, kind: u8) {
        if self.outstanding == 0 && !self.is_within_request {
            self.traffic.round_trips += 1;
        }
        self.is_within_request = true;
        match kind {
            b'P' => self.traffic.parses += 1,
            b'S' | b'Q' | STARTUP => {
                self.traffic.requests += 1;
                self.outstanding += 1;
                self.is_within_request = false;
            }
            _ => {}
        }
    }

    fn server_says(&mut self, kind: u8) {
        if kind == b'Z' {
            self.outstanding -= 1;
        }
    }
}

/// Stands for a connection's first message, which has no type.
const STARTUP: u8 = 0;

/// Finds the messages in a stream of bytes.
struct Messages {
    bytes: Vec<u8>,
    is_started: bool,
}

impl Messages {
    /// The types of the messages that are complete with these bytes.
    fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.bytes.extend_from_slice(bytes);
        let mut kinds = Vec::new();
        loop {
            let header = usize::from(self.is_started);
            let Some(length) = self.bytes.get(header..header + 4) else {
                return kinds;
            };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + header;
            if self.bytes.len() < length {
                return kinds;
            }
            kinds.push(if self.is_started {
                self.bytes[0]
            } else {
                STARTUP
            });
            self.is_started = true;
            self.bytes.drain(..length);
        }
    }
}

/// The proxy, on a socket of its own.
pub struct Wire {
    directory: TempDir,
    state: Arc<Mutex<State>>,
}

impl Wire {
    /// A proxy to the shared server.
    pub fn start() -> Self {
        let server = PostgresServer::shared().unwrap();
        let target = server
            .socket_dir()
            .join(format!(".s.PGSQL.{}", server.port()));
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                carry(client.unwrap(), &target, &shared);
            }
        });
        Self { directory, state }
    }

    /// The database's URL through the proxy.
    pub fn url(&self, database: &TestDatabase) -> String {
        let directory = self.directory.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://postgres@{directory}:5432/{}", database.name())
    }

    pub fn traffic(&self) -> Traffic {
        self.state.lock().unwrap().traffic
    }
}

fn carry(client: UnixStream, target: &PathBuf, state: &Arc<Mutex<State>>) {
    let server = UnixStream::connect(target).unwrap();
    let (from_client, to_client) = (client.try_clone().unwrap(), client);
    let (from_server, to_server) = (server.try_clone().unwrap(), server);
    let shared = Arc::clone(state);
    thread::spawn(move || {
        pump(from_client, to_server, false, |kind| {
            shared.lock().unwrap().client_says(kind);
        });
    });
    let shared = Arc::clone(state);
    thread::spawn(move || {
        pump(from_server, to_client, true, |kind| {
            shared.lock().unwrap().server_says(kind);
        });
    });
}

/// Counts before it forwards, so that a received response is counted.
fn pump(mut from: UnixStream, mut to: UnixStream, is_started: bool, counts: impl Fn(u8)) {
    let mut messages = Messages {
        bytes: Vec::new(),
        is_started,
    };
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        for kind in messages.take(&bytes[..length]) {
            counts(kind);
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
