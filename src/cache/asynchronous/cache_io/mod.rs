//! A connection to one run of one Redis server.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, RedisResult, Value};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::cache::keys::EntryKey;
use crate::cache::scripts::unless_refused;
use crate::cache::{CacheConfig, Counters, server_info};

mod mget_batcher;
pub(crate) mod single_flight;

pub(crate) use mget_batcher::MgetBatcher;

/// A connection, shared by all tasks, whose commands are sent without waiting for each other. It
/// ends with the server's process, so that all its replies come from one run.
pub(crate) struct RedisConnection {
    connection: MultiplexedConnection,
    server: ConnectionInfo,
    response_timeout: Duration,
}

/// The number of commands that may wait to be written. Sending one never waits for room: a future
/// that waits and is kept without being polled would hold its place.
const COMMANDS: usize = 1 << 20;

impl RedisConnection {
    pub(crate) async fn open(client: Client, settings: &CacheConfig) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.response_timeout))
            .set_pipeline_buffer_size(COMMANDS);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Self {
            connection,
            server: client.get_connection_info().clone(),
            response_timeout: settings.response_timeout,
        })
    }

    /// Returns the address of the server.
    pub(crate) fn server(&self) -> &ConnectionInfo {
        &self.server
    }

    /// Returns the run id of the server.
    pub(crate) async fn server_info(&self) -> RedisResult<String> {
        let mut connection = self.connection.clone();
        server_info::run_of(
            connection
                .send_packed_command(&server_info::command())
                .await?,
        )
    }

    pub(crate) async fn send(&self, command: &Cmd, counters: &Counters) -> RedisResult<Value> {
        let began = Instant::now();
        let reply = self.connection.clone().send_packed_command(command).await?;
        counters.called(began.elapsed());
        unless_refused(reply)
    }

    /// Sends a command without waiting for its reply.
    pub(crate) fn send_detached(&self, command: Cmd) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut connection = self.connection.clone();
            runtime.spawn(async move { connection.send_packed_command(&command).await });
        }
    }
}

/// Returns the replies to commands that are sent concurrently.
pub(crate) async fn send_all(
    commands: &[(&RedisConnection, Cmd)],
    counters: &Counters,
) -> Vec<RedisResult<Value>> {
    let commands = commands.iter();
    future::join_all(commands.map(|(connection, command)| connection.send(command, counters))).await
}

/// Admits one caller at a time, within a limit: the future of a caller that has entered may be kept
/// without being polled.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    inside: Mutex<Inside>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    /// The time at which the present caller has entered.
    since: Option<Instant>,
    /// The number of entries so far.
    entered: u64,
}

pub(crate) struct GateGuard<'g> {
    gate: &'g Gate,
    number: u64,
}

impl Gate {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the present caller has left, or has been inside for `patience`.
    pub(crate) async fn enter(&self, patience: Duration) -> GateGuard<'_> {
        loop {
            let mut left = pin!(self.left.notified());
            // Enabled before the check, so that no caller that leaves after it is missed.
            left.as_mut().enable();
            let rest = {
                let mut inside = self.inside();
                let rest = inside.since.map_or(Duration::ZERO, |since| {
                    patience.saturating_sub(since.elapsed())
                });
                if rest.is_zero() {
                    inside.since = Some(Instant::now());
                    inside.entered += 1;
                    let number = inside.entered;
                    return GateGuard { gate: self, number };
                }
                rest
            };
            let _ = timeout(rest, left).await;
        }
    }
}

impl Drop for GateGuard<'_> {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        if inside.entered == self.number {
            inside.since = None;
            drop(inside);
            self.gate.left.notify_waiters();
        }
    }
}

/// Starts work on `state` in a task of its own, because a caller's future may be kept without being
/// polled. Without a runtime nothing is started.
pub(crate) fn in_background<S, F>(state: Arc<S>, work: impl FnOnce(Arc<S>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work(state));
    }
}

/// Counts operations that have ended, and wakes the callers that wait for the next end.
pub(crate) struct Ends(watch::Sender<u64>);

impl Default for Ends {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Ends {
    pub(crate) fn seen(&self) -> u64 {
        *self.0.borrow()
    }

    pub(crate) fn end(&self) {
        self.0.send_modify(|ended| *ended = ended.wrapping_add(1));
    }

    /// Waits until something has ended since.
    pub(crate) async fn wait(&self, seen: u64, patience: Duration) {
        let mut ended = self.0.subscribe();
        let ended = ended.wait_for(|ended| *ended != seen);
        let _ = timeout(patience, ended).await;
    }
}

pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Boxes a rare future, so that it does not enlarge the frequent ones.
pub(crate) fn boxed<'f, T>(
    work: impl Future<Output = T> + Send + 'f,
) -> Pin<Box<dyn Future<Output = T> + Send + 'f>> {
    Box::pin(work)
}
