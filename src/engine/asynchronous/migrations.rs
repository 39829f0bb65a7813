//! The functions that run migrations, for async code. The migrating thread has the connection.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use tokio::sync::mpsc::unbounded_channel;

pub use super::repositories::migrations::{
    Runner, adopt, down, down_by_one, end_isolation, grant, isolate, revoke, status, up,
};
use crate::engine::connection::Connection as Driven;
use crate::engine::connection::connect::Connector;
use crate::migrations::{
    QUERY_TIMEOUT, Report, Watch, ended, query_timed_out, start, without_limits,
};
use crate::{Config, Result};

type Connection = AsyncConnectionWrapper<Driven>;

pub(super) async fn open(config: &Config) -> Result<Driven> {
    let config = without_limits(config);
    let connector = Arc::new(Connector::new(&config)?);
    let connection = connector.connect().await?;
    connection.be_patient(&connector, &config).await;
    Ok(connection)
}

pub(super) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Runs `work`, which blocks, on a thread of its own.
pub(super) async fn watching<T: Send + 'static>(
    connection: Driven,
    work: impl FnOnce(&mut Connection, Watch<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, mut reports) = unbounded_channel();
    let runtime = tokio::runtime::Handle::current();
    start(move || {
        let _runtime = runtime.enter();
        // The caller may have dropped its future.
        let watch = |is_limited| drop(sender.send(Report::of(is_limited)));
        let outcome = work(&mut Connection::from(connection), &watch);
        drop(sender.send(Report::Done(outcome)));
    })?;
    let mut is_limited = false;
    loop {
        let report = if is_limited {
            let report = tokio::time::timeout(QUERY_TIMEOUT, reports.recv()).await;
            report.map_err(|_| query_timed_out())?
        } else {
            reports.recv().await
        };
        match report.ok_or_else(ended)? {
            Report::Done(outcome) => return outcome,
            report => is_limited = matches!(report, Report::QuerySent),
        }
    }
}
