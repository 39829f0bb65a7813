//! Connections to one run of one Redis server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Client, Cmd, Connection, ConnectionLike as _, ErrorKind, RedisResult, Value};

use crate::cache::{CacheConfig, Counters, greeting};

/// Connections, one for each thread that asks at the same time, all to the same run of the server.
pub(crate) struct Link {
    client: Client,
    run: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

/// How many are kept that nobody uses.
const IDLE: usize = 16;

impl Link {
    pub(crate) fn open(client: Client, settings: &CacheConfig) -> RedisResult<Self> {
        let mut link = Self {
            client,
            run: String::new(),
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            idle: Mutex::default(),
        };
        let mut connection = link.connect()?;
        link.run = greeting::run_of(connection.req_command(&greeting::command())?)?;
        link.keep(connection);
        Ok(link)
    }

    /// The server's run.
    pub(crate) fn greet(&self) -> RedisResult<String> {
        Ok(self.run.clone())
    }

    pub(crate) fn send(&self, command: &Cmd, counters: &Counters) -> RedisResult<Value> {
        let began = Instant::now();
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect_again()?,
        };
        // A connection whose answer did not come in time would give it to the next one who asks: it is closed.
        let answer = connection.req_command(command)?;
        self.keep(connection);
        counters.called(began.elapsed());
        answer.extract_error()
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
        let run = greeting::run_of(connection.req_command(&greeting::command())?)?;
        if run == self.run {
            Ok(connection)
        } else {
            Err((ErrorKind::Io, "the server was started anew").into())
        }
    }
}

/// Lets one through at a time.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<()>);

impl Gate {
    pub(crate) fn enter(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
