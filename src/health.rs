//! Whether the database answers.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer};

/// What [`Db::health`](crate::Db::health) found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How long a checkout and a statement took together.
    pub round_trip: Duration,
    /// The server's version, for example 150012 for 15.12.
    pub server_version: i32,
    /// Whether the server is a standby, which refuses writes.
    pub is_standby: bool,
    /// Connections that are open.
    pub connections: u32,
    /// Connections of these that nobody uses.
    pub idle_connections: u32,
}

/// What a pool does, as [`Db::pool`](crate::Db::pool) found it. It may be otherwise a moment later.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolState {
    /// The largest number of connections.
    pub max_connections: u32,
    /// Connections that are open.
    pub connections: u32,
    /// Connections of these that are in use.
    pub in_use: u32,
    /// How long the one has been in use that has been for the longest time; `None` if none is.
    pub longest_use: Option<Duration>,
    /// Calls that wait for a connection.
    pub waiting: u32,
    /// Calls that have failed with [`Error::Decode`](crate::Error::Decode) since the pool was made. `Db::unreadable` lists
    /// the rows of a table that cannot be decoded.
    pub unreadable: u64,
}

impl PoolState {
    /// Connections that are open and not in use.
    #[must_use]
    pub fn idle_connections(&self) -> u32 {
        self.connections.saturating_sub(self.in_use)
    }

    /// Checks whether all connections are in use: a further call waits for one. That says nothing of the server.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.in_use >= self.max_connections
    }
}

#[derive(QueryableByName)]
pub(crate) struct Probe {
    #[diesel(sql_type = Integer)]
    pub(crate) server_version: i32,
    #[diesel(sql_type = Bool)]
    pub(crate) is_standby: bool,
}

pub(crate) const PROBE: &str = "SELECT current_setting('server_version_num')::integer AS server_version, \
                                pg_catalog.pg_is_in_recovery() AS is_standby";
