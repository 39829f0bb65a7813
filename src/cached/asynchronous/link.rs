//! A connection to one run of one Redis server.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::future;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, Value};

use crate::cache::script::unless_refused;
use crate::cache::{CacheConfig, Counters, greeting};

mod reads;

pub(crate) use reads::Reads;

/// A connection, shared by all tasks, whose commands are sent without waiting for each other. It ends with the server's
/// process, so that all its answers come from one run.
pub(crate) struct Link {
    connection: MultiplexedConnection,
}

impl Link {
    pub(crate) async fn open(client: Client, settings: &CacheConfig) -> RedisResult<Self> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.response_timeout));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Self { connection })
    }

    /// The server's run.
    pub(crate) async fn greet(&self) -> RedisResult<String> {
        let mut connection = self.connection.clone();
        greeting::run_of(connection.send_packed_command(&greeting::command()).await?)
    }

    pub(crate) async fn send(&self, command: &Cmd, counters: &Counters) -> RedisResult<Value> {
        let began = Instant::now();
        let answer = self.connection.clone().send_packed_command(command).await?;
        counters.called(began.elapsed());
        unless_refused(answer)
    }

    /// Calls a script whose answer nobody waits for.
    pub(crate) fn send_unheard(&self, command: Cmd) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut connection = self.connection.clone();
            runtime.spawn(async move { connection.send_packed_command(&command).await });
        }
    }
}

/// The answers to commands that are sent at once.
pub(crate) async fn send_all(
    commands: &[(&Link, Cmd)],
    counters: &Counters,
) -> Vec<RedisResult<Value>> {
    let commands = commands.iter();
    future::join_all(commands.map(|(link, command)| link.send(command, counters))).await
}

/// Lets one through at a time.
#[derive(Debug, Default)]
pub(crate) struct Gate(tokio::sync::Mutex<()>);

impl Gate {
    pub(crate) async fn enter(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.lock().await
    }
}

pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// What is done seldom, apart, so that what is done often need not make room for it.
pub(crate) fn boxed<'f, T>(
    work: impl Future<Output = T> + Send + 'f,
) -> Pin<Box<dyn Future<Output = T> + Send + 'f>> {
    Box::pin(work)
}
