//! Connections to one run of one Redis server.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use redis::{
    Client, Cmd, Connection, ConnectionInfo, ConnectionLike as _, ErrorKind, RedisResult, Value,
};

use crate::cache::keys::{EntryKey, KeySpace};
use crate::cache::mget::{self, MgetReply};
use crate::cache::scripts::unless_refused;
use crate::cache::{CacheConfig, Counters, server_info};

pub(crate) mod single_flight;

/// Connections to one run of the server, one for each thread that sends a command at the same time.
pub(crate) struct RedisConnection {
    client: Client,
    /// Set by the first connection.
    run_id: OnceLock<String>,
    connect_timeout: Duration,
    response_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

/// The number of idle connections that are kept.
const IDLE: usize = 16;

impl RedisConnection {
    pub(crate) fn open(client: Client, settings: &CacheConfig) -> RedisResult<Self> {
        let this = Self {
            client,
            run_id: OnceLock::new(),
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            idle: Mutex::default(),
        };
        this.keep(this.connect()?);
        Ok(this)
    }

    /// Returns the address of the server.
    pub(crate) fn server(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// Returns the run id of the server.
    pub(crate) fn server_info(&self) -> RedisResult<String> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let run = self.run_of(&mut connection)?;
        self.keep(connection);
        Ok(run)
    }

    /// Returns the run id of the server that the connection has reached.
    ///
    /// # Errors
    /// The server was restarted since the first connection.
    fn run_of(&self, connection: &mut Connection) -> RedisResult<String> {
        let run = server_info::run_of(connection.req_command(&server_info::command())?)?;
        if *self.run_id.get_or_init(|| run.clone()) == run {
            Ok(run)
        } else {
            Err((ErrorKind::Io, "the server was restarted").into())
        }
    }

    pub(crate) fn send(&self, command: &Cmd, counters: &Counters) -> RedisResult<Value> {
        let began = Instant::now();
        let mut connection = self.one()?;
        // After a timeout the connection is closed: the late response would be matched to the next
        // command.
        let reply = connection.req_command(command)?;
        self.keep(connection);
        counters.called(began.elapsed());
        unless_refused(reply)
    }

    /// Sends a command whose reply does not matter.
    pub(crate) fn send_detached(&self, command: Cmd) {
        let idle = self.idle().pop();
        if let Some(mut connection) = idle
            && connection.req_command(&command).is_ok()
        {
            self.keep(connection);
        }
    }

    fn one(&self) -> RedisResult<Connection> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.connect_again(), Ok)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self
            .client
            .get_connection_with_timeout(self.connect_timeout)?;
        connection.set_read_timeout(Some(self.response_timeout))?;
        connection.set_write_timeout(Some(self.response_timeout))?;
        Ok(connection)
    }

    fn connect_again(&self) -> RedisResult<Connection> {
        let mut connection = self.connect()?;
        if self.run_id.get().is_some() {
            self.run_of(&mut connection)?;
        }
        Ok(connection)
    }
}

/// Returns the replies to commands that are sent concurrently, on one connection for each server. A
/// connection is not used after a failure.
pub(crate) fn send_all(
    commands: &[(&RedisConnection, Cmd)],
    counters: &Counters,
) -> Vec<RedisResult<Value>> {
    let began = Instant::now();
    let mut connections: Vec<(&RedisConnection, RedisResult<Connection>)> = Vec::new();
    let mut places = Vec::with_capacity(commands.len());
    for (server, command) in commands {
        let known = connections
            .iter()
            .position(|(other, _)| std::ptr::eq(*other, *server));
        let place = known.unwrap_or_else(|| {
            connections.push((server, server.one()));
            connections.len() - 1
        });
        let connection = &mut connections[place].1;
        if let Ok(open) = connection {
            let sent = open.send_packed_command(&command.get_packed_command());
            if let Err(error) = sent {
                *connection = Err(error);
            }
        }
        places.push(place);
    }
    let replies = places.into_iter().map(|place| {
        let connection = &mut connections[place].1;
        let reply = match connection {
            Ok(open) => open.recv_response(),
            Err(error) => Err(error.clone()),
        };
        match reply {
            Ok(reply) => {
                counters.called(began.elapsed());
                unless_refused(reply)
            }
            Err(error) => {
                *connection = Err(error.clone());
                Err(error)
            }
        }
    });
    let replies = replies.collect();
    for (server, connection) in connections {
        if let Ok(open) = connection {
            server.keep(open);
        }
    }
    replies
}

/// The reads of one shard's entries.
pub(crate) struct MgetBatcher {
    connection: Arc<RedisConnection>,
    key_space: Arc<KeySpace>,
    counters: Arc<Counters>,
}

impl MgetBatcher {
    pub(crate) fn new(
        connection: Arc<RedisConnection>,
        key_space: Arc<KeySpace>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection,
            key_space,
            counters,
        })
    }

    /// Returns the values under these keys, and whether their generation is the current one.
    pub(crate) fn read(&self, keys: &[&EntryKey]) -> RedisResult<MgetReply> {
        let command = mget::command(&self.key_space, keys.iter().copied());
        let reply = self.connection.send(&command, &self.counters)?;
        MgetReply::of(&self.key_space, reply)
    }
}

/// Admits one caller at a time.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<()>);

impl Gate {
    /// Waits until the present caller has left.
    pub(crate) fn enter(&self, _patience: Duration) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts work on `state` in a thread of its own, because the database may take long to answer.
/// Without a thread nothing is started.
pub(crate) fn in_background<S: Send + Sync + 'static>(
    state: Arc<S>,
    work: impl FnOnce(Arc<S>) + Send + 'static,
) {
    let thread = std::thread::Builder::new().name("wundr-db cache".to_owned());
    // A later caller tries again.
    let _ = thread.spawn(move || work(state));
}

/// Counts operations that have ended, and wakes the callers that wait for the next end.
#[derive(Default)]
pub(crate) struct Ends {
    ended: Mutex<u64>,
    changed: Condvar,
}

impl Ends {
    fn ended(&self) -> MutexGuard<'_, u64> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self) -> u64 {
        *self.ended()
    }

    pub(crate) fn end(&self) {
        let mut ended = self.ended();
        *ended = ended.wrapping_add(1);
        self.changed.notify_all();
    }

    /// Waits until something has ended since.
    pub(crate) fn wait(&self, seen: u64, patience: Duration) {
        let is_same = |ended: &mut u64| *ended == seen;
        let _ = self
            .changed
            .wait_timeout_while(self.ended(), patience, is_same);
    }
}

pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Runs a rare operation; the async engine boxes it.
pub(crate) fn boxed<T>(work: T) -> T {
    work
}
