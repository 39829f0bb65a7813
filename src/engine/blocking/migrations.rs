//! The functions that run migrations, for blocking code.

use std::sync::mpsc::{RecvTimeoutError, channel};
pub(super) use std::thread::sleep as pause;
use std::time::Duration;

use diesel::sql_types::{Integer, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl as _, sql_query};

pub use super::repositories::migrations::{
    Runner, adopt, down, down_by_one, end_isolation, grant, isolate, revoke, status, up,
};
use crate::config::PROBES;
use crate::engine::libpq::Connector;
use crate::migrations::{
    QUERY_TIMEOUT, Report, Watch, ended, query_timed_out, silent, start, without_limits,
};
use crate::sql::session_identity::{SESSION, has_session};
use crate::{Config, Result};

/// The connection of a migration, and what asks the server on another one.
pub(super) struct Opened {
    connection: PgConnection,
    config: Config,
    /// `None` behind PgBouncer, and if the session is not visible.
    session: Option<String>,
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Text)]
    session: String,
}

#[derive(QueryableByName)]
struct One {
    #[diesel(sql_type = Integer)]
    #[allow(dead_code, reason = "only whether there is a row counts")]
    one: i32,
}

pub(super) fn open(config: &Config) -> Result<Opened> {
    let config = without_limits(config);
    let mut connection = Connector::new(&config)?.connect()?;
    let session = match config.behind_pgbouncer {
        true => None,
        false => sql_query(SESSION).get_result(&mut connection).ok(),
    };
    Ok(Opened {
        connection,
        session: session.map(|Session { session }| session),
        config,
    })
}

/// Runs `work` on a thread of its own, since libpq waits for a response without a time limit.
///
/// While no query with a time limit runs, the server is asked on another connection whether it
/// responds.
pub(super) fn watching<T: Send + 'static>(
    opened: Opened,
    work: impl FnOnce(&mut PgConnection, Watch<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let Opened {
        mut connection,
        config,
        session,
    } = opened;
    let (sender, reports) = channel();
    start(move || {
        // The caller may have dropped its future.
        let watch = |is_limited| drop(sender.send(Report::of(is_limited)));
        let outcome = work(&mut connection, &watch);
        drop(sender.send(Report::Done(outcome)));
    })?;
    let patience = config.patience.unwrap_or(QUERY_TIMEOUT);
    let mut is_limited = false;
    let mut is_silent = false;
    loop {
        let limit = match (is_silent, is_limited) {
            (true, _) => Duration::ZERO,
            (false, true) => QUERY_TIMEOUT,
            (false, false) => patience,
        };
        match reports.recv_timeout(limit) {
            Ok(Report::Done(outcome)) => return outcome,
            // The server has responded, however its sessions looked to the probes: the work may
            // have ended and closed its session meanwhile.
            Ok(report) => {
                is_limited = matches!(report, Report::QuerySent);
                is_silent = false;
            }
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            Err(RecvTimeoutError::Timeout) if is_silent => return Err(silent(patience)),
            Err(RecvTimeoutError::Timeout) if is_limited => return Err(query_timed_out()),
            Err(RecvTimeoutError::Timeout) => {
                let mut probes = 0..PROBES;
                is_silent = !probes.any(|_| responds(&config, session.as_deref()));
            }
        }
    }
}

/// Checks whether the server responds on another connection and has the session. A server that
/// refuses the connection responds, too. A thread of its own asks, and goes on to wait.
fn responds(config: &Config, session: Option<&str>) -> bool {
    let limit = config.health_timeout;
    let query = session.map_or("SELECT 1 AS one".to_owned(), has_session);
    let (sender, answer) = channel();
    let config = config.clone();
    let asked = start(move || {
        let connected = Connector::new(&config).and_then(|connector| connector.connect());
        let responds = match connected {
            Ok(mut connection) => sql_query(query).get_result::<One>(&mut connection).is_ok(),
            Err(error) => error.is_of_server(),
        };
        let _ = sender.send(responds);
    });
    asked.is_ok() && answer.recv_timeout(limit).unwrap_or(false)
}
