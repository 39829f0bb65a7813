//! The sessions of a database, and what keeps VACUUM from removing rows.

use serde::{Deserialize, Serialize};

use super::monitoring::{PG_MONITOR, Thresholds, Warning, exceeds, seconds};
use crate::models::statement_names::statement_name;

/// The sessions of the database, without the one that asks.
///
/// The oldest transaction comes first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Activity {
    /// The sessions of clients.
    pub sessions: Vec<Backend>,
    /// The number of connections to all databases of the server.
    pub connections: u64,
    /// The number of connections that the server grants to ordinary roles.
    pub max_connections: u64,
    /// What keeps VACUUM from removing rows: the ten oldest.
    pub horizons: Vec<Horizon>,
    /// The number of sessions of which only the process and the role are visible.
    pub hidden: u64,
}

/// A session of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backend {
    /// The process.
    pub pid: i32,
    /// The role.
    pub role: Option<String>,
    /// The name that the application gave itself.
    pub application: String,
    /// The client's address; `None` for a Unix socket.
    pub client: Option<String>,
    /// The state, for example `active` or `idle in transaction`. `None` if it is hidden.
    pub state: Option<String>,
    /// What the session waits for, for example `Lock/transactionid`.
    pub wait: Option<String>,
    /// The age of the transaction in seconds.
    pub transaction_seconds: Option<f64>,
    /// The time in seconds since the state changed.
    pub state_seconds: Option<f64>,
    /// The age of the oldest snapshot in transactions.
    pub xmin_age: Option<u64>,
    /// The text of the statement that runs, or that ran last; cut off at
    /// `track_activity_query_size`. It may contain values that a client wrote into the text.
    pub query: Option<String>,
    /// The name of the statement, if it is one of this crate's and its text is complete.
    #[serde(skip_deserializing)]
    pub name: Option<&'static str>,
}

/// What keeps VACUUM from removing the rows that were deleted since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Horizon {
    /// `session`, `prepared transaction` or `replication slot`.
    pub kind: String,
    /// The process, the transaction or the slot.
    pub name: String,
    /// The age in transactions.
    pub age: u64,
}

impl Activity {
    /// Returns the role that is needed to see the hidden sessions. `None` if none is hidden.
    #[must_use]
    pub fn needs(&self) -> Option<&'static str> {
        (self.hidden > 0).then_some(PG_MONITOR)
    }

    /// Returns what exceeds the thresholds: `transaction`, `idle_in_transaction`, `connections` and
    /// `horizon`.
    #[must_use]
    pub fn warnings(&self, thresholds: &Thresholds) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for session in &self.sessions {
            let is_idle = session
                .state
                .as_deref()
                .is_some_and(|state| state.starts_with("idle in transaction"));
            let subject = || format!("{} (process {})", session.application, session.pid);
            let idle = exceeds(session.state_seconds, thresholds.idle_in_transaction);
            if let Some(idle) = idle.filter(|_| is_idle) {
                warnings.push(Warning::new(
                    "idle_in_transaction",
                    subject(),
                    seconds(idle),
                    "set idle_in_transaction_session_timeout for the role",
                ));
            } else if let Some(age) = exceeds(session.transaction_seconds, thresholds.transaction) {
                warnings.push(Warning::new(
                    "transaction",
                    subject(),
                    seconds(age),
                    "end the session with pg_terminate_backend if nothing needs its result",
                ));
            }
        }
        // Both numbers are far below 2^52.
        let used = self.connections as f64 / (self.max_connections.max(1)) as f64;
        if used > thresholds.connections {
            warnings.push(Warning::new(
                "connections",
                "server",
                format!("{} of {}", self.connections, self.max_connections),
                "lower Config::max_connections or use PgBouncer",
            ));
        }
        for horizon in &self.horizons {
            if horizon.age > thresholds.horizon {
                warnings.push(Warning::new(
                    "horizon",
                    format!("{} {}", horizon.kind, horizon.name),
                    format!("{} transactions", horizon.age),
                    "end it: VACUUM cannot remove rows that were deleted since",
                ));
            }
        }
        warnings
    }

    pub(crate) fn named(mut self) -> Self {
        for session in &mut self.sessions {
            session.name = session.query.as_deref().and_then(statement_name);
        }
        self
    }
}
