//! The health of a database, and the state of a pool.

use std::time::Duration;

use crate::Error;

/// The result of [`Db::health`](crate::Db::health).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The time that a checkout and a statement took together.
    pub round_trip: Duration,
    /// The server's version, for example 150012 for 15.12.
    pub server_version: i32,
    /// True if the server is a standby, which rejects writes.
    pub is_standby: bool,
    /// The number of open connections.
    pub connections: u32,
    /// The number of open connections that are not in use.
    pub idle_connections: u32,
}

impl Health {
    /// Creates the result from the server's version, whether it is a standby, and the state of the
    /// pool.
    pub(crate) fn new(
        (server_version, is_standby): (i32, bool),
        pool: &PoolState,
        round_trip: Duration,
    ) -> Self {
        Self {
            round_trip,
            server_version,
            is_standby,
            connections: pool.connections,
            idle_connections: pool.idle_connections(),
        }
    }
}

/// The ability of an application to serve requests that need the database, returned by
/// [`Db::readiness`](crate::Db::readiness).
#[derive(Debug)]
#[non_exhaustive]
pub enum Availability {
    /// The server has responded.
    Ready(Health),
    /// No connection was free within [`Config::health_timeout`](crate::Config::health_timeout). The
    /// server may be well: all connections of the pool are in use, or the server has as many
    /// clients as it accepts.
    Busy(PoolState),
    /// The server cannot be reached, or does not respond, or the database is closed.
    Broken(Error),
}

impl Availability {
    /// Creates the result from that of a health check.
    pub(crate) fn new(health: Result<Health, Error>, pool: PoolState, is_closed: bool) -> Self {
        match health {
            Ok(health) => Self::Ready(health),
            Err(Error::Pool(_)) if !is_closed => Self::Busy(pool),
            Err(error) => Self::Broken(error),
        }
    }

    /// Checks whether the server has responded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

/// The state of a pool, returned by [`Db::pool`](crate::Db::pool). It may be out of date a moment
/// later.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolState {
    /// The largest number of connections.
    pub max_connections: u32,
    /// The number of open connections.
    pub connections: u32,
    /// The number of open connections that are in use.
    pub in_use: u32,
    /// The time for which the connection that was taken first has been in use; `None` if none is in
    /// use.
    pub longest_use: Option<Duration>,
    /// The number of calls that wait for a connection.
    pub waiting: u32,
    /// The number of calls that have failed with [`Error::Decode`](crate::Error::Decode) since the
    /// pool was created. `Db::unreadable` lists the rows of a table that cannot be decoded. If it
    /// is not 0, each write of the pool runs in a transaction of its own.
    pub unreadable: u64,
}

impl PoolState {
    /// Returns the number of open connections that are not in use.
    #[must_use]
    pub fn idle_connections(&self) -> u32 {
        self.connections.saturating_sub(self.in_use)
    }

    /// Checks whether all connections are in use, so that a further call waits for one.
    ///
    /// This does not depend on the server's health.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.in_use >= self.max_connections
    }

    /// Sets the gauges of the pool: `db.client.connection.count` with the states `used` and `idle`,
    /// `db.client.connection.max` and `db.client.connection.pending_requests`. `pool` is the label
    /// `db.client.connection.pool.name`.
    ///
    /// Call it whenever the metrics are read.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self, pool: &str) {
        use metrics::gauge;

        let name = || pool.to_owned();
        let count = |state: &'static str| gauge!("db.client.connection.count", "db.client.connection.pool.name" => name(), "state" => state);
        count("used").set(self.in_use);
        count("idle").set(self.idle_connections());
        gauge!("db.client.connection.max", "db.client.connection.pool.name" => name())
            .set(self.max_connections);
        gauge!("db.client.connection.pending_requests", "db.client.connection.pool.name" => name())
            .set(self.waiting);
    }
}
