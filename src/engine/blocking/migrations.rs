//! The functions that run migrations, for blocking code.

use std::sync::mpsc::{RecvTimeoutError, channel};
pub(super) use std::thread::sleep as pause;

use diesel::PgConnection;

pub use super::repositories::migrations::{
    Runner, adopt, down, down_by_one, end_isolation, grant, isolate, revoke, status, up,
};
use crate::engine::libpq::Connector;
use crate::migrations::{
    QUERY_TIMEOUT, Report, Watch, ended, query_timed_out, start, without_limits,
};
use crate::{Config, Result};

pub(super) fn open(config: &Config) -> Result<PgConnection> {
    Connector::new(&without_limits(config))?.connect()
}

/// Runs `work` on a thread of its own, since libpq waits for a response without a time limit.
pub(super) fn watching<T: Send + 'static>(
    mut connection: PgConnection,
    work: impl FnOnce(&mut PgConnection, Watch<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, reports) = channel();
    start(move || {
        // The caller may have dropped its future.
        let watch = |is_limited| drop(sender.send(Report::of(is_limited)));
        let outcome = work(&mut connection, &watch);
        drop(sender.send(Report::Done(outcome)));
    })?;
    let mut is_limited = false;
    loop {
        let report = if is_limited {
            reports
                .recv_timeout(QUERY_TIMEOUT)
                .map_err(|error| match error {
                    RecvTimeoutError::Timeout => query_timed_out(),
                    RecvTimeoutError::Disconnected => ended(),
                })?
        } else {
            reports.recv().map_err(|_| ended())?
        };
        match report {
            Report::Done(outcome) => return outcome,
            report => is_limited = matches!(report, Report::QuerySent),
        }
    }
}
